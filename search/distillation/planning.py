"""What the options of distill.py name, checked before anything is trained: students, methods, images, the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.output import record
from benchmarks.output.options import LARGEST_BATCH, LARGEST_SEED, MOST_SEEDS, check_range
from benchmarks.scoring import jobs
from search.distillation import (
    chain,
    exporting,
    group,
    methods,
    normalisation,
    pairing,
    protocol,
    recipes,
    runs,
    students,
    teaching,
)
from search.distillation.images import SIDES, Reading
from search.distillation.options import DistillOptions, RecipeOptions
from search.distillation.recipes import RECIPES, Recipe
from search.distillation.runs import Conditions, Run, folder_name
from search.distillation.students import Student
from search.distillation.sweep import Plan
from search.distillation.teaching import Start

MOST_LOADERS = 256


def prepare(options: DistillOptions) -> tuple[Plan, Conditions, list[Run]]:
    """Everything that the options name, checked before anything is trained."""
    check_numbers(options)
    planned = planned_runs(options)
    distilled = any(run.distilled for run in planned)
    if options.teacher_weights and not distilled:
        raise ValueError(f"--teacher-weights {options.teacher_weights}: nothing here learns from a teacher")
    for name in ("teacher_normalisation", "finetune_teacher"):
        if getattr(options, name) is not None and not options.teacher_weights:
            raise ValueError(f"--{name.replace('_', '-')} is of --teacher-weights, which is missing")
    if options.assistant and (options.stages or not distilled):
        raise ValueError(f"--assistant {options.assistant}: needs a method that learns from a teacher, and no --stages")
    check_tracker(options)
    exporting.check_format(options.export)
    plan = make_plan(options)
    processes = group.join(cpu=jobs.find_device(options.device).type == "cpu")
    conditions = plan.conditions(processes)
    fitting = min(plan.recipe.batch_size, len(conditions.data.train.labels))
    if fitting < 2 * processes.size * plan.recipe.accumulate:
        parts = f" in {plan.recipe.accumulate} parts" if plan.recipe.accumulate > 1 else ""
        raise ValueError(f"--batch-size {fitting}: {processes.size} processes need two images each{parts}")
    if processes.main:
        record.check_writable(plan.out)
        if options.table:
            record.check_file("--table", Path(options.table))
    plan = replace(plan, recipe=replace(plan.recipe, batch_size=fitting))
    conditions = replace(conditions, recipe=plan.recipe)
    check_students(planned, conditions, exported=options.export != "none")
    if distilled:
        teacher = students.find(options.teacher)
        resolution = plan.teacher_resolution
        for line in chain.check(teacher, chain.assistants_of(plan), planned, resolution, conditions):
            if processes.main:
                print(f"  {line}")
    return plan, conditions, planned


def check_students(planned: Sequence[Run], conditions: Conditions, *, exported: bool) -> None:
    """Raises ValueError for a student that can't be trained on the images, or not be exported.

    One that learns from a teacher is looked at beside that: see chain.check.
    """
    data, distilled = conditions.data, any(run.distilled for run in planned)
    for student in {run.student.name: run.student for run in planned}.values():
        if exported:
            exporting.check(student, data.name, data.classes, data.resolution)
        if not distilled:
            runs.network_of(student, conditions, conditions.recipe.seed)


def planned_runs(options: DistillOptions) -> list[Run]:
    """Every student by every method with every seed, each once.

    A list that gives its students' seeds is gone through seed by seed, so that what is done of it has all of them.
    """
    students.find(options.train_teacher or options.teacher, role="teacher")
    pairing.parse(options.stages)
    chosen, ways = chosen_students(options), methods.several(options.method)
    if options.train_teacher:
        chosen, ways = [students.find(options.train_teacher)], [runs.VANILLA]
    for way in ways:
        methods.parse(way)
    if not chosen or not ways:
        raise ValueError("--student and --method: one at least is needed")
    seeds = range(options.seed, options.seed + options.seeds)
    every = [Run(student, way, seed) for student in chosen for way in ways for seed in student.seeds or seeds]
    if any(student.seeds for student in chosen):
        every.sort(key=lambda run: run.seed)
    found = {(run.student.name, run.method, run.seed): run for run in every}
    folders: dict[str, str] = {}
    for (name, *_), run in found.items():
        if (other := folders.setdefault(run.name, name)) != name:
            raise ValueError(f"--student: {other} and {name} would be trained in one folder, {run.name}")
    return list(found.values())


def chosen_students(options: DistillOptions) -> list[Student]:
    """Those of --student, or the cells of --sample."""
    parts = {"best": options.sample_best, "disconnected": options.sample_disconnected}
    given = {name: number for name, number in parts.items() if number is not None}
    if options.sample:
        cells = protocol.stratified(options.sample, options.seed, **given)
        return [students.find(f"nasbench201:{cell}") for cell in cells]
    if given:
        raise ValueError(f"--sample-{next(iter(given))}: a part of --sample, which is missing")
    return students.find_all(options.student, options.space)


def make_plan(options: DistillOptions) -> Plan:
    """The options as every process is told of them."""
    recipe, start = recipe_of(options), None
    inputs = normalisation.parse(options.teacher_normalisation) if options.teacher_normalisation else None
    weights, published = None, False
    if options.teacher_weights:
        weights, published, inputs = teaching.weights_of(
            options.teacher, options.teacher_weights, inputs, download=options.download
        )
    if weights and options.finetune_teacher:
        start = Start(weights, published, inputs, options.teacher_resolution)
        weights, published = None, False
    return Plan(
        data=options.data,
        data_dir=options.data_dir,
        download=options.download,
        resolution=options.resolution,
        device=options.device,
        recipe=recipe,
        teacher=options.teacher,
        teacher_weights=weights,
        teacher_normalisation=inputs,
        out=Path(options.out or f"runs/distill_{folder_name(Path(options.data).name)}"),
        init=options.init,
        precision=options.precision,
        tensorboard=options.tracker == "tensorboard",
        teacher_resolution=options.teacher_resolution,
        stages=options.stages,
        reading=Reading(options.stream, options.skip_corrupt, options.loaders),
        published=published,
        start=start,
        assistants=tuple(options.assistant.split()),
    )


def recipe_of(options: DistillOptions) -> Recipe:
    """The recipe that is named, and what is given beside it."""
    given = given_of(options)
    if "epochs" not in given and (usual := recipes.usual_epochs(options.data, options.recipe)):
        given["epochs"] = usual
    return replace(RECIPES[options.recipe], **given)


def given_of(options: DistillOptions) -> dict[str, Any]:
    """The options of a recipe that are given beside its name."""
    names = {field.name for field in fields(RecipeOptions)} & {field.name for field in fields(Recipe)}
    return {name: value for name in sorted(names) if (value := getattr(options, name)) is not None}


def check_numbers(options: DistillOptions) -> None:
    """Raises ValueError for a number out of its range."""
    check_range("seed", options.seed, 0, LARGEST_SEED)
    check_range("seeds", options.seeds, 1, MOST_SEEDS)
    check_range("sample", options.sample, 0, LARGEST_BATCH)
    recipes.check(given_of(options), lambda name: f"--{name.replace('_', '-')} ")
    whole = dict.fromkeys(("teacher_epochs", "finetune_teacher"), (1, recipes.MOST_EPOCHS))
    whole |= {"loaders": (0, MOST_LOADERS), "resolution": SIDES, "teacher_resolution": SIDES}
    for name, (least, most) in whole.items():
        if (value := getattr(options, name)) is not None:
            check_range(name.replace("_", "-"), value, least, most)


def check_tracker(options: DistillOptions) -> None:
    """Raises ValueError where TensorBoard is wanted and not installed."""
    if options.tracker == "tensorboard" and not find_spec("tensorboard"):
        raise ValueError("--tracker tensorboard: not installed; pip install 'diswot-bench[track]' or tensorboard")
