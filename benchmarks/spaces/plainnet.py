"""The space s2: chains of residual blocks for images of ImageNet's size, out of ZenNAS's blocks (Lin et al. 2021)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from itertools import chain, product
from math import prod
from typing import NamedTuple

from benchmarks.spaces.resnet import KINDS, Plan, ResNetStack, Stage
from benchmarks.spaces.space import Choices, Space

WIDTHS = (64, 128, 256, 512)  # of the seed network's four stages
FACTORS = (0.5, 0.75, 1, 1.25, 1.5, 2)
STEMS = (32, 48, 64, 96)
LASTS = (0, 512, 1024, 2048)
DEPTHS = (1, 2, 3, 4, 5, 6)
KERNELS = (3, 5, 7)
NARROWINGS = (1, 2, 4)  # channels going out over those inside a block


class Part(NamedTuple):
    """What a part of a code says: its choices, and what they add to the candidate's index."""

    chosen: Choices
    number: int


class S2(Space):
    """Chains of ZenNAS's residual blocks for 224x224 images, free in kind, kernel, width, depth: 2.8e12.

    A 7x7 stem of stride 2 and four stages of stride 2, each of blocks KxK-KxK (basic) or 1x1-KxK-1x1 (bottleneck); a
    last 1x1 convolution if any. Blocks, kernels, the seed's widths and multiples of 8 are ZenNAS's, whose search the
    released code runs; the article's own wording of its S2 is not known to us, and the ranges are ours.
    A code is the stem's width, four stages, the last width: 64-b2x64k3m1-...-l512, with b or n (narrow, the bottleneck)
    for the kind, depth x width k kernel m narrowing.
    """

    name = "s2"
    choices = (
        STEMS,
        *chain.from_iterable((KINDS, DEPTHS, tuple(int(w * f) for f in FACTORS), KERNELS, NARROWINGS) for w in WIDTHS),
        LASTS,
    )

    def write(self, chosen: Choices) -> str:
        """The code of stem, (kind, depth, width, kernel, narrowing) four times, last."""
        return "-".join([str(chosen[0]), *map(_written, _stages(chosen)), f"l{chosen[-1]}"])

    def read(self, arch: str) -> Choices:
        """The choices of a code. Raises ValueError for what is no candidate."""
        return tuple(chain.from_iterable(part.chosen for part in self._found(arch)))

    def index(self, arch: str) -> int:
        """The index of a candidate, part by part of its code: a table of a million is read by it."""
        return sum(part.number for part in self._found(arch))

    def _found(self, arch: str) -> list[Part]:
        texts = arch.split("-")
        found = [known[text] for known, text in zip(self._parts, texts, strict=False) if text in known]
        if not len(found) == len(texts) == len(self._parts):
            raise ValueError(
                f"{arch[:80]!r} is no candidate of s2: write STEM-STAGE-STAGE-STAGE-STAGE-lLAST, such as {self.arch(0)}"
            )
        return found

    @cached_property
    def _parts(self) -> list[dict[str, Part]]:
        """What the stem, each stage and the end of a code can be, by their texts."""
        stages = _stages(self.choices)
        texts = [lambda chosen: str(*chosen), *[_written] * len(stages), lambda chosen: f"l{chosen[0]}"]
        parts, after = [], len(self)
        for text, options in zip(texts, [self.choices[:1], *stages, self.choices[-1:]], strict=True):
            after //= prod(map(len, options))
            parts.append({text(chosen): Part(chosen, place * after) for place, chosen in enumerate(product(*options))})
        return parts

    def shape(self, arch: str) -> str:
        """All but the depths: candidates of one shape differ in depth alone."""
        return re.sub(r"-([bn])\d+x", r"-\1", arch)

    def build(self, archs: Sequence[str], classes: int, resolution: int) -> ResNetStack:
        """The networks of some candidates of one shape as one stack."""
        depths = [tuple(stage[1] for stage in _stages(self.read(arch))) for arch in archs]
        chosen = self.read(archs[0])
        stages = tuple(
            Stage(width, kind, kernel, max(8, width // narrowing // 8 * 8), stride=2)
            for kind, _, width, kernel, narrowing in _stages(chosen)
        )
        plan = Plan(stages, stem=chosen[0], stem_kernel=7, stem_stride=2, last=chosen[-1])
        return ResNetStack(depths, classes, resolution, plan)


def _stages(chosen: Choices) -> list[Choices]:
    """Kind, depth, width, kernel and narrowing of each stage."""
    return [tuple(chosen[start : start + 5]) for start in range(1, len(chosen) - 1, 5)]


def _written(stage: Choices) -> str:
    kind, depth, width, kernel, narrowing = stage
    return f"{'b' if kind == 'basic' else 'n'}{depth}x{width}k{kernel}m{narrowing}"
