"""Search a space for the candidate that a proxy likes best, and say how good that is. See --help, docs/search.md."""

from __future__ import annotations

import hashlib
import math
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmarks.output.command import option, parse, reported
from benchmarks.output.options import EngineOptions, ScoringOptions, check_range
from benchmarks.output.terminal import progress, show_table, typed
from benchmarks.scoring.asked import scoring_job
from benchmarks.scoring.engines import open_engine

if TYPE_CHECKING:
    import pandas as pd

    from benchmarks.scoring.engines import Engine
    from benchmarks.scoring.jobs import Job
    from benchmarks.scoring.store import Store
    from benchmarks.spaces import Space
    from benchmarks.truth import Truth
    from proxies import Combination, Proxy
    from search.evolution.fitness import Fitness
    from search.evolution.searching import Limits, Search, Step, Terrain
    from search.evolution.strategies import Settings

PROG = "evolve.py"
ORACLE, SIZE = "oracle", "params (counted)"
LIMITS = ("max_params", "max_macs", "max_layers")
LONGEST_NAME = 150
MOST_EVALUATIONS, MOST_SEEDS = 10_000_000, 10_000
WITH_POPULATION = ("evolution", "aging", "nsga2")


@dataclass
class Options(EngineOptions, ScoringOptions):
    """Search a space by training-free proxies, and compare what they find with what there was to find."""

    proxy: str = option("diswot", "fitness: proxies or combinations as for rank.py; each is searched with")
    strategy: str = option("evolution", "evolution, aging, local, random, exhaustive, nsga2; separated by commas")
    oracle: bool = option(False, "the fitness is the accuracy table itself: the classic multi-trial search")
    budget: int = option(200, "candidates to score in each search")
    max_params: float | None = option(None, "most trainable scalars, such as 1e6")
    max_macs: float | None = option(None, "most multiply-accumulates for one image")
    max_layers: float | None = option(None, "most convolutions and linear layers")
    seed: int = option(0, "seed of the search, and of its batch and weights")
    seeds: int = option(1, "number of searches, counted up from --seed; tables give mean and spread")
    same_draw: bool = option(False, "all searches under the batch and weights of --seed, not of their own seed")
    population: int = option(50, "candidates in the population")
    tournament: int = option(10, "how many of them a round draws")
    top: int = option(5, "among how many of the best of these the parent is drawn (evolution)")
    children: int = option(1, "children a round, scored together")
    against: Literal["params", "macs"] = option("params", "what nsga2 weighs the fitness against")
    alone: bool = option(False, "without random search and the largest candidate beside it")
    out: str | None = option(None, "folder for results [runs/ with the conditions in its name]")
    store: str | None = option(None, "file of scores already computed [store.sqlite in --out, else in runs/]")
    markdown: bool = option(False, "print the table as Markdown")


@dataclass
class Run:
    """A command's searches, and what they share."""

    options: Options
    space: Space
    terrain: Terrain
    settings: Settings
    job: Job
    truth: Truth | None
    chosen: dict[str, Proxy | Combination]
    scored: float = 0.0  # seconds spent on finding fitness

    @cached_property
    def optimum(self) -> float:
        """The best accuracy in the table among the candidates within the limits; NaN without a table."""
        known = self.truth.accuracy if self.truth is not None else {}
        return max((value for arch, value in known.items() if self.terrain.feasible(arch)), default=math.nan)


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)
    return reported(PROG, lambda: evolve(options))


def evolve(options: Options) -> None:
    """Search, write, print."""
    import pandas as pd

    from analysis.pages import tables
    from analysis.pictures import figures, searches
    from benchmarks.output import record
    from benchmarks.scoring.store import Store

    started, start = datetime.now(UTC), time.perf_counter()
    run, planned = prepare(options)
    out = Path(options.out) if options.out else Path("runs") / run_name(options)
    record.check_writable(out)
    store = Path(options.store) if options.store else (out if options.out else out.parent) / "store.sqlite"
    evaluations = sum(search.budget for search in planned)
    with (
        open_engine(options, tasks=options.population, cuda=run.job.on_gpu) as engine,
        Store(store) as opened,
        progress(f"searching {options.space}", evaluations) as advance,
    ):
        walks = [walked(search, run, opened, engine, advance) for search in planned]
    seconds = time.perf_counter() - start
    history = pd.DataFrame([step for steps in walks for step in steps])
    best = winners(walks, run)
    contents = {"history.csv": history, "best.csv": best, "summary.csv": searches.summary(best)}
    if "nsga2" in options.strategy:
        contents["front.csv"] = searches.fronts(history[history["strategy"] == "nsga2"], options.against)
    for name, table in contents.items():
        tables.write_csv(table, out / name)
    record.write_json(winner_file(best, run), out / "winner.json")
    times = {"started": started.isoformat(), "seconds": seconds, "scoring_share": run.scored / seconds}
    record.write_json({**conditions(run), **times}, out / "run.json")
    files = [*contents, "winner.json", "run.json"]
    if history["truth"].notna().any():
        figures.save_both(searches.curves(history, run.optimum), out, "search")
        files += ["search.png", "search.pdf"]
    show(searches.headline(contents["summary.csv"]), run, [out / name for name in files])


def prepare(options: Options) -> tuple[Run, list[Search]]:
    """Everything that the options name, checked before anything is scored."""
    import proxies
    from benchmarks import spaces
    from benchmarks.conditions import batches
    from search.evolution import searching, strategies

    space = spaces.find(options.space)
    dataset = batches.find_dataset(options.dataset)
    chosen = {} if options.oracle else {one.name: one for one in proxies.select(options.proxy)}
    if not chosen and not options.oracle:
        raise ValueError("--proxy names no proxy; rank.py --list shows them")
    names = [name.strip() for name in options.strategy.split(",") if name.strip()]
    for name in names:
        strategies.find(name)
        if name == "exhaustive" and not searching.can_list(space):
            raise ValueError(f"--strategy exhaustive: {space.name} has {len(space):,} candidates, too many to list")
    if not names:
        raise ValueError(f"--strategy names none; there are: {', '.join(strategies.STRATEGIES)}")
    for name, least, most in (("budget", 1, MOST_EVALUATIONS), ("seeds", 1, MOST_SEEDS), ("population", 2, 10**6)):
        check_range(name, getattr(options, name), least, most)
    for name in ("tournament", "top", "children"):
        check_range(name, getattr(options, name), 1, options.population)
    terrain = searching.terrain(space, *dataset, limits(options))
    if set(names) & set(WITH_POPULATION):
        if terrain.allowed is not None and options.population > terrain.allowed:
            raise ValueError(
                f"--population {options.population}: {space.name} has {terrain.allowed} candidates allowed"
            )
        if options.budget < options.population:
            raise ValueError(f"--budget {options.budget}: less than the population of {options.population}")
    numbers = (options.population, options.tournament, options.top, options.children)
    settings = strategies.Settings(*numbers, options.against)
    seeds = range(options.seed, options.seed + options.seeds)
    job = scoring_job(options, space, (), list(chosen.values()), seeds)
    run = Run(options, space, terrain, settings, job, known_truth(options, space), chosen)
    return run, plan(names, [ORACLE] if options.oracle else list(chosen), run)


def plan(strategies: Sequence[str], fitnesses: Sequence[str], run: Run) -> list[Search]:
    """The searches asked for; and beside each random search and the largest candidate, at as many evaluations.

    Where a space is small enough to count, also the largest of all: counting takes less time than any proxy.
    """
    from search.evolution.searching import Search

    pairs = [(strategy, proxy) for strategy in strategies for proxy in fitnesses]
    if not run.options.alone:
        pairs += [("random", proxy) for proxy in fitnesses]
        pairs += [(strategy, SIZE) for strategy in strategies if strategy != "exhaustive"]
    searches = {
        Search(strategy, proxy, seed, run.options.budget): None for strategy, proxy in pairs for seed in run.job.seeds
    }
    if not run.options.alone and run.terrain.allowed is not None:
        searches[Search("exhaustive", SIZE, run.options.seed, run.terrain.allowed)] = None
    return list(searches)


def limits(options: Options) -> Limits:
    """The constraints. Raises ValueError for a number that is none."""
    from search.evolution.searching import Limits

    for name in LIMITS:
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"--{name.replace('_', '-')} {value}: a positive number")
    return Limits(options.max_params, options.max_macs, options.max_layers)


def known_truth(options: Options, space: Space) -> Truth | None:
    """The accuracies to judge by; None where --truth is auto and there are none here."""
    from benchmarks import truth

    try:
        return truth.load(options.truth, space, options.dataset, options.target)
    except ValueError:
        if options.truth != "auto" or options.oracle or options.target not in truth.TARGETS:
            raise
        return None


def walked(search: Search, run: Run, store: Store, engine: Engine, advance: Callable[[int], None]) -> list[Step]:
    """The steps of one search."""
    from benchmarks.conditions.drawing import generator
    from search.evolution import searching, strategies

    fitness = fitness_of(search, run, store, engine)
    random = generator(search.seed, "search", search.strategy)
    strategy = strategies.find(search.strategy)
    steps = searching.history(search, strategy, run.terrain, run.settings, fitness, run.truth, random, advance)
    run.scored += fitness.spent
    return steps


def fitness_of(search: Search, run: Run, store: Store, engine: Engine) -> Fitness:
    """What a search climbs."""
    import proxies
    from benchmarks.scoring.scorer import Scorer
    from proxies import Combination
    from search.evolution.fitness import ByCombination, ByProxy, BySize, Known

    if search.proxy == SIZE:
        return BySize(run.terrain.size)
    if search.proxy == ORACLE:
        assert run.truth is not None
        return Known(run.truth.accuracy)
    one = run.chosen[search.proxy]
    seed = run.options.seed if run.options.same_draw else search.seed
    scorer = Scorer(replace(run.job, proxies=proxies.parts([one]), seeds=[seed]), store, engine)
    return ByCombination(one, scorer) if isinstance(one, Combination) else ByProxy(scorer)


def winners(walks: Sequence[list[Step]], run: Run) -> pd.DataFrame:
    """A row a search: its winner, what it is worth on every data set that has a table, and what the search cost."""
    import pandas as pd

    from benchmarks import truth
    from search.evolution.searching import winner

    others = truth.others(run.space, run.options.dataset, run.options.target)
    rows: list[dict[str, object]] = []
    for steps in walks:
        one = winner(steps)
        row = {"space": run.options.space, **one._asdict(), "seconds": sum(step.seconds for step in steps)}
        row |= {"evaluations": len(steps), "regret": run.optimum - one.truth}
        rows.append(row | {name: table.accuracy.get(one.arch, math.nan) for name, table in others.items()})
    return pd.DataFrame(rows)


def winner_file(best: pd.DataFrame, run: Run) -> dict[str, object]:
    """The winner of the first search, as search/distill.py takes it."""
    first = {str(key): value for key, value in best.iloc[0].to_dict().items() if value == value}
    return {"dataset": run.options.dataset, "target": run.options.target, **first}


def conditions(run: Run) -> dict[str, object]:
    """What run.json says beside the times."""
    from benchmarks.output import record

    return {
        "command": sys.argv,
        "options": asdict(run.options),
        "truth_source": run.truth.source if run.truth is not None else None,
        "optimum": run.optimum,
        "device": record.device_name(run.job.conditions.device),
        **record.environment(),
    }


def run_name(options: Options) -> str:
    """The default folder's name: the main conditions, and a digest of all."""
    named = [options.strategy, ORACLE if options.oracle else options.proxy, options.space, options.dataset]
    named += [f"n{options.budget}", f"seed{options.seed}x{options.seeds}"]
    name = re.sub(r"[^A-Za-z0-9_.+-]+", "-", "_".join(named))[:LONGEST_NAME]
    return f"{name}_{hashlib.sha256(repr(options).encode()).hexdigest()[:6]}"


def show(table: tuple[list[str], list[list[str]]], run: Run, files: Sequence[Path]) -> None:
    """Print what was found, what has to be known beside it, and where everything lies."""
    from analysis.pages.tables import markdown

    headers, rows = table
    notes = told(run)
    if run.options.markdown:
        print(markdown(headers, rows, notes))
        return
    show_table(headers, rows, f"{run.space.name} on {run.options.dataset}: what the searches found", texts=2)
    print("\n".join(f"  {note}" for note in notes))
    print(f"  written: {files[0].parent}/{', '.join(path.name for path in files)}\n  again: {typed()}")


def told(run: Run) -> list[str]:
    """What a reader has to know beside the table, a line each."""
    from analysis.pages.tables import number

    options, settings = run.options, run.settings
    truth = run.truth.source if run.truth is not None else "none known for this space and data set"
    sizes = [f"{name[4:]} <= {getattr(options, name):,.0f}" for name in LIMITS if getattr(options, name) is not None]
    return [
        f"truth: {truth}; target {options.target}; limits: {', '.join(sizes) or 'none'}; best of the space: "
        + number(run.optimum, 2),
        f"population {settings.population}, sample {settings.sample}, top {settings.top}, children "
        f"{settings.children}; {options.seeds} searches from seed {options.seed}, "
        + ("all under its batch and weights" if options.same_draw else "each under its own batch and weights"),
        f"batch: {options.batch_size} x {options.batch}; {run.job.conditions.told()}",
        "accuracy: of the candidate with the highest fitness, mean ± sd over searches; seconds: what its scores cost; "
        f"{SIZE}: the most parameters within the limits",
    ]


if __name__ == "__main__":
    sys.exit(main())
