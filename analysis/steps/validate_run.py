"""The steps of analysis/validate.py: score by benchmarks/rank.py, hold against what was published, print.

Real CIFAR-10 images, PyTorch's default init, every network its own draw, as the published figures have it. What differs
all the same stands in each row's remark.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import pandas as pd

import benchmarks
from analysis.rows.tables import interval, markdown, number
from analysis.steps.options import ValidateOptions
from analysis.validation import coverage, variants
from analysis.validation.experiments import CELLS, EXPERIMENTS, HEADERS, NOTES, VALIDATED, Run, row
from analysis.validation.published import PUBLISHED, Published
from benchmarks.conditions.drawing import generator
from benchmarks.output.options import check_range
from benchmarks.output.terminal import progress, show_table
from benchmarks.truth.official import path_of

RANK = Path(str(benchmarks.__file__)).with_name("rank.py")


def validate(options: ValidateOptions) -> None:
    """Score, compare, print."""
    out = Path(options.out)
    sample = ["--sample", str(options.sample), "--seed", str(options.seed)]
    run_rank(options, [one.proxy for one in PUBLISHED], out, sample)
    ranking = pd.read_csv(out / "ranking.csv", na_values=["n/a"]).set_index("proxy")
    run = json.loads((out / "run.json").read_text())
    headers = ["proxy", "ours", "95 % interval", "published", "difference", "source", "remark"]
    rows = [compared(one, ranking.loc[one.proxy].to_dict()) for one in PUBLISHED]
    notes = [
        f"{run['candidates']:,} cells, seed {options.seed}; {run['batch']['size']} x {run['batch']['source']}; init "
        f"{run['init']}; draw {run['draw']}; {run['device']}",
        f"truth: {run['truth_source']}",
        "interval: of ours, by the choice of cells; a difference within it says nothing, * marks one beyond it",
    ]
    show(options, "Validation", "Spearman with accuracy on CIFAR-10, ours and published", headers, rows, notes)


def experiment(options: ValidateOptions) -> None:
    """Score what each experiment changes, and print how far it moves the correlation."""
    wanted: dict[Run, list[str]] = {VALIDATED: [one.proxy for one in EXPERIMENTS]}
    for one in EXPERIMENTS:
        wanted.setdefault(one.run, []).extend(one.scored)
    found = {
        run: scores(options, run, names, Path(options.out) / f"experiments-{number}")
        for number, (run, names) in enumerate(wanted.items(), 1)
    }
    rows = [row(one, found[VALIDATED], found[one.run]) for one in EXPERIMENTS]
    show(options, "Experiments", "What makes a correlation differ", HEADERS, rows, NOTES)


def statistics(options: ValidateOptions, repeats: int) -> None:
    """Simulate how often intervals cover and tests find, and print the percentages; * marks what is not as promised."""
    check_range("repeats", repeats, 100, 1_000_000)
    lines = coverage.rows()
    with progress("simulating", len(lines)) as advance:
        rows = []
        for line in lines:
            found = line.filled(repeats, generator("coverage", line.text))
            marked = [f"{number(one, 1)}{'*' if line.outside(one, repeats) else ''}" for one in found]
            rows.append([line.text, *marked])
            advance(1)
    headers = ["", *(f"rho {rho:g}" for rho in coverage.RHOS)]
    show(
        options,
        "Statistics",
        "Intervals that cover, tests that find what is not there, %",
        headers,
        rows,
        coverage.NOTES,
    )


def scores(options: ValidateOptions, run: Run, names: Sequence[str], out: Path) -> pd.DataFrame:
    """What a run of an experiment scores."""
    named = [f"{variants.__file__}{name}" if name.startswith(":") else name for name in names]
    more = ["--sample", str(CELLS), "--seed", str(options.seed + run.seed), *run.options]
    if run.truth:
        more += ["--truth", str(path_of(run.truth))]
    run_rank(options, named, out, more)
    return pd.read_csv(out / "scores.csv", na_values=["n/a"])


def run_rank(options: ValidateOptions, names: Sequence[str], out: Path, more: Sequence[str]) -> None:
    """Run benchmarks/rank.py under the conditions of the validation; what it says of bad input stands."""
    store = options.store or str(Path(options.out) / "store.sqlite")
    command = [sys.executable, str(RANK), "--proxy", ",".join(dict.fromkeys(names))]
    command += ["--baselines", "", "--init", "default", "--draw", "independent", "--truth", options.truth]
    command += ["--batch", options.batch, "--device", options.device, "--out", str(out), "--store", store, *more]
    if options.data_dir:
        command += ["--data-dir", options.data_dir]
    if options.download:
        command += ["--download"]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def show(
    options: ValidateOptions, section: str, title: str, headers: list[str], rows: list[list[str]], notes: list[str]
) -> None:
    """Print a table, and write it into its section of the file that was asked for."""
    show_table(headers, rows, title, texts=2 if section == "Experiments" else 1)
    print("\n".join(f"  {note}" for note in notes))
    if options.write:
        path = Path(options.write)
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        sections = {part.partition("\n")[0]: part for part in re.split(r"^# ", text, flags=re.MULTILINE) if part}
        sections[section] = f"{section}\n\n{markdown(headers, rows, notes)}\n"
        path.write_text("\n".join(f"# {part.rstrip()}\n" for part in sections.values()), encoding="utf-8")


def compared(one: Published, ours: Mapping[Hashable, float]) -> list[str]:
    """A row: ours, its interval, the published value, and whether it lies outside."""
    low, high = ours["spearman_low"], ours["spearman_high"]
    outside = "*" if not low <= one.spearman <= high and low == low else ""
    figures = [number(ours["spearman"]), interval(low, high), number(one.spearman)]
    difference = number(ours["spearman"] - one.spearman, sign="+") + outside
    return [one.proxy, *figures, difference, one.source, one.remark]
