"""Passes of their own: networks run on other images, other weights, or parts of the batch, each for one quantity alone.

Not here: the pass over the whole batch that most quantities share, and the ways back on its graph (passes.py,
inside.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn.grad import conv2d_weight

from proxies.formulas import normalisation
from proxies.probing.inside import Inside
from proxies.probing.network import Tap, Taps, by_member
from proxies.probing.passes import NEEDS, Measured, Passes
from proxies.probing.quantities import quantity

ALONE = frozenset({"gradients"})  # what a pass over a part of the batch is for
ROUNDING = 1e-12  # of float64, after all that a gradient goes through


class Spread(NamedTuple):
    """Of what a normalisation got: the mean over channels of their variance over `number` values, [a] in float64."""

    members: tuple[int, ...]
    variance: Tensor
    number: int


class Perturbed(NamedTuple):
    """Change of the features under a change of the images [A, N, D]; how normalisations' inputs varied, both times."""

    change: Tensor
    before: list[Spread]
    after: list[Spread]


class Sensitivity(NamedTuple):
    """Gradients of every logit by one weight of a layer, [a, N, K]."""

    members: tuple[int, ...]
    values: Tensor


class ImageShares(NamedTuple):
    """A parameter's gradient, split by the image whose activations carry it: [a, N, *shape]."""

    members: tuple[int, ...]
    values: Tensor


Part = TypeVar("Part", Sensitivity, ImageShares)


class OwnPasses(Inside):
    """Passes, and those that have nothing of the shared one."""

    @quantity
    def flows(self) -> list[Measured]:
        """|w| and dR/d|w| in float64, R the summed logits for an image of ones, without any normalisation."""
        self._require("weights")
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
    def curvature(self) -> list[Measured]:
        """The Hessian of the loss times its gradient, H g, by a second backward pass on the same batch, in float64.

        Float32 errs by a quarter for a deep cell: what a ReLU rounds to the other side of 0 moves all that follows.
        """
        self._require("weights")
        exact = self._exact(slice(None))
        forward = exact._run(NEEDS["gradients"] | ({"twice"} if self.network.twice_alone else set()), times=3)
        first = exact._backward(forward, again=True).by_weight
        product = torch.stack([(g.detach() * g).sum() for g in first]).sum()
        return exact._measured(exact._back(product, list(forward.kernels.values())))

    @quantity
    def half_gradients(self) -> tuple[list[Measured], list[Measured]]:
        """Loss gradients of the two halves of the batch, each a batch of its own, in float64: see zico."""
        middle = len(self.labels) // 2
        first, second = (self._exact(part).gradients for part in (slice(0, middle), slice(middle, None)))
        return first, second

    def _exact(self, part: slice) -> Passes:
        """A part of the batch in float64, for what float32 does not resolve."""
        return Passes(self.network, self.weights.double(), self.images[part].double(), self.labels[part], plan=ALONE)

    @quantity
    def sign_sums(self) -> list[Measured]:
        """Over the images, each a batch of its own, the sum of the signs of the loss's gradients, in float64.

        A gradient that is nothing but rounding has no sign: all of a layer's may be, such as those in front of a
        normalisation whose output is averaged over its positions.
        """
        total: list[Measured] = []
        for image in range(len(self.labels)):
            one = self._exact(slice(image, image + 1)).gradients
            signs = [item._replace(gradient=_clear_sign(item.gradient)) for item in one]
            pairs = zip(total, signs, strict=True) if total else ()
            total = [old._replace(gradient=old.gradient + new.gradient) for old, new in pairs] or signs
        return total

    @quantity
    def label_shares(self) -> list[ImageShares]:
        """The gradient of the batch's summed label logits by each weight, split by image, the head's bias included.

        A share is what an image's own activations contribute to one backward pass: batch statistics mix the images, so
        it is not the gradient of that image's logit.
        """
        self._require("weights")
        head, taps = self.network.head, Taps("conv")
        outputs = self.network(self.images.clone().requires_grad_(), self.weights, taps=taps)
        labels = self.labels[None, :, None].expand(len(outputs.logits), -1, 1)
        total = outputs.logits.gather(2, labels).sum()
        gradients = self._back(total, [tap.value for tap in taps.found])
        pairs = list(zip(taps.found, gradients, strict=True))
        shares = _by_weight(taps.found, [_by_image(tap, gradient) for tap, gradient in pairs])
        own = [tap.arrange(gradient).flatten(3).sum(3) for tap, gradient in pairs if tap.layer is head]
        if own:  # a module taps its head as well
            return [*shares, ImageShares(head.members, torch.stack(own).sum(0))] if head.biases else shares
        bias = torch.zeros_like(outputs.logits).scatter(2, labels, 1)
        weight = bias[..., None] * outputs.pooled.detach()[:, :, None]
        return [*shares, *(ImageShares(head.members, values) for values in (weight, bias))]

    @quantity
    def few_relus(self) -> list[Tap]:
        """What each ReLU gets from the first 16 images alone. Raises ValueError for a network that has none."""
        return self._of_all(self._watched(self.images[:16], "relu"), "ReLU")

    @quantity
    def maps(self) -> list[Tap]:
        """What every operation gives for the first image alone."""
        return self._watched(self.images[:1], "map")

    def _watched(self, images: Tensor, kind: str) -> list[Tap]:
        self._require(kind)
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
        self._require("norm", "features")
        features, spreads = [], []
        with torch.no_grad():
            for shown in (images, images + 0.01 * other):
                taps = Taps("norm")
                features.append(self.network(shown, unit, taps=taps).features)
                spreads.append([_spread(tap) for tap in taps.found])
        return Perturbed((features[0] - features[1]).flatten(2), *spreads)

    @quantity
    def sensitivities(self) -> list[Sensitivity]:
        """Without normalisation: gradients of every logit by the middle of a layer's first kernel."""
        self._require("weights")
        head, taps = self.network.head, Taps("conv")
        images = self.images.clone().requires_grad_()
        outputs = self.network(images, self.weights, batch_norm=False, taps=taps)
        convs = taps.of("conv")
        by_class = [
            self._back(outputs.logits[..., k].sum(), [tap.value for tap in convs])
            for k in range(outputs.logits.shape[-1])
        ]
        columns = zip(*by_class, strict=True)
        found = [_at_first_weight(tap, column) for tap, column in zip(convs, columns, strict=True)]
        found = _by_weight(convs, found)
        if any(tap.layer is head for tap in convs):  # a module taps its head as well
            return found
        own = torch.zeros_like(outputs.logits)
        own[..., 0] = outputs.pooled[..., 0]
        return [*found, Sensitivity(head.members, own.detach())]


def _by_weight(taps: Sequence[Tap], found: Sequence[Part]) -> list[Part]:
    """What was found at each tap, weight by weight: a module's weight that is used twice has two, which add up."""
    by_weight: dict[object, Part] = {}
    for tap, part in zip(taps, found, strict=True):
        key = tap.layer, tap.members
        known = by_weight.get(key)
        by_weight[key] = part if known is None else part._replace(values=known.values + part.values)
    return list(by_weight.values())


def _clear_sign(gradient: Tensor) -> Tensor:
    """Signs of the loss's gradients by a layer's weights, [a, *shape] in float64; 0 for what is rounding alone.

    That is little beside the layer's largest, or beside 1, the size of the loss's gradient by a logit.
    """
    largest = gradient.abs().flatten(1).amax(1).clamp_min(1).view(-1, *[1] * (gradient.ndim - 1))
    return torch.where(gradient.abs() > ROUNDING * largest, gradient.sign(), 0.0)


def _by_image(tap: Tap, gradient: Tensor) -> ImageShares:
    """A convolution's weight gradient, image by image: one convolution with the images as further groups."""
    assert tap.layer is not None
    assert tap.before is not None
    if tap.again is not None:
        return _by_image_again(tap, gradient)
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


def _by_image_again(tap: Tap, gradient: Tensor) -> ImageShares:
    """The weight gradient of a module's layer, image by image: the layer again, with each image's rows alone."""
    assert tap.layer is not None
    assert tap.before is not None
    assert tap.again is not None
    axis, each = (0, [[image] for image in range(len(gradient))]) if tap.layout is None else tap.layout.rows(gradient)
    shares: list[Tensor] = []
    for rows in each:
        index = torch.tensor(rows, device=gradient.device)
        weight = gradient.new_zeros(tap.layer.shape).requires_grad_()
        given = tap.again(tap.before.detach().index_select(axis, index), weight)
        shares += torch.autograd.grad(given, weight, gradient.index_select(axis, index))
    return ImageShares(tap.members, torch.stack(shares)[None])


def _spread(tap: Tap) -> Spread:
    """How much what a normalisation got varies."""
    x = tap.value if tap.layout is None else tap.stacked()[0]
    if x.ndim != 4:
        x = x.reshape(*x.shape[:2], -1, 1)
    by_channel = normalisation.variance(x).double().view(len(tap.members), -1)
    return Spread(tap.members, by_channel.mean(-1), x.numel() // x.shape[1])


def _at_first_weight(tap: Tap, by_class: Sequence[Tensor]) -> Sensitivity:
    """Gradients by the weight [0, 0, middle, middle]: the gradient by the first map, times the input it looks at."""
    assert tap.layer is not None
    assert tap.before is not None
    if tap.again is not None:  # what the weight sees is what a kernel gives that has no other
        only = tap.before.new_zeros(tap.layer.shape)
        only[(0, 0, *(size // 2 for size in tap.layer.shape[2:]))] = 1
        seen = tap.arrange(tap.again(tap.before.detach(), only))[:, :, 0]
        values = [(tap.arrange(gradient)[:, :, 0] * seen).sum((-2, -1)) for gradient in by_class]
        return Sensitivity(tap.members, torch.stack(values, -1))
    step, members = tap.layer.stride, len(tap.members)
    groups = (
        tap.before.shape[1] // tap.layer.shape[1]
    )  # over all members; fewer than these where they share their input
    inputs = by_member(tap.before, members if groups >= members else 1)
    seen = inputs[:, :, 0, ::step, ::step].detach()
    values = [(by_member(gradient, members)[:, :, 0] * seen).sum((-2, -1)) for gradient in by_class]
    return Sensitivity(tap.members, torch.stack(values, -1))
