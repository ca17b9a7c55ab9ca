"""Residual networks (He et al., CVPR 2016) in stages, as a stack; the spaces s0 and s1 of CIFAR ResNets.

A plan says how the stages look; candidates of one plan may differ in depth: a block applies to those that are
deep enough to have it. Shortcuts are 1x1 convolutions with normalisation where the shape changes, as in
RepDistiller. The teachers resnet20 to resnet110 follow `CIFAR`, resnet18 and resnet34 `IMAGENET`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from typing import Literal, NamedTuple, get_args

import torch.nn.functional as F
from torch import Tensor

from benchmarks.spaces.space import Choices, Space
from benchmarks.spaces.stack import Pass, Stack, Sum, take
from proxies.probing.network import Layer

Kind = Literal["basic", "bottleneck"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Depths = tuple[int, ...]


class Stage(NamedTuple):
    """Blocks of one shape: two k x k convolutions with `middle` channels between them, or 1x1, k x k, 1x1."""

    out: int
    kind: Kind = "basic"
    kernel: int = 3
    middle: int = 0  # 0 for as many as go out
    stride: int = 1  # of the first block


class Plan(NamedTuple):
    """How a residual network looks, but for its depths."""

    stages: tuple[Stage, ...]
    stem: int  # channels
    stem_kernel: int = 3
    stem_stride: int = 1
    pool: bool = False  # 3x3 max pooling of stride 2 after the stem
    last: int = 0  # channels of a 1x1 convolution, norm and ReLU after the stages; 0 for none


CIFAR = Plan((Stage(16), Stage(32, stride=2), Stage(64, stride=2)), stem=16)
IMAGENET = Plan(
    (Stage(64), Stage(128, stride=2), Stage(256, stride=2), Stage(512, stride=2)),
    stem=64,
    stem_kernel=7,
    stem_stride=2,
    pool=True,
)


class Block(NamedTuple):
    """The convolutions of one block with their norms, its shortcut, and the candidates that have it."""

    members: tuple[int, ...]
    main: tuple[tuple[Layer, Layer], ...]
    shortcut: tuple[Layer, Layer] | None


class ResNetStack(Stack):
    """A residual networks of one plan, with a depth for each stage: the number of its blocks."""

    def __init__(self, depths: Sequence[Depths], classes: int, resolution: int, plan: Plan = CIFAR) -> None:
        super().__init__(len(depths), classes, resolution)
        self.depths, self.plan = depths, plan
        size = -(-resolution // plan.stem_stride)
        self._stem = self._conv_norm("stem", (3, plan.stem), plan.stem_kernel, size, self.everyone, plan.stem_stride)
        size = -(-size // 2) if plan.pool else size
        before = plan.stem
        self._stages: list[list[Block]] = []
        for number, stage in enumerate(plan.stages):
            size = -(-size // stage.stride)
            own = [depth[number] for depth in depths]
            self._stages.append(self._blocks(f"stage{number + 1}", stage, own, before, size))
            before = stage.out
        self._last = self._conv_norm("last", (before, plan.last), 1, size, self.everyone) if plan.last else None
        self.linear("classifier", plan.last or before)

    def _blocks(self, role: str, stage: Stage, depths: Sequence[int], before: int, size: int) -> list[Block]:
        blocks = []
        for number in range(max(depths)):
            members = tuple(i for i, depth in enumerate(depths) if depth > number)
            stride = stage.stride if number == 0 else 1
            blocks.append(self._block(f"{role}.block{number}", stage, before, stride, size, members))
            before = stage.out
        return blocks

    def _block(self, role: str, stage: Stage, before: int, stride: int, size: int, members: tuple[int, ...]) -> Block:
        out, middle = stage.out, stage.middle or stage.out
        if stage.kind == "basic":
            shapes = [(before, middle, stage.kernel, stride), (middle, out, stage.kernel, 1)]
        else:
            shapes = [(before, middle, 1, 1), (middle, middle, stage.kernel, stride), (middle, out, 1, 1)]
        main = []
        for number, (c_in, c_out, kernel, step) in enumerate(shapes, 1):
            wide = size * stride if stage.kind == "bottleneck" and number == 1 else size
            main.append(self._conv_norm(f"{role}.conv{number}", (c_in, c_out), kernel, wide, members, step))
        shortcut = None
        if stride != 1 or before != out:
            shortcut = self._conv_norm(f"{role}.shortcut", (before, out), 1, size, members, stride)
        return Block(members, tuple(main), shortcut)

    def _conv_norm(
        self, role: str, channels: tuple[int, int], kernel: int, size: int, members: tuple[int, ...], stride: int = 1
    ) -> tuple[Layer, Layer]:
        conv = self.conv(role, channels, kernel, size, stride=stride, members=members)
        return conv, self.norm(f"{role}.norm", channels[1], size, members=members)

    def state_key(self, role: str) -> str:
        """The usual name: conv1, bn1, layer1.0.conv1, layer1.0.bn1, layer2.0.downsample.0, fc."""
        names = {"stem": "conv1", "stem.norm": "bn1", "last": "last.0", "last.norm": "last.1", "classifier": "fc"}
        if role in names:
            return names[role]
        stage, block, conv, *norm = role.split(".")
        if conv == "shortcut":
            part = "downsample.1" if norm else "downsample.0"
        else:
            part = conv.replace("conv", "bn") if norm else conv
        return f"layer{stage.removeprefix('stage')}.{block.removeprefix('block')}.{part}"

    def body(self, images: Tensor, run: Pass) -> Tensor:
        """images [N, 3, H, W] -> features [N, A*C, h, w]."""
        everyone = self.everyone
        x = run.relu(_normed(images, run, self._stem), everyone)
        if self.plan.pool:
            x = F.max_pool2d(x, 3, stride=2, padding=1)
        x = run.block(x, everyone)
        for stage in self._stages:
            for block in stage:
                x = self._apply(block, x, run)
            run.stage(x, everyone)
        return x if self._last is None else run.relu(_normed(x, run, self._last), everyone)

    def _apply(self, block: Block, x: Tensor, run: Pass) -> Tensor:
        """A block for those that have it; the others keep what they have."""
        before = take(x, block.members, self.candidates)
        after = run.block(_residual(before, run, block), block.members, before)
        if len(block.members) == self.candidates:
            return after
        others = tuple(sorted(set(self.everyone) - set(block.members)))
        total = Sum(self.candidates)
        total.add(after, block.members)
        total.add(take(x, others, self.candidates), others)
        assert total.value is not None
        return total.value


def _normed(x: Tensor, run: Pass, layers: tuple[Layer, Layer]) -> Tensor:
    return run.norm(run.conv(x, layers[0]), layers[1])


def _residual(x: Tensor, run: Pass, block: Block) -> Tensor:
    inner = x
    for number, layers in enumerate(block.main):
        inner = _normed(inner if number == 0 else run.relu(inner, block.members), run, layers)
    if block.shortcut is not None:
        x = _normed(x, run, block.shortcut)
    return run.relu(inner + x, block.members)


class S0(Space):
    """CIFAR ResNets of widths 16/16/32/64, basic blocks, 1, 3, 5 or 7 of them a stage: 64 candidates such as 357.

    So called in the authors' later Auto-DAS code; the released DisWOT code has it as s1.
    """

    name = "s0"
    choices = ((1, 3, 5, 7),) * 3

    def write(self, chosen: Choices) -> str:
        """Three digits."""
        return "".join(map(str, chosen))

    def read(self, arch: str) -> Choices:
        """The depths of three digits. Raises ValueError for what is no candidate."""
        if not re.fullmatch("[1357]{3}", arch):
            raise ValueError(f"{arch[:80]!r} is no candidate of s0: write three digits out of 1, 3, 5, 7, such as 357")
        return tuple(map(int, arch))

    def is_index(self, text: str) -> bool:
        """A number of less than three digits: those of three are codes."""
        return super().is_index(text) and len(text) < 3

    def build(self, archs: Sequence[str], classes: int, resolution: int) -> ResNetStack:
        """The networks of some depths as one stack."""
        return ResNetStack([self.read(arch) for arch in archs], classes, resolution)


class S1(Space):
    """Residual CIFAR networks of three stages with free repeats, connection, channels and kernels: 65,536 candidates.

    The article names these four as what its first space varies and gives no ranges; the released code has only the
    depths {2, 6, 10, 14}. The other ranges are ours: basic or bottleneck blocks (of a quarter of the channels inside),
    half to twice the widths of s0, kernels of 3 or 5. A code is the kind and, a stage each, depth x width k kernel:
    basic-2x16k3-6x32k3-10x64k3.
    """

    name = "s1"
    choices = (
        KINDS,
        *chain.from_iterable(((2, 6, 10, 14), (w // 2, w, 3 * w // 2, 2 * w), (3, 5)) for w in (16, 32, 64)),
    )

    def write(self, chosen: Choices) -> str:
        """The code of kind, depth, width, kernel, depth, width, kernel, depth, width, kernel."""
        stages = [f"{d}x{w}k{k}" for d, w, k in zip(chosen[1::3], chosen[2::3], chosen[3::3], strict=True)]
        return "-".join([chosen[0], *stages])

    def read(self, arch: str) -> Choices:
        """The choices of a code. Raises ValueError for what is no candidate."""
        found = re.fullmatch(r"([a-z]{1,12})" + r"-(\d{1,4})x(\d{1,4})k(\d{1,4})" * 3, arch)
        chosen = (found[1], *map(int, found.groups()[1:])) if found else ()
        if not chosen or any(choice not in options for choice, options in zip(chosen, self.choices, strict=True)):
            raise ValueError(
                f"{arch[:80]!r} is no candidate of s1: write KIND-DxWkK-DxWkK-DxWkK, such as {self.arch(0)}; KIND one "
                f"of {', '.join(KINDS)}; D one of 2, 6, 10, 14; W .5, 1, 1.5 or 2 times 16, 32, 64; K 3 or 5"
            )
        return chosen

    def shape(self, arch: str) -> str:
        """All but the depths: candidates of one shape differ in depth alone."""
        return re.sub(r"-\d+x", "-", arch)

    def build(self, archs: Sequence[str], classes: int, resolution: int) -> ResNetStack:
        """The networks of some candidates of one shape as one stack."""
        return ResNetStack([self.read(arch)[1::3] for arch in archs], classes, resolution, self._plan(archs[0]))

    def _plan(self, arch: str) -> Plan:
        kind, *rest = self.read(arch)
        stages = [
            Stage(width, kind, kernel, width // 4 if kind == "bottleneck" else width, 1 if number == 0 else 2)
            for number, (width, kernel) in enumerate(zip(rest[1::3], rest[2::3], strict=True))
        ]
        return Plan(tuple(stages), stem=16)
