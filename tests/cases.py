"""Small networks for tests: stacks of named cells, probes on them, and the same candidates as plain networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmarks import teachers
from benchmarks.batches import Dataset, Source
from benchmarks.drawing import Drawing, Init, Mode
from benchmarks.plain import PlainCellNetwork, PlainResNet, plain_state, with_weights
from benchmarks.spaces.nasbench201 import NasBench201, parse_cell
from benchmarks.stack import Stack
from proxies.network import Weights
from proxies.probe import Probe
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
