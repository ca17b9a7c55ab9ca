"""Vision transformers as nn.Modules: the networks of the spaces autoformer and pit. Not which candidates there are.

Both take images [N, 3, H, W] and give logits [N, K]. L is the number of tokens, a cls token among them, the first.
Written from what lliai/Auto-Prox-AAAI24 (Apache-2.0) trains: pre-norm blocks, LayerNorm eps 1e-6, no dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPS = 1e-6
DEVIATION = 0.02  # of truncated normal draws
Norm = partial(nn.LayerNorm, eps=EPS)


class Shape(NamedTuple):
    """One block: how many heads, and how wide its hidden layer is beside its tokens."""

    heads: int
    ratio: float


def draw_linear(module: nn.Module) -> None:
    """AutoFormer's initialisation of a linear layer; other modules are left as they are."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=DEVIATION)
        nn.init.zeros_(module.bias)


def draw_tokens(*tokens: nn.Parameter) -> None:
    """The initialisation of a cls token and of position embeddings, of both networks."""
    for token in tokens:
        nn.init.trunc_normal_(token, std=DEVIATION)


class Attention(nn.Module):
    """Self-attention of several heads: [N, L, d] -> [N, L, d]. Raises ValueError where these do not divide d."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Softmax of q k' / sqrt(d / heads), times v."""
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(query, key, value)
        given: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return given


class Block(nn.Module):
    """x + attention(norm x), then x + fc2(gelu(fc1(norm x))): [N, L, d] -> [N, L, d]."""

    def __init__(self, width: int, shape: Shape) -> None:
        super().__init__()
        hidden = int(width * shape.ratio)
        self.norm1, self.norm2 = Norm(width), Norm(width)
        self.attention = Attention(width, shape.heads)
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = x + self.attention(self.norm1(x))
        given: Tensor = x + self.fc2(F.gelu(self.fc1(self.norm2(x))))
        return given


class Flat(nn.Module):
    """AutoFormer's network: one width, one resolution; the mean over the patches goes to the classifier.

    As its constructor draws it: linear weights, tokens and positions truncated normal of .02, biases 0.
    """

    def __init__(self, width: int, shapes: Sequence[Shape], classes: int, resolution: int, patch: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, stride=patch)
        self.cls = nn.Parameter(torch.empty(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, (resolution // patch) ** 2 + 1, width))
        self.blocks = nn.ModuleList(Block(width, shape) for shape in shapes)
        self.norm = Norm(width)
        draw_tokens(self.cls, self.positions)
        self.blocks.apply(draw_linear)
        self.head = nn.Linear(width, classes)  # drawn last, so that nothing before it depends on the number of classes
        draw_linear(self.head)

    def forward(self, images: Tensor) -> Tensor:
        """Logits; the cls token takes part in attention, and is left out of the mean."""
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(images.shape[0], -1, -1), tokens], dim=1) + self.positions
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x)[:, 1:].mean(1))
        return logits


class Pooling(nn.Module):
    """Between two stages of PiT: the map by a 3x3 convolution of stride 2, a group a channel; cls linearly."""

    def __init__(self, width: int, wider: int) -> None:
        super().__init__()
        self.map = nn.Conv2d(width, wider, 3, stride=2, padding=1, groups=width)
        self.cls = nn.Linear(width, wider)

    def forward(self, x: Tensor, side: int) -> Tensor:
        """Tokens [N, 1 + side^2, d] -> [N, 1 + ceil(side / 2)^2, d']."""
        image = x[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        return torch.cat([self.cls(x[:, :1]), self.map(image).flatten(2).transpose(1, 2)], dim=1)


class Pooled(nn.Module):
    """PiT's network: three stages, each of half the resolution; the last stage's cls token goes to the classifier.

    Patches overlap: they lie half a patch apart. Linear layers and convolutions as PyTorch draws them, tokens and
    positions truncated normal of .02.
    """

    def __init__(
        self, widths: Sequence[int], stages: Sequence[Sequence[Shape]], classes: int, resolution: int, patch: int
    ) -> None:
        super().__init__()
        self.side = (resolution - patch) // (patch // 2) + 1
        self.patches = nn.Conv2d(3, widths[0], patch, stride=patch // 2)
        self.cls = nn.Parameter(torch.empty(1, 1, widths[0]))
        self.positions = nn.Parameter(torch.empty(1, widths[0], self.side, self.side))
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(width, shape) for shape in shapes))
            for width, shapes in zip(widths, stages, strict=True)
        )
        self.pools = nn.ModuleList(Pooling(*pair) for pair in pairwise(widths))
        self.norm = Norm(widths[-1])
        draw_tokens(self.cls, self.positions)
        self.head = nn.Linear(widths[-1], classes)  # drawn last, as in Flat

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        tokens = (self.patches(images) + self.positions).flatten(2).transpose(1, 2)
        x = self.stages[0](torch.cat([self.cls.expand(images.shape[0], -1, -1), tokens], dim=1))
        side = self.side
        for pool, stage in zip(self.pools, self.stages[1:], strict=True):
            x = stage(pool(x, side))
            side = (side + 1) // 2
        logits: Tensor = self.head(self.norm(x[:, 0]))
        return logits


def block_size(width: int, shape: Shape, tokens: int) -> tuple[int, int]:
    """Trainable scalars of a block, and its multiply-accumulates for one image of so many tokens."""
    hidden = int(width * shape.ratio)
    weights = 4 * width * width + 2 * width * hidden
    biases = 4 * width + hidden + width
    return weights + biases + 4 * width, weights * tokens + 2 * tokens * tokens * width
