"""Distilling from Python: `diswot_bench.distill`. The loop, the recipes and the methods are those of the command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, get_args

import pandas as pd
from torch import nn

from benchmarks.output import record
from benchmarks.output.terminal import Advance
from benchmarks.output.terminal import progress as shown_progress
from benchmarks.scoring import jobs
from benchmarks.scoring.called import check_choice
from search.distillation import chain, exporting, handed, images, normalisation, recipes, runs
from search.distillation import methods as registered
from search.distillation.chain import TEACHER
from search.distillation.handed import Given, Tutor
from search.distillation.images import Reading, Stream
from search.distillation.loop import WEIGHTS, Epoch, Watch
from search.distillation.models import Precision
from search.distillation.recipes import RECIPES, Recipe
from search.distillation.runs import Conditions, Row, Run
from search.distillation.students import Student


class Distilled(NamedTuple):
    """The trained network, in evaluation mode on the CPU; its epochs, a row each; and what its images have to be.

    `teacher`: the accuracy on the test images, in percent, of who taught it, the last assistant where there are some;
    None of nobody. `stages`: what was held against what, a line a pair of networks.
    """

    module: nn.Module
    history: pd.DataFrame
    inputs: dict[str, Any]
    teacher: float | None
    stages: list[str]


def distill(
    student: Given,
    teacher: Given | None = None,
    data: str | tuple[tuple[Any, Any], tuple[Any, Any]] = "digits",
    method: str = "kd",
    *,
    epochs: int | None = None,
    recipe: str = "cifar",
    seed: int = 0,
    resolution: int | None = None,
    teacher_weights: str | Path | None = None,
    finetune_teacher: int | None = None,
    assistant: Given | Sequence[Given] = (),
    teacher_normalisation: str | None = None,
    teacher_resolution: int | None = None,
    stages: str = "",
    precision: Precision = "float32",
    device: str = "auto",
    data_dir: str | None = None,
    stream: Stream = "auto",
    skip_corrupt: bool = False,
    out: str | Path | None = None,
    progress: bool = True,
    **given: Any,
) -> Distilled:
    """Train a student under a teacher; what is handed over stays as it is, and the trained module is another.

    `student` and `teacher` are modules, whose weights are where they begin; constructors; or names, as --student has
    them, a teacher's with `teacher_weights`. `finetune_teacher`: epochs that the teacher is trained on first, at a
    tenth of the learning rate, with a new head in place of one for other classes. `assistant`: a network, or several in
    a list, of the same kinds, between teacher and student, each trained and taught by the one before. `data` is a name,
    as --data has it, or ((images, labels), (images, labels)) to train and to test on: uint8 [n, 3, H, H] and whole
    numbers; `stream` and `skip_corrupt` are of a folder, as the command has them, and how many are left out stands in
    `inputs`. `method` `ce` needs no teacher. Further options are those of a recipe. With `out`, a folder, a killed call
    goes on, and one that is done is not done again.

    Raises ValueError for what can't be had, and for a run whose loss is not finite.
    """
    if epochs is not None and epochs < 1:
        raise ValueError(f"epochs={epochs}: at least 1")
    chosen = recipe_of(recipe, given, recipes.usual_epochs(data, recipe) if epochs is None else epochs, seed)
    registered.parse(method)
    check_choice("precision", precision, get_args(Precision))
    check_choice("stream", stream, get_args(Stream))
    where = jobs.find_device(device)
    if isinstance(data, str):
        reading = Reading(stream, skip_corrupt)
        found = images.load(data, where, data_dir=data_dir, download=False, resolution=resolution, reading=reading)
    else:
        found = images.given(*halves_of(data), where, resolution)
    chosen = replace(chosen, batch_size=min(chosen.batch_size, len(found.train.labels)))
    if chosen.batch_size < 2 * chosen.accumulate:
        raise ValueError(
            f"accumulate={chosen.accumulate}: two images a part are needed, of {chosen.batch_size} a batch"
        )
    assistants = handed.several(assistant)
    handed.check_apart([teacher, *assistants, student])
    run = Run(handed.named(student, "student"), method, seed)
    helped = [handed.named(one, "assistant") for one in assistants]
    handed.check_wanted(run, finetune_teacher, helped, stages)
    tutor = None
    if run.distilled:
        inputs = normalisation.parse(teacher_normalisation) if teacher_normalisation else None
        tutor = handed.tutor(teacher, teacher_weights, inputs, teacher_resolution, finetune_teacher)
    exporting.check(run.student, found.name, found.classes, found.resolution)  # what can't be given is not trained
    with kept(out) as folder:
        conditions = Conditions(found, chosen, None, folder, precision=precision, stages=stages)
        return trained(run, tutor, helped, conditions, progress=progress)


@contextmanager
def kept(out: str | Path | None) -> Iterator[Path]:
    """The folder of a run, held for this process; without one a folder that is gone afterwards."""
    if out is None:
        with TemporaryDirectory() as gone:
            yield Path(gone)
        return
    folder = Path(out)
    record.check_writable(folder)
    with record.alone(folder, "training"):
        yield folder


def halves_of(data: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """What to train and what to test on. Raises ValueError for anything but two pairs of images and labels."""
    try:
        (images, labels), (tested, known) = data
    except (TypeError, ValueError):
        raise ValueError(
            "data: ((images, labels), (images, labels)), to train and to test on, is expected, or a name"
        ) from None
    return (images, labels), (tested, known)


def trained(
    run: Run, tutor: Tutor | None, assistants: Sequence[Student], conditions: Conditions, *, progress: bool
) -> Distilled:
    """A run, performed where it is not done, after those of who is trained to teach it."""
    links, told = [], list[str]()
    if tutor and tutor.epochs:
        tutor = handed.headed(tutor, conditions)
        conditions = replace(conditions, start=tutor.start)
    elif tutor:
        conditions = handed.ready(tutor, conditions)
    if tutor:
        links = chain.linked(
            tutor.student if tutor.epochs else None, assistants, [run], conditions.recipe, tutor.epochs
        )
        told = chain.check(tutor.student, assistants, [run], tutor.start.resolution, conditions)
    epochs = conditions.recipe.epochs + sum(link.epochs for link in links)
    bar = shown_progress(f"distilling {run.student.short}", epochs) if progress else nullcontext(None)
    with bar as advance:
        for link in links:
            performed(link.run, link.own(conditions), advance)
            seen = tutor.start.resolution if tutor and link.role == TEACHER else None
            conditions = link.teaches(conditions, seen)
        performed(run, conditions, advance)
    data, folder = conditions.data, conditions.out / run.name
    module = exporting.ordinary(run.student, data.name, data.classes, data.resolution, folder / WEIGHTS)
    history = pd.read_json(folder / "metrics.jsonl", lines=True)
    inputs = exporting.inputs(run.student.name, data)
    if data.skipped:
        inputs["skipped_images"] = len(data.skipped)
    return Distilled(module, history, inputs, conditions.teacher.accuracy if conditions.teacher else None, told)


def performed(run: Run, conditions: Conditions, advance: Advance | None) -> Row:
    """The row of a run, performed where it is not done. Raises ValueError where its loss was not finite."""

    def epoch(row: Epoch) -> None:
        if advance:
            advance(1, f"{run.student.short}: loss {row['loss']:.3f}, {row['test_accuracy']:.2f} %")

    row = runs.done(run, conditions) or runs.perform(run, conditions, Watch(epoch=epoch))
    if row["status"] != "done":
        raise ValueError(f"{run.student.short} {row['status']}: its loss was not finite; a lower learning_rate helps")
    return row


def recipe_of(name: str, given: dict[str, Any], epochs: int | None, seed: int) -> Recipe:
    """A recipe by name, with some of its options in place. Raises ValueError for what it has not, or may not be."""
    if name not in RECIPES:
        raise ValueError(f"recipe={name!r}: there are {', '.join(RECIPES)}")
    known = {field.name for field in fields(Recipe)} - {"epochs", "seed", "length", "milestones"}
    if unknown := [option for option in given if option not in known]:
        raise ValueError(f"no option is called {unknown[0]!r}; of a recipe there are: {', '.join(sorted(known))}")
    recipes.check(given, "{}=".format)
    changed = replace(RECIPES[name], **given, seed=seed)
    return changed if epochs is None else replace(changed, epochs=epochs)
