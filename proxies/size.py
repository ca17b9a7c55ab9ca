"""Size proxies: the floor that every table prints. They read the layers' shapes, never a weight or an image."""

from __future__ import annotations

from torch import Tensor

from proxies.probe import Probe
from proxies.registry import proxy


@proxy(source="counted")
def params(probe: Probe) -> Tensor:
    """Number of trainable scalars, batch-norm parameters and the head's bias included, higher better.

    Edges that lie on no path from input to output count too, as in the NAS-Bench-201 API.
    """
    return probe.size(lambda layer: layer.parameters)


@proxy(source="counted, in the convention of the NAS-Bench-201 API's FLOPs")
def macs(probe: Probe) -> Tensor:
    """Multiply-accumulates of convolutions and the head for one image, plus the head's bias additions, higher better.

    Normalisation, pooling and activations are left out, as in the NAS-Bench-201 API's FLOPs.
    """
    return probe.size(lambda layer: layer.macs)
