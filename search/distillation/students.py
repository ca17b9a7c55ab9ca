"""Students and teachers by name.

A candidate of any space, the winner that a search left, one of the named networks, or a network of torchvision.
"""

from __future__ import annotations

import copy
import csv
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from benchmarks import spaces
from benchmarks.conditions import teachers
from benchmarks.conditions.batches import DATASETS
from benchmarks.conditions.drawing import Init, generator
from benchmarks.output.options import LARGEST_SEED
from benchmarks.reading.limits import check_size
from benchmarks.reading.naming import meant
from benchmarks.spaces import ModuleSpace, Space
from benchmarks.spaces.modules import Listed
from benchmarks.spaces.space import counted
from benchmarks.spaces.stack import Stack
from proxies.probing.structure import Named
from search.distillation.models import Model, Precision
from search.distillation.modules import Net

LONG_CODE = 30  # characters
SEED = "training_seed"  # the column of a table of students that says with which seed a row's is trained


@dataclass(frozen=True)
class Student:
    """A network to train: a candidate of a space, or, without one, a network that teachers.py names.

    `found_by`: the searches whose winner it is, where it came from their file; `seeds`: those that a list of trainings
    gives it, empty where it is trained with those of all.
    """

    space: Space | None
    arch: str
    found_by: str = field(default="", compare=False)
    seeds: tuple[int, ...] = field(default=(), compare=False)

    @property
    def name(self) -> str:
        """What a user may type for it."""
        return self.arch if self.space is None else f"{self.space.name}:{self.arch}"

    @property
    def short(self) -> str:
        """The same for a table or a figure: the index in place of a long code."""
        if self.space is None or len(self.arch) <= LONG_CODE:
            return self.name
        index = str(self.space.index(self.arch))
        return f"{self.space.name}:{index}" if self.space.is_index(index) else self.name

    @property
    def code(self) -> str:
        """Tells versions of a user's own code apart; empty for what is built here."""
        return self.space.version if self.space else ""

    @property
    def is_module(self) -> bool:
        """Whether it is an ordinary nn.Module, which begins as its constructor makes it."""
        return isinstance(self.space, ModuleSpace)

    def build(self, data: str, classes: int, resolution: int) -> Stack:
        """Its network for images of this data set, where it is a stack."""
        if self.space is not None:
            return self.space.build([self.arch], classes, resolution)
        return teachers.build(self.arch, data if data in DATASETS else "cifar10", classes, resolution)

    def module(self, classes: int, resolution: int, seed: int) -> nn.Module:
        """Its network where it is a module, made under a seed of its own. Raises ValueError where it can't be."""
        assert isinstance(self.space, ModuleSpace)
        drawn = int(generator(seed, self.name, "constructor").integers(2**31))
        made = self.space.made(self.arch, classes, resolution, drawn)
        at_hand = isinstance(self.space, Listed) and made is self.space.networks[self.arch]
        return copy.deepcopy(made) if at_hand else made

    def network(
        self,
        data: str,
        classes: int,
        resolution: int,
        *,
        seed: int = 0,
        init: Init = "kaiming",
        device: torch.device | None = None,
        precision: Precision = "float32",
        stages: Sequence[str] = (),
    ) -> Model | Net:
        """It for images of this data set, with its first weights. `stages`: submodules that end its stages.

        Raises ValueError where it can't be built, does not take such images, or has other classes.
        """
        device = device or torch.device("cpu")
        if not isinstance(self.space, ModuleSpace):
            if stages:
                raise ValueError(f"--stages: {self.name} is built here, and its stages are numbers, 1 the first")
            return Model.fresh(self.build(data, classes, resolution), self.name, seed, init, device, precision)
        named = Named(self.space.features, self.space.head, tuple(stages) or tuple(self.space.stages))
        module = self.module(classes, resolution, seed).to(device)
        images = torch.zeros(1, 3, resolution, resolution, device=device)
        try:
            net = Net(module, images, precision, named=named)
            given = net.classes
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from None
        if given != classes:
            raise ValueError(f"{self.name} gives {given} classes, and the images are of {classes}")
        return net

    def params(self, data: str, classes: int, resolution: int) -> int:
        """Trainable scalars."""
        if self.is_module:
            return sum(one.numel() for one in self.module(classes, resolution, 0).parameters())
        return counted(self.build(data, classes, resolution)).params


def find_all(text: str, named: str | None = None) -> list[Student]:
    """The students that a user names, separated by blanks, each once; of a search's best.csv all winners.

    A table may list trainings, the seed of each in the column `SEED`.

    `named`: the file of a space of the user's own, which a search's file alone can't make run.

    Raises ValueError, saying what is allowed.
    """
    found: dict[str, list[Student]] = {}
    for name in [text] if os.path.isfile(text) else text.split():  # a file's name may have blanks
        for student in _winners(Path(name), named) if name.endswith(".csv") else [find(name, named)]:
            found.setdefault(student.name, []).append(student)
    return [
        replace(
            same[0],
            found_by=", ".join(_once(one.found_by for one in same)),
            seeds=tuple(dict.fromkeys(seed for one in same for seed in one.seeds)),
        )
        for same in found.values()
    ]


def _once(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))


def find(text: str, named: str | None = None, role: str = "student") -> Student:
    """The student that a user names: SPACE:CODE, torchvision:NAME, a NAS-Bench-201 cell, a winner's .json, or a name.

    Raises ValueError, saying what is allowed.
    """
    text = text.strip()
    if re.search(r",$|,\w+:", text):
        raise ValueError(f"--{role} {text}: several are separated by blanks, not by commas")
    if text.endswith(".json"):
        return _winner(Path(text), named)
    if text in teachers.TEACHERS:
        return Student(None, text)
    if text.startswith("|"):
        text = f"nasbench201:{text}"
    space, colon, code = text.rpartition(":")
    if not colon:
        there = ", ".join(teachers.TEACHERS)
        raise ValueError(
            f"no {role} is called {text!r}; write SPACE:CODE (s0:357), FILE.py:NETWORKS:NAME, torchvision:NAME, a "
            f"winner's .json, or: {there}{meant(text, teachers.TEACHERS)}"
        )
    found = spaces.find(space, f"--{role}")
    return Student(found, found.parse(code))


def _winner(path: Path, named: str | None) -> Student:
    """The candidate in the file that a search left."""
    try:
        check_size(path, "config")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"--student {path}: {getattr(error, 'strerror', None) or 'no JSON file'}") from None
    if not isinstance(content, dict):
        raise ValueError(f"--student {path}: a winner's file is a JSON object, and this is a {type(content).__name__}")
    return _won(content, f"--student {path}", named)


def _winners(path: Path, named: str | None) -> list[Student]:
    """The candidates in the table that searches left, best.csv, or in a list of trainings: see `SEED`."""
    try:
        check_size(path, "table")
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"--student {path}: {getattr(error, 'strerror', None) or 'no CSV table'}") from None
    if not rows:
        raise ValueError(f"--student {path}: no rows")
    if any(";" in column for column in rows[0] if column):
        raise ValueError(f"--student {path}: its fields stand between semicolons; between commas they are read")
    return [_won(row, f"--student {path}, row {number}", named) for number, row in enumerate(rows, 1)]


def _won(content: Mapping[str, object], where: str, named: str | None) -> Student:
    """The candidate that a search found, and by what."""
    space, arch = content.get("space"), content.get("arch")
    if not (isinstance(space, str) and isinstance(arch, str)):
        raise ValueError(f"{where}: names no space and arch, as what a search leaves does")
    found = spaces.recorded(space, where, named)
    by = [str(content[key]) for key in ("strategy", "proxy") if content.get(key)]
    return Student(found, found.parse(arch), " ".join(by), _seeds(content, where))


def _seeds(content: Mapping[str, object], where: str) -> tuple[int, ...]:
    """The seed that a row of a list of trainings gives, none elsewhere."""
    if SEED not in content:
        return ()
    text = str(content[SEED])
    if not (text.isascii() and text.isdecimal() and int(text) <= LARGEST_SEED):
        raise ValueError(f"{where}: {SEED} {text!r} is no whole number from 0 to {LARGEST_SEED}")
    return (int(text),)
