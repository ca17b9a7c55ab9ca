"""The steps of analysis/compare.py: read two runs, compare what they have in common, print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.rows import runs, tables
from analysis.rows.runs import Run
from analysis.rows.tables import interval, markdown, number
from analysis.stats import comparison
from analysis.stats.comparison import common_archs
from analysis.stats.inference import about
from analysis.stats.ranking import spearman, top_tenth_spearman
from analysis.steps.options import CompareOptions
from analysis.steps.samples import sample_of
from benchmarks import spaces, truth
from benchmarks.output.terminal import show_table
from benchmarks.spaces import Space


def compare(options: CompareOptions) -> None:
    """Read, compare, print."""
    a, b = runs.read(options.run_a), runs.read(options.run_b)
    space = spaces.recorded(a.options["space"], f"{a.folder}/run.json", options.space)
    table = correlations(a, b, space)
    if options.out:
        tables.write_csv(table, Path(options.out))
    changed = runs.changed(a, b) or [("nothing", "", "")]
    show(["condition", "A", "B"], changed, f"A: {a.folder}; B: {b.folder}", options, texts=3)
    headers = ["proxy", "equal scores", "rho of scores", "A", "B", "B - A", "95 % interval", "p (Holm)", "verdict"]
    show(headers, [row(one) for one in table.to_dict("records")], "scores, and Spearman with accuracy", options)
    print("\n".join(f"  {note}" for note in [*notes(a, b, space), *ceilings(a, b, options)]))


def correlations(a: Run, b: Run, space: Space) -> pd.DataFrame:
    """The table of comparison.between over the candidates in common. Raises ValueError where there are none."""
    common = common_archs(a, b)
    if not common or not set(a.proxies) & set(b.proxies):
        raise ValueError(f"{a.folder} and {b.folder} have no candidates or no proxies in common")
    both = a.of(common), b.of(common)
    return comparison.between(*both, *(sample_of(run, space) for run in both))


def row(one: Mapping[Any, Any]) -> list[str]:
    """A line of the table as people read it."""
    numbers = [number(one[name]) for name in ("score_spearman", "spearman_a", "spearman_b")]
    equal = f"{one['equal_scores']:,} of {one['scores']:,}"
    shift = [number(one["difference"], sign="+"), interval(one["low"], one["high"], sign="+")]
    return [one["proxy"], equal, *numbers, *shift, number(one["p_holm"]), one["verdict"]]


def notes(a: Run, b: Run, space: Space) -> list[str]:
    """What has to be known beside the table."""
    common = common_archs(a, b)
    seeds = min(len(a.seeds), len(b.seeds))
    lines = [
        f"{len(common):,} candidates in common, of {len(a.archs):,} in A and {len(b.archs):,} in B",
        f"interval: {about(sample_of(a.of(common), space), seeds, a.noise[1])}; Holm over proxies",
    ]
    if seeds == 1:
        lines.append("what another draw does: --seeds of benchmarks/rank.py, in both runs")
    return lines


def ceilings(a: Run, b: Run, chosen: CompareOptions) -> list[str]:
    """What another training's accuracies reach on the candidates in common, for each truth that the runs have."""
    common, lines = common_archs(a, b), []
    for run in (a, b):
        source, options = run.conditions["truth_source"], run.options
        space = spaces.recorded(options["space"], f"{run.folder}/run.json", chosen.space)
        found = truth.another(chosen.ceiling, space, options["dataset"], options["target"], source, common)
        if found is not None:
            again, measured = np.array([found.accuracy[arch] for arch in common]), run.of(common).truth
            reached = [number(measure(again, measured)) for measure in (spearman, top_tenth_spearman)]
            lines.append(f"ceiling: {found.source} reaches {reached[0]} ({reached[1]} in the top tenth) with {source}")
    return list(dict.fromkeys(lines))


def show(
    headers: list[str], rows: Sequence[Sequence[str]], title: str, options: CompareOptions, *, texts: int = 1
) -> None:
    """Print a table."""
    if options.markdown:
        print(f"{markdown(headers, rows)}\n")
    else:
        show_table(headers, rows, title, texts=texts)
