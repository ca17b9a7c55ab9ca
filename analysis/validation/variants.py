"""Variants of registered proxies, each changed in one thing: analysis/validate.py --experiments scores them.

Not registered, and not for ranking: they tell which difference from a source moves a correlation, and which does not.
Named on the command line as a user's own: --proxy analysis/validation/variants.py:fisher_channels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from proxies.gradient import fisher, grad_norm
from proxies.probing.network import Taps, Weights
from proxies.probing.probe import Probe

OWN_IMAGES = 64
CROP = 4  # the smallest images that two halvings leave something of


def fisher_channels(probe: Probe) -> Tensor:
    """fisher without the factor of a filter's size, higher better."""
    return probe.total_over([(r.members, _channels(r.output * r.gradient).sum(1)) for r in probe.responses])


def fisher_blocks(probe: Probe) -> Tensor:
    """fisher of what the stem and the blocks give, not the convolutions, without a filter's size, higher better."""
    taps = Taps("block")
    weights = probe.weights.map(lambda w: w.detach().requires_grad_())
    logits = probe.network(probe.images, weights, taps=taps).logits
    labels = probe.labels.repeat(probe.network.candidates)
    loss = cross_entropy(logits.flatten(0, 1), labels, reduction="sum") / len(probe.labels)
    gradients = torch.autograd.grad(loss, [tap.value for tap in taps.found], materialize_grads=True)
    parts = []
    for tap, gradient in zip(taps.found, gradients, strict=True):
        product = tap._replace(value=tap.value.detach() * gradient).stacked().flatten(3)
        parts.append((tap.members, _channels(product).sum(1)))
    return probe.total_over(parts)


def fisher_own_images(probe: Probe) -> Tensor:
    """fisher, every candidate on 64 images of its own, higher better."""
    return fisher(_on_own_images(probe))


def grad_norm_own_images(probe: Probe) -> Tensor:
    """grad_norm, every candidate on 64 images of its own, higher better."""
    return grad_norm(_on_own_images(probe))


def regions_crops(probe: Probe) -> Tensor:
    """regions of the images' 4 x 4 corners, higher better."""
    return _regions(probe, probe.images[..., :CROP, :CROP], probe.weights)


def regions_thin(probe: Probe) -> Tensor:
    """regions of a network of one channel, higher better."""
    return _regions(probe, probe.images, _thin(probe.weights))


def regions_thin_crops(probe: Probe) -> Tensor:
    """regions of the images' 4 x 4 corners in a network of one channel, higher better."""
    return _regions(probe, probe.images[..., :CROP, :CROP], _thin(probe.weights))


def _channels(product: Tensor) -> Tensor:
    """Outputs times gradients [a, N, C, positions] -> half the mean square over images of their sums, [a, C]."""
    return product.sum(3, dtype=torch.float64).square().mean(1) / 2


def _on_own_images(probe: Probe) -> Probe:
    """The candidate on images that its stem's weights choose, as if a shuffling loader had handed it others.

    Raises ValueError for more than one candidate, or where there are too few or too many images.
    """
    stem = next(iter(probe.weights.kernels.values())).flatten()
    if probe.network.candidates > 1 or not OWN_IMAGES < len(probe.images) <= len(stem):
        raise ValueError(f"images of its own: --stack 1, and a --batch-size above {OWN_IMAGES}, {len(stem)} at most")
    chosen = stem[: len(probe.images)].argsort()[:OWN_IMAGES]
    return Probe(probe.network, probe.weights, probe.images[chosen], probe.labels[chosen])


def _thin(weights: Weights) -> Weights:
    """Every convolution but its first channel taken out: the rest of the network is constant and adds no pattern."""
    kernels = {}
    for layer, kernel in weights.kernels.items():
        kept = torch.zeros_like(kernel)
        inputs = slice(None) if layer.shape[1] == 3 else slice(1)  # the stem sees all colours
        kept[:, :1, inputs] = kernel[:, :1, inputs]
        kernels[layer] = kept
    return Weights(kernels, weights.bias)


def _regions(probe: Probe, images: Tensor, weights: Weights) -> Tensor:
    """How many different patterns over all ReLUs the images have, [A]; a pattern is told by a hash of 64 bits."""
    taps = Taps("relu")
    with torch.no_grad():
        probe.network(images, weights, taps=taps)
    hashes = torch.zeros(probe.network.candidates, len(images), dtype=torch.int64, device=images.device)
    for place, tap in enumerate(taps.found):
        active = tap.stacked().flatten(2) > 0
        numbers = (probe.noise(f"hash {place}", active.shape[2:]).double() * 2**40).long()
        hashes[list(tap.members)] += (active * numbers).sum(2)
    return torch.tensor([float(len(row.unique())) for row in hashes], dtype=torch.float64, device=images.device)
