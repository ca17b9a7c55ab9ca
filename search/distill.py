"""Train students, alone and distilled from a teacher; THE command for it. See --help and docs/distillation.md."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from benchmarks.output.command import option, parse, reported
from benchmarks.output.options import LARGEST_BATCH, LARGEST_SEED, EngineOptions, check_range
from benchmarks.output.terminal import Advance, progress, show_table, typed

if TYPE_CHECKING:
    import pandas as pd

    from benchmarks.scoring.engines import Engine
    from search.distillation.runs import Conditions, Row, Run
    from search.distillation.students import Student
    from search.distillation.sweep import Plan

PROG = "distill.py"
DIGITS_EPOCHS = 10  # the default run takes about two minutes on two cores
MOST_EPOCHS, MOST_SEEDS = 10_000, 1000


@dataclass
class Options(EngineOptions):
    """Train students by themselves and distilled from a trained teacher, and compare their test accuracies."""

    student: str = option(
        "s0:111", "students, separated by blanks: SPACE:CODE, a search's best.csv or winner.json, a teacher's name"
    )
    space: str | None = option(
        None, "path/to/file.py:Name, where students in a search's file are of such a space of your own; it is run"
    )
    teacher: str = option("resnet20", "teacher; rank.py --list names them")
    teacher_weights: str | None = option(None, "its state dict; without one it is trained here first")
    train_teacher: str | None = option(None, "only train this network, for --teacher-weights, and end")
    method: str = option("ce kd", "methods, separated by blanks, each a sum such as kd:0.9,diswot; --list names them")
    data: str = option("digits", "digits, cifar10, cifar100, a .npz file, or a folder with train/ and val/")
    data_dir: str | None = option(None, "folder of CIFAR images for torchvision [$DISWOT_DATA, or data]")
    download: bool = option(False, "let torchvision download the images")
    resolution: int | None = option(None, "scale the images to this size [their own; folders 224]")
    epochs: int | None = option(None, "epochs; the schedule scales with them [240; digits 10]")
    teacher_epochs: int | None = option(None, "epochs of a teacher that is trained here [--epochs]")
    batch_size: int = option(64, "images in a batch")
    learning_rate: float = option(0.05, "learning rate before its three steps down")
    momentum: float = option(0.9, "momentum of SGD")
    weight_decay: float = option(5e-4, "weight decay")
    precision: Literal["float32", "bf16", "fp16"] = option("float32", "of the networks' passes: mixed below float32")
    ema: float = option(0.0, "decay of an average of the weights that is evaluated in their place; 0 for none")
    init: Literal["kaiming", "normal", "default"] = option("kaiming", "how weights are drawn")
    seed: int = option(0, "seed of weights, order and augmentation")
    seeds: int = option(1, "number of seeds, counted up from --seed")
    sample: int = option(0, "train so many NAS-Bench-201 cells, stratified by size, in place of --student")
    sample_best: int | None = option(None, "how many of them are the best by the embedded CIFAR-10 accuracies [20]")
    sample_disconnected: int | None = option(None, "how many of them have no path from input to output [5]")
    table: str | None = option(None, "where the table for rank.py --truth goes [table.csv in --out]")
    device: str = option("auto", "auto, cpu, cuda or cuda:i")
    tracker: Literal["none", "tensorboard"] = option("none", "also write curves for TensorBoard")
    out: str | None = option(None, "folder for all of it [runs/distill_DATA]")
    list: bool = option(False, "list methods and end")


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)
    return reported(PROG, lambda: show_list() if options.list else distill(options))


def distill(options: Options) -> None:
    """Train the teacher where there is none, then every student with every method and seed; write; print."""
    import pandas as pd

    from benchmarks.output import record
    from search.distillation import sweep

    started, start = datetime.now(UTC), perf_counter()
    plan, conditions, planned = prepare(options)
    main = conditions.group.main
    taught = conditions.teacher is not None or not any(run.distilled for run in planned)
    teacher_epochs = 0 if taught else options.teacher_epochs or plan.recipe.epochs
    teacher_row = None
    epochs = teacher_epochs + plan.recipe.epochs * len(planned)
    with opened_engine(options, conditions, len(planned)) as engine, shown_progress(epochs, main) as advance:
        if not taught:
            plan, conditions, teacher_row = train_teacher(plan, conditions, teacher_epochs, engine, advance)
        rows = pd.DataFrame(sweep.perform(plan, planned, conditions, engine, advance, warn))
    if main:
        times = {"started": started.isoformat(), "seconds": perf_counter() - start}
        write(rows, conditions, options)
        content = {"command": sys.argv, "options": asdict(options), "data": conditions.data.digest, **times}
        record.write_json({**content, **record.environment()}, conditions.out / "run.json")
        show(rows, teacher_row, conditions, options)
    failed = rows[rows["status"].ne("done")]
    if len(failed):
        advice = (
            "lower --learning-rate" if failed["status"].eq("diverged").any() else "the same command tries them again"
        )
        said = ", ".join(
            f"{count} of {len(rows)} runs {status}" for status, count in failed["status"].value_counts().items()
        )
        raise ValueError(f"{said} ({failed['folder'].iloc[0]}): {advice}")


def prepare(options: Options) -> tuple[Plan, Conditions, list[Run]]:
    """Everything that the options name, checked before anything is trained."""
    from benchmarks.conditions import teachers
    from benchmarks.output import record
    from benchmarks.scoring import jobs
    from search.distillation import group, methods, runs, students

    check_numbers(options)
    teachers.check_name(options.train_teacher or options.teacher)
    chosen = chosen_students(options)
    ways = options.method.split()
    if options.train_teacher:
        chosen, ways = [students.find(options.train_teacher)], [runs.VANILLA]
    terms = [methods.parse(way) for way in ways]
    if not chosen or not terms:
        raise ValueError("--student and --method: one at least is needed")
    seeds = range(options.seed, options.seed + options.seeds)
    every = (runs.Run(student, way, seed) for student in chosen for way in ways for seed in seeds)
    planned = list({run.name: run for run in every}.values())
    distilled = any(run.distilled for run in planned)
    if options.teacher_weights and not distilled:
        raise ValueError(f"--teacher-weights {options.teacher_weights}: nothing here learns from a teacher")
    check_tracker(options)
    plan = make_plan(options)
    processes = group.join(cpu=jobs.find_device(options.device).type == "cpu")
    if options.batch_size < 2 * processes.size:
        raise ValueError(f"--batch-size {options.batch_size}: {processes.size} processes need two images each")
    conditions = plan.conditions(processes)
    if processes.main:
        record.check_writable(plan.out)
        if options.table:
            record.check_file("--table", Path(options.table))
    fitting = min(options.batch_size, len(conditions.data.train.labels))
    plan = replace(plan, recipe=replace(plan.recipe, batch_size=fitting))
    conditions = replace(conditions, recipe=plan.recipe)
    if distilled:
        runs.check_fits(chosen, terms, students.find(options.teacher), conditions)
    return plan, conditions, planned


def chosen_students(options: Options) -> list[Student]:
    """Those of --student, or the cells of --sample."""
    from search.distillation import protocol, students

    parts = {"best": options.sample_best, "disconnected": options.sample_disconnected}
    given = {name: number for name, number in parts.items() if number is not None}
    if options.sample:
        cells = protocol.stratified(options.sample, options.seed, **given)
        return [students.find(f"nasbench201:{cell}") for cell in cells]
    if given:
        raise ValueError(f"--sample-{next(iter(given))}: a part of --sample, which is missing")
    return students.find_all(options.student, options.space)


def make_plan(options: Options) -> Plan:
    """The options as every process is told of them."""
    from search.distillation.loop import FIELD_EPOCHS, Recipe
    from search.distillation.runs import folder_name
    from search.distillation.sweep import Plan

    recipe = Recipe(
        epochs=options.epochs or (DIGITS_EPOCHS if options.data == "digits" else FIELD_EPOCHS),
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
        ema=options.ema,
        seed=options.seed,
    )
    return Plan(
        data=options.data,
        data_dir=options.data_dir,
        download=options.download,
        resolution=options.resolution,
        device=options.device,
        recipe=recipe,
        teacher=options.teacher,
        teacher_weights=Path(options.teacher_weights) if options.teacher_weights else None,
        out=Path(options.out or f"runs/distill_{folder_name(Path(options.data).name)}"),
        init=options.init,
        precision=options.precision,
        tensorboard=options.tracker == "tensorboard",
    )


def check_numbers(options: Options) -> None:
    """Raises ValueError for a number out of its range."""
    from search.distillation.images import SIDES

    check_range("batch-size", options.batch_size, 2, LARGEST_BATCH)
    check_range("seed", options.seed, 0, LARGEST_SEED)
    check_range("seeds", options.seeds, 1, MOST_SEEDS)
    for name, epochs in (("epochs", options.epochs), ("teacher-epochs", options.teacher_epochs)):
        check_range(name, 1 if epochs is None else epochs, 1, MOST_EPOCHS)
    check_range("resolution", 32 if options.resolution is None else options.resolution, *SIDES)
    check_range("sample", options.sample, 0, LARGEST_BATCH)
    for name, least, most in (("learning_rate", 0, 100), ("momentum", 0, 1), ("weight_decay", 0, 1), ("ema", 0, 1)):
        value = getattr(options, name)
        if not (least <= value < most):
            raise ValueError(f"--{name.replace('_', '-')} {value}: at least {least}, less than {most}")


def check_tracker(options: Options) -> None:
    """Raises ValueError where TensorBoard is wanted and not installed."""
    if options.tracker == "tensorboard" and not find_spec("tensorboard"):
        raise ValueError("--tracker tensorboard: not installed; pip install 'diswot-bench[track]' or tensorboard")


def opened_engine(options: Options, conditions: Conditions, count: int) -> Engine:
    """The engine for so many runs; one process where several were launched for each student."""
    from benchmarks.scoring.engines import TASKS_A_WORKER, Serial, open_engine

    device, size = conditions.data.train.labels.device, conditions.group.size
    if size > 1:
        if options.engine != "local" or options.workers not in ("auto", 1):
            raise ValueError(
                f"{size} processes were launched to train each student together: no --engine, no --workers"
            )
        return Serial()
    tasks = 1 if device.index is not None else count * TASKS_A_WORKER  # a run is worth a process
    return open_engine(options, tasks=tasks, cuda=device.type == "cuda")


@contextmanager
def shown_progress(epochs: int, main: bool) -> Iterator[Advance]:
    """A progress bar over epochs; none but in the main process."""
    if not main:
        yield lambda count, text=None: None
        return
    with progress("distilling", epochs) as advance:
        yield advance


def warn(text: str) -> None:
    """Say what was put right."""
    print(f"{PROG}: {text}", file=sys.stderr)


def train_teacher(
    plan: Plan, conditions: Conditions, epochs: int, engine: Engine, advance: Advance
) -> tuple[Plan, Conditions, Row]:
    """Plan and conditions with a teacher that was trained under the same recipe, and the row of its run."""
    from search.distillation import runs, students, sweep
    from search.distillation.loop import WEIGHTS

    recipe, out = replace(plan.recipe, epochs=epochs), plan.out / "teacher"
    run = runs.Run(students.find(plan.teacher), runs.VANILLA, plan.recipe.seed)
    own = replace(plan, recipe=recipe, out=out), replace(conditions, recipe=recipe, out=out)
    (row,) = sweep.perform(own[0], [run], own[1], engine, advance, warn)
    if row["status"] != "done":
        advice = "lower --learning-rate" if row["status"] == "diverged" else "the same command tries again"
        raise ValueError(f"the teacher {row['status']} ({out / run.name}): {advice}")
    plan = replace(plan, teacher_weights=out / run.name / WEIGHTS)
    return plan, plan.taught(conditions), row


def write(rows: pd.DataFrame, conditions: Conditions, options: Options) -> None:
    """runs.csv, the table for --truth, and the figure of the curves."""
    import pandas as pd

    from analysis.pages import tables
    from analysis.pictures import curves, figures
    from search.distillation import runs

    out = conditions.out
    tables.write_csv(rows.drop(columns="seconds"), out / "runs.csv")
    tables.write_csv(rows[["folder", "seconds"]], out / "seconds.csv")
    tables.write_csv(runs.truth_table(rows), Path(options.table) if options.table else out / "table.csv")
    histories = {
        (row["student"], row["method"], row["seed"]): pd.read_json(out / row["folder"] / "metrics.jsonl", lines=True)
        for row in rows.to_dict("records")
        if row["status"] != "lost"
    }
    figures.save_both(curves.training_curves(histories), out, "curves")


def show(rows: pd.DataFrame, teacher_row: dict[str, object] | None, conditions: Conditions, options: Options) -> None:
    """Print the table of all students, the teacher first, and what has to be known beside it."""
    from analysis.pages.tables import number
    from search.distillation import runs

    recipe, teacher = conditions.recipe, conditions.teacher
    table = runs.by_student(rows)
    found = bool(table["found_by"].any())
    lines = []
    if teacher is not None:
        best = number(float(teacher_row["best"]), 2) if teacher_row else "n/a"  # type: ignore[arg-type]
        params = f"{sum(layer.parameters for layer in teacher.model.stack.layers):,}"
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
        "  best epoch: chosen on the test images, so no result\n"
        f"  written: {conditions.out}/runs.csv, {options.table or 'table.csv'}, seconds.csv, curves.png, curves.pdf, "
        f"run.json, a folder a run\n  again: {typed()}"
    )


def seeds_text(options: Options) -> str:
    """Which seeds the table is over."""
    if options.seeds == 1:
        return f"seed {options.seed}"
    return f"seeds {options.seed} to {options.seed + options.seeds - 1}, mean ± sd"


def show_list() -> None:
    """Print what --method can name."""
    from search.distillation.methods import CE, DISWOT, METHODS

    rows = [
        [CE, "1 less kd's", "no teacher: cross entropy"],
        [DISWOT, "1", "CE + KL + both diswot terms: the article's loss"],
    ]
    rows += [[name, f"{method.weight:g}", method.source] for name, method in METHODS.items()]
    show_table(["method", "weight", "source"], rows, "methods", texts=3)


if __name__ == "__main__":
    sys.exit(main())
