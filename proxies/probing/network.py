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

    def double(self) -> Weights:
        """All of it in float64."""
        norms = {layer: NormState(*(value.double() for value in state)) for layer, state in self.norms.items()}
        exact = self.map(lambda w: w.double())
        return Weights(exact.kernels, exact.bias, norms)


class Outputs(NamedTuple):
    """features [A, N, C, H, W] (the map that global average pooling sees), pooled [A, N, C], logits [A, N, K]."""

    features: Tensor
    pooled: Tensor
    logits: Tensor


class Tap(NamedTuple):
    """What a pass shows at one place, for the a members that come by: `value` [N, a*C, H, W].

    By kind: conv, a convolution's output before normalisation, and its input as `before`; norm, what a normalisation
    gets; relu, what a ReLU gets; map, what any operation gives; block, what the stem or a block gives, and gets as
    `before`; stage, what a stage gives. `times`: how many equal operations of each member share the value.
    """

    kind: str
    members: tuple[int, ...]
    value: Tensor
    before: Tensor | None = None
    layer: Layer | None = None
    times: tuple[int, ...] | None = None

    def stacked(self) -> Tensor:
        """The value as [a, N, C, H, W]."""
        return by_member(self.value, len(self.members))


def by_member(x: Tensor, members: int) -> Tensor:
    """[N, a*C, H, W] -> [a, N, C, H, W]."""
    stacked: Tensor = x.unflatten(1, (members, -1))
    return stacked.transpose(0, 1)


class Taps:
    """Collects the taps of the kinds that are wanted during a pass.

    `zero` is none of a kind's own: convolutions that get structural zeros alone are then run, and tapped as conv.
    """

    def __init__(self, *kinds: str) -> None:
        self.kinds = frozenset(kinds)
        self.found: list[Tap] = []

    def only(self, kind: str) -> Taps:
        """Taps of one kind alone, found among these."""
        some = Taps(kind)
        some.found = self.found
        return some

    def of(self, kind: str) -> list[Tap]:
        """The taps of one kind, in the order of the pass."""
        return [tap for tap in self.found if tap.kind == kind]


class Network(Protocol):
    """A candidates run together. Calling it touches nothing but its arguments."""

    candidates: int

    @property
    def layers(self) -> Sequence[Layer]:
        """Every layer of every candidate, also of those that the output does not depend on."""

    @property
    def head(self) -> Layer:
        """The linear classifier."""

    def __call__(
        self, images: Tensor, weights: Weights, *, batch_norm: bool = True, taps: Taps | None = None
    ) -> Outputs:
        """images [N, 3, H, W], or [N, A*3, H, W] for each candidate its own -> what the candidates make of them.

        Without batch_norm normalisations do nothing. With taps, operations that the input reaches are run although the
        output does not depend on them; operations that get nothing but structural zeros are run for `zero` taps alone.
        """
