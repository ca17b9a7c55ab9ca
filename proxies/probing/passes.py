"""The pass over the whole batch that quantities share, and every way back on its graph.

What is wanted of the pass is learned: a Probe that gets the `asked` of an earlier one as `plan` runs one pass where the
first one, not knowing, ran several. Not here: what lies inside the networks (inside.py), passes over other images or
weights (own_passes.py), and what a proxy reads off the passes (probe.py, with the shape letters). All autograd is here
and in these two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from proxies.probing.memory import check_room
from proxies.probing.meter import Meter
from proxies.probing.network import Layer, Network, Outputs, Taps, Undefined, Weights, by_member
from proxies.probing.parts import JOINED, pieces
from proxies.probing.quantities import Quantities, quantity

T = TypeVar("T")
Noise = Callable[[str, tuple[int, ...]], Tensor]


class Measured(NamedTuple):
    """A layer's weight [a, *layer.shape], and a gradient by it: of the same shape, or [a, N, *layer.shape] by image."""

    layer: Layer
    weight: Tensor
    gradient: Tensor


class Forward(NamedTuple):
    """A pass over the whole batch, and what it was run for."""

    outputs: Outputs
    taps: Taps
    kernels: dict[Layer, Tensor]
    images: Tensor
    needs: frozenset[str]


class LossGradients(NamedTuple):
    """Gradients of the loss by weights, and by the outputs of convolutions and head where those were tapped."""

    by_weight: list[Tensor]
    by_output: list[Tensor]
    forward: Forward


def _needs(*names: str) -> frozenset[str]:
    return frozenset(names)


# What a quantity needs of the pass: a graph to go back on, images of each candidate's own, or kinds of taps.
NEEDS: dict[str, frozenset[str]] = {
    "gradients": _needs("graph"),
    "responses": _needs("graph", "conv", "zero"),
    "input_gradients": _needs("graph", "images"),
    "sum_gradients": _needs("graph"),
    "label_gradients": _needs("graph"),
    "transport": _needs("graph", "block"),
    "blocks": _needs("block"),
    "relus": _needs("relu"),
    "stages": _needs("stage"),
    "class_gradients": _needs("graph", "features", "channels"),
    "feature_gradients": _needs("graph", "features"),
    "stage_gradients": _needs("graph", "stage"),
    "attention_maps": _needs("attention"),
}


class Passes(Quantities):
    """The passes of A candidates on one batch, images [N, 3, H, W] and labels [N].

    `noise` gives N(0, 1) tensors by name and shape for the few quantities that need some, and depends on nothing else.
    """

    def __init__(
        self,
        network: Network,
        weights: Weights,
        images: Tensor,
        labels: Tensor,
        *,
        meter: Meter | None = None,
        noise: Noise | None = None,
        plan: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(meter or Meter(images.device), plan)
        self.network = network
        self.weights = weights
        self._images = images
        self._labels = labels
        self._noise = noise
        self._handed.out("weights", weights)
        self._handed.out("images", images)
        self._handed.out("labels", labels)

    @property
    def images(self) -> Tensor:
        """The batch's images, [N, 3, H, W]."""
        self.note("images")
        return self._images

    @property
    def labels(self) -> Tensor:
        """The batch's labels, [N]."""
        self.note("labels")
        return self._labels

    @cached_property
    def _pieces(self) -> list[slice]:
        """The pieces that the batch is run in, by a pass with a graph: several where it is large and they are apart."""
        found = pieces(len(self._images), self._keeps(NEEDS["gradients"]))
        return found if len(found) > 1 and self.network.apart(self.weights) else [slice(None)]

    def _keeps(self, needs: frozenset[str]) -> int:
        """Bytes that a pass holds for each image."""
        return self.network.keeps(needs) * self._images.element_size() // 4

    def _in_pieces(self, name: str) -> bool:
        return name in JOINED and len(self._pieces) > 1

    def _computed(self, name: str, compute: Callable[[Any], T]) -> T:
        """A quantity's value, put together from pieces of the batch where it is large."""
        if not self._in_pieces(name):
            return compute(self)
        values, shares = [], []
        for piece in self._pieces:
            images, labels = self._images[piece], self._labels[piece]
            part = type(self)(self.network, self.weights, images, labels, noise=self._noise, plan=frozenset({name}))
            self._own(part)
            values.append(getattr(part, name))
            shares.append(len(images) / len(self._images))
            self._asked |= part._asked
        joined: T = JOINED[name](values, shares)
        return joined

    def _forward(self, needs: frozenset[str] = frozenset()) -> Forward:
        """The pass over the batch: one, where the plan foresaw what it is needed for."""
        self._require(*needs)
        if "pass" not in self._values or not needs <= self._values["pass"][0].needs:
            planned = (NEEDS[name] for name in self.plan if name in NEEDS and not self._in_pieces(name))
            self._book("pass", lambda: self._run(needs.union(*planned) - self.network.lacks.keys()))
        forward: Forward = self._recall("pass")
        return forward

    def _require(self, *kinds: str) -> None:
        """Raises Undefined where the network lacks something."""
        for kind in sorted(self.network.lacks.keys() & kinds):
            raise Undefined(self.network.lacks[kind])

    def _run(self, needs: frozenset[str], *, times: int = 1) -> Forward:
        """The pass; `times`: of what it holds, what is done on its graph holds so much in all."""
        check_room(
            times * len(self._images) * self._keeps(needs),
            f"a pass over {len(self._images)} images",
            self._images.device,
        )
        taps = Taps(*(needs - {"graph", "images"}))
        graph = "graph" in needs
        with torch.set_grad_enabled(graph):
            weights = self.weights.leaves() if graph else self.weights
            images = self.images
            if "images" in needs:
                images = images.repeat(1, self.network.candidates, 1, 1).requires_grad_()
            outputs = self.network(images, weights, taps=taps if taps.kinds else None)
        return Forward(outputs, taps, weights.kernels, images, needs)

    def _loss_gradients(self, needs: frozenset[str]) -> LossGradients:
        """Gradients of each candidate's mean cross-entropy."""
        if "responses" in self.plan:
            needs |= NEEDS["responses"]
        known = self._values.get("loss")
        if known is None or not needs <= known[0].forward.needs:
            self._book("loss", lambda: self._backward(self._forward(needs)))
        found: LossGradients = self._recall("loss")
        if not self._graph_is_wanted():  # the graph is used up
            forward, account = self._values["pass"]
            self._values["pass"] = forward._replace(needs=forward.needs - {"graph"}), account
        return found

    def _backward(self, forward: Forward, *, again: bool = False) -> LossGradients:
        """Gradients of the loss on a pass's graph; fit to be differentiated `again` where that is wanted."""
        outputs = [tap.value for tap in forward.taps.of("conv")]
        if "conv" in forward.needs:
            outputs.append(forward.outputs.logits)
        found = torch.autograd.grad(
            self._loss(forward),
            [*forward.kernels.values(), *outputs],
            materialize_grads=True,
            retain_graph=again or self._graph_is_wanted(),
            create_graph=again,
        )
        count = len(forward.kernels)
        return LossGradients(list(found[:count]), list(found[count:]), forward)

    def _loss(self, forward: Forward) -> Tensor:
        """The sum over the candidates of each one's mean cross-entropy."""
        logits, labels = forward.outputs.logits.flatten(0, 1), self.labels.repeat(self.network.candidates)
        return cross_entropy(logits, labels, reduction="sum") / len(self.labels)

    def _graph_is_wanted(self) -> bool:
        """Whether the plan has another way back on the pass's graph."""
        return len({name for name in self.plan if "graph" in NEEDS.get(name, ())} - {"gradients", "responses"}) > 0

    def _back(self, outputs: Tensor, inputs: Sequence[Tensor], seed: Tensor | None = None) -> tuple[Tensor, ...]:
        """Gradients on the pass's graph, which stays for others; 0 where the outputs depend on nothing."""
        if not outputs.requires_grad or not all(one.requires_grad for one in inputs):
            return tuple(torch.zeros_like(one) for one in inputs)
        return torch.autograd.grad(outputs, inputs, seed, retain_graph=True, materialize_grads=True)

    @quantity
    def outputs(self) -> Outputs:
        """Features, pooled features and logits of one forward pass, cut off from any graph."""
        return Outputs(*(tensor.detach() for tensor in self._forward().outputs))

    @quantity
    def gradients(self) -> list[Measured]:
        """Gradients of each candidate's mean cross-entropy with respect to its weights, layer by layer."""
        self._require("weights")
        return self._measured([gradient.detach() for gradient in self._loss_gradients(NEEDS["gradients"]).by_weight])

    @property
    def kernels(self) -> dict[Layer, Tensor]:
        """The weights of each layer, [a, *layer.shape]. Raises Undefined, as all by weights, where there are others."""
        self._require("weights")
        return self.weights.kernels

    @quantity
    def input_gradients(self) -> Tensor:
        """Gradients of each candidate's summed logits with respect to the images: [A, N, 3*H*W]."""
        forward = self._forward(NEEDS["input_gradients"])
        (gradient,) = self._back(forward.outputs.logits.sum(), [forward.images])
        return by_member(gradient, self.network.candidates).flatten(2)

    @quantity
    def sum_gradients(self) -> list[Measured]:
        """For each image the gradient of its summed logits by the weights, batch statistics and all: [a, N, *shape]."""
        logits = self._forward(NEEDS["sum_gradients"]).outputs.logits
        return self._by_image([logits[:, image].sum() for image in range(len(self.images))])

    @quantity
    def label_gradients(self) -> list[Measured]:
        """For each image the gradient of its label's logit by the weights: [a, N, *shape]."""
        logits = self._forward(NEEDS["label_gradients"]).outputs.logits
        return self._by_image([logits[:, image, label].sum() for image, label in enumerate(self.labels)])

    def _by_image(self, outputs: Sequence[Tensor]) -> list[Measured]:
        self._require("weights")
        kernels = list(self._forward(_needs("graph")).kernels.values())
        size = 2 * len(outputs) * sum(kernel.nbytes for kernel in kernels)  # before and after they are put together
        check_room(size, f"the gradients of {len(outputs)} images", self._images.device)
        rows = [self._back(output, kernels) for output in outputs]
        return self._measured([torch.stack(column, dim=1) for column in zip(*rows, strict=True)])

    def noise(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """N(0, 1) numbers of this name and shape, the same for every candidate, of the images' type and device.

        Raises ValueError where the Probe was given no source of noise.
        """
        if self._noise is None:
            raise ValueError("a proxy that needs noise was asked of a Probe without a source of noise")
        key, draw = f"noise({name!r}, {shape})", self._noise
        if not self._knows(key):
            self._book(key, lambda: draw(name, shape).to(self._images))
        found: Tensor = self._recall(key)
        return found

    def _measured(self, gradients: Sequence[Tensor]) -> list[Measured]:
        pairs = zip(self.weights.kernels.items(), gradients, strict=True)
        return [Measured(layer, weight, gradient) for (layer, weight), gradient in pairs]
