"""The space pit: pooling vision transformers (Heo et al., ICCV 2021), of which Auto-Prox (AAAI 2024) trained 100."""

from __future__ import annotations

from itertools import combinations_with_replacement

from torch import nn

from benchmarks.spaces.autoformer import check_patches
from benchmarks.spaces.modules import ModuleSpace
from benchmarks.spaces.space import Choices, Size
from benchmarks.spaces.transformers import Pooled, Shape, block_size

BASES = (16, 24, 32, 40)
RATIOS = (2, 4, 6, 8)
DEPTHS = ((1, 2, 3), (4, 6, 8), (2, 4, 6))
HEADS = (2, 4, 8)
NAMES = ("base", "ratio", "depth of stage 1", "depth of stage 2", "depth of stage 3", "heads")


class PiT(ModuleSpace):
    """Vision transformers of three stages, each of half the resolution and of no fewer heads than the last: 4,320.

    A code is base, ratio, three depths, the heads of the three stages: 16-6-2-8-4-2.4.4. A stage is base * heads wide;
    its pooling has a group a channel, so that no stage can be narrower than the one before. Networks see images of
    `resolution`, whatever a data set's own, by patches of `patch`, half a patch apart; a subclass may have others.
    """

    name = "pit"
    choices = (BASES, RATIOS, *DEPTHS, tuple(".".join(map(str, h)) for h in combinations_with_replacement(HEADS, 3)))
    resolution = 224
    teacher_resolution = 32
    patch = 16
    blocks = ("stages.*.*",)
    stages = ("stages.*",)

    def read(self, arch: str) -> Choices:
        """The choices of a code. Raises ValueError, naming the number that is not allowed."""
        parts = arch.split("-")
        if len(parts) == len(NAMES):
            for part, options, name in zip(parts, self.choices, NAMES, strict=True):
                if part not in map(str, options):
                    why = "; no stage may be narrower than the one before" if name == "heads" else ""
                    allowed = ", ".join(map(str, options))
                    said = f"{arch[:80]!r} is no candidate of {self.name}: {name} {part[:20]}"
                    raise ValueError(f"{said}; {allowed} are allowed{why}")
        return super().read(arch)

    def check(self, classes: int, resolution: int) -> None:
        """Raises ValueError for images that patches do not cover."""
        check_patches(self.name, self.patch, resolution)

    def module(self, chosen: Choices, classes: int, resolution: int) -> nn.Module:
        """The network of some choices."""
        self.check(classes, resolution)
        widths, stages = plan(chosen)
        return Pooled(widths, stages, classes, resolution, self.patch)

    def count(self, arch: str, classes: int, resolution: int) -> Size:
        """Its size, in closed form."""
        self.check(classes, resolution)
        widths, stages = plan(self.read(arch))
        side = (resolution - self.patch) // (self.patch // 2) + 1
        patches = 3 * self.patch**2 * widths[0]
        params, macs = patches + widths[0] * (2 + side**2), patches * side**2
        for stage, (width, shapes) in enumerate(zip(widths, stages, strict=True)):
            if stage:  # the pooling before it
                side = (side + 1) // 2
                before = widths[stage - 1]
                params += width * (9 + 1) + width * before + width
                macs += 9 * width * side**2 + width * before
            sizes = [block_size(width, shape, side**2 + 1) for shape in shapes]
            params, macs = params + sum(size[0] for size in sizes), macs + sum(size[1] for size in sizes)
        head = widths[-1] * classes + classes
        return Size(params + 2 * widths[-1] + head, macs + head, len(widths) + 1)


def plan(chosen: Choices) -> tuple[list[int], list[list[Shape]]]:
    """The widths and the blocks of the three stages."""
    base, ratio, *depths, text = chosen
    heads = [int(part) for part in text.split(".")]
    stages = [[Shape(count, ratio)] * depth for count, depth in zip(heads, depths, strict=True)]
    return [base * count for count in heads], stages
