"""Proxies that read the gradients of a loss with respect to the weights.

"Weights" are those of convolutions and linear layers, as in the field's code: no biases, no batch-norm parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from proxies.probe import Probe
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
    output scores exactly 0. The raw sum, not its logarithm (ranks are the same).
    """
    return probe.total(probe.flows, lambda layer: (layer.weight * layer.gradient).flatten(1).sum(1))
