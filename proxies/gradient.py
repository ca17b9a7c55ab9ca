"""Proxies that read the gradients of a loss with respect to the weights.

"Weights" are those of convolutions and linear layers, as in the field's code: no biases, no batch-norm parameters.
"""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor

from proxies.formulas import spectra
from proxies.probing.probe import Probe
from proxies.registry import proxy


@proxy(source="Abdelfattah et al., ICLR 2021; SamsungLabs/zero-cost-nas")
def grad_norm(probe: Probe) -> Tensor:
    """Sum over layers of the Euclidean norm of the loss's weight gradient, higher better.

    sum_l ||dL/dW_l||_F, L the mean cross-entropy of one batch, batch statistics in the normalisation.
    """
    return probe.total(
        probe.gradients,
        lambda layer: torch.linalg.vector_norm(layer.gradient.flatten(1), dim=1, dtype=torch.float64),
    )


@proxy(source="Tanaka et al., NeurIPS 2020; as a proxy Abdelfattah et al., ICLR 2021")
def synflow(probe: Probe) -> Tensor:
    """Synaptic flow: sum over weights of |w dR/dw|, R the summed output for an image of ones, higher better.

    All weights are replaced by their absolute values and batch normalisation is taken out everywhere, in float64: the
    scores of NAS-Bench-201 run from 0 to about 1e67. Reads no images and no labels. A cell without a path from input to
    output scores exactly 0. The raw sum, not its logarithm (ranks are the same). Other normalisations have no running
    statistics and stay: LayerNorm, GroupNorm; behind them dR/dw can be negative.
    """
    return probe.total(probe.flows, lambda layer: (layer.weight * layer.gradient).abs().flatten(1).sum(1))


@proxy(source="Lee et al., ICLR 2019; as a proxy Abdelfattah et al., ICLR 2021")
def snip(probe: Probe) -> Tensor:
    """Sum over weights of |w dL/dw|, higher better.

    What a first-order estimate says the loss would change if each weight were taken out.
    """
    return probe.total(probe.gradients, lambda layer: (layer.weight * layer.gradient).abs().flatten(1).sum(1))


@proxy(source="Abdelfattah et al., ICLR 2021")
def plain(probe: Probe) -> Tensor:
    """Sum over weights of w dL/dw, signed, with no established direction; kept as is: higher is called higher better.

    A filter in front of a normalisation by batch statistics contributes 0 (its loss ignores its scale), so on
    NAS-Bench-201 only the two shortcut convolutions and the classifier are seen. Its published correlation is negative.
    """
    return probe.total(probe.gradients, lambda layer: (layer.weight * layer.gradient).flatten(1).double().sum(1))


@proxy(source="Wang et al., ICLR 2020; sign as in Abdelfattah et al., ICLR 2021")
def grasp(probe: Probe) -> Tensor:
    """Minus the sum over weights of w (H g), H the Hessian and g the gradient of one batch's loss, higher better.

    The pruning paper keeps weights with a low -w (H g); the zero-cost proxy has the sign turned, and so has this.
    """
    return -probe.total(probe.curvature, lambda layer: (layer.weight * layer.gradient).flatten(1).double().sum(1))


@proxy(source="Theis et al. 2018, Turner et al., ICLR 2020; form of SamsungLabs/zero-cost-nas")
def fisher(probe: Probe) -> Tensor:
    """Fisher information of the channels of each layer, weighted by a filter's size, higher better.

    sum_l sum_k 1/2 mean_n (sum_hw a dL/da)^2 * fan_in, with a the output of a convolution or of the head before any
    normalisation. The published code spreads a channel over its filter's weights, hence the factor fan_in.
    """
    return probe.total_over(
        [
            (r.members, (r.output * r.gradient).double().sum(3).square().mean(1).sum(1) / 2 * prod(r.layer.shape[1:]))
            for r in probe.responses
        ]
    )


@proxy(source="Cavagnero et al. (FreeREA), WACV 2023")
def logsynflow(probe: Probe) -> Tensor:
    """Synaptic flow with damped gradients: sum over weights of |w log(1 + dR/dw)|, higher better.

    Absolute weights, an image of ones, no normalisation, float64, as in synflow. One draw; the authors average three.
    Behind a LayerNorm, where dR/dw can be negative, its size is taken.
    """
    return probe.total(probe.flows, lambda layer: (layer.weight * layer.gradient.abs().log1p()).flatten(1).sum(1))


@proxy(source="Zhang & Jia, ICLR 2022")
def gradsign(probe: Probe) -> Tensor:
    """Agreement of single images' gradients in sign, higher better.

    Sum over weights of |sum over images of sign(dL_n/dw)|. Each image is a batch of its own (statistics over its
    positions). The sum, as in the paper; the released code's mean is over a network whose size is the same for all
    cells.
    """
    return probe.total(probe.sign_sums, lambda layer: layer.gradient.abs().flatten(1).double().sum(1))


@proxy(source="Li et al., ICLR 2023")
def zico(probe: Probe) -> Tensor:
    """How large and stable gradients are between batches, higher better.

    Sum over layers of log of the sum over weights of mean |g| / deviation of g between batches. Two batches, here the
    halves of the batch; population deviation; weights whose gradients are equal are left out, and layers without any
    other.
    """
    first, second = probe.half_gradients
    parts = []
    for one, two in zip(first, second, strict=True):
        a, b = one.gradient.flatten(1).double(), two.gradient.flatten(1).double()
        deviation = (a - b).abs() / 2
        ratio = (a.abs() + b.abs()) / 2 / torch.where(deviation == 0, torch.inf, deviation)
        total = ratio.sum(1)
        parts.append((one.layer.members, torch.where(total == 0, 0.0, total.log())))
    return probe.total_over(parts)


@proxy(source="Shu et al. (NASI), ICLR 2022; form of lliai/EMQ-series")
def ntk_trace(probe: Probe) -> Tensor:
    """Root of the neural tangent kernel's trace over N: sqrt(mean_n ||dZ[n, y_n]/dw||^2), higher better."""
    norms = probe.total(probe.label_gradients, lambda layer: layer.gradient.flatten(1).double().square().sum(1))
    return (norms / len(probe.labels)).sqrt()


@proxy(source="Chen et al. (TE-NAS), ICLR 2021")
def ntk_condition(probe: Probe) -> Tensor:
    """Minus the condition number of the neural tangent kernel, -lambda_max / lambda_min, higher better.

    Kernel J J' with J_n the gradient of image n's summed logits by the weights, batch statistics in the normalisation.
    Departures: weights of convolutions and head only; the network itself, not the authors' thinned one; float64. An
    infinite condition number stays infinite.
    """
    n = len(probe.images)
    kernel = torch.zeros(probe.network.candidates, n, n, dtype=torch.float64, device=probe.images.device)
    for layer in probe.sum_gradients:
        rows = layer.gradient.flatten(2).double()
        kernel[list(layer.layer.members)] += rows @ rows.mT
    found = spectra.eigenvalues(kernel).clamp_min(0)
    return -found[:, -1] / found[:, 0]
