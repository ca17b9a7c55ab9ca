"""Passes: every way that a stack of networks is run or gone back through. All autograd lives here.

Every quantity is computed when first asked for, once. Asking is declaring: `asked` tells which quantities were wanted,
and a later Probe that gets it as `plan` runs one pass where the first one, not knowing, ran several. What passes show
stands in proxies/probing/probe.py, with the shape letters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, Self, TypeVar, cast, overload

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.grad import conv2d_weight

from proxies.probing.meter import Account, Meter
from proxies.probing.network import Layer, Network, Outputs, Tap, Taps, Weights, by_member

T = TypeVar("T")
Noise = Callable[[str, tuple[int, ...]], Tensor]


class Measured(NamedTuple):
    """A layer's weight [a, *layer.shape], and a gradient by it: of the same shape, or [a, N, *layer.shape] by image."""

    layer: Layer
    weight: Tensor
    gradient: Tensor


class Response(NamedTuple):
    """What a layer gives some members, [a, N, C, positions], and the loss's gradient by it."""

    layer: Layer
    members: tuple[int, ...]
    output: Tensor
    gradient: Tensor


class Perturbed(NamedTuple):
    """Change of the features under a change of the images [A, N, D]; what each normalisation got, before and after."""

    change: Tensor
    before: list[Tap]
    after: list[Tap]


class Sensitivity(NamedTuple):
    """Gradients of every logit by one weight of a layer, [a, N, K]."""

    members: tuple[int, ...]
    values: Tensor


class ImageShares(NamedTuple):
    """A layer's gradient of one sum over the batch, split by the image whose activations carry it: [a, N, *shape]."""

    members: tuple[int, ...]
    values: Tensor


class quantity(Generic[T]):  # noqa: N801, reads as the decorator it is
    """A property of a Probe, computed and timed once."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute = compute
        self.name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, probe: None, owner: type) -> Self: ...
    @overload
    def __get__(self, probe: Passes, owner: type) -> T: ...
    def __get__(self, probe: Passes | None, owner: type) -> Self | T:
        if probe is None:
            return self
        probe.asked.add(self.name)
        if not probe._knows(self.name):
            probe._book(self.name, lambda: self.compute(probe))
        return cast(T, probe._recall(self.name))


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
    again: bool


def _needs(*names: str) -> frozenset[str]:
    return frozenset(names)


# What a quantity needs of the pass: a graph to go back on, images of each candidate's own, or kinds of taps.
NEEDS: dict[str, frozenset[str]] = {
    "gradients": _needs("graph"),
    "curvature": _needs("graph"),
    "responses": _needs("graph", "conv", "zero"),
    "input_gradients": _needs("graph", "images"),
    "sum_gradients": _needs("graph"),
    "label_gradients": _needs("graph"),
    "label_shares": _needs("graph", "conv"),
    "transport": _needs("graph", "block"),
    "blocks": _needs("block"),
    "relus": _needs("relu"),
    "stages": _needs("stage"),
}


class Passes:
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
        self.network = network
        self.weights = weights
        self._images = images
        self._labels = labels
        self.plan = plan
        self.asked: set[str] = set()
        self._noise = noise
        self._meter = meter or Meter(cuda=images.is_cuda)
        self._values: dict[str, tuple[Any, Account]] = {}

    @property
    def images(self) -> Tensor:
        """The batch's images, [N, 3, H, W]."""
        self.asked.add("images")
        return self._images

    @property
    def labels(self) -> Tensor:
        """The batch's labels, [N]."""
        self.asked.add("labels")
        return self._labels

    # -- the pass over the batch, and the ways back on its graph -----------------------------------------------------

    def _forward(self, needs: frozenset[str] = frozenset()) -> Forward:
        """The pass over the batch: one, where the plan foresaw what it is needed for."""
        if "pass" not in self._values or not needs <= self._values["pass"][0].needs:
            planned = (NEEDS[name] for name in self.plan if name in NEEDS)
            self._book("pass", lambda: self._run(needs.union(*planned)))
        forward: Forward = self._recall("pass")
        return forward

    def _knows(self, name: str) -> bool:
        return name in self._values

    def _book(self, name: str, compute: Callable[[], object]) -> None:
        """Compute and keep a value, with its cost."""
        self._values[name] = self._meter.measure(self, compute)

    def _recall(self, name: str) -> Any:
        """A value that is known; whatever is being computed has asked for it."""
        value, account = self._values[name]
        self._meter.note(account)
        return value

    def _run(self, needs: frozenset[str]) -> Forward:
        taps = Taps(*(needs - {"graph", "images"}))
        graph = "graph" in needs
        with torch.set_grad_enabled(graph):
            weights = self.weights.map(lambda w: w.detach().requires_grad_()) if graph else self.weights
            images = self.images
            if "images" in needs:
                images = images.repeat(1, self.network.candidates, 1, 1).requires_grad_()
            outputs = self.network(images, weights, taps=taps if taps.kinds else None)
        return Forward(outputs, taps, weights.kernels, images, needs)

    def _loss_gradients(self, needs: frozenset[str], *, again: bool = False) -> LossGradients:
        """Gradients of each candidate's mean cross-entropy; fit to be differentiated `again` where that is wanted."""
        again = again or "curvature" in self.plan
        if "responses" in self.plan:
            needs |= NEEDS["responses"]
        known = self._values.get("loss")
        if known is None or not (needs <= known[0].forward.needs and again <= known[0].again):
            self._book("loss", lambda: self._backward(self._forward(needs), again=again))
        found: LossGradients = self._recall("loss")
        if not (found.again or self._graph_is_wanted()):  # the graph is used up
            forward, account = self._values["pass"]
            self._values["pass"] = forward._replace(needs=forward.needs - {"graph"}), account
        return found

    def _backward(self, forward: Forward, *, again: bool) -> LossGradients:
        logits = forward.outputs.logits
        loss = cross_entropy(logits.flatten(0, 1), self.labels.repeat(self.network.candidates), reduction="sum")
        outputs = [tap.value for tap in forward.taps.of("conv")]
        if "conv" in forward.needs:
            outputs.append(logits)
        found = torch.autograd.grad(
            loss / len(self.labels),
            [*forward.kernels.values(), *outputs],
            materialize_grads=True,
            retain_graph=again or self._graph_is_wanted(),
            create_graph=again,
        )
        count = len(forward.kernels)
        return LossGradients(list(found[:count]), list(found[count:]), forward, again)

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
        return self._measured([gradient.detach() for gradient in self._loss_gradients(NEEDS["gradients"]).by_weight])

    @quantity
    def curvature(self) -> list[Measured]:
        """The Hessian of the loss times its gradient, H g, by a second backward pass on the same batch."""
        first = self._loss_gradients(NEEDS["curvature"], again=True)
        product = torch.stack([(g.detach() * g).sum() for g in first.by_weight]).sum()
        return self._measured(list(self._back(product, list(first.forward.kernels.values()))))

    @quantity
    def responses(self) -> list[Response]:
        """What each convolution and the head give, before normalisation, and the loss's gradients by it.

        Convolutions that nothing but structural zeros reach are among them: they give 0, and a gradient may arrive.
        """
        found = self._loss_gradients(NEEDS["responses"])
        responses = []
        for tap, gradient in zip(found.forward.taps.of("conv"), found.by_output[:-1], strict=True):
            assert tap.layer is not None
            back = by_member(gradient, len(tap.members)).flatten(3)
            responses.append(Response(tap.layer, tap.members, tap.stacked().detach().flatten(3), back.detach()))
        head = self.network.head
        logits, back = found.forward.outputs.logits, found.by_output[-1]
        return [*responses, Response(head, head.members, logits.detach()[..., None], back.detach()[..., None])]

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

    @quantity
    def label_shares(self) -> list[ImageShares]:
        """The gradient of the batch's summed label logits by each weight, split by image, the head's bias included.

        A share is what an image's own activations contribute to one backward pass: batch statistics mix the images, so
        it is not the gradient of that image's logit.
        """
        forward = self._forward(NEEDS["label_shares"])
        logits, pooled = forward.outputs.logits, forward.outputs.pooled.detach()
        taps = forward.taps.of("conv")
        labels = self.labels[None, :, None].expand(len(logits), -1, 1)
        gradients = self._back(logits.gather(2, labels).sum(), [tap.value for tap in taps])
        shares = [_by_image_share(tap, gradient) for tap, gradient in zip(taps, gradients, strict=True)]
        chosen = torch.zeros_like(pooled[..., :1]).expand(-1, -1, logits.shape[2]).scatter(2, labels, 1)  # [A, N, K]
        everyone = self.network.head.members
        return [*shares, ImageShares(everyone, chosen[..., None] * pooled[:, :, None]), ImageShares(everyone, chosen)]

    def _by_image(self, outputs: Sequence[Tensor]) -> list[Measured]:
        kernels = list(self._forward(_needs("graph")).kernels.values())
        rows = [self._back(output, kernels) for output in outputs]
        return self._measured([torch.stack(column, dim=1) for column in zip(*rows, strict=True)])

    @quantity
    def blocks(self) -> list[Tap]:
        """What the stem and each block give, in order."""
        return [tap._replace(value=tap.value.detach()) for tap in self._forward(NEEDS["blocks"]).taps.of("block")]

    @quantity
    def transport(self) -> list[tuple[Tap, Tensor, Tensor]]:
        """For each block a random vector of +-1 at its output and what it becomes at its input, by one step back."""
        found = []
        blocks = [tap for tap in self._forward(NEEDS["transport"]).taps.of("block") if tap.before is not None]
        for tap in blocks:
            assert tap.before is not None
            shape = (tap.value.shape[0], tap.value.shape[1] // len(tap.members), *tap.value.shape[2:])
            signs = self.noise("transport", shape).sign().repeat(1, len(tap.members), 1, 1)
            (back,) = self._back(tap.value, [tap.before], signs.to(tap.value))
            found.append((tap, signs, back))
        return found

    @quantity
    def relus(self) -> list[Tap]:
        """What each ReLU gets; equal ReLUs share a tap that says how many they are."""
        return [tap._replace(value=tap.value.detach()) for tap in self._forward(NEEDS["relus"]).taps.of("relu")]

    @quantity
    def stages(self) -> list[Tensor]:
        """What each stage gives: [A, N, C, H, W]."""
        return [tap.stacked().detach() for tap in self._forward(NEEDS["stages"]).taps.of("stage")]

    # -- passes of their own -----------------------------------------------------------------------------------------

    @quantity
    def flows(self) -> list[Measured]:
        """|w| and dR/d|w| in float64, R the summed logits for an image of ones, without any normalisation."""
        weights = self.weights.map(lambda w: w.abs().double().requires_grad_())
        ones = torch.ones_like(self._images[:1], dtype=torch.float64)
        flow = self.network(ones, weights, batch_norm=False).logits.sum()
        kernels = list(weights.kernels.values())
        gradients = torch.autograd.grad(flow, kernels, materialize_grads=True)
        return [
            Measured(layer, kernel.detach(), gradient)
            for layer, kernel, gradient in zip(weights.kernels, kernels, gradients, strict=True)
        ]

    @quantity
    def half_gradients(self) -> tuple[list[Measured], list[Measured]]:
        """Loss gradients of the two halves of the batch, each a batch of its own."""
        middle = len(self.labels) // 2
        first, second = (self._loss_gradients_of(part) for part in (slice(0, middle), slice(middle, None)))
        return first, second

    @quantity
    def sign_sums(self) -> list[Measured]:
        """Over the images, each a batch of its own, the sum of the signs of the loss's gradients."""
        total: list[Measured] = []
        for image in range(len(self.labels)):
            one = self._loss_gradients_of(slice(image, image + 1))
            signs = [item._replace(gradient=item.gradient.sign()) for item in one]
            pairs = zip(total, signs, strict=True) if total else ()
            total = [old._replace(gradient=old.gradient + new.gradient) for old, new in pairs] or signs
        return total

    def _loss_gradients_of(self, part: slice) -> list[Measured]:
        """Loss gradients of a part of the batch."""
        some = Passes(self.network, self.weights, self.images[part], self.labels[part], plan=frozenset({"gradients"}))
        return some.gradients

    @quantity
    def few_relus(self) -> list[Tap]:
        """What each ReLU gets from the first 16 images alone."""
        return self._watched(self.images[:16], "relu")

    @quantity
    def maps(self) -> list[Tap]:
        """What every operation gives for the first image alone."""
        return self._watched(self.images[:1], "map")

    def _watched(self, images: Tensor, kind: str) -> list[Tap]:
        taps = Taps(kind)
        with torch.no_grad():
            self.network(images, self.weights, taps=taps)
        return taps.found

    @quantity
    def perturbed(self) -> Perturbed:
        """The network with weights of unit deviation on noise, and on that noise plus a hundredth of other noise."""
        unit = self.weights.map(lambda w: w)
        for layer, kernel in unit.kernels.items():
            axes = tuple(range(1, kernel.ndim))
            deviation = kernel.square().mean(axes, keepdim=True).sqrt()
            unit.kernels[layer] = kernel / torch.where(deviation == 0, 1.0, deviation)
        images, other = (self.noise(name, tuple(self._images.shape)) for name in ("zen images", "zen change"))
        taps = Taps("norm")
        with torch.no_grad():
            first = self.network(images, unit, taps=taps).features
            second = self.network(images + 0.01 * other, unit, taps=taps).features
        count = len(taps.found) // 2
        return Perturbed((first - second).flatten(2), taps.found[:count], taps.found[count:])

    @quantity
    def sensitivities(self) -> list[Sensitivity]:
        """Without normalisation: gradients of every logit by the middle of a layer's first kernel."""
        taps = Taps("conv")
        images = self.images.clone().requires_grad_()
        outputs = self.network(images, self.weights, batch_norm=False, taps=taps)
        convs = taps.of("conv")
        by_class = [
            self._back(outputs.logits[..., k].sum(), [tap.value for tap in convs])
            for k in range(outputs.logits.shape[-1])
        ]
        found = [_at_first_weight(tap, column) for tap, column in zip(convs, zip(*by_class, strict=True), strict=True)]
        head = torch.zeros_like(outputs.logits)
        head[..., 0] = outputs.pooled[..., 0]
        return [*found, Sensitivity(self.network.head.members, head.detach())]

    def noise(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """N(0, 1) numbers of this name and shape, the same for every candidate, of the images' type and device.

        Raises ValueError where the Probe was given no source of noise.
        """
        if self._noise is None:
            raise ValueError("a proxy that needs noise was asked of a Probe without a source of noise")
        return self._noise(name, shape).to(self._images)

    def _measured(self, gradients: Sequence[Tensor]) -> list[Measured]:
        pairs = zip(self.weights.kernels.items(), gradients, strict=True)
        return [Measured(layer, weight, gradient) for (layer, weight), gradient in pairs]


def _by_image_share(tap: Tap, gradient: Tensor) -> ImageShares:
    """A convolution's weight gradient, image by image: one convolution with the images as further groups."""
    assert tap.layer is not None
    assert tap.before is not None
    layer, images = tap.layer, len(gradient)
    found = conv2d_weight(
        tap.before.detach().flatten(0, 1)[None],
        (gradient.shape[0] * gradient.shape[1], *layer.shape[1:]),
        gradient.flatten(0, 1)[None],
        stride=layer.stride,
        padding=layer.shape[-1] // 2,
        groups=images * (tap.before.shape[1] // layer.shape[1]),
    )
    return ImageShares(tap.members, found.unflatten(0, (images, len(tap.members), -1)).transpose(0, 1))


def _at_first_weight(tap: Tap, by_class: Sequence[Tensor]) -> Sensitivity:
    """Gradients by the weight [0, 0, middle, middle]: the gradient by the first map, times the input it looks at."""
    assert tap.layer is not None
    assert tap.before is not None
    step = tap.layer.stride
    seen = by_member(tap.before, tap.before.shape[1] // tap.layer.shape[1])[:, :, 0, ::step, ::step].detach()
    members = len(tap.members)
    values = [(by_member(gradient, members)[:, :, 0] * seen).sum((-2, -1)) for gradient in by_class]
    return Sensitivity(tap.members, torch.stack(values, -1))
