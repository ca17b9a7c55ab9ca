"""Students by name, and networks that are trained: a stack of one with weights of its own.

A student is a candidate of any space, the winner that a search left, or one of the named networks.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from benchmarks import spaces
from benchmarks.conditions import teachers
from benchmarks.conditions.batches import DATASETS
from benchmarks.conditions.drawing import Drawing, Init
from benchmarks.output.options import LARGEST_SEED
from benchmarks.reading.limits import check_size
from benchmarks.reading.naming import meant
from benchmarks.spaces import Space
from benchmarks.spaces.stack import Stack
from proxies.probing.network import NormState, Taps, Weights

Precision = Literal["float32", "bf16", "fp16"]
LONG_CODE = 30  # characters
SEED = "training_seed"  # the column of a table of students that says with which seed a row's is trained
TYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


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

    def build(self, data: str, classes: int, resolution: int) -> Stack:
        """Its network for images of this data set."""
        if self.space is not None:
            return self.space.build([self.arch], classes, resolution)
        return teachers.build(self.arch, data if data in DATASETS else "cifar10", classes, resolution)


def find_all(text: str, named: str | None = None) -> list[Student]:
    """The students that a user names, separated by blanks, each once; of a search's best.csv all winners.

    A table may list trainings, the seed of each in the column `SEED`.

    `named`: the file of a space of the user's own, which a search's file alone can't make run.

    Raises ValueError, saying what is allowed.
    """
    found: dict[str, list[Student]] = {}
    for name in text.split():
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


def find(text: str, named: str | None = None) -> Student:
    """The student that a user names: SPACE:CODE, a NAS-Bench-201 cell, a winner's .json, or a network's name.

    Raises ValueError, saying what is allowed.
    """
    text = text.strip()
    if text.endswith(".json"):
        return _winner(Path(text), named)
    if text in teachers.TEACHERS:
        return Student(None, text)
    if text.startswith("|"):
        text = f"nasbench201:{text}"
    space, colon, code = text.rpartition(":")
    if not colon:
        named = ", ".join(teachers.TEACHERS)
        raise ValueError(
            f"no student is called {text!r}; write SPACE:CODE (s0:357), a winner's .json, or: {named}"
            f"{meant(text, teachers.TEACHERS)}"
        )
    found = spaces.find(space)
    return Student(found, found.parse(code))


def _winner(path: Path, named: str | None) -> Student:
    """The candidate in the file that a search left."""
    try:
        check_size(path, "config")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"--student {path}: {getattr(error, 'strerror', None) or 'no JSON file'}") from None
    if not isinstance(content, dict):
        raise ValueError(f"--student {path}: a winner's file is a JSON object, and this is a {type(content).__name__}")
    return _won(content, f"--student {path}", named)


def _winners(path: Path, named: str | None) -> list[Student]:
    """The candidates in the table that searches left, best.csv, or in a list of trainings: see `SEED`."""
    try:
        check_size(path, "table")
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise ValueError(f"--student {path}: {getattr(error, 'strerror', None) or 'no CSV table'}") from None
    if not rows:
        raise ValueError(f"--student {path}: no rows")
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


class Seen(NamedTuple):
    """What a network shows on N images: the stages' maps and the last map [N, C, H, W], pooled [N, C], logits [N, K].

    `head` is the classifier's weight [K, C]. No leading axis: one network.
    """

    stages: list[Tensor]
    features: Tensor
    pooled: Tensor
    logits: Tensor
    head: Tensor


def fresh(stack: Stack, names: Sequence[str], seed: int, init: Init, device: torch.device) -> Weights:
    """First weights of a stack's networks, each by seed and its own name; scales are 1 and shifts 0. To be trained."""
    drawn = Drawing(seed, "independent", init, device).candidates(stack, names)
    norms = {}
    for layer in stack.layers:
        if layer.is_norm:
            shape = (len(layer.members), *layer.shape)
            ones, zeros = (make(shape, device=device) for make in (torch.ones, torch.zeros))
            norms[layer] = NormState(ones, zeros, zeros.clone(), ones.clone())
    copied = drawn.map(torch.clone)
    weights = Weights(copied.kernels, copied.bias, norms)
    for parameter in trained(weights):
        parameter.requires_grad_()
    return weights


def trained(weights: Weights) -> list[Tensor]:
    """What is trained of a stack's weights: kernels, the heads' biases, scales and shifts."""
    parts = [part for norm in weights.norms.values() for part in (norm.scale, norm.shift)]
    return [*weights.kernels.values(), weights.bias, *parts]


class Model:
    """A stack of one and its weights, trained in place; below float32 its passes run in mixed precision.

    `retouch`: scale and shift [3, 1, 1] of the images that it is shown, where it wants another input normalisation.
    """

    def __init__(
        self,
        stack: Stack,
        weights: Weights,
        precision: Precision = "float32",
        retouch: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.stack = stack
        self.weights = weights
        self.precision = precision
        self.retouch = retouch

    @classmethod
    def fresh(
        cls, stack: Stack, name: str, seed: int, init: Init, device: torch.device, precision: Precision = "float32"
    ) -> Model:
        """Drawn weights, by seed and name; normalisations with scale 1 and shift 0."""
        return cls(stack, fresh(stack, [name], seed, init, device), precision)

    def parameters(self) -> list[Tensor]:
        """What is trained: kernels, the head's bias, scales and shifts."""
        return trained(self.weights)

    def statistics(self) -> list[Tensor]:
        """Running means and variances."""
        return [part for norm in self.weights.norms.values() for part in (norm.mean, norm.variance)]

    def tensors(self) -> list[Tensor]:
        """All that makes the network: what is trained, and the running statistics."""
        return self.parameters() + self.statistics()

    def copy(self) -> Model:
        """The same network with weights of its own that nothing trains."""
        copied = self.weights.map(lambda w: w.detach().clone())
        norms = {
            layer: NormState(*(part.detach().clone() for part in norm)) for layer, norm in self.weights.norms.items()
        }
        return Model(self.stack, Weights(copied.kernels, copied.bias, norms), self.precision, self.retouch)

    def state_dict(self) -> dict[str, Tensor]:
        """As benchmarks/conditions/teachers.py loads it; the tensors share their memory with the network."""
        return teachers.state_dict(self.stack, self.weights)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over a state that `state_dict` gave."""
        for key, tensor in self.state_dict().items():
            tensor.copy_(state[key])

    def look(self, images: Tensor, *, training: bool = False, stages: bool = False) -> Seen:
        """Run it, in training by the batch's statistics, else by the running ones; mixed precision shows float32."""
        taps = Taps("stage") if stages else None
        if self.retouch is not None:
            scale, shift = self.retouch
            images = images * scale + shift
        with torch.autocast(images.device.type, TYPES[self.precision], enabled=self.precision != "float32"):
            outputs = self.stack(images, self.weights, taps=taps, training=training)
        mixed = self.precision != "float32"
        maps, (features, pooled, logits) = (
            [part[0].float() if mixed else part[0] for part in parts]
            for parts in ([tap.stacked() for tap in taps.found] if taps else [], outputs)
        )
        return Seen(maps, features, pooled, logits, self.weights.kernels[self.stack.head][0])
