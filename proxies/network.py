"""What a Probe needs to know of a stack of networks: its layers, its weights, and how to run it.

The networks themselves are built in benchmarks/; this file is the contract between the two rooms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple, Protocol

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a stack: a convolution, the linear head or a normalisation, in those candidates that have it.

    `shape` is that of one candidate's weight: (C_out, C_in, k, k), (K, C) or (C,); `members` are the positions in the
    stack of the candidates that have the layer, ascending; `positions` the number of output positions H*W.
    """

    role: str
    operation: str
    shape: tuple[int, ...]
    members: tuple[int, ...]
    positions: int = 1
    stride: int = 1

    @property
    def is_norm(self) -> bool:
        """Whether this is a normalisation, whose parameters no proxy counts as weights."""
        return len(self.shape) == 1

    @property
    def is_head(self) -> bool:
        """Whether this is the linear classifier, the only layer with a bias."""
        return len(self.shape) == 2

    @property
    def parameters(self) -> int:
        """Trainable scalars of one candidate's layer: weight, bias of the head, scale and shift of a normalisation."""
        if self.is_norm:
            return 2 * self.shape[0]
        return prod(self.shape) + (self.shape[0] if self.is_head else 0)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, bias additions of the head included; 0 for a normalisation."""
        if self.is_norm:
            return 0
        return prod(self.shape) * self.positions + (self.shape[0] if self.is_head else 0)


class NormState(NamedTuple):
    """A trained normalisation: scale, shift, running mean and running variance, each [A, C]."""

    scale: Tensor
    shift: Tensor
    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class Weights:
    """The weights of a stack: per layer [a, *layer.shape] for its a members; the head's bias [A, K].

    `norms` is empty for networks at initialisation, whose normalisations use batch statistics, scale 1 and shift 0.
    """

    kernels: dict[Layer, Tensor]
    bias: Tensor
    norms: dict[Layer, NormState] = field(default_factory=dict)

    def map(self, change: Callable[[Tensor], Tensor]) -> Weights:
        """The same weights with `change` applied to every kernel and to the bias."""
        return Weights({layer: change(w) for layer, w in self.kernels.items()}, change(self.bias), self.norms)


class Outputs(NamedTuple):
    """features [A, N, C, H, W] (the map that global average pooling sees), pooled [A, N, C], logits [A, N, K]."""

    features: Tensor
    pooled: Tensor
    logits: Tensor


class Network(Protocol):
    """A candidates run together. Calling it touches nothing but its arguments."""

    candidates: int

    @property
    def layers(self) -> Sequence[Layer]:
        """Every layer of every candidate, also of those that the output does not depend on."""

    @property
    def head(self) -> Layer:
        """The linear classifier."""

    def __call__(self, images: Tensor, weights: Weights, *, batch_norm: bool = True) -> Outputs:
        """images [N, 3, H, W] -> what the candidates make of them; without batch_norm normalisations do nothing."""
