"""Searches by a table of scores: the strategies of this wing over looked-up mutations, hundreds of them in seconds.

Every search is that of evolve.py under the same seed: the same strategy draws from the same generator, climbs the same
fitness, and ends with the same winner. One walk to the largest budget has the smaller ones on its way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.rows.ties import Levels
from benchmarks.conditions.drawing import generator
from benchmarks.spaces import Size, Space
from benchmarks.spaces.space import Choices
from benchmarks.spaces.stack import Stack
from search.evolution import strategies
from search.evolution.fitness import Fitness
from search.evolution.searching import Search, evaluated
from search.evolution.strategies import Ground, Settings


class Charted(Space):
    """A space that can be listed, where each candidate's mutants are looked up once they are known."""

    def __init__(self, space: Space) -> None:
        self.name, self.choices, self.version = space.name, space.choices, space.version
        self._space = space
        self._archs = [space.arch(number) for number in range(len(space))]
        self._mutants: dict[str, list[list[str]]] = {}

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
        return [other for others in self.mutants(arch) for other in others]

    def build(self, archs: Sequence[str], classes: int, resolution: int) -> Stack:
        """Raises AssertionError: nothing is computed here."""
        raise AssertionError("a search by a table builds no network")


class ByTable(Fitness):
    """Scores of a table, NaN for failed ones; and who is ahead after each of some numbers of evaluations."""

    def __init__(self, scores: Mapping[str, float], marks: Sequence[int]) -> None:
        super().__init__()
        self._scores = scores
        self._levels = Levels()
        self._order: list[str] = []
        self._marks = set(marks)
        self.ahead: dict[int, str] = {}
        self.level = self._levels.level

    def _evaluate(self, archs: Sequence[str]) -> None:
        for arch in archs:
            score = self._scores[arch]
            self._levels.add(arch, score, score == score)
            self._order.append(arch)
            if len(self._order) in self._marks:
                self.ahead[len(self._order)] = self.favourite()

    def favourite(self) -> str:
        """The candidate with the highest fitness so far, the first of equals."""
        return max(self._order, key=self.level.__getitem__)

    def __call__(self, arch: str) -> float:
        """Its score, levelled among those so far."""
        return self.level[arch]


class Walks(NamedTuple):
    """What some searches are: a strategy, what they climb, and their seeds."""

    strategy: str
    fitness: str
    seeds: tuple[int, ...]


@dataclass
class Walker:
    """Makes searches over a space: `scores` by fitness and candidate, who is allowed, and when who is ahead is read."""

    space: Charted
    feasible: frozenset[str]
    scores: Mapping[str, Mapping[str, float]]
    settings: Settings
    marks: tuple[int, ...]

    def __call__(self, walks: Walks) -> list[list[str]]:
        """Who is ahead after each number of evaluations, search by search; who ends before stays ahead."""
        strategy, found = strategies.find(walks.strategy), []
        for seed in walks.seeds:
            fitness = ByTable(self.scores[walks.fitness], self.marks)
            random = generator(seed, "search", walks.strategy)
            allowed = len(self.feasible)
            ground = Ground(
                self.space, _no_size, self.feasible.__contains__, fitness.level.__getitem__, random, allowed
            )
            search = Search(walks.strategy, walks.fitness, seed, max(self.marks))
            for _ in evaluated(strategy, ground, self.settings, fitness, search):
                pass
            last = fitness.favourite()
            found.append([fitness.ahead.get(mark, last) for mark in self.marks])
        return found


def _no_size(arch: str) -> Size:
    raise AssertionError("no strategy but nsga2 asks for sizes, and that is not searched by a table")


def interval_of_mean(values: NDArray[np.float64], quantile: float) -> tuple[float, float]:
    """The interval of the mean of n searches, by Student's quantile for n - 1; NaN for one search."""
    if len(values) < 2:
        return float("nan"), float("nan")
    reach = quantile * float(values.std(ddof=1)) / len(values) ** 0.5
    return float(values.mean()) - reach, float(values.mean()) + reach
