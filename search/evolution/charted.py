"""Searches by a table of scores: the strategies of this wing over looked-up mutations, hundreds of them in seconds.

Every search is that of evolve.py under the same seed: the same strategy draws from the same generator, climbs the same
fitness, and ends with the same winner. One walk to the largest budget has the smaller ones on its way, and a random
walk, which no score turns, is one for all proxies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.rows.ties import EXACT, ROUNDING, Levels, to_be_ranked
from benchmarks.conditions.drawing import generator
from benchmarks.spaces import Size, Space
from benchmarks.spaces.space import Choices
from benchmarks.spaces.stack import Stack
from search.evolution import strategies
from search.evolution.fitness import Fitness
from search.evolution.searching import proposed
from search.evolution.strategies import Ground, Settings

RANDOM = strategies.random.__name__


class Charted(Space):
    """A space that can be listed, where each candidate's mutants are looked up once they are known."""

    def __init__(self, space: Space) -> None:
        self.name, self.choices, self.version = space.name, space.choices, space.version
        self._space = space
        self._archs = [space.arch(number) for number in range(len(space))]
        self._mutants: dict[str, list[list[str]]] = {}
        self._neighbours: dict[str, list[str]] = {}

    def __len__(self) -> int:
        return len(self._archs)

    def arch(self, index: int) -> str:
        """The candidate with this index, which is one."""
        return self._archs[index]

    def write(self, chosen: Choices) -> str:
        """See Space."""
        return self._space.write(chosen)

    def read(self, arch: str) -> Choices:
        """See Space."""
        return self._space.read(arch)

    def mutants(self, arch: str) -> list[list[str]]:
        """By position at which there is a choice: the candidates that differ there, in the order of the choices."""
        if arch not in self._mutants:
            around = iter(self._space.neighbours(arch))
            self._mutants[arch] = [
                [next(around) for _ in range(len(options) - 1)] for options in self.choices if len(options) > 1
            ]
        return self._mutants[arch]

    def mutate(self, arch: str, random: np.random.Generator) -> str:
        """As Space has it: a position, then another choice, each drawn uniformly."""
        places = self._mutants.get(arch) or self.mutants(arch)
        others = places[int(random.random() * len(places))]
        return others[int(random.random() * len(others))]

    def neighbours(self, arch: str) -> list[str]:
        """All candidates that differ in one position."""
        if arch not in self._neighbours:
            self._neighbours[arch] = [other for others in self.mutants(arch) for other in others]
        return self._neighbours[arch]

    def build(self, archs: Sequence[str], classes: int, resolution: int) -> Stack:
        """Raises AssertionError: nothing is computed here."""
        raise AssertionError("a search by a table builds no network")


class ByTable(Fitness):
    """Scores of a table, NaN for failed ones, levelled among those that were evaluated so far."""

    def __init__(self, scores: Mapping[str, float]) -> None:
        super().__init__()
        self._scores = scores
        self.levels = Levels()

    def _evaluate(self, archs: Sequence[str]) -> None:
        for arch in archs:
            score = self._scores[arch]
            self.levels.add(arch, score, score == score)

    def __call__(self, arch: str) -> float:
        """Its score, levelled among those so far."""
        return self.levels.level[arch]


def standing(scores: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Whole numbers that rank as any of these scores [n] do, ties levelled; those of failed ones (NaN) are the least.

    None where that can't be said beforehand. What is tied depends on what a search has seen where a run of neighbours
    is so long that its ends are not tied themselves; and whole numbers are levelled only once another number was seen.
    """
    ok = ~np.isnan(scores)
    values = np.unique(scores[ok])
    if len(values):
        levels = to_be_ranked(values, np.ones(len(values), dtype=bool))
        starts = np.flatnonzero(np.r_[True, np.diff(levels) != 0])
        low, high = values[starts], values[np.r_[starts[1:], len(values)] - 1]
        whole = np.add.reduceat((values == np.round(values)) & (np.abs(values) < EXACT), starts, dtype=int)
        loose = high - low > ROUNDING * np.minimum(np.abs(low), np.abs(high))
        if ((high > low) & (loose | (whole > 1))).any():
            return None
    return np.unique(to_be_ranked(scores, ok), return_inverse=True)[1].astype(np.int64)


class Walks(NamedTuple):
    """What some searches are: a strategy, what they climb, and their seeds."""

    strategy: str
    fitness: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclass
class Walker:
    """Makes searches over a space: `scores` by fitness and candidate, who is allowed, and when who is ahead is read."""

    space: Charted
    feasible: frozenset[str]
    scores: Mapping[str, Mapping[str, float]]
    settings: Settings
    marks: tuple[int, ...]
    fixed: dict[str, dict[str, int]] = field(init=False)  # by fitness whose ties are known beforehand: who stands where

    def __post_init__(self) -> None:
        found = {name: standing(np.array(list(own.values()))) for name, own in self.scores.items()}
        self.fixed = {
            name: dict(zip(self.scores[name], places.tolist(), strict=True))
            for name, places in found.items()
            if places is not None
        }

    def __call__(self, walks: Walks) -> dict[str, list[list[str]]]:
        """By fitness, who is ahead after each number of evaluations, search by search; who ends before stays ahead."""
        found: dict[str, list[list[str]]] = {name: [] for name in walks.fitness}
        for seed in walks.seeds:
            shared = self.walk(RANDOM, walks.fitness[0], seed) if walks.strategy == RANDOM else None
            for name in walks.fitness:
                order = self.walk(walks.strategy, name, seed) if shared is None else shared
                found[name].append(self.ahead(order, name))
        return found

    def walk(self, name: str, fitness: str, seed: int) -> list[str]:
        """The candidates of one search as they are evaluated."""
        fixed, table = self.fixed.get(fitness), ByTable(self.scores[fitness])
        climbed = (table.levels.level if fixed is None else fixed).__getitem__  # asked for a hundred times a candidate
        random, allowed = generator(seed, "search", name), len(self.feasible)
        ground = Ground(self.space, _no_size, self.feasible.__contains__, climbed, random, allowed)
        order: list[str] = []
        for some in proposed(strategies.find(name), ground, self.settings, max(self.marks)):
            if fixed is None:
                table.evaluate(some)
            order += some
        return order

    def ahead(self, order: Sequence[str], fitness: str) -> list[str]:
        """Who has the highest fitness among the first so many of a search's candidates, the first of equals."""
        fixed, scores = self.fixed.get(fitness), self.scores[fitness]
        if fixed is not None:
            standings = np.array([fixed[arch] for arch in order])
            return [order[int(standings[:mark].argmax())] for mark in self.marks]
        return [order[place] for place in leaders(np.array([scores[arch] for arch in order]), self.marks)]


def leaders(scores: NDArray[np.float64], marks: Sequence[int]) -> list[int]:
    """Where the highest of the first so many scores [n] is, ties levelled, the first of equals; failed ones are NaN.

    As the ranks of to_be_ranked say, of which the run of ties at the top alone is looked at.
    """
    values = np.where(np.isnan(scores), -np.inf, scores)
    counts = np.logical_and.accumulate(~np.isfinite(values) | (values == np.round(values)) & (np.abs(values) < EXACT))
    found = []
    for mark in marks:
        seen = values[:mark]
        low = seen.max()
        while not counts[len(seen) - 1]:
            below = seen[seen < low].max(initial=-np.inf)
            if not low - below <= ROUNDING * max(abs(below), abs(low)) < np.inf:
                break
            low = below
        found.append(int((seen >= low).argmax()))
    return found


def _no_size(arch: str) -> Size:
    raise AssertionError("no strategy but nsga2 asks for sizes, and that is not searched by a table")


def interval_of_mean(values: NDArray[np.float64], quantile: float) -> tuple[float, float]:
    """The interval of the mean of n searches, by Student's quantile for n - 1; NaN for one search."""
    if len(values) < 2:
        return float("nan"), float("nan")
    reach = quantile * float(values.std(ddof=1)) / len(values) ** 0.5
    return float(values.mean()) - reach, float(values.mean()) + reach
