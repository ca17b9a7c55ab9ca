"""Distilling from Python: `diswot_bench.distill`. The loop, the recipes and the methods are those of the command."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import pandas as pd
import torch
from torch import nn

from benchmarks.output.terminal import progress as shown_progress
from benchmarks.scoring import jobs
from benchmarks.spaces.modules import Listed
from search.distillation import exporting, images, normalisation, pairing, runs, students, teaching
from search.distillation import methods as registered
from search.distillation.data import Data
from search.distillation.images import Reading
from search.distillation.loop import WEIGHTS, Epoch, Watch, accuracy
from search.distillation.models import Precision
from search.distillation.normalisation import Normalisation
from search.distillation.objective import check_apart
from search.distillation.recipes import RECIPES, Recipe
from search.distillation.runs import Conditions, Run
from search.distillation.students import Student
from search.distillation.teaching import Teacher

Given = nn.Module | Callable[[], nn.Module] | str


class Distilled(NamedTuple):
    """The trained network, in evaluation mode on the CPU; its epochs, a row each; and what its images have to be.

    `teacher`: its accuracy on the test images, in percent; None without one. `stages`: what was held against what.
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
    teacher_normalisation: str | None = None,
    teacher_resolution: int | None = None,
    stages: str = "",
    precision: Precision = "float32",
    device: str = "auto",
    data_dir: str | None = None,
    stream: Literal["auto", "yes", "no"] = "auto",
    skip_corrupt: bool = False,
    out: str | Path | None = None,
    progress: bool = True,
    **given: Any,
) -> Distilled:
    """Train a student under a teacher; what is handed over stays as it is, and the trained module is another.

    `student` and `teacher` are modules, whose weights are where they begin; constructors; or names, as --student has
    them, a teacher's with `teacher_weights`. `data` is a name, as --data has it, or ((images, labels), (images,
    labels)) to train and to test on: uint8 [n, 3, H, H] and whole numbers; `stream` and `skip_corrupt` are of a folder,
    as the command has them, and how many are left out stands in `inputs`. `method` `ce` needs no teacher. Further
    options are those of a recipe. With `out`, a folder, a killed call goes on, and one that is done is not done again.

    Raises ValueError for what can't be had, and for a run whose loss is not finite.
    """
    chosen = recipe_of(recipe, given, epochs, seed)
    registered.parse(method)
    where = jobs.find_device(device)
    if isinstance(data, str):
        reading = Reading(stream, skip_corrupt)
        found = images.load(data, where, data_dir=data_dir, download=False, resolution=resolution, reading=reading)
    else:
        found = images.given(*data, where, resolution)
    chosen = replace(chosen, batch_size=min(chosen.batch_size, len(found.train.labels)))
    if isinstance(student, nn.Module) and isinstance(teacher, nn.Module):
        check_apart([*student.parameters(), *student.buffers()], teacher.state_dict())
    run = Run(named(student, "student"), method, seed)
    taught = None
    if run.distilled:
        inputs = normalisation.parse(teacher_normalisation) if teacher_normalisation else None
        taught = teacher_of(teacher, teacher_weights, found, precision, inputs, teacher_resolution, stages)
    with nullcontext(str(out)) if out else TemporaryDirectory() as folder:
        conditions = Conditions(found, chosen, taught, Path(folder), precision=precision, stages=stages)
        return trained(run, conditions, progress=progress)


def trained(run: Run, conditions: Conditions, *, progress: bool) -> Distilled:
    """A run, performed where it is not done."""
    data, teacher, told = conditions.data, conditions.teacher, list[str]()
    if teacher is not None:
        own = runs.network_of(run.student, conditions, conditions.recipe.seed)
        told = runs.check_run(run, own, teacher.model, teacher.name, conditions)
    bar = shown_progress(f"distilling {run.student.short}", conditions.recipe.epochs) if progress else nullcontext(None)
    with bar as advance:

        def epoch(row: Epoch) -> None:
            if advance:
                advance(1, f"loss {row['loss']:.3f}, {row['test_accuracy']:.2f} %")

        row = runs.done(run, conditions) or runs.perform(run, conditions, Watch(epoch=epoch))
    if row["status"] != "done":
        raise ValueError(f"the run {row['status']}: its loss was not finite; a lower learning_rate helps")
    folder = conditions.out / run.name
    module = exporting.ordinary(run.student, data.name, data.classes, data.resolution, folder / WEIGHTS)
    history = pd.read_json(folder / "metrics.jsonl", lines=True)
    inputs = exporting.inputs(run.student.name, data)
    if data.skipped:
        inputs["skipped_images"] = len(data.skipped)
    return Distilled(module, history, inputs, teacher.accuracy if teacher else None, told)


def recipe_of(name: str, given: dict[str, Any], epochs: int | None, seed: int) -> Recipe:
    """A recipe by name, with some of its options in place. Raises ValueError for a name of none."""
    if name not in RECIPES:
        raise ValueError(f"recipe={name!r}: there are {', '.join(RECIPES)}")
    known = {field.name for field in fields(Recipe)} - {"epochs", "seed", "length", "milestones"}
    if unknown := [option for option in given if option not in known]:
        raise ValueError(f"no option is called {unknown[0]!r}; of a recipe there are: {', '.join(sorted(known))}")
    changed = replace(RECIPES[name], **given, seed=seed)
    return changed if epochs is None else replace(changed, epochs=epochs)


def named(network: Given, role: str) -> Student:
    """What is handed over as a student or a teacher is called; of a module's name its weights are a part."""
    if isinstance(network, str):
        return students.find(network)
    if not callable(network):
        raise ValueError(f"{role}: a {type(network).__name__}; a module, its constructor or a name is expected")
    name = getattr(network, "__name__", type(network).__name__)
    if isinstance(network, nn.Module):
        name = f"{name}-{digest(network)}"
    return Student(Listed({name: network}, "given"), name)


def digest(module: nn.Module) -> str:
    """The first digits of a sha256 over all that is in a module's state."""
    summary = hashlib.sha256()
    for name, value in module.state_dict().items():
        if isinstance(value, torch.Tensor):
            summary.update(f"{name}{tuple(value.shape)}".encode())
            summary.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return summary.hexdigest()[:8]


def teacher_of(
    teacher: Given | None,
    weights: str | Path | None,
    data: Data,
    precision: Precision,
    inputs: Normalisation | None,
    resolution: int | None,
    stages: str,
) -> Teacher:
    """The teacher, with its own weights or those of a file. Raises ValueError where it has neither."""
    sides = pairing.parse(stages)
    own = sides.names(sides.teacher)
    if teacher is None:
        raise ValueError("teacher: this method needs one; method='ce' is training without")
    found = named(teacher, "teacher")
    if weights is not None:
        path, published, inputs = teaching.weights_of(found.name, str(weights), inputs, download=False)
        found = teaching.find(found.name, published=True) if published else found
        return teaching.load_teacher(found, path, data, precision, inputs, resolution, own)
    if not isinstance(teacher, nn.Module):
        raise ValueError(f"teacher: {found.name} is not trained; hand over a trained module, or teacher_weights=FILE")
    size = resolution or data.resolution
    device = data.device
    model = found.network(data.name, data.classes, size, device=device, precision=precision, stages=own)
    wanted = inputs or data.normalisation
    model.retouch, model.resolution = normalisation.retouch(data.normalisation, wanted, device), resolution
    return Teacher(found.name, model, accuracy(model, data, data.test), found.arch[-8:], wanted, resolution)
