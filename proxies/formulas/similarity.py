"""Similarities between what two networks show on the same images: pure functions on trailing axes.

A proxy negates them, a distiller minimises them; leading axes pass through. Shape letters as in probing/probe.py.
"""

from __future__ import annotations

import torch
from torch import Tensor

MANY = 4  # vectors for each of their entries: from there on an M x M matrix costs more than all else


def gram(vectors: Tensor) -> Tensor:
    """Inner products of M vectors, [..., M, D] -> [..., M, M]."""
    return vectors @ vectors.mT


def sample_gram(features: Tensor) -> Tensor:
    """How the images of a batch relate: the Gram matrix of their flattened feature maps.

    features [..., N, C, H, W] -> [..., N, N] in float64, because the scores are small differences of large sums.
    """
    return gram(features.flatten(-3).double())


def class_activation_maps(features: Tensor, head_weight: Tensor) -> Tensor:
    """Class activation maps of every class on every image (Zhou et al., CVPR 2016): sum over c of w[k,c] A[c].

    features [..., N, C, H, W], head_weight [..., K, C] -> [..., N, K, H*W] in float64; the head's bias is left out,
    as it is in the definition.
    """
    return head_weight.double().unsqueeze(-3) @ features.flatten(-2).double()


def frobenius_unit(matrix: Tensor) -> Tensor:
    """[..., M, M] divided by its Frobenius norm; an all-zero matrix stays zero rather than becoming NaN."""
    norm = torch.linalg.matrix_norm(matrix, keepdim=True)
    return matrix / torch.where(norm == 0, 1.0, norm)


def row_unit(matrix: Tensor) -> Tensor:
    """[..., M, D] with each row divided by its Euclidean norm; zero rows stay zero."""
    norm = torch.linalg.vector_norm(matrix, dim=-1, keepdim=True)
    return matrix / torch.where(norm == 0, 1.0, norm)


def gram_distance(a: Tensor, b: Tensor) -> Tensor:
    """Frobenius distance of two Gram matrices, each first divided by its own Frobenius norm.

    [..., M, M] twice -> [...], between 0 (proportional) and sqrt(2) (orthogonal).
    Raises ValueError where the last two axes differ.
    """
    refuse_unequal(a, b, 2, "Gram matrices")
    distance: Tensor = torch.linalg.matrix_norm(frobenius_unit(a) - frobenius_unit(b))
    return distance


def are_many(a: Tensor, b: Tensor) -> bool:
    """Whether vectors [..., M, D] and [..., M, D'] are so many beside D + D' that no M x M matrix should be formed."""
    return a.shape[-2] >= MANY * (a.shape[-1] + b.shape[-1])


def gram_distance_of_many(a: Tensor, b: Tensor) -> Tensor:
    """gram_distance of the Gram matrices of M vectors, which are not formed: [..., M, D] and [..., M, D'] -> [...].

    With A = a a' and B = b b', ||A||_F = ||a' a||_F and <A, B> = ||a' b||_F^2, so the distance is
    sqrt(2 - 2 <A, B> / (||A|| ||B||)). Of nearly proportional matrices it resolves 1e-8, the root of a rounding.
    Raises ValueError where M differs.
    """
    refuse_unequal(a[..., :1], b[..., :1], 2, "Gram matrices")
    own, other, shared = (torch.linalg.matrix_norm(x.mT @ y) for x, y in ((a, a), (b, b), (a, b)))
    norms = own * other
    cosine = shared.square() / torch.where(norms == 0, 1.0, norms)
    squared: Tensor = (own != 0).double() + (other != 0).double() - 2 * cosine
    return squared.clamp_min(0).sqrt()


def row_gram_distance(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared difference of two Gram matrices with unit rows: ||A - B||_F^2 / M^2, the SP loss of Tung & Mori.

    [..., M, M] twice -> [...]. Raises ValueError where the last two axes differ.
    """
    refuse_unequal(a, b, 2, "Gram matrices")
    return (row_unit(a) - row_unit(b)).square().mean(dim=(-2, -1))


def outer_product_distance(a: Tensor, b: Tensor) -> Tensor:
    """ICKD distance of per-class vectors: sum over k of ||R(a_k a_k') - R(b_k b_k')||_F^2 / (C K), R = unit rows.

    a, b [..., K, C] -> [...], in [0, 4]. Row i of R(a a') is sign(a_i) a/||a|| (zero where a_i = 0), so with
    z = number of non-zero entries each class adds z_a + z_b - 2 cos(a, b) sum_i sign(a_i) sign(b_i): no C x C matrix
    is formed. Unlike a literal version whose row norms are clamped at 1e-12, this one keeps its invariance to the
    scale of each class when a class's gradient is tiny. Raises ValueError where K or C differ.
    """
    refuse_unequal(a, b, 2, "class gradients (classes x channels)")
    classes, channels = a.shape[-2:]
    cosine = (row_unit(a) * row_unit(b)).sum(-1)
    agreement = (a.sign() * b.sign()).sum(-1)
    present = (a != 0).sum(-1) + (b != 0).sum(-1)
    return (present - 2 * cosine * agreement).sum(-1) / (channels * classes)


def refuse_unequal(a: Tensor, b: Tensor, axes: int, what: str) -> None:
    """Refuse shapes that would only broadcast."""
    if a.shape[-axes:] != b.shape[-axes:]:
        student, teacher = tuple(a.shape[-axes:]), tuple(b.shape[-axes:])
        raise ValueError(f"the {what} of student and teacher differ in shape: {student} against {teacher}")
