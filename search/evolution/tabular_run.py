"""The steps of search/tabular.py: search by a table, judge the winners, write, print."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

import proxies
from analysis.pictures import figures, searches
from analysis.rows import tables
from analysis.rows.tables import interval, markdown, number
from benchmarks import spaces, truth
from benchmarks.conditions import batches
from benchmarks.output import record
from benchmarks.output.options import check_range
from benchmarks.output.terminal import progress, show_table, typed
from benchmarks.scoretables import recalling
from benchmarks.scoretables.recalling import Recalled
from benchmarks.scoretables.table import ScoreTable
from benchmarks.scoring.asked import scoring_job
from benchmarks.scoring.engines import Lost, open_engine
from benchmarks.spaces import Space
from benchmarks.spaces.space import LISTABLE
from benchmarks.truth import Truth
from proxies import Proxy
from search.evolution import plan, searching
from search.evolution.charted import RANDOM, Charted, Walker, Walks, interval_of_mean
from search.evolution.options import TabularOptions
from search.evolution.plan import SIZE

SEARCHED = ("evolution", "aging", "local", "random")
A_TASK = 25  # searches
CURVE = 24  # numbers of evaluations that the figure shows
NOT_BY_TABLE = ("budget", "oracle", "among_known", "same_draw", "against", "alone", "store")  # options of evolve.py
MOST_ROWS = 40  # of the table as it is printed


@dataclass
class Plan:
    """What is searched, by what, and what the winners are judged by."""

    options: TabularOptions
    space: Space
    walker: Walker
    strategies: list[str]
    budgets: list[int]
    truth: Truth
    known: Recalled
    left_out: list[str]
    drawn: list[str]  # whose curves the figure has

    @property
    def optimum(self) -> float:
        """The best accuracy among the candidates that may be found."""
        return max(self.truth.accuracy[arch] for arch in known_archs(self))


def search(options: TabularOptions) -> None:
    """Search, judge, write, print."""
    start = time.perf_counter()
    made = prepare(options)
    name = f"tabular_{options.space}_{options.dataset}_{options.target}"
    out = Path(options.out) if options.out else Path("runs") / name
    record.check_writable(out)
    found = walked(made)
    searched = time.perf_counter() - start
    table, curves = judged(found, made)
    tables.write_csv(table, out / "tabular.csv")
    tables.write_csv(winners(found, made), out / "winners.csv")
    tables.write_csv(curves, out / "regret.csv")
    chance = made.optimum - fmean(made.truth.accuracy[arch] for arch in known_archs(made))  # whatever their order
    figures.save_both(searches.regrets(curves[curves["fitness"].isin(made.drawn)], chance), out, "regret")
    said = {"command": sys.argv, "options": asdict(options), "truth_source": made.truth.source, "optimum": made.optimum}
    said |= {"scores": made.known.told, "seconds": time.perf_counter() - start, "searching_seconds": searched}
    record.write_json({**said, **record.environment()}, out / "run.json")
    show(table, made, searched, out)


def prepare(options: TabularOptions) -> Plan:
    """Everything that the options name. Raises ValueError for what can't be had."""
    for name in NOT_BY_TABLE:
        if getattr(options, name) != getattr(TabularOptions, name):
            hint = "; numbers of candidates are --budgets" if name == "budget" else ""
            raise ValueError(f"--{name.replace('_', '-')}: of evolve.py, not of a search by a table{hint}")
    space = spaces.find(options.space)
    dataset = batches.find_dataset(options.dataset, space)
    if len(space) > LISTABLE:
        raise ValueError(f"--space {space.name}: {len(space):,} candidates, too many to list")
    budgets = numbers_of(options.budgets)
    names = [name.strip() for name in options.strategy.split(",") if name.strip()]
    if wrong := [name for name in names if name not in SEARCHED] or ([] if names else ["''"]):
        raise ValueError(f"--strategy {wrong[0]}: by a table there are {', '.join(SEARCHED)}")
    check_range("seeds", options.seeds, 1, plan.MOST_SEEDS)
    settings = plan.settings_of(options)
    drawn = [SIZE, *(one.name for one in proxies.select(options.curves))]
    known, chosen, left_out = table_of(options, space)
    limits = plan.limits(options)
    held = known.table.candidates(chosen, [options.draw_seed], space)
    terrain = searching.terrain(space, *dataset, limits, held)
    feasible = frozenset(arch for arch in held if terrain.feasible(arch))
    if set(names) & set(plan.WITH_POPULATION):
        least = replace(options, budget=min(budgets))
        plan.check_population(least, replace(terrain, allowed=len(feasible)))
    scores = {one.name: scores_of(known.table, one, options.draw_seed, space) for one in chosen}
    scores[SIZE] = {arch: float(terrain.size(arch).params) for arch in feasible}
    marks = tuple(sorted({*budgets, *curve_points(max(budgets))}))
    walker = Walker(Charted(space), feasible, scores, settings, marks)
    accuracy = truth.load(options.truth, space, options.dataset, options.target)
    if not feasible & accuracy.accuracy.keys():
        raise ValueError(
            f"--truth {options.truth}: has the accuracy of none of {len(feasible):,} candidates to be found"
        )
    return Plan(options, space, walker, names, budgets, accuracy, known, left_out, drawn)


def table_of(options: TabularOptions, space: Space) -> tuple[Recalled, list[Proxy], list[str]]:
    """The table to search by, the proxies that it has of those asked for, and those it lacks. Raises ValueError."""
    every = proxies.select(options.proxy)
    asked = [one for one in every if isinstance(one, Proxy)]
    combined = [one.name for one in every if not isinstance(one, Proxy)]
    if not asked:
        raise ValueError(
            f"--proxy {options.proxy}: combinations rank what a search has seen; evolve.py --scores does that"
        )
    given = recalling.asked(options, space)
    job = scoring_job(options, space, (), asked, [options.draw_seed])
    known = recalling.chosen(options, given, job, whole=given is None)
    if known is None:
        raise ValueError("no score table of these conditions comes with the project: name one by --scores FILE")
    if not known.keys:
        raise known.lacks([one.name for one in asked], [options.draw_seed], [])
    scored = {one.name for one in asked if known.table.any_ok(one.key, options.draw_seed)}
    chosen = [one for one in asked if one.name in scored]
    if not chosen:
        raise ValueError(f"{known.table.where}: no score of {', '.join(known.keys)} is a number")
    return known, chosen, [*(one.name for one in asked if one.name not in scored), *combined]


def numbers_of(text: str) -> list[int]:
    """--budgets as numbers. Raises ValueError for what is none."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and 0 < int(part[:9]) <= 10**6 for part in parts):
        raise ValueError(f"--budgets {text}: whole numbers from 1 to 1,000,000, separated by commas")
    return sorted({int(part) for part in parts})


def curve_points(most: int) -> list[int]:
    """Numbers of evaluations up to the largest budget, evenly on a logarithmic scale."""
    return sorted({round(one) for one in np.geomspace(1, most, min(CURVE, most))})


def scores_of(table: ScoreTable, proxy: Proxy, seed: int, space: Space) -> dict[str, float]:
    """A proxy's scores by candidate, NaN for failed ones."""
    column, place = table.columns[proxy.key], table.seeds.index(seed)
    values = np.where(column.ok[place], column.scores[place], np.nan)
    return dict(zip(table.archs(space), values.tolist(), strict=True))


def walked(made: Plan) -> dict[tuple[str, str], list[list[str]]]:
    """Who is ahead at each mark, [S][M], by strategy and fitness."""
    options = made.options
    seeds = range(options.seed, options.seed + options.seeds)
    chunks = [tuple(seeds[first : first + A_TASK]) for first in range(0, len(seeds), A_TASK)]
    every = tuple(made.walker.scores)
    tasks = [
        Walks(strategy, fitness, chunk)
        for strategy in made.strategies
        for fitness in ([every] if strategy == RANDOM else [(name,) for name in every])
        for chunk in chunks
    ]
    results: dict[Walks, dict[str, list[list[str]]]] = {}
    with (
        open_engine(options, tasks=len(tasks)) as engine,
        progress(f"searching {options.space}", len(seeds) * len(made.strategies) * len(every)) as advance,
    ):
        for task, result in engine.map(made.walker, tasks):
            if isinstance(result, Lost):
                raise ValueError(f"a search by {', '.join(task.fitness)} was lost: {result.reason}")
            results[task] = result
            advance(len(task.seeds) * len(task.fitness))
    found: dict[tuple[str, str], list[list[str]]] = {}
    for task in tasks:
        for name, ahead in results[task].items():
            found.setdefault((task.strategy, name), []).extend(ahead)
    return found


def known_archs(made: Plan) -> list[str]:
    """The candidates that may be found and whose accuracy is known."""
    return [arch for arch in made.walker.feasible if arch in made.truth.accuracy]


def winners(found: Mapping[tuple[str, str], list[list[str]]], made: Plan) -> pd.DataFrame:
    """A row a search and budget: its winner, as evolve.py finds it."""
    rows = [
        {
            "strategy": strategy,
            "fitness": fitness,
            "budget": budget,
            "seed": made.options.seed + number,
            "arch": ahead[at],
        }
        for (strategy, fitness), searches_ in found.items()
        for budget, at in ((budget, made.walker.marks.index(budget)) for budget in made.budgets)
        for number, ahead in enumerate(searches_)
    ]
    return pd.DataFrame(rows)


def judged(found: Mapping[tuple[str, str], list[list[str]]], made: Plan) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row for each strategy, fitness and budget, means with intervals; and the mean regret at every mark."""
    others = truth.others(made.space, made.options.dataset, made.options.target)
    judges = {"accuracy": made.truth.accuracy, **{name: one.accuracy for name, one in others.items()}}
    optimum, quantile = made.optimum, float(stats.t.ppf(0.975, max(made.options.seeds - 1, 1)))
    rows, curves = [], []
    for (strategy, fitness), ahead in found.items():
        names = np.array(ahead)
        regrets = optimum - valued(names, made.truth.accuracy)
        for at, mark in enumerate(made.walker.marks):
            low, high = interval_of_mean(regrets[:, at], quantile)
            regret = {"regret": regrets[:, at].mean(), "regret_low": low, "regret_high": high}
            curves.append({"strategy": strategy, "fitness": fitness, "evaluations": mark, **regret})
            if mark not in made.budgets:
                continue
            row = {"strategy": strategy, "fitness": fitness, "budget": mark, "searches": len(names)}
            for name, table in judges.items():
                values = valued(names[:, at], table)
                low, high = interval_of_mean(values, quantile)
                row |= {name: values.mean(), f"{name}_low": low, f"{name}_high": high}
            mine = valued(names[:, at], made.truth.accuracy)
            beside = valued(np.array(found[strategy, SIZE])[:, at], made.truth.accuracy)
            low, high = interval_of_mean(mine - beside, quantile)
            rows.append({**row, **regret, "above_params": (mine - beside).mean(), "above_low": low, "above_high": high})
    return pd.DataFrame(rows), pd.DataFrame(curves)


def valued(names: NDArray[np.str_], table: Mapping[str, float]) -> NDArray[np.float64]:
    """Accuracies of candidates, of any shape; NaN where unknown."""
    return np.array([table.get(str(name), math.nan) for name in names.ravel()]).reshape(names.shape)


def show(table: pd.DataFrame, made: Plan, seconds: float, out: Path) -> None:
    """Print the rows of the largest budget, and what has to be known beside them."""
    shown = table[table["budget"] == max(made.budgets)].sort_values("regret", kind="stable")
    spread = [name for name in table.columns if f"{name}_low" in table.columns and name != "above_params"]
    headers = ["strategy", "fitness", "budget"]
    headers += [text for name in spread for text in (name, "95 % interval")] + ["above params", "95 % interval"]
    rows = [
        [str(row["strategy"]), str(row["fitness"]), f"{row['budget']:,}"]
        + [
            text
            for name in spread
            for text in (number(row[name], 2), interval(row[f"{name}_low"], row[f"{name}_high"], 2))
        ]
        + [number(row["above_params"], 2, sign="+"), interval(row["above_low"], row["above_high"], 2)]
        for _, row in shown.iterrows()
    ]
    notes = told(made, seconds, len(rows))
    if made.options.markdown:
        print(markdown(headers, rows[:MOST_ROWS], notes))
        return
    title = f"{made.space.name} on {made.options.dataset}: {made.options.seeds:,} searches a row, by a table of scores"
    show_table(headers, rows[:MOST_ROWS], title, texts=2)
    print("\n".join(f"  {note}" for note in notes))
    print(
        f"  written: {out}/tabular.csv, winners.csv, regret.csv, regret.png, regret.pdf, run.json\n  again: {typed()}"
    )


def told(made: Plan, seconds: float, rows: int) -> list[str]:
    """What a reader has to know beside the table, a line each."""
    options, settings = made.options, made.walker.settings
    left = f"without a score in the table, and left out: {', '.join(made.left_out)}" if made.left_out else ""
    more = f"the {MOST_ROWS} rows of least regret of {rows}; all, and the smaller budgets, are in tabular.csv"
    return [
        made.known.told,
        f"truth: {made.truth.source}; target {options.target}; best of {len(made.walker.feasible):,}: "
        f"{number(made.optimum, 2)}",
        f"population {settings.population}, sample {settings.sample}, top {settings.top}, children "
        f"{settings.children}; searches from seed {options.seed}, all by one draw's scores (seed {options.draw_seed})",
        "interval: 95 %, of the mean over searches; another draw of weights and batch is not in it",
        f"above params: accuracy beyond that of the same search for the most parameters, {SIZE}",
        f"the searches took {seconds:.0f} s",
        *([more] if rows > MOST_ROWS else []),
        *([left] if left else []),
    ]
