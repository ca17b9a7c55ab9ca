"""Stack: A candidates run as one network. Layers in the stacked layout, and the base class of every space's networks.

Activations live as [N, A*C, H, W]: a convolution is grouped by candidate, and normalisation, ReLU and pooling need no
change. Where only some candidates (the members) have an operation, their channels are taken out, run together and added
back. One candidate is the same text and costs no more than a plain module: no channel is ever copied for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.spaces.operations import by_one_kernel, depthwise_mean, is_one, mean
from proxies.formulas.normalisation import EPSILON, batch_norm
from proxies.probing.network import Layer, Outputs, Tap, Taps, Weights, by_member

Rows = tuple[int, ...] | None

MOMENTUM = 0.1  # of a normalisation's running statistics, PyTorch's default


class Pass:
    """One pass through a stack: the operations, with given weights, and the taps that watch them.

    `members` are the candidates whose channels x holds, for the taps; `rows` picks among a layer's members those that
    take part, all of them by default.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        batch_norm: bool,
        taps: Taps | None,
        training: bool = False,
        plain_convolutions: bool = False,
    ) -> None:
        self.weights = weights
        self.batch_norm = batch_norm
        self.taps = taps
        self.training = training
        self.plain_convolutions = plain_convolutions

    def on_zeros(self) -> Pass | None:
        """The pass for operations that get structural zeros alone, where taps want them: only convolutions show."""
        if self.taps is None or "zero" not in self.taps.kinds:
            return None
        zeros = copy(self)
        zeros.taps = self.taps.only("conv")
        return zeros

    def conv(self, x: Tensor, layer: Layer, rows: Rows = None) -> Tensor:
        """[N, a*C_in, H, W], or [N, C_in, H, W] common to all members -> [N, a*C_out, H', W']; "same" padding."""
        kernels, members = self.weights.kernels[layer], _members(layer, rows)
        if self.plain_convolutions and len(members) > 1 and is_one(kernels):
            out = by_one_kernel(x, kernels[0], layer.stride, len(members))
        else:
            weight, groups = _pick(kernels, rows).flatten(0, 1), x.shape[1] // layer.shape[1]
            out = F.conv2d(x, weight, stride=layer.stride, padding=layer.shape[-1] // 2, groups=groups)
        self._tap("conv", out, members, before=x, layer=layer)
        self._tap("map", out, members)
        return out

    def norm(self, x: Tensor, layer: Layer, rows: Rows = None) -> Tensor:
        """Batch normalisation: by the batch's statistics in a fresh network or in training, else by the running ones.

        Training moves the running statistics, in place.
        """
        if not self.batch_norm:
            return x
        members = _members(layer, rows)
        self._tap("norm", x, members)
        trained = self.weights.norms.get(layer)
        if trained is None:
            out = batch_norm(x)
        else:
            scale, shift, mean, variance = (_pick(tensor, rows).flatten() for tensor in trained)
            out = F.batch_norm(x, mean, variance, scale, shift, self.training, MOMENTUM, EPSILON)
            if self.training and rows is not None:  # what was picked is a copy
                trained.mean[list(rows)], trained.variance[list(rows)] = (
                    v.unflatten(0, (len(rows), -1)) for v in (mean, variance)
                )
        self._tap("map", out, members)
        return out

    def relu(self, x: Tensor, members: tuple[int, ...], times: tuple[int, ...] | None = None) -> Tensor:
        """ReLU; `times` where it stands for several equal ones, 0 for a member that has none."""
        out = x.relu()
        if self.taps is not None:
            if times is not None and 0 in times:
                some = [i for i, count in enumerate(times) if count]
                x, seen = (take(y, some, len(members)) for y in (x, out))
                members, times = tuple(members[i] for i in some), tuple(times[i] for i in some)
            else:
                seen = out
            self._tap("relu", x, members, times=times)
            self._tap("map", seen, members, times=times)
        return out

    def avg_pool(self, x: Tensor, members: tuple[int, ...]) -> Tensor:
        """Average pooling, 3x3, same size, the padding left out of the mean."""
        out = depthwise_mean(x) if x.device.type == "cpu" and x.dtype == torch.float32 else mean(x)
        self._tap("map", out, members)
        return out

    def skip(self, x: Tensor, members: tuple[int, ...]) -> Tensor:
        """The identity."""
        self._tap("map", x, members)
        return x

    def block(self, x: Tensor, members: tuple[int, ...], before: Tensor | None = None) -> Tensor:
        """Says that the stem or a block ends here, and what it got."""
        self._tap("block", x, members, before=before)
        return x

    def stage(self, x: Tensor, members: tuple[int, ...]) -> Tensor:
        """Says that a stage ends here."""
        self._tap("stage", x, members)
        return x

    def _tap(
        self,
        kind: str,
        value: Tensor,
        members: tuple[int, ...],
        *,
        before: Tensor | None = None,
        layer: Layer | None = None,
        times: tuple[int, ...] | None = None,
    ) -> None:
        if self.taps is not None and kind in self.taps.kinds and members:
            self.taps.found.append(Tap(kind, members, value, before, layer, times))


def _members(layer: Layer, rows: Rows) -> tuple[int, ...]:
    return layer.members if rows is None else tuple(layer.members[row] for row in rows)


def _pick(tensor: Tensor, rows: Rows) -> Tensor:
    return tensor if rows is None else tensor[list(rows)]


class Sum:
    """A sum of maps [N, A*C, H, W], each given for some members only."""

    def __init__(self, candidates: int) -> None:
        self.candidates = candidates
        self.value: Tensor | None = None
        self._own = False  # whether the buffer is ours to write to

    def add(self, x: Tensor, members: Sequence[int]) -> None:
        """Add x [N, a*C, H, W] to the channels of its a members."""
        if len(members) == self.candidates:
            self.value = x if self.value is None else self.value + x
            self._own = False
            return
        stacked: Tensor = x.unflatten(1, (len(members), -1))
        if self.value is None:
            n, _, *rest = stacked.shape
            self.value = x.new_zeros(n, self.candidates, *rest).flatten(1, 2)
            self._own = True
        total: Tensor = self.value.unflatten(1, (self.candidates, -1))
        index = torch.tensor(members, device=x.device)
        total = total.index_add_(1, index, stacked) if self._own else total.index_add(1, index, stacked)
        self.value, self._own = total.flatten(1, 2), True


def take(x: Tensor, members: Sequence[int], candidates: int) -> Tensor:
    """The channels of some members: [N, A*C, H, W] -> [N, a*C, H, W]; x itself where that is all of them."""
    if len(members) == candidates:
        return x
    index = torch.tensor(members, device=x.device)
    stacked: Tensor = x.unflatten(1, (candidates, -1))
    return stacked.index_select(1, index).flatten(1, 2)


class Stack(ABC):
    """A networks of one space. A subclass lists its layers and says how they follow each other.

    Its constructor calls `conv`, `norm` and, last, `linear` for each layer, in an order of its own choosing that does
    not depend on the neighbours of a candidate. `plain_convolutions`: members that share a kernel run as more images of
    a plain convolution in place of groups, where no gradient by it is wanted; scores differ by rounding.
    """

    linear_head = True
    average_head = True
    twice_alone = False
    plain_convolutions = False
    lacks: Mapping[str, str] = MappingProxyType({"attention": "it has no attention"})

    def keeps(self, needs: frozenset[str]) -> int:
        """Unknown: how many candidates fit is measured (benchmarks/scoring/worker.py)."""
        return 0

    def apart(self, weights: Weights) -> bool:
        """Never: stacks normalise by batch statistics."""
        return False

    def __init__(self, candidates: int, classes: int, resolution: int) -> None:
        self.candidates = candidates
        self.classes = classes
        self.resolution = resolution
        self.layers: list[Layer] = []

    @property
    def head(self) -> Layer:
        """The linear classifier, the last layer."""
        return self.layers[-1]

    @property
    def everyone(self) -> tuple[int, ...]:
        """All candidates as members."""
        return tuple(range(self.candidates))

    def conv(
        self,
        role: str,
        channels: tuple[int, int],
        kernel: int,
        size: int,
        *,
        stride: int = 1,
        members: tuple[int, ...] | None = None,
        operation: str | None = None,
    ) -> Layer:
        """Declare a convolution of channels = (C_in, C_out) whose output has size x size positions."""
        c_in, c_out = channels
        name = operation or f"conv{kernel}x{kernel}"
        who = self.everyone if members is None else members
        return self._declare(Layer(role, name, (c_out, c_in, kernel, kernel), who, size * size, stride))

    def norm(self, role: str, channels: int, size: int, *, members: tuple[int, ...] | None = None) -> Layer:
        """Declare a batch normalisation."""
        who = self.everyone if members is None else members
        return self._declare(Layer(role, "batch_norm", (channels,), who, size * size, kind="norm", biases=channels))

    def linear(self, role: str, channels: int) -> Layer:
        """Declare the classifier."""
        shape = (self.classes, channels)
        return self._declare(Layer(role, "linear", shape, self.everyone, biases=self.classes, is_head=True))

    def _declare(self, layer: Layer) -> Layer:
        self.layers.append(layer)
        return layer

    @abstractmethod
    def state_key(self, role: str) -> str:
        """The prefix that a layer has in the state dicts of this network's usual implementation."""

    @abstractmethod
    def body(self, images: Tensor, run: Pass) -> Tensor:
        """images [N, 3, H, W] -> the features before global average pooling, [N, A*C, h, w]."""

    def __call__(
        self,
        images: Tensor,
        weights: Weights,
        *,
        batch_norm: bool = True,
        taps: Taps | None = None,
        training: bool = False,
    ) -> Outputs:
        """Run the stack and its head; see proxies.probing.network for the shapes.

        In training, normalisations that have a state use the batch's statistics and move their running ones.
        """
        if images.device.type == "cpu":
            images = images.contiguous(memory_format=torch.channels_last)  # measured: over twice as fast on a CPU
        plain = self.plain_convolutions
        run = Pass(weights, batch_norm=batch_norm, taps=taps, training=training, plain_convolutions=plain)
        features = by_member(self.body(images, run), self.candidates)
        pooled = features.mean((-2, -1))
        logits = torch.baddbmm(weights.bias.unsqueeze(1), pooled, weights.kernels[self.head].mT)
        return Outputs(features, pooled, logits)
