"""Passes of their own: networks run on other images, other weights, or parts of the batch, each for one quantity alone.

Not here: the pass over the whole batch that most quantities share, and the ways back on its graph (passes.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from proxies.probing.network import Tap, Taps, by_member
from proxies.probing.passes import Measured, Passes
from proxies.probing.quantities import quantity


class Perturbed(NamedTuple):
    """Change of the features under a change of the images [A, N, D]; what each normalisation got, before and after."""

    change: Tensor
    before: list[Tap]
    after: list[Tap]


class Sensitivity(NamedTuple):
    """Gradients of every logit by one weight of a layer, [a, N, K]."""

    members: tuple[int, ...]
    values: Tensor


class OwnPasses(Passes):
    """Passes, and those that have nothing of the shared one."""

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
        taps = Taps("norm")
        with torch.no_grad():
            first = self.network(images, unit, taps=taps).features
            second = self.network(images + 0.01 * other, unit, taps=taps).features
        count = len(taps.found) // 2
        return Perturbed((first - second).flatten(2), taps.found[:count], taps.found[count:])

    @quantity
    def sensitivities(self) -> list[Sensitivity]:
        """Without normalisation: gradients of every logit by the middle of a layer's first kernel."""
        head = self.network.head
        taps = Taps("conv")
        images = self.images.clone().requires_grad_()
        outputs = self.network(images, self.weights, batch_norm=False, taps=taps)
        convs = taps.of("conv")
        by_class = [
            self._back(outputs.logits[..., k].sum(), [tap.value for tap in convs])
            for k in range(outputs.logits.shape[-1])
        ]
        found = [_at_first_weight(tap, column) for tap, column in zip(convs, zip(*by_class, strict=True), strict=True)]
        if any(tap.layer is head for tap in convs):
            return found
        own = torch.zeros_like(outputs.logits)
        own[..., 0] = outputs.pooled[..., 0]
        return [*found, Sensitivity(head.members, own.detach())]


def _at_first_weight(tap: Tap, by_class: Sequence[Tensor]) -> Sensitivity:
    """Gradients by the weight [0, 0, middle, middle]: the gradient by the first map, times the input it looks at."""
    assert tap.layer is not None
    assert tap.before is not None
    members, step, (down, right) = len(tap.members), tap.layer.stride, tap.offset
    if tap.layout is None:
        seen = by_member(tap.before, tap.before.shape[1] // tap.layer.shape[1])[:members, :, 0]
    else:
        seen = tap.arrange(tap.before)[:, :, 0]
    if tap.offset != (0, 0):
        seen = pad(seen, (-right, right, -down, down))
    back = [tap.arrange(gradient)[:, :, 0] for gradient in by_class]
    seen = seen[..., ::step, ::step][..., : back[0].shape[-2], : back[0].shape[-1]].detach()
    return Sensitivity(tap.members, torch.stack([(one * seen).sum((-2, -1)) for one in back], -1))
