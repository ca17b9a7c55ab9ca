"""Search spaces by name. A space names its candidates by one canonical code, the `arch` of every row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from benchmarks.spaces.nasbench201 import NasBench201
from benchmarks.stack import Stack


class Size(NamedTuple):
    """Trainable scalars, and multiply-accumulates for one image."""

    params: int
    macs: int


class Space(Protocol):
    """What a space must answer. `arch` is always its canonical code, `index` its official number."""

    name: str

    def __len__(self) -> int:
        """Number of candidates."""

    def arch(self, index: int) -> str:
        """The candidate with this index. Raises ValueError outside 0..len-1."""

    def index(self, arch: str) -> int:
        """The index of a candidate."""

    def parse(self, text: str) -> str:
        """The canonical code of what a user wrote. Raises ValueError, saying what is allowed."""

    def function_class(self, arch: str) -> str:
        """A key that candidates computing the same function have in common."""

    def connected(self, arch: str) -> bool:
        """Whether the output depends on the input at all."""

    def sample(self, number: int, random: np.random.Generator) -> list[str]:
        """Different candidates, uniformly; a larger sample from an equal generator begins with the smaller one."""

    def mutate(self, arch: str, random: np.random.Generator) -> str:
        """A different candidate, one change away."""

    def count(self, arch: str, classes: int, resolution: int) -> tuple[int, int]:
        """(params, macs) in closed form."""

    def build(self, archs: Sequence[str], classes: int, resolution: int) -> Stack:
        """The candidates as one network."""


SPACES: dict[str, type[NasBench201]] = {"nasbench201": NasBench201}


def find(name: str) -> Space:
    """The space of this name. Raises ValueError, naming those there are."""
    if name not in SPACES:
        raise ValueError(f"no space is called {name!r}; there are: {', '.join(SPACES)}")
    return SPACES[name]()
