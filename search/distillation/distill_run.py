"""The steps of distill.py, in their order: what is wanted, the teacher, the students, what is left behind."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from time import perf_counter

import pandas as pd

from benchmarks.output import record
from benchmarks.output.terminal import Advance, progress
from benchmarks.scoring import engines
from benchmarks.scoring.engines import Engine, Serial
from search.distillation import chain, exporting, images, results, runs, sweep
from search.distillation.loop import WEIGHTS
from search.distillation.options import PROG, DistillOptions
from search.distillation.planning import prepare
from search.distillation.results import show, show_methods, write
from search.distillation.runs import Conditions, Run

__all__ = ["distill", "show_methods"]


def distill(options: DistillOptions) -> None:
    """Train the teacher where there is none, then every student with every method and seed; write; print."""
    started, start = datetime.now(UTC), perf_counter()
    plan, conditions, planned = prepare(options)
    main, teacher_row = conditions.group.main, None
    before = chain.links(plan, planned, options.finetune_teacher or options.teacher_epochs)
    epochs = sum(link.epochs for link in before) + plan.recipe.epochs * len(planned)
    if main and (told := images.told(conditions.data)):
        warn(told)
    announce(conditions)
    held = record.alone(conditions.out, "training (its runs so far: --done)") if main else nullcontext()
    with held, opened_engine(options, conditions, len(planned)) as engine, shown_progress(epochs, main) as advance:
        for link in before:
            plan, conditions, teacher_row = chain.train(link, plan, conditions, engine, advance, warn)
            announce(conditions)
        rows = pd.DataFrame(sweep.perform(plan, planned, conditions, engine, advance, warn))
    if main:
        times = {"started": started.isoformat(), "seconds": perf_counter() - start}
        write(rows, conditions, options)
        content = {"command": sys.argv, "options": asdict(options), "data": conditions.data.digest, **times}
        content |= {"normalisation": conditions.data.normalisation._asdict(), "streamed": conditions.data.streams}
        content |= {"skipped_images": list(conditions.data.skipped)}
        record.write_json({**content, **record.environment()}, conditions.out / "run.json")
        show(rows, teacher_row, conditions, options)
        if options.export != "none":
            export(planned, conditions, options.export)
    check_all_done(rows)


def gather(options: DistillOptions) -> None:
    """Write the tables of the runs that are done, also while others are trained; train nothing.

    Raises ValueError where none is done.
    """
    plan, conditions, planned = prepare(options)
    for link in chain.links(plan, planned, None):
        try:
            plan, conditions = chain.follow(link, plan, conditions)
        except ValueError as error:
            raise ValueError(f"--done: {error}") from None
    announce(conditions)
    found = [row for run in planned if (row := runs.done(run, conditions)) is not None]
    if not found:
        raise ValueError(f"--done: no run in {plan.out} is")
    rows = pd.DataFrame(found)
    write(rows, conditions, options)
    path = results.table_path(options, conditions).with_suffix(".json")
    record.write_json({**results.protocol(rows, planned, conditions, options), **record.environment()}, path)
    print(f"  {len(rows)} of {len(planned)} runs are done; written: {path.with_suffix('.csv')}, {path}")


def export(planned: Sequence[Run], conditions: Conditions, kind: exporting.Format) -> None:
    """Write every student that is done for other programs, beside its weights, and say where."""
    data = conditions.data
    for run in planned:
        folder = conditions.out / run.name
        if (folder / WEIGHTS).exists():
            size = (data.classes, data.resolution)
            module = exporting.ordinary(run.student, data.name, *size, folder / WEIGHTS)
            about = exporting.inputs(run.student.name, data)
            print(f"  exported: {exporting.export(module, kind, folder, data.resolution, about)}, model.json")


def check_all_done(rows: pd.DataFrame) -> None:
    """Raises ValueError where a run diverged or was lost, saying what helps."""
    failed = rows[rows["status"].ne("done")]
    if len(failed):
        counts = failed["status"].value_counts()
        said = ", ".join(f"{count} of {len(rows)} runs {status}" for status, count in counts.items())
        advice = "lower --learning-rate" if "diverged" in counts else "the same command tries them again"
        raise ValueError(f"{said} ({failed['folder'].iloc[0]}): {advice}")


def announce(conditions: Conditions) -> None:
    """Say how good the teacher is on the test images, and warn of one that may guess."""
    teacher, data = conditions.teacher, conditions.data
    if teacher is None or not conditions.group.main:
        return
    inputs = teacher.normalisation.text
    print(
        f"  teacher {teacher.name}: {teacher.accuracy:.2f} % of {len(data.test.labels):,} test images; its inputs are "
        f"normalised by {inputs}"
    )
    if teacher.guesses(data):
        warn(
            f"the teacher {teacher.name} is right on {teacher.accuracy:.2f} % of {len(data.test.labels):,} test "
            f"images, which is not told from guessing among {data.classes} classes: other images or classes than it "
            "was trained on, --teacher-normalisation, or too few images?"
        )


def opened_engine(options: DistillOptions, conditions: Conditions, count: int) -> Engine:
    """The engine for so many runs; one process where several were launched for each student."""
    device, size = conditions.data.device, conditions.group.size
    if size > 1:
        if options.engine != "local" or options.workers not in ("auto", 1):
            raise ValueError(
                f"{size} processes were launched to train each student together: no --engine, no --workers"
            )
        return Serial()
    tasks = 1 if device.index is not None else count * engines.TASKS_A_WORKER  # a run is worth a process
    return engines.open_engine(options, tasks=tasks, cuda=device.type == "cuda")


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
