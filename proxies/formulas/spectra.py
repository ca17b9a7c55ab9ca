"""Spectra of batches of matrices: correlations, eigenvalues, entropies. Pure functions on trailing axes, in float64."""

from __future__ import annotations

import torch
from torch import Tensor


def correlation(rows: Tensor) -> Tensor:
    """Pearson correlation of M rows, [..., M, D] -> [..., M, M]; NaN for a constant row, as numpy.corrcoef has it."""
    centred = rows - rows.mean(-1, keepdim=True)
    unit = centred / torch.linalg.vector_norm(centred, dim=-1, keepdim=True)
    found: Tensor = unit @ unit.mT
    return found.clamp(-1, 1)


def eigenvalues(matrix: Tensor) -> Tensor:
    """Eigenvalues of symmetric matrices, ascending, [..., M, M] -> [..., M]; NaN for a matrix that is not finite.

    A matrix with NaN is kept out of the decomposition, so that it can't spoil or stop that of its neighbours.
    """
    finite = matrix.isfinite().flatten(-2).all(-1)
    found = torch.linalg.eigvalsh(torch.where(finite[..., None, None], matrix, torch.zeros_like(matrix)))
    return torch.where(finite[..., None], found, torch.nan)


def eigenvectors(matrix: Tensor) -> Tensor:
    """Eigenvectors of symmetric matrices as columns, that of the largest eigenvalue first; NaN as in `eigenvalues`."""
    finite = matrix.isfinite().flatten(-2).all(-1)[..., None, None]
    found = torch.linalg.eigh(torch.where(finite, matrix, torch.zeros_like(matrix))).eigenvectors.flip(-1)
    return torch.where(finite, found, torch.nan)


def entropy(channels: Tensor) -> Tensor:
    """Entropy of a covariance spectrum, -sum p log(p + 1e-8) with p = eigenvalues / their sum: [..., C, D] -> [...].

    The eigenvalues of the C x C covariance over D positions; 0 where there is no variance at all.
    """
    channels = channels.double()
    centred = channels - channels.mean(-1, keepdim=True)
    found = eigenvalues(centred @ centred.mT / channels.shape[-1]).clamp_min(0)
    total = found.sum(-1, keepdim=True)
    p = found / torch.where(total == 0, 1.0, total)
    return -(p * (p + 1e-8).log()).sum(-1)


def effective_rank(matrix: Tensor) -> Tensor:
    """exp of the entropy of the singular values, [..., M, D] -> [...] (Roy & Vetterli 2007); 0 for a zero matrix."""
    matrix = matrix.double()
    singular = eigenvalues(matrix @ matrix.mT).clamp_min(0).sqrt()
    total = singular.sum(-1, keepdim=True)
    p = singular / torch.where(total == 0, 1.0, total)
    rank = torch.special.entr(p).sum(-1).exp()
    return torch.where(total.squeeze(-1) == 0, 0.0, rank)
