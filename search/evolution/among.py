"""Among: the candidates of a space whose accuracies are known, as a space of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from benchmarks.spaces import Size, Space
from benchmarks.spaces.space import Choices
from benchmarks.spaces.stack import Stack
from proxies.probing.network import Network


class Among(Space):
    """Some candidates of a space, by index; whatever else is asked, the space answers.

    They lie far apart, so there is one choice, which of them: a mutation is any other, and all others are neighbours.
    """

    def __init__(self, space: Space, archs: Iterable[str]) -> None:
        self.space = space
        self.name, self.version = space.name, space.version
        self.resolution, self.teacher_resolution = space.resolution, space.teacher_resolution
        self.choices = (tuple(sorted(archs, key=space.index)),)

    @property
    def origin(self) -> Space:
        """See Space."""
        return self.space.origin

    def read(self, arch: str) -> Choices:
        """The candidate itself. Raises ValueError for one whose accuracy is not known."""
        known = self.space.parse(arch)
        if known not in self.choices[0]:
            raise ValueError(f"{arch[:80]!r}: its accuracy is not known, as that of {len(self)} of {self.name} is")
        return (known,)

    def check(self, classes: int, resolution: int) -> None:
        """See Space."""
        self.space.check(classes, resolution)

    def build(self, archs: Sequence[str], classes: int, resolution: int) -> Stack:
        """See Space."""
        return self.space.build(archs, classes, resolution)

    def network(self, archs: Sequence[str], classes: int, images: Tensor) -> Network:
        """See Space."""
        return self.space.network(archs, classes, images)

    def function_class(self, arch: str) -> str:
        """See Space."""
        return self.space.function_class(arch)

    def effective(self, arch: str) -> str:
        """See Space."""
        return self.space.effective(arch)

    def connected(self, arch: str) -> bool:
        """See Space."""
        return self.space.connected(arch)

    def shape(self, arch: str) -> str:
        """See Space."""
        return self.space.shape(arch)

    def count(self, arch: str, classes: int, resolution: int) -> Size:
        """See Space."""
        return self.space.count(arch, classes, resolution)
