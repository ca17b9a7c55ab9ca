"""Size proxies: the floor that every table prints. They read layers and weights, never an image."""

from __future__ import annotations

import torch
from torch import Tensor

from proxies.probing.probe import Probe
from proxies.registry import proxy


@proxy(source="counted", whole=True)
def params(probe: Probe) -> Tensor:
    """Number of trainable scalars, batch-norm parameters and the head's bias included, higher better.

    Edges that lie on no path from input to output count too, as in the NAS-Bench-201 API.
    """
    return probe.size(lambda layer: layer.parameters)


@proxy(source="counted, in the convention of the NAS-Bench-201 API's FLOPs", whole=True)
def macs(probe: Probe) -> Tensor:
    """Multiply-accumulates of convolutions and the head for one image, plus the head's bias additions, higher better.

    Normalisation, pooling and activations are left out, as in the NAS-Bench-201 API's FLOPs. In a module attention's
    products of two activations count as well.
    """
    return probe.size(lambda layer: layer.macs)


@proxy(source="counted", whole=True)
def conv_edges(probe: Probe) -> Tensor:
    """Number of convolution layers, higher better.

    On NAS-Bench-201 that is 15 for each edge with a convolution, plus 7: its rank is that of the convolution edges.
    """
    return probe.size(lambda layer: int(layer.is_conv))


@proxy(source="Abdelfattah et al., ICLR 2021", whole=True)
def l2_norm(probe: Probe) -> Tensor:
    """Sum over layers of the Euclidean norm of the weights, higher better.

    Under PyTorch's and Kaiming's init it hardly depends on the draw and amounts to a count of convolutions.
    """
    norms = [
        (layer.members, torch.linalg.vector_norm(weight.flatten(1), dim=1, dtype=torch.float64))
        for layer, weight in probe.kernels.items()
    ]
    return probe.total_over(norms)
