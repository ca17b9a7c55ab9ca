"""Probe: what a stack of networks shows on one batch. All autograd lives here; a proxy only asks.

Shape letters, used everywhere: A candidates, N images, K classes, C channels, H x W positions, M vectors of any kind,
D any flattened rest, a the members of one layer (the candidates of a stack that have it).

Every quantity is computed when first asked for, once. Asking is declaring: `asked` tells which quantities were wanted,
and a later Probe that gets it as `plan` runs one forward pass where the first one, not knowing, ran two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast, overload

import torch
from torch import Tensor

from proxies import similarity
from proxies.meter import Account, Meter, cost_alone
from proxies.network import Layer, Network, Outputs, Weights

if TYPE_CHECKING:
    from proxies.registry import Proxy

T = TypeVar("T")


class Measured(NamedTuple):
    """A layer's weight and the gradient of some scalar with respect to it, both [a, *layer.shape]."""

    layer: Layer
    weight: Tensor
    gradient: Tensor


class quantity(Generic[T]):  # noqa: N801, reads as the decorator it is
    """A property of a Probe, computed and timed once."""

    def __init__(self, compute: Callable[[Probe], T]) -> None:
        self.compute = compute
        self.name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, probe: None, owner: type) -> quantity[T]: ...
    @overload
    def __get__(self, probe: Probe, owner: type) -> T: ...
    def __get__(self, probe: Probe | None, owner: type) -> quantity[T] | T:
        if probe is None:
            return self
        return probe._ask(self.name, self.compute)


class Probe:
    """A candidates of a stack seen on one batch, beside a teacher.

    images [N, 3, H, W], labels [N]; `teacher` is itself a Probe, of one network on the same batch.
    """

    def __init__(
        self,
        network: Network,
        weights: Weights,
        images: Tensor,
        labels: Tensor,
        *,
        teacher: Probe | None = None,
        plan: frozenset[str] = frozenset(),
    ) -> None:
        self.network = network
        self.weights = weights
        self.images = images
        self.labels = labels
        self.plan = plan
        self.asked: set[str] = set()
        self._teacher = teacher
        self._meter: Meter = teacher._meter if teacher else Meter(cuda=images.is_cuda)
        self._values: dict[str, tuple[Any, Account]] = {}
        self._graph: tuple[Tensor, list[Tensor]] | None = None

    # -- passes ----------------------------------------------------------------------------------------------------

    @quantity
    def outputs(self) -> Outputs:
        """Features, pooled features and logits of one forward pass, cut off from any graph."""
        if "gradients" in self.plan:
            return self._forward_with_graph()
        with torch.no_grad():
            return self.network(self.images, self.weights)

    @quantity
    def gradients(self) -> list[Measured]:
        """Gradients of each candidate's mean cross-entropy with respect to its weights, layer by layer."""
        if "gradients" in self.plan:
            _ = self.outputs  # the planned pass leaves its graph behind
        if self._graph is None:
            self._forward_with_graph()
        assert self._graph is not None
        logits, kernels = self._graph
        self._graph = None
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), self.labels.repeat(self.network.candidates), reduction="sum"
        )
        gradients = torch.autograd.grad(loss / len(self.labels), kernels, materialize_grads=True)
        return [
            Measured(layer, weight, g)
            for (layer, weight), g in zip(self.weights.kernels.items(), gradients, strict=True)
        ]

    @quantity
    def flows(self) -> list[Measured]:
        """|w| and dR/d|w| in float64, R the summed logits for an image of ones, without any normalisation."""
        weights = self.weights.map(lambda w: w.abs().double().requires_grad_())
        ones = torch.ones_like(self.images[:1], dtype=torch.float64)
        flow = self.network(ones, weights, batch_norm=False).logits.sum()
        gradients = torch.autograd.grad(flow, list(weights.kernels.values()), materialize_grads=True)
        return [
            Measured(layer, weight.detach(), g)
            for (layer, weight), g in zip(weights.kernels.items(), gradients, strict=True)
        ]

    def _forward_with_graph(self) -> Outputs:
        weights = self.weights.map(lambda w: w.detach().requires_grad_())
        outputs = self.network(self.images, weights)
        self._graph = (outputs.logits, list(weights.kernels.values()))
        return Outputs(*(tensor.detach() for tensor in outputs))

    # -- what the passes show ----------------------------------------------------------------------------------------

    @property
    def teacher(self) -> Probe:
        """The teacher's Probe, of one network: its leading axis broadcasts over the candidates.

        Raises ValueError where the run has no teacher.
        """
        if self._teacher is None:
            raise ValueError("a teacher-aware proxy was asked for in a run without a teacher; name one with --teacher")
        return self._teacher

    @property
    def features(self) -> Tensor:
        """The last feature map, before global average pooling: [A, N, C, H, W]."""
        return self.outputs.features

    @property
    def pooled(self) -> Tensor:
        """Global average of the features: [A, N, C]."""
        return self.outputs.pooled

    @property
    def logits(self) -> Tensor:
        """Logits: [A, N, K]."""
        return self.outputs.logits

    @property
    def head_weight(self) -> Tensor:
        """The linear classifier's weight: [A, K, C]."""
        return self.weights.kernels[self.network.head]

    @quantity
    def head_gradient(self) -> Tensor:
        """Gradient of the mean cross-entropy with respect to the head's weight, (P - Y)' Hp / N: [A, K, C], float64.

        In closed form, so no backward pass: the head is linear in the pooled features Hp.
        """
        logits = self.logits.double()
        error = logits.softmax(-1) - torch.nn.functional.one_hot(self.labels, logits.shape[-1])
        return error.mT @ self.pooled.double() / len(self.labels)

    @quantity
    def sample_gram(self) -> Tensor:
        """Gram matrix over the batch of the flattened features: [A, N, N], float64."""
        return similarity.sample_gram(self.features)

    @quantity
    def cam_gram(self) -> Tensor:
        """Gram matrices over the classes of each image's class activation maps: [A, N, K, K], float64."""
        return similarity.gram(similarity.class_activation_maps(self.features, self.head_weight))

    # -- sums over layers --------------------------------------------------------------------------------------------

    def total(self, layers: Sequence[Measured], measure: Callable[[Measured], Tensor]) -> Tensor:
        """Sum over layers of a measure [a] of each: [A] in float64; a layer adds to its members alone."""
        total = torch.zeros(self.network.candidates, dtype=torch.float64, device=self.images.device)
        for item in layers:
            value = measure(item).double()
            if len(item.layer.members) == self.network.candidates:
                total = total + value
            else:
                total[list(item.layer.members)] += value
        return total

    def size(self, measure: Callable[[Layer], int]) -> Tensor:
        """Sum over layers of a number read off each layer's shape: [A] in float64."""
        total = [0] * self.network.candidates
        for layer in self.network.layers:
            value = measure(layer)
            for member in layer.members:
                total[member] += value
        return torch.tensor(total, dtype=torch.float64)

    # -- accounts ----------------------------------------------------------------------------------------------------

    def score(self, proxy: Proxy) -> tuple[Tensor, float]:
        """Scores [A] of one proxy on the host in float64, and the seconds they would cost alone.

        Shared passes count in full for each proxy that asks for them, the teacher's half for none. Raises ValueError
        when the proxy does not return A scores.
        """
        scores, account = self._meter.measure(self, lambda: proxy.score(self))
        expected = (self.network.candidates,)
        if scores.shape != expected:
            raise ValueError(f"proxy {proxy.name!r} returned shape {tuple(scores.shape)}; a stack wants {expected}")
        return scores.detach().double().cpu(), cost_alone(account)

    def _ask(self, name: str, compute: Callable[[Probe], T]) -> T:
        self.asked.add(name)
        if name not in self._values:
            self._values[name] = self._meter.measure(self, lambda: compute(self))
        value, account = self._values[name]
        self._meter.note(account)
        return cast(T, value)
