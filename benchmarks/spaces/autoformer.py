"""The space autoformer: subnets of AutoFormer-Ti (Chen et al., ICCV 2021), of which Auto-Prox (AAAI 2024) has 200."""

from __future__ import annotations

import re

import numpy as np
from torch import nn

from benchmarks.spaces.modules import ModuleSpace
from benchmarks.spaces.space import Choices, Size
from benchmarks.spaces.transformers import Flat, Shape, block_size

HIDDEN = (192, 216, 240)
DEPTHS = (12, 13, 14)
HEADS = (3, 4)
RATIOS = (3.5, 4.0)
BLOCKS = len(HEADS) * len(RATIOS)  # different ones
BY_DEPTH = {depth: int(BLOCKS**depth) for depth in DEPTHS}  # candidates of one width
EACH = sum(BY_DEPTH.values())


class AutoFormer(ModuleSpace):
    """Vision transformers of one width: hidden 192, 216 or 240, 12 to 14 blocks, each with its heads and ratio: 1.06e9.

    A code is the width and the blocks, heads x ratio: 192-4x3.5-4x4.0-... Choices are width, depth, and heads and ratio
    of each block; `choices` has those of the deepest, and what stands behind the depth is cut off. By index the last
    block varies fastest, then depth, then width. Networks see images of `resolution`, whatever a data set's own, by
    patches of `patch`: a subclass may have others (at 32x32 a patch of 4 gives 64 patches).
    """

    name = "autoformer"
    choices = (HIDDEN, DEPTHS, *(HEADS, RATIOS) * DEPTHS[-1])
    resolution = 224
    teacher_resolution = 32
    patch = 16
    blocks = ("blocks.*",)
    stages = ("blocks.0", "blocks.6", "blocks.11")  # those that the table's students were guided at

    def __len__(self) -> int:
        """Number of candidates."""
        return len(HIDDEN) * EACH

    def write(self, chosen: Choices) -> str:
        """The code of width, depth, and heads and ratio of as many blocks or more."""
        pairs = zip(chosen[2 : 2 + 2 * chosen[1] : 2], chosen[3 : 3 + 2 * chosen[1] : 2], strict=True)
        return "-".join([str(chosen[0]), *(f"{heads}x{ratio}" for heads, ratio in pairs)])

    def read(self, arch: str) -> Choices:
        """The choices of a code: 2 + 2 * depth. Raises ValueError, naming the number that is not allowed."""
        width, *blocks = arch.split("-")
        said = f"{arch[:80]!r} is no candidate of {self.name}"
        if not re.fullmatch(r"\d+(-\d+x\d+(\.\d+)?)*", arch, re.ASCII):
            raise ValueError(f"{said}: write WIDTH-HEADSxRATIO-HEADSxRATIO-..., such as {self.arch(0)}, or an index")
        if width not in map(str, HIDDEN):
            raise ValueError(f"{said}: width {width}; {_listed(HIDDEN)} are allowed")
        if len(blocks) not in DEPTHS:
            raise ValueError(f"{said}: {len(blocks)} blocks; {_listed(DEPTHS)} are allowed")
        chosen: list[float] = [int(width), len(blocks)]
        for place, block in enumerate(blocks, 1):
            heads, ratio = int(block.split("x")[0]), float(block.split("x")[1])
            if heads not in HEADS:
                raise ValueError(f"{said}: {heads} heads in block {place}; {_listed(HEADS)} are allowed")
            if ratio not in RATIOS:
                raise ValueError(f"{said}: ratio {ratio:g} in block {place}; {_listed(RATIOS)} are allowed")
            chosen += [heads, ratio]
        return tuple(chosen)

    def arch(self, index: int) -> str:
        """The candidate with this index. Raises ValueError outside 0..len-1."""
        if not 0 <= index < len(self):
            raise ValueError(f"index {index} is outside 0..{len(self) - 1}, the candidates of {self.name}")
        place, index = divmod(index, EACH)
        depth = DEPTHS[0]
        while index >= BY_DEPTH[depth]:
            index -= BY_DEPTH[depth]
            depth += 1
        blocks: list[float] = []
        for _ in range(depth):
            index, block = divmod(index, BLOCKS)
            heads, ratio = divmod(block, len(RATIOS))
            blocks = [HEADS[heads], RATIOS[ratio], *blocks]
        return self.write((HIDDEN[place], depth, *blocks))

    def index(self, arch: str) -> int:
        """The index of a candidate."""
        width, depth, *blocks = self.read(arch)
        index = sum(number for other, number in BY_DEPTH.items() if other < depth)
        own = 0
        for heads, ratio in zip(blocks[::2], blocks[1::2], strict=True):
            own = own * BLOCKS + HEADS.index(heads) * len(RATIOS) + RATIOS.index(ratio)
        return HIDDEN.index(width) * EACH + index + own

    def mutate(self, arch: str, random: np.random.Generator) -> str:
        """The candidate with another choice at one of its positions, both drawn uniformly; see neighbours."""
        chosen = self.read(arch)
        place = int(random.integers(len(chosen)))
        others = [option for option in self.choices[place] if option != chosen[place]]
        return self._changed(chosen, place, others[int(random.integers(len(others)))])

    def neighbours(self, arch: str) -> list[str]:
        """All that differ in one choice: a shallower one lacks the last blocks, a deeper one repeats the last."""
        chosen = self.read(arch)
        return [
            self._changed(chosen, place, option)
            for place in range(len(chosen))
            for option in self.choices[place]
            if option != chosen[place]
        ]

    def _changed(self, chosen: Choices, place: int, option: float) -> str:
        deepest = (*chosen, *chosen[-2:] * (DEPTHS[-1] - chosen[1]))
        return self.write((*deepest[:place], option, *deepest[place + 1 :]))

    def check(self, classes: int, resolution: int) -> None:
        """Raises ValueError for images that patches do not cover."""
        check_patches(self.name, self.patch, resolution)

    def module(self, chosen: Choices, classes: int, resolution: int) -> nn.Module:
        """The network of width, depth and blocks."""
        self.check(classes, resolution)
        return Flat(chosen[0], shapes(chosen), classes, resolution, self.patch)

    def count(self, arch: str, classes: int, resolution: int) -> Size:
        """Its size, in closed form."""
        self.check(classes, resolution)
        chosen = self.read(arch)
        width, patches, weights = chosen[0], (resolution // self.patch) ** 2, 3 * self.patch**2 * chosen[0]
        sizes = [block_size(width, shape, patches + 1) for shape in shapes(chosen)]
        head = width * classes + classes
        params = weights + width + width * (patches + 2) + 2 * width + head + sum(size[0] for size in sizes)
        return Size(params, weights * patches + head + sum(size[1] for size in sizes), 2)


def shapes(chosen: Choices) -> list[Shape]:
    """The blocks of a candidate."""
    return [Shape(heads, ratio) for heads, ratio in zip(chosen[2::2], chosen[3::2], strict=True)]


def check_patches(name: str, patch: int, resolution: int) -> None:
    """Raises ValueError where patches of a size do not cover images."""
    if resolution < patch or resolution % patch:
        raise ValueError(
            f"{name}: images of {resolution}x{resolution} are no whole number of patches of {patch}; the resolution has"
            f" to be a multiple of {patch}"
        )


def _listed(options: tuple[float, ...]) -> str:
    return ", ".join(map(str, options))
