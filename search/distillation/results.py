"""What distill.py writes and prints of its runs: tables, curves, and what has to be known beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.pictures import curves, figures
from analysis.rows import tables
from analysis.rows.tables import number
from benchmarks.output.terminal import show_table, typed
from search.distillation import runs
from search.distillation.methods import CE, DISWOT, METHODS
from search.distillation.options import DistillOptions
from search.distillation.runs import Conditions, Run


def write(rows: pd.DataFrame, conditions: Conditions, options: DistillOptions) -> None:
    """runs.csv, the table for --truth, and the figure of the curves."""
    out = conditions.out
    tables.write_csv(rows.drop(columns="seconds"), out / "runs.csv")
    tables.write_csv(rows[["folder", "seconds"]], out / "seconds.csv")
    tables.write_csv(runs.truth_table(rows), table_path(options, conditions))
    histories = {
        (row["student"], row["method"], row["seed"]): pd.read_json(out / row["folder"] / "metrics.jsonl", lines=True)
        for row in rows.to_dict("records")
        if row["status"] != "lost"
    }
    figures.save_both(curves.training_curves(histories), out, "curves")


def table_path(options: DistillOptions, conditions: Conditions) -> Path:
    """Where the table for rank.py --truth goes."""
    return Path(options.table) if options.table else conditions.out / "table.csv"


def protocol(
    rows: pd.DataFrame, planned: Sequence[Run], conditions: Conditions, options: DistillOptions
) -> dict[str, object]:
    """How the accuracies of a table came about, for the .json beside it; no folder of this machine is in it."""
    data, teacher, recipe = conditions.data, conditions.teacher, conditions.recipe.settings()
    del recipe["seed"]
    table = runs.truth_table(rows)
    wanted, size = len({run.student.name for run in planned}), f"{data.resolution}x{data.resolution}"
    seeds = rows[rows["status"].eq("done")].groupby(["space", "arch"])["seed"].nunique()
    distilled = runs.distilled_of(rows["method"].unique())
    summary = (
        f"{len(table)} of {wanted} students, {len(data.train.labels):,} images of {size} of {data.name}, "
        f"{conditions.recipe.epochs} epochs, {int(seeds.gt(1).sum())} with several seeds"
        f"{f'; distilled is {distilled}' if distilled else ''}"
    )
    return {
        "summary": summary,
        "accuracy": "percent of the test images after the last epoch, mean over the seeds of a student",
        "columns": {"vanilla": runs.VANILLA} | ({"distilled": distilled} if distilled else {}),
        "losses": {name: " or ".join(own.unique()) for name, own in rows.groupby("method", sort=False)["loss"]},
        "images": {"name": data.name, "resolution": data.resolution, "sha256_12": data.digest},
        "training_images": len(data.train.labels),
        "test_images": len(data.test.labels),
        "teacher": None
        if teacher is None
        else {"name": teacher.name, "accuracy": teacher.accuracy, "sha256_12": teacher.digest},
        "teacher_epochs": options.teacher_epochs,
        "recipe": {**recipe, "init": conditions.init, "precision": conditions.precision},
        "runs": len(rows),
        "runs_planned": len(planned),
        "diverged": int(rows["status"].eq("diverged").sum()),
        "training_seconds": round(float(rows["seconds"].sum())),
    }


def show(
    rows: pd.DataFrame, teacher_row: dict[str, object] | None, conditions: Conditions, options: DistillOptions
) -> None:
    """Print the table of all students, the teacher first, and what has to be known beside it."""
    recipe, teacher = conditions.recipe, conditions.teacher
    table = runs.by_student(rows)
    found = bool(table["found_by"].any())
    lines = []
    if teacher is not None:
        best = number(float(teacher_row["best"]), 2) if teacher_row else "n/a"  # type: ignore[arg-type]
        params = f"{teacher.model.size:,}"
        names = [teacher.name, *([""] if found else []), "teacher"]
        lines.append([*names, params, number(teacher.accuracy, 2), best, "", "done"])
    for row in table.to_dict("records"):
        spread = f" ± {number(row['sd'], 2)}" if row["seeds"] > 1 else ""
        names = [row["student"], *([row["found_by"]] if found else []), row["method"]]
        accuracies = [number(row["last"], 2) + spread, number(row["best"], 2)]
        lines.append([*names, f"{row['params']:,}", *accuracies, f"{row['seconds']:.0f}", row["status"]])
    texts = ["network", *(["found by"] if found else []), "method"]
    headers = [*texts, "params", "test accuracy", "best epoch", "seconds", "status"]
    title = f"distillation on {conditions.data.name}: accuracy after the last epoch (%)"
    show_table(headers, lines, title, texts=len(texts))
    over = f" over {conditions.group.size} processes" if conditions.group.size > 1 else ""
    print(
        f"  {len(conditions.data.train.labels):,} training and {len(conditions.data.test.labels):,} test images of "
        f"{conditions.data.resolution}x{conditions.data.resolution}; {recipe.epochs} epochs, batch "
        f"{recipe.batch_size}{over}; {seeds_text(options)}\n"
        f"{losses_text(rows)}"
        "  best epoch: chosen on the test images, so no result\n"
        f"  written: {conditions.out}/runs.csv, {options.table or 'table.csv'}, seconds.csv, curves.png, curves.pdf, "
        f"run.json, a folder a run\n  again: {typed()}"
    )


def seeds_text(options: DistillOptions) -> str:
    """Which seeds the table is over."""
    if options.seeds == 1:
        return f"seed {options.seed}"
    return f"seeds {options.seed} to {options.seed + options.seeds - 1}, mean ± sd"


def losses_text(rows: pd.DataFrame) -> str:
    """What each method minimises, a line each where it is the same for all its students."""
    found = rows.groupby("method", sort=False)["loss"].unique()
    return "".join(f"  {method}: {loss}\n" for method, losses in found.items() for loss in losses if loss != method)


def show_methods() -> None:
    """Print what --method can name."""
    rows = [
        [CE, "1; 1 - kd's beside kd alone", "", "no teacher: cross entropy"],
        [DISWOT, "1", "", "CE + KL + both diswot terms: the article's loss"],
    ]
    for name, method in METHODS.items():
        values = ", ".join(f"{key}={parameter.usual:g}" for key, parameter in method.parameters.items())
        rows.append([name, f"{method.weight:g}", values, method.source])
    show_table(["method", "weight", "parameters", "source"], rows, "methods", texts=4)
