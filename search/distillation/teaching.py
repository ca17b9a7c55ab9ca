"""Teachers: trained networks that do not change, each with the images that it knows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.conditions import chosen, teachers
from benchmarks.conditions.chosen import PUBLISHED, Published
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
        """Whether it is not told from chance: at most three standard errors above what guessing would have right."""
        chance = 1 / data.classes
        error = math.sqrt(chance * (1 - chance) / len(data.test.labels))
        return self.accuracy <= 100 * (chance + 3 * error)


@dataclass(frozen=True)
class Start:
    """Trained weights that a teacher is trained on from, and how it sees images.

    `path`: their file; None of a module that has them. `published`: whether torchvision publishes them.
    """

    path: Path | None
    published: bool
    normalisation: Normalisation | None  # None: as the images are
    resolution: int | None = None

    @property
    def text(self) -> str:
        """What of it an outcome depends on."""
        seen = f" at {self.resolution}" if self.resolution else ""
        inputs = f", inputs {self.normalisation.text}" if self.normalisation else ""
        weights = teachers.digest(self.path)[:12] if self.path else "its own weights"
        return f"{weights}{inputs}{seen}"


def find(name: str, *, published: bool = False) -> Student:
    """The teacher of this name, with torchvision's weights where it is `published`."""
    found = students.find(name, role="teacher")
    return replace(found, space=Published()) if published else found


def weights_of(
    name: str, given: str, normalised: Normalisation | None, *, download: bool
) -> tuple[Path, bool, Normalisation | None]:
    """The file of a teacher's weights, whether torchvision publishes it, and how its images come, where that is known.

    Raises ValueError where there are no published ones, or where they can't be had.
    """
    if given != PUBLISHED:
        path = Path(given)
        return path, False, normalised or normalisation.read(normalisation.beside(path))
    found, path = chosen.published(chosen.find(name), download=download)
    return path, True, normalised or chosen.inputs_of(found.arch)


def begin(model: Model | Net, student: Student, start: Start, data: Data) -> None:
    """Give a network trained weights, all but its head's where these are of other classes than the images.

    Raises ValueError naming the first thing that does not fit.
    """
    own = model.state_dict()
    if start.path is not None and not start.published and isinstance(model, Net):
        statedicts.into(model.module, start.path, head=not other_classes(start.path, own))
    elif start.path is not None:
        source = replace(student, space=Published()) if start.published else student
        many = categories(student.arch) if start.published else other_classes(start.path, own)
        trained = source.network(
            data.name, many or data.classes, start.resolution or data.resolution, device=data.device
        )
        if not start.published:
            weigh(trained, start.path)
        with torch.no_grad():
            for name, value in trained.state_dict().items():
                if value.shape == own[name].shape:
                    own[name].copy_(value)
    model.retouch = normalisation.retouch(data.normalisation, start.normalisation or data.normalisation, data.device)
    model.resolution = start.resolution


def categories(name: str) -> int:
    """Of how many classes the weights are that torchvision publishes of a network."""
    return len(chosen.first_weights(name).meta["categories"])


def other_classes(path: Path, own: Mapping[str, Tensor]) -> int:
    """Of how many classes a file's weights are, where in the head alone they differ from a network's; else 0."""
    state = statedicts.read(path, torch.device("cpu"), f"teacher weights {path}")
    pairs = [(state[name], value) for name, value in own.items() if isinstance(state.get(name), Tensor)]
    odd = [(one, value) for one, value in pairs if one.shape != value.shape]
    heads = {len(one) for one, value in odd if one.ndim and value.ndim and one.shape[1:] == value.shape[1:]}
    same = len(heads) == 1 and all(one.shape[1:] == value.shape[1:] for one, value in odd)
    return heads.pop() if same else 0


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
    advice = "--finetune-teacher EPOCHS gives it a head for these images, and trains it"
    if (own := isinstance(found.space, Published)) and (many := categories(found.arch)) != data.classes:
        raise ValueError(
            f"the teacher {found.name} knows {many} classes, and the images are of {data.classes}; {advice}"
        )
    model = found.network(data.name, data.classes, size, device=device, precision=precision, stages=stages)
    try:
        if not own:
            weigh(model, path)
    except ValueError as error:
        if not (many := other_classes(path, model.state_dict())):
            raise
        raise ValueError(f"{error}; these weights are of {many} classes: {advice}") from None
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
