"""Proxies that read how the logits of an image depend on its pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from proxies.formulas import spectra
from proxies.probing.probe import Probe
from proxies.registry import proxy

EPSILON = 1e-5  # the authors' k


@proxy(source="Mellor et al., arXiv 2006.04647v1; form of SamsungLabs/zero-cost-nas")
def jacob_cov(probe: Probe) -> Tensor:
    """How uncorrelated the images' input gradients are: -sum_i log(l_i + k) + 1/(l_i + k), higher better.

    l_i the eigenvalues of the N x N correlation of d(summed logits)/d(image), k = 1e-5; at most about -N. Eigenvalues
    are those of a symmetric matrix, clipped at 0. NaN where the output depends on no pixel.
    """
    found = spectra.eigenvalues(probe.input_correlation).clamp_min(0) + EPSILON
    return -(found.log() + 1 / found).sum(-1)


@proxy(source="Lopes et al. (EPE-NAS), ICANN 2021")
def epe_nas(probe: Probe) -> Tensor:
    """Correlation of the images' input gradients within each class, higher better.

    e_c = sum_ij log(|R_ij| + k) over the images of class c. Up to 100 classes: sum_c |e_c|. More: e_c is divided by the
    images of the class, classes with a single image are left out, and the score is the sum of all |e_c - e_d| over the
    number of classes. Needs several images a class: with N near K it says little. The authors' script never passes its
    number of classes, so that it takes the first form for every data set; the second is the one that it has for more.
    """
    logs = (probe.input_correlation.abs() + EPSILON).log()
    many = probe.logits.shape[-1] > 100
    values = []
    for label in probe.labels.unique():
        own = (probe.labels == label).nonzero().flatten()
        total = logs[:, own][:, :, own].sum((1, 2))
        if not many:
            values.append(total)
        elif len(own) > 1:
            values.append(total / len(own))
    if not values:
        return torch.full_like(logs[:, 0, 0], torch.nan)
    found = torch.stack(values, -1)
    if not many:
        return found.abs().sum(-1)
    return (found.unsqueeze(-1) - found.unsqueeze(-2)).abs().sum((-2, -1)) / found.shape[-1]
