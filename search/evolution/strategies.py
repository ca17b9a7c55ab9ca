"""Search strategies: which candidates to score next. Not here: how they are scored, and when a search ends.

A strategy is a generator. It yields candidates that it wants scored; when it goes on, their fitness is known. It ends
where it has nothing more to propose. No strategy proposes a candidate twice, but for nsga2, whose library may: what is
proposed again costs no evaluation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import islice
from typing import Any, Literal

import numpy as np

from benchmarks.reading.naming import meant
from benchmarks.spaces import Size, Space

TRIES = 100_000  # draws without a new feasible candidate before a space counts as exhausted
IDLE = 20  # generations of nsga2 without one


class ExhaustedError(Exception):
    """No new feasible candidate was found."""


@dataclass
class Ground:
    """Where a search goes: the space, what is allowed, the fitness of what was scored (higher better), and chance."""

    space: Space
    size: Callable[[str], Size]
    feasible: Callable[[str], bool]
    fitness: Callable[[str], float]
    random: np.random.Generator
    allowed: int | None = None  # how many candidates are feasible, where that is known
    proposed: set[str] = field(default_factory=set)

    @property
    def exhausted(self) -> bool:
        """Whether every feasible candidate was proposed; False where it is not known how many there are."""
        return self.allowed is not None and len(self.proposed) >= self.allowed

    def _tries(self) -> range:
        return range(0 if self.exhausted else TRIES)

    def fresh(self, draw: Callable[[], str]) -> str:
        """The first that `draw` gives which is feasible and was never proposed. Raises ExhaustedError."""
        for _ in self._tries():
            arch = draw()
            if arch not in self.proposed and self.feasible(arch):
                self.proposed.add(arch)
                return arch
        raise ExhaustedError

    def several(self, new: Callable[[], str], number: int) -> list[str]:
        """What `new` gives, so often or while there is something new. Raises ExhaustedError where nothing is."""
        found: list[str] = []
        while len(found) < number:
            try:
                found.append(new())
            except ExhaustedError:
                if not found:
                    raise
                break
        return found

    def anyone(self) -> str:
        """A candidate drawn uniformly."""
        return self.space.arch(int(self.random.integers(len(self.space))))

    def one_of(self, archs: Sequence[str]) -> str:
        """One of these, drawn uniformly."""
        return archs[int(self.random.random() * len(archs))]

    def some_of(self, archs: Sequence[str], number: int) -> list[str]:
        """Different ones of these, drawn uniformly; all of them where there are no more."""
        return [archs[place] for place in self.random.permutation(len(archs))[:number].tolist()]

    def child(self, parent: str) -> str:
        """A feasible candidate never proposed, mutated from a parent: where a mutant is known, on from that mutant.

        Raises ExhaustedError.
        """
        arch = parent
        for _ in self._tries():
            mutant = self.space.mutate(arch, self.random)
            if self.feasible(mutant):
                if mutant not in self.proposed:
                    self.proposed.add(mutant)
                    return mutant
                arch = mutant
        raise ExhaustedError


@dataclass(frozen=True)
class Settings:
    """Numbers that strategies go by."""

    population: int = 50
    sample: int = 10  # drawn from the population each round
    top: int = 5  # of the sample, by fitness: one of them is the parent
    children: int = 1  # a round, scored together
    against: Literal["params", "macs"] = "params"  # what nsga2 weighs fitness against


Strategy = Callable[[Ground, Settings], Iterator[list[str]]]


def random(ground: Ground, settings: Settings) -> Iterator[list[str]]:
    """Candidates drawn uniformly."""
    while True:
        yield ground.several(lambda: ground.fresh(ground.anyone), settings.children)


def evolution(ground: Ground, settings: Settings) -> Iterator[list[str]]:
    """DisWOT's evolution, as the article has it: the lowest leaves.

    A round draws a sample of the population, takes its top k by fitness, one of these at random as the parent, and a
    mutation of it; one that breaks the limits is drawn again. Scored, it enters, and the lowest leaves. (The released
    script takes the parent from the sample's worst, begins with one candidate repeated, and checks no child.)
    """

    def parent() -> str:
        sample = ground.some_of(population, settings.sample)
        return ground.one_of(sorted(sample, key=ground.fitness, reverse=True)[: settings.top])

    population = ground.several(lambda: ground.fresh(ground.anyone), settings.population)
    yield list(population)
    while True:
        children = ground.several(lambda: ground.child(parent()), settings.children)
        yield children
        for arch in children:
            population.append(arch)
            population.remove(min(population, key=ground.fitness))


def aging(ground: Ground, settings: Settings) -> Iterator[list[str]]:
    """Regularised evolution (Real et al., AAAI 2019): the best of a sample is the parent, the oldest leaves."""

    def parent() -> str:
        return max(ground.some_of(population, settings.sample), key=ground.fitness)

    population = deque(ground.several(lambda: ground.fresh(ground.anyone), settings.population))
    yield list(population)
    while True:
        children = ground.several(lambda: ground.child(parent()), settings.children)
        yield children
        population.extend(children)
        for _ in children:
            population.popleft()


def local(ground: Ground, settings: Settings) -> Iterator[list[str]]:
    """Local search (White et al., UAI 2021): to the best neighbour while that is better, then from elsewhere."""
    while True:
        here = ground.fresh(ground.anyone)
        yield [here]
        while True:
            around = [arch for arch in ground.space.neighbours(here) if ground.feasible(arch)]
            unknown = [arch for arch in ground.some_of(around, len(around)) if arch not in ground.proposed]
            ground.proposed.update(unknown)
            yield unknown
            best = max(around, key=ground.fitness, default=here)
            if ground.fitness(best) <= ground.fitness(here):
                break
            here = best


def exhaustive(ground: Ground, settings: Settings) -> Iterator[list[str]]:
    """Every candidate, by index; for spaces that can be listed."""
    every = filter(ground.feasible, map(ground.space.arch, range(len(ground.space))))
    while archs := list(islice(every, settings.population)):
        yield archs


def nsga2(ground: Ground, settings: Settings) -> Iterator[list[str]]:
    """NSGA-II (Deb et al. 2002) by Optuna: high fitness against a small size; its front is a winner a size."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = int(ground.random.integers(2**31))
    sampler = optuna.samplers.NSGAIISampler(population_size=settings.population, seed=seed)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    options: dict[str, Any] = {
        f"{place}": optuna.distributions.CategoricalDistribution(list(choices))
        for place, choices in enumerate(ground.space.choices)
    }
    idle = 0
    while idle < IDLE and not ground.exhausted:
        asked: list[tuple[Any, str]] = []
        for _ in range(settings.population):
            trial = study.ask(options)
            asked.append((trial, ground.space.write(tuple(trial.params[name] for name in options))))
        unknown = {arch: None for _, arch in asked if arch not in ground.proposed and ground.feasible(arch)}
        ground.proposed.update(unknown)
        idle = 0 if unknown else idle + 1
        yield list(unknown)
        for trial, arch in asked:
            if ground.feasible(arch):
                study.tell(trial, (ground.fitness(arch), getattr(ground.size(arch), settings.against)))
            else:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)


STRATEGIES: dict[str, Strategy] = {one.__name__: one for one in (evolution, aging, local, random, exhaustive, nsga2)}


def find(name: str) -> Strategy:
    """The strategy of this name. Raises ValueError, naming those there are, or what has to be installed for it."""
    if name not in STRATEGIES:
        raise ValueError(f"no strategy is called {name!r}; there are: {', '.join(STRATEGIES)}{meant(name, STRATEGIES)}")
    if name == "nsga2" and find_spec("optuna") is None:
        raise ValueError('the strategy nsga2 needs Optuna: pip install -e ".[search]"')
    return STRATEGIES[name]
