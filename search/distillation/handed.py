"""Networks as Python hands them over: modules, their constructors or names, as students, teachers and assistants."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from benchmarks.reading import statedicts
from benchmarks.scoring.fingerprint import fingerprint
from benchmarks.spaces.modules import Listed, forked
from search.distillation import normalisation, objective, pairing, students, teaching
from search.distillation.augmenting import drawn_seed
from search.distillation.loop import accuracy
from search.distillation.modules import Net
from search.distillation.normalisation import Normalisation
from search.distillation.runs import Conditions, Run
from search.distillation.students import Student
from search.distillation.teaching import Start, Teacher

DIGITS = 8  # of the digest in a module's name
Given = nn.Module | Callable[[], nn.Module] | str


class Tutor(NamedTuple):
    """Who is handed over as the teacher, with which weights, and for how many epochs it is trained on, if at all."""

    student: Student
    start: Start
    epochs: int | None


def named(network: Given, role: str) -> Student:
    """What is handed over as a student or a teacher; of a module's name its weights are a part.

    A constructor's first weights are drawn by its name, so that its code is no part of that.
    """
    if isinstance(network, str):
        return students.find(network, role=role)
    if not callable(network):
        raise ValueError(f"{role}: a {type(network).__name__}; a module, its constructor or a name is expected")
    name = getattr(network, "__name__", type(network).__name__)
    if isinstance(network, nn.Module):
        name = f"{name}-{statedicts.digest(network.state_dict())[:DIGITS]}"
    space = Listed({name: network}, "given")
    if not isinstance(network, nn.Module):
        space.version = fingerprint(network, role)[:DIGITS]
    return Student(space, name)


def several(assistant: Given | Sequence[Given]) -> list[Given]:
    """The assistants in their order; a text names them separated by blanks, as --assistant does."""
    if isinstance(assistant, str):
        return list(assistant.split())
    return list(assistant) if isinstance(assistant, list | tuple) else [assistant]  # type: ignore[list-item]


def check_apart(chain: Sequence[Given | None]) -> None:
    """Raises ValueError where a module shares weights with the one that teaches it, of a chain from the teacher on."""
    for teacher, student in pairwise(chain):
        if isinstance(student, nn.Module) and isinstance(teacher, nn.Module):
            objective.check_apart([*student.parameters(), *student.buffers()], teacher.state_dict())


def check_wanted(run: Run, finetune: int | None, assistants: Sequence[Student], stages: str) -> None:
    """Raises ValueError for a teacher's training, or for assistants, where there can't be any."""
    if finetune is not None and finetune < 1:
        raise ValueError(f"finetune_teacher={finetune}: at least 1 epoch")
    if finetune is not None and not run.distilled:
        raise ValueError(f"finetune_teacher={finetune}: method={run.method!r} learns from no teacher")
    if assistants and (stages or not run.distilled):
        name = assistants[0].short
        raise ValueError(f"assistant {name}: needs a method that learns from a teacher, and no stages")


def tutor(
    teacher: Given | None,
    weights: str | Path | None,
    inputs: Normalisation | None,
    resolution: int | None,
    finetune: int | None,
) -> Tutor:
    """The teacher with its own weights or those of a file. Raises ValueError where it has neither."""
    if teacher is None:
        raise ValueError("teacher: this method needs one; method='ce' is training without")
    found = named(teacher, "teacher")
    if weights is not None:
        path, published, inputs = teaching.weights_of(found.name, str(weights), inputs, download=False)
        return Tutor(found, Start(path, published, inputs, resolution), finetune)
    if not isinstance(teacher, nn.Module):
        raise ValueError(f"teacher: {found.name} is not trained; hand over a trained module, or teacher_weights=FILE")
    return Tutor(found, Start(None, False, inputs, resolution), finetune)


def ready(given: Tutor, conditions: Conditions) -> Conditions:
    """The conditions with a teacher that is not trained on. Raises ValueError where its weights don't fit."""
    (student, start, _), data, precision = given, conditions.data, conditions.precision
    sides = pairing.parse(conditions.stages)
    own = sides.names(sides.teacher)
    if start.path is not None:
        found = teaching.find(student.name, published=True) if start.published else student
        about = (precision, start.normalisation, start.resolution, own)
        return replace(conditions, teacher=teaching.load_teacher(found, start.path, data, *about))
    size = start.resolution or data.resolution
    model = student.network(data.name, data.classes, size, device=data.device, precision=precision, stages=own)
    wanted = start.normalisation or data.normalisation
    model.retouch, model.resolution = normalisation.retouch(data.normalisation, wanted, data.device), start.resolution
    right, known = accuracy(model, data, data.test), student.arch[-DIGITS:]
    return replace(conditions, teacher=Teacher(student.name, model, right, known, wanted, start.resolution))


def headed(given: Tutor, conditions: Conditions) -> Tutor:
    """A teacher that is to be trained on; a module that has its weights gets a new head where it has other classes.

    Raises ValueError where a module's classifier is no one layer that could be made anew.
    """
    if given.start.path is not None:
        return given
    student, data = given.student, conditions.data
    size = given.start.resolution or data.resolution
    module = student.module(data.classes, size, 0).to(data.device)
    net = Net(module, torch.zeros(1, 3, size, size, device=data.device))
    if (many := net.classes) == data.classes:
        return given
    name = "" if "head" in net.lacks else net.probed.head.role.rpartition(".")[0]
    old = module.get_submodule(name)
    if isinstance(old, nn.Linear | nn.Conv2d):
        drawn = drawn_seed(conditions.recipe.seed, "head of a teacher")
        module.set_submodule(name, forked(partial(renewed, old, data.classes), drawn))
    if net.classes != data.classes:
        raise ValueError(
            f"teacher: {student.name} gives {many} classes, the images are of {data.classes}, and no layer of it is "
            "found that gives the logits, in whose place a new head could stand"
        )
    return given._replace(student=Student(Listed({student.arch: module}, "given"), student.arch))


def renewed(layer: nn.Linear | nn.Conv2d, classes: int) -> nn.Linear | nn.Conv2d:
    """A layer like this one for so many classes, with weights as PyTorch draws them."""
    made = copy.deepcopy(layer)
    if isinstance(made, nn.Linear):
        made.out_features = classes
    else:
        made.out_channels = classes
    made.weight = nn.Parameter(layer.weight.new_empty(classes, *layer.weight.shape[1:]))
    if layer.bias is not None:
        made.bias = nn.Parameter(layer.bias.new_empty(classes))
    made.reset_parameters()
    return made
