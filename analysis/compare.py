"""What changed between two runs of benchmarks/rank.py, and whether it is more than noise. See --help."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.output.command import argument, option, parse, reported
from benchmarks.output.terminal import show_table

if TYPE_CHECKING:
    import pandas as pd

    from analysis.pages.runs import Run

PROG = "compare.py"


@dataclass
class Options:
    """Say what differs between two runs: conditions, scores and correlations, paired on the candidates in common."""

    run_a: str = argument("folder that benchmarks/rank.py left")
    run_b: str = argument("folder of the other run")
    ceiling: str = option(
        "auto",
        "another training's accuracies, as rank.py's --truth, ranked as a proxy; auto (any that is here) or none",
    )
    space: str | None = option(None, "path/to/file.py:Name, where runs are of such a space of your own; it is run")
    out: str | None = option(None, "also write the correlations to this CSV file")
    markdown: bool = option(False, "print the tables as Markdown")


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)
    return reported(PROG, lambda: compare(options))


def compare(options: Options) -> None:
    """Read, compare, print."""
    from analysis.pages import runs, tables

    a, b = runs.read(options.run_a), runs.read(options.run_b)
    table = correlations(a, b, options.space)
    if options.out:
        tables.write_csv(table, Path(options.out))
    changed = runs.changed(a, b) or [("nothing", "", "")]
    show(["condition", "A", "B"], changed, f"A: {a.folder}; B: {b.folder}", options, texts=3)
    headers = ["proxy", "equal scores", "rho of scores", "A", "B", "B - A", "95 % interval", "p (Holm)", "verdict"]
    show(headers, [row(one) for one in table.to_dict("records")], "scores, and Spearman with accuracy", options)
    print("\n".join(f"  {note}" for note in [*notes(a, b, int(table["n"].iloc[0])), *ceilings(a, b, options)]))


def correlations(a: Run, b: Run, named: str | None = None) -> pd.DataFrame:
    """The table of comparison.between over the candidates in common. Raises ValueError where there are none."""
    from analysis.stats import comparison
    from benchmarks import spaces
    from benchmarks.conditions.drawing import generator
    from benchmarks.scoring.cohorts import cohort

    common = comparison.common_archs(a, b)
    if not common or not set(a.proxies) & set(b.proxies):
        raise ValueError(f"{a.folder} and {b.folder} have no candidates or no proxies in common")
    space = spaces.recorded(a.options["space"], f"{a.folder}/run.json", named)
    known = cohort(common, space, a.options["dataset"])
    return comparison.between(a.of(common), b.of(common), known.clusters, lambda: generator("bootstrap"))


def row(one: Mapping[Any, Any]) -> list[str]:
    """A line of the table as people read it."""
    from analysis.pages.tables import interval, number

    numbers = [number(one[name]) for name in ("score_spearman", "spearman_a", "spearman_b")]
    equal = f"{one['equal_scores']:,} of {one['scores']:,}"
    shift = [number(one["difference"], sign="+"), interval(one["low"], one["high"], sign="+")]
    return [one["proxy"], equal, *numbers, *shift, number(one["p_holm"]), one["verdict"]]


def notes(a: Run, b: Run, n: int) -> list[str]:
    """What has to be known beside the table."""
    from analysis.stats.comparison import NOISE

    lines = [
        f"{n:,} candidates in common, of {len(a.archs):,} in A and {len(b.archs):,} in B",
        NOISE,
    ]
    if len(a.seeds) == 1 or len(b.seeds) == 1:
        lines.append("another seed of weights and batch is not in it: --seeds of benchmarks/rank.py shows its spread")
    return lines


def ceilings(a: Run, b: Run, chosen: Options) -> list[str]:
    """What another training's accuracies reach on the candidates in common, for each truth that the runs have."""
    import numpy as np

    from analysis.pages.tables import number
    from analysis.stats.comparison import common_archs
    from analysis.stats.ranking import spearman, top_tenth_spearman
    from benchmarks import spaces, truth

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


def show(headers: list[str], rows: Sequence[Sequence[str]], title: str, options: Options, *, texts: int = 1) -> None:
    """Print a table."""
    from analysis.pages.tables import markdown

    if options.markdown:
        print(f"{markdown(headers, rows)}\n")
    else:
        show_table(headers, rows, title, texts=texts)


if __name__ == "__main__":
    sys.exit(main())
