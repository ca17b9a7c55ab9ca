"""Proxies that read the gradients of a loss with respect to the weights.

"Weights" are those of convolutions and linear layers, as in the field's code: no biases, no batch-norm parameters.
"""

from __future__ import annotations

from math import prod, sqrt

import torch
from torch import Tensor

from proxies.formulas import spectra
from proxies.probing.network import Layer
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
    normalisation. The published code spreads a channel over its filter's weights, hence the factor fan_in. It is that
    code's score of the benchmark's own network, where convolutions have no bias; see fisher_biased for the published
    values.
    """
    return probe.total_over([(r.members, _information(r.layer, r.output * r.gradient)) for r in probe.responses])


@proxy(source="Abdelfattah et al., ICLR 2021; SamsungLabs/zero-cost-nas, its NAS-Bench-201 network", whole=True)
def fisher_biased(probe: Probe) -> Tensor:
    """fisher as it was published: the convolutions of NAS-Bench-201's cells have a bias, higher better.

    A bias in front of a normalisation changes neither logits nor gradients, but it is part of the output a. Where only
    zeros reach a convolution (in 2,290 of 15,625 cells) a is the bias alone: of a constant the normalisation multiplies
    the gradient by 1 / sqrt(eps) = 316, and this layer's share, by its square, outweighs all others. Biases are uniform
    within 1 / sqrt(fan_in), PyTorch's default, under every init, and the same for every candidate. Equals fisher in
    other spaces. Computed as without rounding: two such convolutions in a row pass no gradient through the ReLU at 0.
    """
    parts = []
    for r in probe.responses:
        cell = r.layer.operation.startswith("nor_conv")
        output = r.output + _bias(probe, r.layer)[:, None] if cell else r.output
        parts.append((r.members, _information(r.layer, output * r.gradient)))
    return probe.total_over(parts)


def _information(layer: Layer, product: Tensor) -> Tensor:
    """Fisher information of a layer from output times gradient, [a, N, C, positions] -> [a]."""
    channels = product.double().sum(3).square().mean(1) / 2
    return channels.sum(1) * (prod(layer.shape) // product.shape[2])


def _bias(probe: Probe, layer: Layer) -> Tensor:
    """Uniform between -b and b, b = 1 / sqrt(fan_in), as PyTorch draws a convolution's bias: [C], float32."""
    normal = probe.noise(f"bias {layer.role} {layer.operation}", layer.shape[:1])
    return (torch.erf(normal.double() / sqrt(2)) / sqrt(prod(layer.shape[1:]))).float()


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
    positions). In float64; a gradient that is nothing but rounding has the sign 0. The sum, as in the paper; the
    released code's mean is over a network whose size is the same for all cells.
    """
    return probe.total(probe.sign_sums, lambda layer: layer.gradient.abs().flatten(1).double().sum(1))


@proxy(source="Li et al., ICLR 2023")
def zico(probe: Probe) -> Tensor:
    """How large and stable gradients are between batches, higher better.

    Sum over layers of log of the sum over weights of mean |g| / deviation of g between batches. Two batches, here the
    halves of the batch; population deviation; weights whose gradients are equal are left out, and layers without any
    other. In float64: a weight counts the more the closer its two gradients are, and float32 does not tell those apart.
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


@proxy(source="Shu et al. (NASI), ICLR 2022")
def ntk_trace(probe: Probe) -> Tensor:
    """Root of the neural tangent kernel's trace over N: sqrt(mean_n ||dZ[n, y_n]/dw||^2), higher better.

    The kernel of the label logits, each image's gradient by a backward pass of its own through the batch statistics;
    no biases. NASI itself estimates the trace from the gradient of a mini-batch's loss; ntk_trace_released is the form
    of the public code, which is another measure.
    """
    norms = probe.total(probe.label_gradients, lambda layer: layer.gradient.flatten(1).double().square().sum(1))
    return (norms / len(probe.labels)).sqrt()


@proxy(source="lliai/EMQ-series (released code)")
def ntk_trace_released(probe: Probe) -> Tensor:
    """ntk_trace as released: one gradient of the summed label logits, split by image, higher better.

    sqrt(mean_n ||g_n||^2), g_n what image n's activations contribute to the gradient of sum_m Z[m, y_m] by the weights
    and the head's bias. Where batch statistics mix the images these are not the rows of the kernel; in evaluation mode
    and without the bias they would be.
    """
    norms = [(share.members, share.values.flatten(1).double().square().sum(1)) for share in probe.label_shares]
    return (probe.total_over(norms) / len(probe.labels)).sqrt()


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
