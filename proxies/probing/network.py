"""What a Probe needs to know of a stack of networks: its layers, its weights, and how to run it.

Stacks are built in benchmarks/spaces; any nn.Module is put behind the same contract by proxies/probing/module.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isqrt, prod
from typing import Literal, NamedTuple, Protocol

from torch import Tensor


class Undefined(ValueError):  # noqa: N818, a state of a score, not a fault
    """A proxy has no value for a network that lacks something; the message says what, and which option names it."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer of a stack, in those candidates that have it.

    By kind: kernel, a convolution or a linear layer; norm, a normalisation; product, attention's product of two
    activations, which has no weight; parameter, what is neither (a token, the weight of a layer that never runs).
    `shape` is that of one candidate's weight: (C_out, C_in, k, k), of a transposed convolution of a module
    (C_in, C_out, k, k), (K, C), (C,) or (); `biases` the trainable scalars
    beside it; `members` the positions in the stack of the candidates that have the layer, ascending; `positions` the
    number of output positions H*W, of a transposed convolution those of its input, and of a product its
    multiply-accumulates.
    """

    role: str
    operation: str
    shape: tuple[int, ...]
    members: tuple[int, ...]
    positions: int = 1
    stride: int = 1
    kind: Literal["kernel", "norm", "product", "parameter"] = "kernel"
    biases: int = 0
    is_head: bool = False

    @property
    def is_norm(self) -> bool:
        """Whether this is a normalisation, whose parameters no proxy counts as weights."""
        return self.kind == "norm"

    @property
    def is_conv(self) -> bool:
        """Whether this is a convolution that is not the head."""
        return self.kind == "kernel" and len(self.shape) > 2 and not self.is_head

    @property
    def parameters(self) -> int:
        """Trainable scalars of one candidate's layer: weight and biases, scale and shift of a normalisation."""
        return 0 if self.kind == "product" else prod(self.shape) + self.biases

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image, bias additions of the head included; 0 for a normalisation."""
        if self.kind in ("norm", "parameter"):
            return 0
        return prod(self.shape) * self.positions + (self.biases if self.is_head else 0)


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
    `others` are a module's parameters that are no kernels, by name: biases, scales, tokens.
    """

    kernels: dict[Layer, Tensor]
    bias: Tensor
    norms: dict[Layer, NormState] = field(default_factory=dict)
    others: dict[str, Tensor] = field(default_factory=dict)

    def map(self, change: Callable[[Tensor], Tensor]) -> Weights:
        """The same weights with `change` applied to every kernel, to the bias and to the others."""
        kernels = {layer: change(w) for layer, w in self.kernels.items()}
        return Weights(kernels, change(self.bias), self.norms, {name: change(w) for name, w in self.others.items()})

    def leaves(self) -> Weights:
        """The same weights as leaves of a graph: gradients can be asked for by kernels and bias."""
        kernels = {layer: w.detach().requires_grad_() for layer, w in self.kernels.items()}
        return Weights(kernels, self.bias.detach().requires_grad_(), self.norms, self.others)

    def each(self, change: Callable[[Tensor], Tensor]) -> Weights:
        """The same weights with `change` applied to all that `map` changes, and to trained normalisations."""
        norms = {layer: NormState(*map(change, state)) for layer, state in self.norms.items()}
        return replace(self.map(change), norms=norms)

    def double(self) -> Weights:
        """All of it in float64."""
        return self.each(Tensor.double)


class Outputs(NamedTuple):
    """features [A, N, C, H, W] (the last map), pooled [A, N, C] (what the head gets), logits [A, N, K].

    In a stack, pooled is the global average of the features; a module's head may get something else of other width.
    """

    features: Tensor
    pooled: Tensor
    logits: Tensor


class Layout(NamedTuple):
    """Where a module's tensor has its images and channels: the two axes, and how many images there are.

    Where an image has several rows on its axis, as windows of attention have, they follow each other; `woven`: the
    images take turns instead. `grid`: tokens are shown as a square map, one that stands before them (a cls token) left
    out.
    """

    images: int
    channels: int
    woven: bool
    batch: int
    grid: bool = False

    def arrange(self, x: Tensor) -> Tensor:
        """As [1, N, C, H, W]; all positions in H, W = 1, where they are no map of one row an image."""
        first = x.movedim((self.images, self.channels), (0, 1))
        rows = (
            first.unflatten(0, (-1, self.batch)).transpose(0, 1) if self.woven else first.unflatten(0, (self.batch, -1))
        )
        split: Tensor = rows.transpose(1, 2)  # [N, C, rows, ...]
        if split.ndim == 5 and split.shape[2] == 1:
            return split.squeeze(2)[None]
        return split.flatten(2)[None, ..., None]

    def rows(self, x: Tensor) -> tuple[int, list[list[int]]]:
        """The axis of the images, and by image its places on it."""
        each = x.shape[self.images] // self.batch
        if self.woven:
            return self.images, [list(range(image, x.shape[self.images], self.batch)) for image in range(self.batch)]
        return self.images, [list(range(image * each, (image + 1) * each)) for image in range(self.batch)]

    def map(self, x: Tensor) -> Tensor:
        """As [1, N, C, H, W], tokens on their grid."""
        arranged = self.arrange(x)
        positions: int = arranged.shape[3]
        if not self.grid or arranged.shape[4] > 1:
            return arranged
        for extra in (0, 1):
            side = isqrt(positions - extra)
            if side > 1 and side * side == positions - extra:
                tokens = arranged[:, :, :, extra:, 0]
                return tokens.reshape(*tokens.shape[:3], side, side)
        return arranged


class Tap(NamedTuple):
    """What a pass shows at one place, for the a members that come by: `value` [N, a*C, H, W], or as `layout` says.

    By kind: conv, a convolution's output before normalisation, and its input as `before`; norm, what a normalisation
    gets; relu, what a ReLU gets; map, what any operation gives; block, what the stem or a block gives, and gets as
    `before`; stage, what a stage gives; and of a module alone features, the last map, channels, what a head gives that
    is a 1x1 convolution of the features, and attention, its maps [N, heads, L, L]. In a module linear layers and the
    head are tapped as convolutions are, and other activations as ReLUs. `times`: how many equal operations of each
    member share the value. `again`: a module's layer as a function of an input and a weight, without its bias.
    """

    kind: str
    members: tuple[int, ...]
    value: Tensor
    before: Tensor | None = None
    layer: Layer | None = None
    times: tuple[int, ...] | None = None
    layout: Layout | None = None
    again: Callable[[Tensor, Tensor], Tensor] | None = None

    def arrange(self, x: Tensor) -> Tensor:
        """A tensor of the value's shape, such as a gradient by it, as [a, N, C, H, W]."""
        return by_member(x, len(self.members)) if self.layout is None else self.layout.arrange(x)

    def shown(self, x: Tensor) -> Tensor:
        """A tensor of the value's shape as the value is shown, [a, N, C, H, W]; tokens of a stage as a map."""
        return self.arrange(x) if self.layout is None else self.layout.map(x)

    def stacked(self) -> Tensor:
        """The value as [a, N, C, H, W]."""
        return self.shown(self.value)


def by_member(x: Tensor, members: int) -> Tensor:
    """[N, a*C, H, W] -> [a, N, C, H, W]."""
    stacked: Tensor = x.unflatten(1, (members, -1))
    return stacked.transpose(0, 1)


def positions(stacked: Tensor) -> Tensor:
    """[a, N, C, H, W] -> [a, N*H*W, C]: a row for each position of each image. A view of what is channels_last."""
    rows: Tensor = stacked.movedim(2, -1)
    return rows.flatten(1, -2)


def flat(stacked: Tensor) -> Tensor:
    """[a, N, C, H, W] -> [a, N, D], the same units of each image in an order of our own: that of its memory, a view."""
    ordered: Tensor = stacked if stacked[0].is_contiguous() else stacked.movedim(2, -1)
    return ordered.flatten(2)


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
    """A candidates run together. Calling it touches nothing but its arguments.

    linear_head: the logits are the head's weight times `pooled`, plus a bias; average_head: and `pooled` is the average
    of the features over their positions, or one of them. What follows from these has a closed form. twice_alone: it has
    another form for gradients that are differentiated again. lacks: by kind of tap, features and head among
    them, why the network has none.
    """

    candidates: int
    linear_head: bool
    average_head: bool
    twice_alone: bool
    lacks: Mapping[str, str]

    def keeps(self, needs: frozenset[str]) -> int:
        """About how many bytes a pass holds for each image, in float32, by what it is run for; 0 where unknown.

        `needs` are kinds of taps, and `graph` where it is to be gone back on.
        """

    def apart(self, weights: Weights) -> bool:
        """Whether with these weights what becomes of an image does not depend on the others of the batch."""

    @property
    def layers(self) -> Sequence[Layer]:
        """Every layer of every candidate, also of those that the output does not depend on."""

    @property
    def head(self) -> Layer:
        """The classifier. Raises Undefined where none is found."""

    def __call__(
        self, images: Tensor, weights: Weights, *, batch_norm: bool = True, taps: Taps | None = None
    ) -> Outputs:
        """images [N, 3, H, W], or [N, A*3, H, W] for each candidate its own -> what the candidates make of them.

        Without batch_norm normalisations do nothing. With taps, operations that the input reaches are run although the
        output does not depend on them; operations that get nothing but structural zeros are run for `zero` taps alone.
        The kind `twice` is no tap: it asks a network that is twice_alone for the form that can be differentiated twice.
        """
