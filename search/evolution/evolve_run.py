"""The steps of search/evolve.py: search, write, print. What is searched for stands in plan.py, how in searching.py."""

from __future__ import annotations

import hashlib
import math
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

import proxies
from analysis.pictures import figures, searches
from analysis.rows import tables
from analysis.rows.tables import markdown, number
from benchmarks import truth
from benchmarks.conditions.drawing import generator
from benchmarks.output import record
from benchmarks.output.terminal import progress, show_table, typed
from benchmarks.scoring.engines import Engine, open_engine
from benchmarks.scoring.scorer import Scorer
from benchmarks.scoring.store import Store
from proxies import Combination
from search.evolution import searching, strategies
from search.evolution.fitness import ByCombination, ByProxy, BySize, Fitness, Known
from search.evolution.options import LIMITS, SearchOptions
from search.evolution.plan import ORACLE, SIZE, Run, prepare
from search.evolution.searching import Search, Step, winner

LONGEST_NAME = 150


def evolve(options: SearchOptions) -> None:
    """Search, write, print."""
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
        walks = [steps for search in planned if (steps := walked(search, run, opened, engine, advance))]
    if not any(steps[0].proxy != SIZE for steps in walks):
        raise ValueError("; ".join([*run.undefined.values()] or [*run.terrain.faults.values()][:1]))
    seconds = time.perf_counter() - start
    times = {"started": started.isoformat(), "seconds": seconds, "scoring_share": run.scored / seconds}
    summary, files = leave(walks, run, times, out)
    show(searches.headline(summary), run, files)


def walked(search: Search, run: Run, store: Store, engine: Engine, advance: Callable[[int], None]) -> list[Step]:
    """The steps of one search; none, and a note, where its proxy is undefined for every candidate that it went to."""
    fitness = fitness_of(search, run, store, engine)
    random = generator(search.seed, "search", search.strategy)
    strategy = strategies.find(search.strategy)
    steps = searching.history(search, strategy, run.terrain, run.settings, fitness, run.truth, random, advance)
    run.scored += fitness.spent
    if fitness.undefined and all(step.arch in fitness.undefined for step in steps):
        arch, reason = next(iter(fitness.undefined.items()))
        run.undefined[search.proxy] = f"{search.proxy} is undefined for {arch}: {reason}"
        return []
    return steps


def fitness_of(search: Search, run: Run, store: Store, engine: Engine) -> Fitness:
    """What a search climbs."""
    if search.proxy == SIZE:
        return BySize(run.terrain.size)
    if search.proxy == ORACLE:
        assert run.truth is not None
        return Known(run.truth.accuracy)
    one = run.chosen[search.proxy]
    seed = run.options.seed if run.options.same_draw else search.seed
    scorer = Scorer(replace(run.job, proxies=proxies.parts([one]), seeds=[seed]), store, engine, run.known)
    return ByCombination(one, scorer) if isinstance(one, Combination) else ByProxy(scorer)


def leave(
    walks: Sequence[list[Step]], run: Run, times: Mapping[str, object], out: Path
) -> tuple[pd.DataFrame, list[Path]]:
    """Write what the searches found and under which conditions; the summary of it, and the files."""
    history = pd.DataFrame([step for steps in walks for step in steps])
    best = winners(walks, run)
    summary = searches.summary(best)
    contents = {"history.csv": history, "best.csv": best, "summary.csv": summary}
    if "nsga2" in run.options.strategy:
        contents["front.csv"] = searches.fronts(history[history["strategy"] == "nsga2"], run.options.against)
    for name, table in contents.items():
        tables.write_csv(table, out / name)
    record.write_json(winner_file(best, run), out / "winner.json")
    record.write_json({**conditions(run), **times}, out / "run.json")
    files = [*contents, "winner.json", "run.json"]
    if history["truth"].notna().any():
        figures.save_both(searches.curves(history, run.optimum), out, "search")
        files += ["search.png", "search.pdf"]
    return summary, [out / name for name in files]


def winners(walks: Sequence[list[Step]], run: Run) -> pd.DataFrame:
    """A row a search: its winner, what it is worth on every data set that has a table, and what the search cost."""
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
    return {
        "command": sys.argv,
        "options": asdict(run.options),
        "truth_source": run.truth.source if run.truth is not None else None,
        "optimum": run.optimum,
        "device": record.device_name(run.job.conditions.device),
        **record.environment(),
    }


def run_name(options: SearchOptions) -> str:
    """The default folder's name: the main conditions, and a digest of all."""
    named = [options.strategy, ORACLE if options.oracle else options.proxy, options.space, options.dataset]
    named += [*([f"n{options.budget}"] if options.budget else []), f"seed{options.seed}x{options.seeds}"]
    name = re.sub(r"[^A-Za-z0-9_.+-]+", "-", "_".join(named))[:LONGEST_NAME]
    return f"{name}_{hashlib.sha256(repr(options).encode()).hexdigest()[:6]}"


def show(table: tuple[list[str], list[list[str]]], run: Run, files: Sequence[Path]) -> None:
    """Print what was found, what has to be known beside it, and where everything lies."""
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
    options, settings = run.options, run.settings
    source = "none" if run.truth is None else run.truth.source
    if run.truth is None and options.truth != "none":
        source += f" known for this space and data set{truth.offered(run.space, options.dataset, options.target)}"
    sizes = [f"{name[4:]} <= {getattr(options, name):,.0f}" for name in LIMITS if getattr(options, name) is not None]
    return [
        f"truth: {source}; target {options.target}; limits: {', '.join(sizes) or 'none'}; best of the space: "
        + number(run.optimum, 2),
        f"population {settings.population}, sample {settings.sample}, top {settings.top}, children "
        f"{settings.children}; {options.seeds} searches from seed {options.seed}, "
        + ("all under its batch and weights" if options.same_draw else "each under its own batch and weights"),
        f"batch: {options.batch_size} x {options.batch}; {run.job.told()}",
        "accuracy: of the candidate with the highest fitness, mean ± sd over searches; seconds: what its scores cost; "
        f"{SIZE}: the most parameters within the limits",
        *left_out(run),
        *([] if run.known is None else [run.known.told]),
        *run.undefined.values(),
    ]


def left_out(run: Run) -> list[str]:
    """The candidates that no search was to see: those that can't be built, and those behind the end of --budget."""
    lines, faults = [], list(run.terrain.faults.values())
    if faults:
        lines.append(f"{len(faults):,} of the candidates looked at can't be built, such as {faults[0]}")
    every, looked = run.terrain.most, run.budget("exhaustive")
    if "exhaustive" in run.options.strategy and looked < every:
        first = f"the first {looked:,} of {every:,} candidates by index"
        lines.append(f"exhaustive: {first}, as --budget says; all without it")
    return lines
