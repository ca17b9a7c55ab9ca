"""CIFAR ResNets (He et al., CVPR 2016): widths 16/16/32/64, basic blocks, a depth for each of three stages, as a stack.

Shortcuts are 1x1 convolutions with normalisation where the shape changes, as in RepDistiller. The teachers resnet20 to
resnet110 are such networks. A block applies to those candidates that are deep enough to have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from benchmarks.stack import Pass, Stack, Sum, take
from proxies.network import Layer

CHANNELS = (16, 32, 64)
Depths = tuple[int, int, int]


class Block(NamedTuple):
    """The layers of one basic block, and the candidates that have it."""

    members: tuple[int, ...]
    conv1: Layer
    norm1: Layer
    conv2: Layer
    norm2: Layer
    shortcut: tuple[Layer, Layer] | None


class ResNetStack(Stack):
    """A residual networks with (n1, n2, n3) basic blocks each."""

    def __init__(self, depths: Sequence[Depths], classes: int, resolution: int) -> None:
        super().__init__(len(depths), classes, resolution)
        self._stem = self.conv("stem", (3, CHANNELS[0]), 3, resolution), self.norm("stem.norm", CHANNELS[0], resolution)
        self._stages: list[list[Block]] = []
        before = CHANNELS[0]
        for stage, channels in enumerate(CHANNELS):
            size = resolution // 2**stage
            blocks = []
            for number in range(max(depth[stage] for depth in depths)):
                members = tuple(i for i, depth in enumerate(depths) if depth[stage] > number)
                stride = 2 if stage > 0 and number == 0 else 1
                role = f"stage{stage + 1}.block{number}"
                blocks.append(self._block(role, (before, channels), stride, size, members))
                before = channels
            self._stages.append(blocks)
        self.linear("classifier", CHANNELS[-1])

    def _block(self, role: str, channels: tuple[int, int], stride: int, size: int, members: tuple[int, ...]) -> Block:
        out = channels[1]
        conv1 = self.conv(f"{role}.conv1", channels, 3, size, stride=stride, members=members)
        norm1 = self.norm(f"{role}.norm1", out, size, members=members)
        conv2 = self.conv(f"{role}.conv2", (out, out), 3, size, members=members)
        norm2 = self.norm(f"{role}.norm2", out, size, members=members)
        shortcut = None
        if stride != 1 or channels[0] != out:
            conv = self.conv(f"{role}.shortcut", channels, 1, size, stride=stride, members=members)
            shortcut = conv, self.norm(f"{role}.shortcut.norm", out, size, members=members)
        return Block(members, conv1, norm1, conv2, norm2, shortcut)

    def state_key(self, role: str) -> str:
        """RepDistiller's name: conv1, bn1, layer1.0.conv1, layer2.0.downsample.0, fc."""
        names = {"stem": "conv1", "stem.norm": "bn1", "classifier": "fc"}
        parts = {"norm1": "bn1", "norm2": "bn2", "shortcut": "downsample.0", "shortcut.norm": "downsample.1"}
        if role in names:
            return names[role]
        stage, block, part = role.split(".", 2)
        return f"layer{stage.removeprefix('stage')}.{block.removeprefix('block')}.{parts.get(part, part)}"

    def body(self, images: Tensor, run: Pass) -> Tensor:
        """images [N, 3, H, W] -> features [N, A*64, H/4, W/4]."""
        everyone = self.everyone
        x = run.block(run.relu(run.norm(run.conv(images, self._stem[0]), self._stem[1]), everyone), everyone)
        for stage in self._stages:
            for block in stage:
                x = self._apply(block, x, run)
            run.stage(x, everyone)
        return x

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


def _residual(x: Tensor, run: Pass, block: Block) -> Tensor:
    inner = run.relu(run.norm(run.conv(x, block.conv1), block.norm1), block.members)
    inner = run.norm(run.conv(inner, block.conv2), block.norm2)
    if block.shortcut is not None:
        x = run.norm(run.conv(x, block.shortcut[0]), block.shortcut[1])
    return run.relu(inner + x, block.members)
