"""One search: a strategy over a space within limits, climbing a fitness until its budget is spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from benchmarks.spaces import Size, Space
from benchmarks.spaces.space import LISTABLE
from benchmarks.truth import Truth
from search.evolution.fitness import Fitness
from search.evolution.strategies import ExhaustedError, Ground, Settings, Strategy

COUNTED = 20_000  # candidates: a space up to this size is counted as a whole,
LOOKED_AT = 2_000  # of a larger one only a sample


@dataclass(frozen=True)
class Limits:
    """The most that a candidate may have of each size; None for no limit."""

    params: float | None = None
    macs: float | None = None
    layers: float | None = None

    def meets(self, size: Size) -> bool:
        """Whether a candidate of this size is allowed."""
        pairs = zip((self.params, self.macs, self.layers), size, strict=True)
        return all(limit is None or value <= limit for limit, value in pairs)


@dataclass(frozen=True)
class Terrain:
    """The space as a search sees it: sizes of its candidates, and which of them the limits allow."""

    space: Space
    limits: Limits
    size: Callable[[str], Size]
    feasible: Callable[[str], bool]  # whether a candidate can be built, and is within the limits
    allowed: int | None  # how many are, in a space small enough to count
    faults: Mapping[str, str]  # of the candidates looked at so far that can't be built, why

    @property
    def most(self) -> int:
        """How many candidates may be gone through."""
        return len(self.space) if self.allowed is None else self.allowed


def terrain(
    space: Space, classes: int, resolution: int, limits: Limits, among: Collection[str] | None = None
) -> Terrain:
    """A space for one data set, or some candidates `among` it; sizes are counted once.

    A candidate that can't be built is none that is allowed. Raises ValueError where no candidate is within the limits,
    or none of those looked at, saying how the sizes run.
    """
    size = cache(lambda arch: space.count(arch, classes, resolution))
    there = None if among is None else frozenset(among)
    faults: dict[str, str] = {}

    @cache
    def feasible(arch: str) -> bool:
        try:
            return (there is None or arch in there) and limits.meets(size(arch))
        except ValueError as error:
            faults[arch] = str(error)
            return False

    small, limited = len(space) <= COUNTED, limits != Limits()
    known: Collection[str] = []
    if among is not None:
        known = among
    elif small:
        known = [space.arch(index) for index in range(len(space))]
    elif limited:
        known = space.sample(LOOKED_AT, np.random.default_rng(0))
    allowed = sum(map(feasible, known)) if small else None
    none = not (allowed if small else any(map(feasible, known)))
    if none and faults and len(faults) == len(known):
        raise ValueError(next(iter(faults.values())))
    if none and limited:
        sizes = [size(arch) for arch in known if arch not in faults]
        looked = "" if small or among is not None else f", out of {len(known):,} looked at,"
        raise ValueError(f"no candidate of {space.name}{looked} meets {_out_of_reach(limits, sizes)}")
    return Terrain(space, limits, size, feasible, allowed, faults)


def _out_of_reach(limits: Limits, sizes: list[Size]) -> str:
    told = []
    for name, limit in zip(Size._fields, (limits.params, limits.macs, limits.layers), strict=True):
        if limit is not None:
            values = [getattr(size, name) for size in sizes]
            told.append(f"--max-{name} {limit:,.0f} ({name} run from {min(values):,} to {max(values):,})")
    return " with ".join(told)


def can_list(space: Space) -> bool:
    """Whether every candidate can be gone through."""
    return len(space) <= LISTABLE


class Step(NamedTuple):
    """One evaluated candidate, in the order of evaluation; seconds are what its scoring costs."""

    seed: int
    step: int
    strategy: str
    proxy: str
    arch: str
    fitness: float
    params: int
    macs: int
    truth: float
    seconds: float


@dataclass(frozen=True)
class Search:
    """A strategy, the name of what it climbs, its seed, and after how many candidates it ends."""

    strategy: str
    proxy: str
    seed: int
    budget: int


def proposed(strategy: Strategy, ground: Ground, settings: Settings, budget: int) -> Iterator[list[str]]:
    """The candidates of a search as they are proposed; to be evaluated before the next ones are asked for."""
    left = budget
    try:
        for archs in strategy(ground, settings):
            yield archs[:left]
            left -= len(archs[:left])
            if left == 0:
                return
    except ExhaustedError:
        return


def evaluated(
    strategy: Strategy, ground: Ground, settings: Settings, fitness: Fitness, search: Search
) -> Iterator[list[str]]:
    """The candidates of a search as they are evaluated."""
    for archs in proposed(strategy, ground, settings, search.budget):
        fitness.evaluate(archs)
        yield archs


def history(
    search: Search,
    strategy: Strategy,
    terrain: Terrain,
    settings: Settings,
    fitness: Fitness,
    truth: Truth | None,
    random: np.random.Generator,
    advance: Callable[[int], None] = lambda _: None,
) -> list[Step]:
    """Run a search; its steps, with the fitness that candidates have at its end."""
    ground = Ground(terrain.space, terrain.size, terrain.feasible, fitness, random, terrain.allowed)
    archs = []
    for some in evaluated(strategy, ground, settings, fitness, search):
        archs += some
        advance(len(some))
    known = truth.accuracy if truth is not None else {}
    return [
        Step(
            *(search.seed, step, search.strategy, search.proxy, arch, fitness(arch)),
            *terrain.size(arch)[:2],
            *(known.get(arch, math.nan), fitness.seconds[arch]),
        )
        for step, arch in enumerate(archs, 1)
    ]


def winner(steps: list[Step]) -> Step:
    """The step with the highest fitness, the first of equals."""
    return max(steps, key=lambda step: step.fitness)
