"""What a search space is: candidates as tuples of choices, with a canonical code each, and networks made of them.

A user's own space is a subclass with a name, `choices` and `build`; see docs/spaces.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from benchmarks.spaces.stack import Stack
from proxies.probing.network import Network
from proxies.userfile import FAILURES

LISTABLE = 2**20  # candidates: a larger space is never listed or shuffled as a whole

Choices = tuple[Any, ...]  # one out of each of a space's `choices`


class Size(NamedTuple):
    """Trainable scalars; multiply-accumulates for one image; convolutions and the linear classifier."""

    params: int
    macs: int
    layers: int


class Space(ABC):
    """A search space. `arch` is always a candidate's canonical code, `index` its number.

    A subclass gives `name`, `choices` (what there is to choose from, position by position; first choices the least)
    and `build`. The code of a candidate is its choices with "-" between, and its index counts them, the last position
    varying fastest, unless the subclass says otherwise.
    """

    name: str
    choices: Sequence[Sequence[Any]]
    version = ""  # of a user's file: its digest
    whole = True  # its candidates are all there are; False where they stand for others like them
    resolution: int | None = None  # of the images that its networks see, in place of a data set's own
    teacher_resolution: int | None = None  # at which a teacher sees them, unless another is asked for

    @property
    def origin(self) -> Space:
        """The space whose indices files have: its own, but of a part cut out of a space that one's."""
        return self

    @abstractmethod
    def build(self, archs: Sequence[str], classes: int, resolution: int) -> Stack:
        """The candidates, all of one `shape`, as one network for `classes` classes and square images."""

    def check(self, classes: int, resolution: int) -> None:  # noqa: B027, most have nothing to refuse
        """Raises ValueError where no network can be made for so many classes and images of this size."""

    def network(self, archs: Sequence[str], classes: int, images: Tensor) -> Network:
        """The same as scoring runs it, for images [N, C, H, W] such as these."""
        return self.build(archs, classes, images.shape[-1])

    def __len__(self) -> int:
        """Number of candidates."""
        return prod(len(options) for options in self.choices)

    def write(self, chosen: Choices) -> str:
        """The canonical code of some choices."""
        return "-".join(map(str, chosen))

    def read(self, arch: str) -> Choices:
        """The choices that a canonical code stands for. Raises ValueError for what is none, saying what is allowed."""
        parts = arch.split("-")
        found = [
            option
            for part, options in zip(parts, self.choices, strict=False)
            for option in options
            if str(option) == part
        ]
        if len(parts) != len(self.choices) or len(found) != len(parts):
            allowed = "-".join("{" + ",".join(map(str, options)) + "}" for options in self.choices)
            raise ValueError(f"{arch[:80]!r} is no candidate of {self.name}: write {allowed}, or an index")
        return tuple(found)

    def check_choices(self) -> None:
        """Raises ValueError for a choice by which a code can't be read again, where codes are as they are here."""
        if type(self).write is not Space.write or type(self).read is not Space.read:
            return
        for place, options in enumerate(self.choices, 1):
            texts = [str(option) for option in options]
            count = Counter(texts)
            for option, text in zip(options, texts, strict=True):
                if "-" in text or count[text] > 1:
                    wrong = 'holds a "-", by which codes join them' if "-" in text else "has the text of another one"
                    advice = "take others, or give the class its own write and read"
                    raise ValueError(f"the choice {option!r} at position {place} {wrong}; {advice}")

    def parse(self, text: str) -> str:
        """The canonical code of what a user wrote: a code or an index. Raises ValueError, saying what is allowed."""
        text = text.strip()
        if self.is_index(text):
            return self.arch(int(text))
        return self.write(self.read(text))

    def is_index(self, text: str) -> bool:
        """Whether a text is to be taken for an index: a whole number that is no code."""
        if not (text.isascii() and text.isdecimal() and len(text) < 20):
            return False
        try:
            self.index(text)
        except FAILURES:  # a read of a user's own may raise anything of one that it does not know
            return True
        return False

    def arch(self, index: int) -> str:
        """The candidate with this index. Raises ValueError outside 0..len-1."""
        if not 0 <= index < len(self):
            raise ValueError(f"index {index} is outside 0..{len(self) - 1}, the candidates of {self.name}")
        chosen = []
        for options in reversed(self.choices):
            index, place = divmod(index, len(options))
            chosen.append(options[place])
        return self.write(tuple(reversed(chosen)))

    def index(self, arch: str) -> int:
        """The index of a candidate."""
        index = 0
        for options, choice in zip(self.choices, self.read(arch), strict=True):
            index = index * len(options) + options.index(choice)
        return index

    def stored(self, arch: str) -> str:
        """Under which name a candidate's scores are stored: its code, where the space's version says all else of it."""
        return arch

    def function_class(self, arch: str) -> str:
        """A key that candidates computing the same function have in common: by default each computes its own."""
        return arch

    def effective(self, arch: str) -> str:
        """The candidate without the parts on no path from input to output; with equal weights both compute the same."""
        return arch

    def family(self, arch: str) -> str:
        """What candidates of one kind have in common, trained alike; empty where a space has no kinds."""
        return ""

    def connected(self, arch: str) -> bool:
        """Whether the output depends on the input at all."""
        return True

    def share(self, count: int) -> float:
        """Which part of what a correlation is about so many candidates are."""
        return count / len(self) if self.whole else 0.0

    def shape(self, arch: str) -> str:
        """A key that candidates which can run in one stack have in common: by default all can."""
        return ""

    def sample(self, number: int, random: np.random.Generator) -> list[str]:
        """Different candidates, uniformly; a larger sample from an equal generator begins with the smaller one."""
        if len(self) <= LISTABLE:
            return [self.arch(int(index)) for index in random.permutation(len(self))[:number]]
        indices: dict[int, None] = {}
        while len(indices) < number:
            indices[int(random.integers(len(self)))] = None
        return [self.arch(index) for index in indices]

    def mutate(self, arch: str, random: np.random.Generator) -> str:
        """The candidate with another choice at one position, position and choice drawn uniformly."""
        chosen = list(self.read(arch))
        place = self._free[int(random.random() * len(self._free))]
        options = self.choices[place]
        other = int(random.random() * (len(options) - 1))
        chosen[place] = options[other + (other >= options.index(chosen[place]))]
        return self.write(tuple(chosen))

    @cached_property
    def _free(self) -> list[int]:
        """The positions at which there is a choice."""
        return [place for place, options in enumerate(self.choices) if len(options) > 1]

    def neighbours(self, arch: str) -> list[str]:
        """All candidates that differ in one position."""
        chosen = self.read(arch)
        return [
            self.write((*chosen[:place], option, *chosen[place + 1 :]))
            for place, options in enumerate(self.choices)
            for option in options
            if option != chosen[place]
        ]

    def count(self, arch: str, classes: int, resolution: int) -> Size:
        """Its size, counted on its layers; a subclass may know a closed form."""
        return counted(self.build([arch], classes, resolution))


def counted(stack: Network) -> Size:
    """The size of a stack of one, off its layers, as the proxies params, macs and conv_edges count it."""
    params = sum(layer.parameters for layer in stack.layers)
    macs = sum(layer.macs for layer in stack.layers)
    return Size(params, macs, sum(layer.is_conv or layer.is_head for layer in stack.layers))
