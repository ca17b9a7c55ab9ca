"""Networks unlike those of this project, for the contract tests: depthwise, grouped, with SiLU, without activation.

A candidate is its depth; candidates of different depth run in one stack. In a linear one no weight but the head's bias
has a gradient: normalised maps have the mean 0 whatever comes before.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from benchmarks.spaces.space import Space
from benchmarks.spaces.stack import Pass, Stack, Sum, take
from proxies.probing.network import Layer

Pair = tuple[Layer, Layer]

GROUPS = {"depthwise": 8, "grouped": 2, "silu": 1, "linear": 1}  # of the 3x3 convolutions, in 8 channels
CHANNELS = 8


class UnusualStack(Stack):
    """A stem, and per candidate one to three residual blocks: 1x1, 3x3 in groups, 1x1."""

    def __init__(self, kind: str, depths: Sequence[int], classes: int, resolution: int) -> None:
        super().__init__(len(depths), classes, resolution)
        self.kind = kind
        self._stem = self._pair("stem", (3, CHANNELS), 3, resolution, self.everyone)
        self._blocks = []
        for number in range(max(depths)):
            members = tuple(i for i, depth in enumerate(depths) if depth > number)
            shapes = ((CHANNELS, 1), (CHANNELS // GROUPS[kind], 3), (CHANNELS, 1))
            pairs = [
                self._pair(f"block{number}.{place}", (inside, CHANNELS), kernel, resolution, members)
                for place, (inside, kernel) in enumerate(shapes)
            ]
            self._blocks.append((members, pairs))
        self.linear("classifier", CHANNELS)

    def _pair(self, role: str, channels: tuple[int, int], kernel: int, size: int, members: tuple[int, ...]) -> Pair:
        conv = self.conv(role, channels, kernel, size, members=members)
        return conv, self.norm(f"{role}.norm", channels[1], size, members=members)

    def state_key(self, role: str) -> str:
        """The role itself: there is no usual implementation."""
        return role

    def _activation(self, x: Tensor, run: Pass, members: tuple[int, ...]) -> Tensor:
        if self.kind in ("silu", "linear"):
            return F.silu(x) if self.kind == "silu" else x
        return run.relu(x, members)

    def body(self, images: Tensor, run: Pass) -> Tensor:
        """images [N, 3, H, W] -> features [N, A*8, H, W]."""
        everyone = self.everyone
        x = self._activation(run.norm(run.conv(images, self._stem[0]), self._stem[1]), run, everyone)
        x = run.block(x, everyone)
        for members, pairs in self._blocks:
            before = inner = take(x, members, self.candidates)
            for number, (conv, norm) in enumerate(pairs):
                inner = run.norm(run.conv(inner, conv), norm)
                inner = inner if number == 2 else self._activation(inner, run, members)
            after = run.block(before + inner, members, before)
            total = Sum(self.candidates)
            total.add(after, members)
            if others := tuple(sorted(set(everyone) - set(members))):
                total.add(take(x, others, self.candidates), others)
            assert total.value is not None
            x = total.value
        return self._activation(run.stage(x, everyone), run, everyone)


class Unusual(Space):
    """Networks of one kind, one to three blocks deep."""

    choices = ((1, 2, 3),)

    def __init__(self, kind: str) -> None:
        self.name = self.kind = kind

    def build(self, archs: Sequence[str], classes: int, resolution: int) -> UnusualStack:
        """Candidates as one stack."""
        return UnusualStack(self.kind, [self.read(arch)[0] for arch in archs], classes, resolution)
