"""Probe: what a stack of networks shows on one batch. A proxy asks it, and touches no module, hook or graph.

Shape letters, used everywhere: A candidates, N images, K classes, C channels, H x W positions, M vectors of any kind,
D any flattened rest, a the members of one layer (the candidates of a stack that have it).

How the networks are run for it stands in passes.py and own_passes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from proxies.formulas import similarity, spectra
from proxies.probing.meter import cost_alone
from proxies.probing.network import Layer, Network, Undefined, Weights, flat, positions
from proxies.probing.own_passes import OwnPasses
from proxies.probing.passes import Measured, Noise
from proxies.probing.quantities import quantity


class Agreement(NamedTuple):
    """Of each two images, at how many ReLUs both are active or both are not [A, N, N]; how many ReLUs there are [A]."""

    kernel: Tensor
    units: Tensor


class Ways(NamedTuple):
    """What a further pass differs in, each as a function of the Probe that it is a further pass of."""

    images: Callable[[Probe], Tensor] | None = None
    labels: Callable[[Probe], Tensor] | None = None
    weights: Callable[[Probe], Weights] | None = None

    def told(self) -> str:
        """By what the pass is known. Raises ValueError for a function that could not be told from others."""
        given = [(name, way) for name, way in zip(self._fields, self, strict=True) if way is not None]
        for name, way in given:
            if "<" in getattr(way, "__qualname__", "<"):
                raise ValueError(
                    f"further({name}=...): takes a function that stands in its file by itself, not {way!r}"
                )
        return ", ".join(f"{name} by {way.__qualname__}" for name, way in given)


class Named(Protocol):
    """What a Probe can score: a function of it under a name, as the registry's proxies are."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def score(self) -> Callable[[Probe], Tensor]:
        """The function, from a Probe of A candidates to A scores."""


class Probe(OwnPasses):
    """A candidates of a stack seen on one batch, beside a teacher.

    images [N, 3, H, W], labels [N]; `teacher` is itself a Probe, of one network on the same batch. `noise` gives N(0,1)
    tensors by name and shape for the few quantities that need some; it must depend on nothing else.
    """

    def __init__(
        self,
        network: Network,
        weights: Weights,
        images: Tensor,
        labels: Tensor,
        *,
        teacher: Probe | None = None,
        noise: Noise | None = None,
        plan: frozenset[str] = frozenset(),
    ) -> None:
        meter = teacher._meter if teacher else None
        super().__init__(network, weights, images, labels, meter=meter, noise=noise, plan=plan)
        self._teacher = teacher
        self._ways = Ways()

    @property
    def teacher(self) -> Probe:
        """The teacher's Probe, of one network: its leading axis broadcasts over the candidates.

        Raises ValueError where the run has no teacher.
        """
        self.note("teacher")
        if self._teacher is None:
            raise ValueError("a teacher-aware proxy was asked for in a run without a teacher; name one with --teacher")
        images, labels, _ = self._ways
        return self._teacher.further(images=images, labels=labels) if images or labels else self._teacher

    def further(
        self,
        *,
        images: Callable[[Probe], Tensor] | None = None,
        labels: Callable[[Probe], Tensor] | None = None,
        weights: Callable[[Probe], Weights] | None = None,
    ) -> Probe:
        """A Probe of the same networks on other images [n, 3, H, W] or labels [n], or with other weights.

        What is left out is as here. Each is given as a function of this Probe that stands in its file by itself: who
        names the same functions shares the passes. Its `teacher` sees what they make of the teacher's batch, and keeps
        its weights. What they give must not depend on which candidates stand in the stack.

        Raises ValueError for another function, and for as many labels as there are no images.
        """
        ways = Ways(images, labels, weights)
        if ways == Ways():
            return self
        if not self._knows(ways):
            self._book(ways, lambda: self._seen(ways))
        found: Probe = self._recall(ways)
        return found

    def _seen(self, ways: Ways) -> Probe:
        told = ways.told()
        images = ways.images(self) if ways.images else self._images
        labels = ways.labels(self) if ways.labels else self._labels
        weights = ways.weights(self) if ways.weights else self.weights
        if len(images) != len(labels):
            raise ValueError(f"{told}: {len(images)} images and {len(labels)} labels; further(labels=...) gives others")
        plan = self.planned(told)
        found = Probe(self.network, weights, images, labels, teacher=self._teacher, noise=self._noise, plan=plan)
        found._ways = ways
        self.take_in(told, found)
        return found

    @property
    def features(self) -> Tensor:
        """The last map, before global average pooling: [A, N, C, H, W]. Raises Undefined where none is known."""
        self._require("features")
        return self.outputs.features

    @property
    def pooled(self) -> Tensor:
        """What the head gets, in a stack the global average of the features: [A, N, C]."""
        return self.outputs.pooled

    @property
    def logits(self) -> Tensor:
        """Logits: [A, N, K]."""
        return self.outputs.logits

    @property
    def head_weight(self) -> Tensor:
        """The classifier's weight: [A, K, C]."""
        return self.weights.kernels[self.network.head].flatten(2)

    @quantity
    def head_gradient(self) -> Tensor:
        """Gradient of the mean cross-entropy with respect to the head's weight, (P - Y)' Hp / N: [A, K, C], float64.

        In closed form, so no backward pass, where the head is linear in the pooled features Hp; else by one.
        """
        if not self.network.linear_head:
            head = self.network.head
            return next(item.gradient.flatten(2).double() for item in self.gradients if item.layer is head)
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
        return similarity.gram(self.class_maps)

    @quantity
    def class_maps(self) -> Tensor:
        """Each image's class activation maps: [A, N, K, H*W], float64.

        In closed form for a linear head on the average of the features, whose Grad-CAM is that of Zhou et al. up to a
        factor; for any other the maps weighted by `class_gradients`. Raises Undefined where the classifier is all 0.
        """
        if self.network.average_head:
            if not self.head_weight.any():
                raise Undefined(
                    "its classifier's weights are all 0, as some constructors leave them; init= draws them anew"
                )
            return similarity.class_activation_maps(self.features, self.head_weight)
        features = self.features.unsqueeze(2)  # each image with weights of its own
        return similarity.class_activation_maps(features, self.class_gradients).squeeze(2)

    @quantity
    def agreement(self) -> Agreement:
        """How the images agree in their ReLU patterns, over all ReLUs that anything but zero arrives at, in float64."""
        a, n = self.network.candidates, len(self.images)
        kernel = torch.zeros(a, n, n, dtype=torch.float64, device=self._images.device)
        units = torch.zeros(a, dtype=torch.float64, device=self._images.device)
        for tap in self.relus:
            value = flat(tap.stacked())
            active = torch.gt(value, 0, out=torch.empty_like(value, dtype=torch.float32))
            with torch.autocast(value.device.type, enabled=False):  # counts are exact in float32 alone
                both = (active @ active.mT).double()
            own = both.diagonal(dim1=-2, dim2=-1)
            together = 2 * both - own[:, :, None] - own[:, None, :] + value.shape[2]  # D minus the Hamming distance
            reached = own.any(1)
            if not reached.all():
                reached |= (value != 0).flatten(1).any(1)
            times = reached * torch.tensor(tap.times or [1] * len(tap.members), device=value.device)
            index = torch.tensor(tap.members, device=value.device)
            kernel.index_add_(0, index, together * times[:, None, None])
            units.index_add_(0, index, (times * value.shape[2]).double())
        return Agreement(kernel, units)

    @quantity
    def input_correlation(self) -> Tensor:
        """Correlation of the images' input gradients, each centred over its D entries: [A, N, N], float64.

        NaN in the rows of a gradient that is constant, as in a network whose output depends on nothing.
        """
        return spectra.correlation(self.input_gradients.double())

    @quantity
    def block_entropies(self) -> list[tuple[tuple[int, ...], Tensor]]:
        """For the stem and each block, entropy of the covariance spectrum of its channels over N*H*W positions, [a]."""
        return [(tap.members, spectra.entropy(positions(tap.stacked()).mT)) for tap in self.blocks]

    # -- sums over layers --------------------------------------------------------------------------------------------

    def total(self, layers: Sequence[Measured], measure: Callable[[Measured], Tensor]) -> Tensor:
        """Sum over layers of a measure [a] of each: [A] in float64; a layer adds to its members alone."""
        total = torch.zeros(self.network.candidates, dtype=torch.float64, device=self._images.device)
        for item in layers:
            total[list(item.layer.members)] += measure(item).double()
        return total

    def total_over(self, parts: Sequence[tuple[tuple[int, ...], Tensor]]) -> Tensor:
        """Sum of parts (members, values [a]): [A] in float64."""
        total = torch.zeros(self.network.candidates, dtype=torch.float64, device=self._images.device)
        for members, values in parts:
            total[list(members)] += values.double()
        return total

    def size(self, measure: Callable[[Layer], int]) -> Tensor:
        """Sum over layers of a number read off each layer's shape: [A] in float64."""
        total = [0] * self.network.candidates
        for layer in self.network.layers:
            value = measure(layer)
            for member in layer.members:
                total[member] += value
        return torch.tensor(total, dtype=torch.float64, device=self._images.device)

    def altered(self) -> str:
        """As in Quantities, the teacher's values too."""
        theirs = self._teacher.altered() if self._teacher is not None else ""
        return super().altered() or (f"teacher.{theirs}" if theirs else "")

    # -- accounts ----------------------------------------------------------------------------------------------------

    def score(self, proxy: Named) -> tuple[Tensor, float]:
        """Scores [A] of one proxy on the host in float64, and the seconds they would cost alone.

        Shared passes count in full for each proxy that asks for them, the teacher's half for none. Raises TypeError
        when the proxy does not return a tensor of A scores.
        """
        scores, account = self._meter.measure(self._owner, lambda: proxy.score(self))
        expected = (self.network.candidates,)
        if not isinstance(scores, Tensor):
            raise TypeError(f"proxy {proxy.name!r} returned a {type(scores).__name__}; a tensor {expected} is wanted")
        if scores.shape != expected:
            raise TypeError(f"proxy {proxy.name!r} returned shape {tuple(scores.shape)}; a stack wants {expected}")
        return scores.detach().double().cpu(), cost_alone(account)
