"""Which searches a command makes: everything that its options name, checked before anything is scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import proxies
from benchmarks import spaces, truth
from benchmarks.conditions import batches
from benchmarks.output.naming import said
from benchmarks.output.options import check_range
from benchmarks.scoretables import recalling
from benchmarks.scoretables.recalling import Recalled
from benchmarks.scoring.asked import scoring_job
from benchmarks.scoring.jobs import Job
from benchmarks.scoring.selection import limit
from benchmarks.spaces import Space
from benchmarks.truth import Truth
from proxies import Combination, Proxy
from search.evolution import searching, strategies
from search.evolution.among import Among
from search.evolution.options import LIMITS, SearchOptions
from search.evolution.searching import Limits, Search, Terrain
from search.evolution.strategies import Settings

ORACLE, SIZE = "oracle", "params (counted)"
MOST_EVALUATIONS, MOST_SEEDS, MOST_POPULATION = 10_000_000, 10_000, 1_000_000
BUDGET = 200  # candidates of a search, where nothing is said
WITH_POPULATION = ("evolution", "aging", "nsga2")


@dataclass
class Run:
    """A command's searches, and what they share."""

    options: SearchOptions
    space: Space
    terrain: Terrain
    settings: Settings
    job: Job
    truth: Truth | None
    chosen: dict[str, Proxy | Combination]
    known: Recalled | None = None
    scored: float = 0.0  # seconds spent on finding fitness
    undefined: dict[str, str] = field(default_factory=dict)  # by proxy that no search can climb, why

    @cached_property
    def optimum(self) -> float:
        """The best accuracy in the table among the candidates within the limits; NaN without a table."""
        known = self.truth.accuracy if self.truth is not None else {}
        return max((value for arch, value in known.items() if self.terrain.feasible(arch)), default=math.nan)

    def budget(self, strategy: str) -> int:
        """After how many candidates a search ends: as asked for, or all where nothing is and it goes through them."""
        every = strategy == "exhaustive" and self.options.budget is None
        return self.terrain.most if every else budget_of(self.options)


def budget_of(options: SearchOptions) -> int:
    """The candidates of a search that does not go through all of them."""
    return BUDGET if options.budget is None else options.budget


def prepare(options: SearchOptions) -> tuple[Run, list[Search]]:
    """What the searches share, and the searches. Raises ValueError for what can't be had."""
    space = spaces.find(options.space)
    options = replace(options, dataset=batches.named_dataset(options.dataset, options.batch))
    dataset = batches.find_dataset(options.dataset, space)
    chosen = {} if options.oracle else {one.name: one for one in proxies.select(options.proxy)}
    if not chosen and not options.oracle:
        raise ValueError(said("--proxy names no proxy; python benchmarks/rank.py --list shows them"))
    truth = known_truth(options, space)
    if options.among_known:
        space = among_known(space, truth, options)
    sizes = limits(options)
    options = replace(options, max_params=sizes.params, max_macs=sizes.macs, max_layers=sizes.layers)
    names = named_strategies(options.strategy, space)
    check_range("budget", budget_of(options), 1, MOST_EVALUATIONS)
    check_range("seeds", options.seeds, 1, MOST_SEEDS)
    settings = settings_of(options)
    seeds = range(options.seed, options.seed + options.seeds)
    given = None if options.oracle else recalling.asked(options, space)
    draws = seeds[:1] if options.same_draw else seeds
    held = None
    if given and options.scores_only:
        held = given.candidates(proxies.parts(list(chosen.values())), draws, space.origin)
        if options.among_known:
            held = among_held(held, space, options)
    terrain = searching.terrain(space, *dataset, sizes, held)
    if set(names) & set(WITH_POPULATION):
        check_population(options, terrain)
    job = scoring_job(options, space, (), list(chosen.values()), seeds)
    recalled = recalling.chosen(options, given, job, whole=False)
    run = Run(options, space, terrain, settings, job, truth, chosen, recalled)
    return run, plan(names, [ORACLE] if options.oracle else list(chosen), run)


def among_known(space: Space, truth: Truth | None, options: SearchOptions) -> Space:
    """The space cut down to the candidates with accuracies. Raises ValueError where there are none."""
    if truth is None:
        raise ValueError(f"--among-known: no accuracies of {options.space} on {options.dataset} are known")
    return Among(space, truth.accuracy)


def among_held(held: Sequence[str], space: Space, options: SearchOptions) -> list[str]:
    """Of the candidates that a table has those with accuracies. Raises ValueError where there are none."""
    there = set(held)
    found = [arch for arch in space.choices[0] if arch in there]
    if not found:
        raise ValueError(f"--among-known: no candidate of {options.scores} has an accuracy on {options.dataset}")
    return found


def named_strategies(text: str, space: Space) -> list[str]:
    """The strategies that --strategy names. Raises ValueError for what is none, and where a space can't be listed."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        strategies.find(name)
        if name == "exhaustive" and not searching.can_list(space):
            raise ValueError(f"--strategy exhaustive: {space.name} has {len(space):,} candidates, too many to list")
    if not names:
        raise ValueError(f"--strategy names none; there are: {', '.join(strategies.STRATEGIES)}")
    return names


def settings_of(options: SearchOptions) -> Settings:
    """The numbers that strategies go by. Raises ValueError for one out of its range."""
    check_range("population", options.population, 2, MOST_POPULATION)
    for name in ("tournament", "top", "children"):
        check_range(name, getattr(options, name), 1, options.population)
    return Settings(options.population, options.tournament, options.top, options.children, options.against)


def check_population(options: SearchOptions, terrain: Terrain) -> None:
    """Raises ValueError where a population can't be filled."""
    if terrain.allowed is not None and options.population > terrain.allowed:
        allowed = f"{terrain.space.name} has {terrain.allowed} candidates allowed"
        raise ValueError(f"--population {options.population}: {allowed}")
    if (budget := budget_of(options)) < options.population:
        raise ValueError(f"--budget {budget}: less than the population of {options.population}")


def limits(options: SearchOptions) -> Limits:
    """The constraints. Raises ValueError for a number that is none."""
    return Limits(*(limit(name, getattr(options, name)) for name in LIMITS))


def known_truth(options: SearchOptions, space: Space) -> Truth | None:
    """The accuracies to judge by; None where --truth is none, or auto and there are none here."""
    if options.truth == "none" and not options.oracle:
        return None
    try:
        return truth.load(options.truth, space, options.dataset, options.target)
    except ValueError:
        if options.truth != "auto" or options.oracle or options.target not in truth.TARGETS:
            raise
        return None


def plan(names: Sequence[str], fitnesses: Sequence[str], run: Run) -> list[Search]:
    """The searches asked for; and beside each random search and the largest candidate, at as many evaluations.

    Where a space is small enough to count, also the largest of all: counting takes less time than any proxy.
    """
    pairs = [(strategy, proxy) for strategy in names for proxy in fitnesses]
    if not run.options.alone:
        pairs += [("random", proxy) for proxy in fitnesses]
        pairs += [(strategy, SIZE) for strategy in names if strategy != "exhaustive"]
    searches = {
        Search(strategy, proxy, seed, run.budget(strategy)): None for strategy, proxy in pairs for seed in run.job.seeds
    }
    if not run.options.alone and run.terrain.allowed is not None:
        searches[Search("exhaustive", SIZE, run.options.seed, run.terrain.allowed)] = None
    return list(searches)
