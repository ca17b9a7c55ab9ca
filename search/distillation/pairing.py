"""Which stage of the student is held against which of the teacher: by position and size, or as the user says."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import log2
from typing import NamedTuple

from torch import Tensor

from search.distillation.models import Network, Seen

Pairs = list[tuple[int, int]]  # of the student's and the teacher's stages, counted from 0
EXAMPLE = "--stages 'layer1=1 layer2=2 layer3=3'"


class Named(NamedTuple):
    """What --stages says of each side: names of submodules, or numbers, 1 the first; empty where it says nothing."""

    student: tuple[str, ...] = ()
    teacher: tuple[str, ...] = ()

    def names(self, side: tuple[str, ...]) -> tuple[str, ...]:
        """A side's stages where they are names of submodules."""
        return () if all(part.isdecimal() for part in side) else side


def parse(text: str) -> Named:
    """What `STUDENT=TEACHER STUDENT=TEACHER` says. Raises ValueError where it does not, or a side mixes both kinds."""
    parts = [part.split("=") for part in text.split()]
    if any(len(part) != 2 or not all(part) for part in parts):
        raise ValueError(f"--stages {text}: pairs STUDENT=TEACHER of submodules or numbers, such as {EXAMPLE}")
    named = Named(*(tuple(side) for side in zip(*parts, strict=True))) if parts else Named()
    for side in named:
        if len({part.isdecimal() for part in side}) > 1:
            raise ValueError(f"--stages {text}: a side is named by numbers or by submodules, not by both")
        if len(set(side)) < len(side):
            raise ValueError(f"--stages {text}: {' '.join(side)} names a stage twice")
    return named


def paired(student: Seen, teacher: Seen, named: Named) -> Pairs:
    """The pairs of stages. Raises ValueError for a number of none."""
    if not named.student:
        return matched(student.stages, teacher.stages)
    sides = []
    for who, side, shown in (("student", named.student, student), ("teacher", named.teacher, teacher)):
        given = range(1, len(side) + 1) if named.names(side) else [int(part) for part in side]
        for number in given:
            if not 1 <= number <= len(shown.stages):
                raise ValueError(f"--stages: the {who} shows {len(shown.stages)} stages, and no number {number}")
        sides.append([number - 1 for number in given])
    return list(zip(*sides, strict=True))


def matched(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Pairs:
    """As many as the network with fewer stages has, in order, the last with the last; none where one has none.

    Equally many are paired as they stand. Else those of the other network are taken whose maps are nearest in size
    (least sum of |log2|), and where all its maps are of one size, as a transformer's are, those that are evenly spaced,
    the first among them: of twelve blocks and three stages the blocks 1, 7 and 12, as locality guidance has it.
    """
    if len(student) > len(teacher):
        return [(own, other) for other, own in matched(teacher, student)]
    few, many = ([max(m.shape[-2:]) for m in maps] for maps in (student, teacher))
    if not few or len(few) == len(many):
        return [(number, number) for number in range(len(few))]
    last = len(many) - 1
    if len(set(many)) == 1:
        if len(few) == 1:
            return [(0, last)]
        return [(number, int(number * last / (len(few) - 1) + 0.5)) for number in range(len(few))]

    def distance(others: tuple[int, ...]) -> float:
        return sum(abs(log2(own / many[other])) for own, other in zip(few, (*others, last), strict=True))

    return list(enumerate((*min(combinations(range(last), len(few) - 1), key=distance), last)))


def told(student: Network, teacher: Network, shown: tuple[Seen, Seen], pairs: Pairs) -> str:
    """The pairs as a line to print, each with the sizes of its maps."""
    parts = []
    for own, other in pairs:
        names = [
            f"{network.levels[number] if network.levels else number + 1} {shape(seen.stages[number])}"
            for network, seen, number in zip((student, teacher), shown, (own, other), strict=True)
        ]
        parts.append(" = ".join(names))
    return ", ".join(parts) or "none"


def shape(maps: Tensor) -> str:
    """Channels and size of a map, 64x8x8."""
    return "x".join(map(str, maps.shape[1:]))
