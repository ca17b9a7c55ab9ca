"""Teachers: trained networks that do not change, each with the images that it knows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.conditions import teachers
from benchmarks.reading import statedicts
from search.distillation import normalisation, students
from search.distillation.data import Data
from search.distillation.loop import accuracy
from search.distillation.models import Model, Network, Precision
from search.distillation.modules import Net
from search.distillation.normalisation import Normalisation
from search.distillation.students import Student


@dataclass(frozen=True)
class Teacher:
    """A trained network that does not change: its test accuracy in percent, its weights' digest, how inputs come.

    `resolution`: the size that it sees the images at, where it is not theirs.
    """

    name: str
    model: Network
    accuracy: float
    digest: str
    normalisation: Normalisation
    resolution: int | None = None

    def guesses(self, data: Data) -> bool:
        """Whether it is no better than chance: within three standard errors of what guessing would have right."""
        chance = 1 / data.classes
        error = math.sqrt(chance * (1 - chance) / len(data.test.labels))
        return self.accuracy <= 100 * (chance + 3 * error)


def load_teacher(
    named: str | Student,
    path: Path,
    data: Data,
    precision: Precision,
    normalised: Normalisation | None = None,
    resolution: int | None = None,
    stages: Sequence[str] = (),
) -> Teacher:
    """A teacher with trained weights, shown images normalised as it knows them, and of the size that it knows.

    That is by `normalised`, else by what the file beside its weights says, else as the students' are. Raises ValueError
    naming the first thing in a file that does not fit.
    """
    device = data.device
    wanted = normalised or normalisation.read(normalisation.beside(path)) or data.normalisation
    found, size = students.find(named) if isinstance(named, str) else named, resolution or data.resolution
    check_names(found.name, normalisation.class_names(normalisation.beside(path)), data)
    model = found.network(data.name, data.classes, size, device=device, precision=precision, stages=stages)
    weigh(model, path)
    model.retouch = normalisation.retouch(data.normalisation, wanted, device)
    model.resolution = resolution
    return Teacher(found.name, model, accuracy(model, data, data.test), teachers.digest(path)[:12], wanted, resolution)


def check_names(name: str, known: Sequence[str], data: Data) -> None:
    """Raises ValueError where a teacher knows its classes by name, and the images have one that it lacks."""
    if known and data.names and tuple(known) != data.names:
        lacking = [one for one in data.names if one not in known]
        said = f"lacks the class {lacking[0]}" if lacking else "has other classes than the images"
        few = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
        raise ValueError(f"the teacher {name} {said}; it knows: {few}")


def weigh(model: Model | Net, path: Path) -> None:
    """Give a network the weights of a file. Raises ValueError naming the first thing that does not fit."""
    if isinstance(model, Model):
        device = model.parameters()[0].device
        model.weights = teachers.load(model.stack, path, device)
    else:
        statedicts.into(model.module, path)
