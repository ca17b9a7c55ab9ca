"""Small networks for tests: stacks of named cells, probes on them, and the same candidates as plain networks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.conditions import teachers
from benchmarks.conditions.batches import Dataset, Source
from benchmarks.conditions.drawing import Drawing, Init, Mode
from benchmarks.spaces.cells import parse_cell
from benchmarks.spaces.nasbench201 import NasBench201
from benchmarks.spaces.stack import Stack
from benchmarks.timing.plain import PlainCellNetwork, PlainResNet, plain_state, with_weights
from proxies.probing.network import Weights
from proxies.probing.probe import Probe
from search.distillation import students
from search.distillation.data import Batch, Data, Split
from search.distillation.loop import Stepper
from search.distillation.models import Model
from tests.reference import Case

SPACE = NasBench201()

MIXED = [  # every operation on every edge somewhere, dead edges, an identity cell
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|",
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|none~2|",
    "|none~0|+|skip_connect~0|nor_conv_3x3~1|+|avg_pool_3x3~0|nor_conv_3x3~1|nor_conv_1x1~2|",
    "|skip_connect~0|+|none~0|avg_pool_3x3~1|+|nor_conv_3x3~0|none~1|avg_pool_3x3~2|",
    "|nor_conv_1x1~0|+|avg_pool_3x3~0|none~1|+|none~0|skip_connect~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|none~1|none~2|",
    "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|avg_pool_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
]
DEAD = [
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|none~0|none~1|none~2|",  # convolutions that lead nowhere
    "|none~0|+|none~0|nor_conv_3x3~1|+|none~0|nor_conv_3x3~1|nor_conv_1x1~2|",  # convolutions nothing leads to
]


def batch(
    size: int = 6, classes: int = 10, resolution: int = 8, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Noise images and balanced labels."""
    made = Source("noise", Dataset(classes, resolution)).batch(size, 1)
    return made.images.to(dtype), made.labels


def stack_of(
    archs: Sequence[str],
    *,
    mode: Mode = "shared",
    init: Init = "kaiming",
    classes: int = 10,
    resolution: int = 8,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> tuple[Stack, Weights]:
    """A stack of cells with drawn weights."""
    stack = SPACE.build(archs, classes, resolution)
    return stack, Drawing(seed, mode, init).candidates(stack, archs).map(lambda w: w.to(dtype))


def teacher_of(
    name: str = "resnet20", classes: int = 10, resolution: int = 8, **drawing: object
) -> tuple[Stack, Weights]:
    """A teacher with drawn weights, float64."""
    stack = teachers.build(name, "cifar10", classes, resolution)
    return stack, Drawing(0, **drawing).teacher(stack).map(lambda w: w.double())  # type: ignore[arg-type]


def probe_of(archs: Sequence[str], images: Tensor, labels: Tensor, **options: object) -> Probe:
    """A float64 probe of some cells beside a resnet20."""
    classes, resolution = int(options.get("classes", 10)), images.shape[-1]  # type: ignore[call-overload]
    drawing = {key: options[key] for key in ("mode", "init") if key in options}
    teacher = Probe(*teacher_of(classes=classes, resolution=resolution, **drawing), images, labels)
    return Probe(
        *stack_of(archs, resolution=resolution, **options), images, labels, teacher=teacher, noise=Drawing(0).noise
    )  # type: ignore[arg-type]


def plain_cell(arch: str, stack: Stack, weights: Weights, member: int) -> PlainCellNetwork:
    """One candidate of a stack as a plain float64 network."""
    network = PlainCellNetwork(parse_cell(arch), stack.classes)
    with_weights(network, plain_state(stack, weights, member), torch.float64)
    return network


def plain_teacher(stack: Stack, weights: Weights, depth: int = 3) -> PlainResNet:
    """A ResNet teacher as a plain float64 network."""
    network = PlainResNet((depth, depth, depth), stack.classes)
    with_weights(network, plain_state(stack, weights, 0), torch.float64)
    return network


def case_of(probe: Probe, archs: Sequence[str], member: int) -> Case:
    """One candidate of a probe, its teacher and its batch, as plain networks."""
    student = plain_cell(archs[member], probe.network, probe.weights, member)  # type: ignore[arg-type]
    teacher = plain_teacher(probe.teacher.network, probe.teacher.weights)  # type: ignore[arg-type]
    return Case(student, teacher, probe.images, probe.labels, archs[member], Drawing(0).noise)


def small_data(images: int = 24, classes: int = 3, resolution: int = 8, flip: bool = True) -> Data:
    """Training images that are a little brighter by label, and 12 test images, for runs of a moment."""
    random = np.random.default_rng(0)
    halves = []
    for count in (images, 12):
        labels = np.arange(count) % classes
        noise = random.integers(0, 128, (count, 3, resolution, resolution))
        halves.append((noise + 40 * labels[:, None, None, None], labels))
    splits = [Split(torch.from_numpy(pixels.astype(np.uint8)), torch.from_numpy(labels)) for pixels, labels in halves]
    mean, deviation = torch.full((3, 1, 1), 104.0), torch.full((3, 1, 1), 50.0)
    return Data("small", classes, splits[0], splits[1], mean, deviation, flip)


def small_model(name: str, seed: int, classes: int = 3, resolution: int = 8) -> Model:
    """A student of its name for the small data."""
    stack = students.find(name).build("small", classes, resolution)
    return Model.fresh(stack, name, seed, "kaiming", torch.device("cpu"))


# Options of commands that several files run: a training of a moment, and a look at the 64 networks of S0.
TRAIN_QUICKLY = [
    "--data",
    "some.npz",
    "--epochs",
    "1",
    "--batch-size",
    "6",
    "--device",
    "cpu",
    "--out",
    "out",
    "--workers",
    "1",
]
ON_S0 = [
    "--space",
    "s0",
    "--dataset",
    "cifar100",
    "--target",
    "distilled",
    "--batch-size",
    "2",
    "--teacher",
    "resnet20",
]


@contextmanager
def killed_at(number: int) -> Iterator[None]:
    """Training is interrupted (KeyboardInterrupt) at so many steps, counted from 1."""
    steps, step = itertools.count(1), Stepper.step

    def killed(stepper: Stepper, batch: Batch) -> Tensor:
        if next(steps) == number:
            raise KeyboardInterrupt
        return step(stepper, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stepper, "step", killed)
        yield
