"""Knowledge-distillation losses as pure functions: a distiller minimises them, proxies/distiller.py negates them.

Maps are [..., N, C, H, W], pooled features [..., N, D], logits [..., N, K]; leading axes pass through and broadcast, a
teacher's of 1 against a student's of A. All but the two that need trained parts (vid_loss, crd_loss: no proxies) are 0
where student and teacher are the same. Shapes that can't be compared are refused with a ValueError, never broadcast.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import exp, factorial

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, one_hot, smooth_l1_loss

from proxies.formulas import spectra
from proxies.formulas.similarity import gram, refuse_unequal, row_unit


def kd_loss(student: Tensor, teacher: Tensor, temperature: float = 4.0) -> Tensor:
    """Hinton et al. 2015: T^2 KL(softmax(z_T/T) || softmax(z_S/T)), mean over the batch, for logits [..., N, K]."""
    refuse_unequal(student, teacher, 2, "logits")
    own, other = (z / temperature for z in (student, teacher))
    divergence = other.softmax(-1) * (other.log_softmax(-1) - own.log_softmax(-1))
    return temperature**2 * divergence.sum(-1).mean(-1)


def dkd_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, alpha: float = 1.0, beta: float = 8.0, temperature: float = 4.0
) -> Tensor:
    """Decoupled KD (Zhao et al., CVPR 2022): alpha of the label against the rest + beta of the other classes alone.

    T^2 times two divergences, means over the batch, for logits [..., N, K] and labels [N]. With b the first, n the
    second and p the teacher's softened probability of the label, kd_loss is T^2 (b + (1 - p) n). The released code
    warms the whole loss up over the first 20 epochs, which is a matter of training and not of this function.
    """
    refuse_unequal(student, teacher, 2, "logits")
    own, other = (_label_and_rest(z / temperature, labels) for z in (student, teacher))
    target, rest = ((t.exp() * (t - s)).sum(-1).mean(-1) for s, t in zip(own, other, strict=True))
    return temperature**2 * (alpha * target + beta * rest)


def _label_and_rest(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Log probabilities of the label and of all else [..., N, 2], and of the other classes among themselves."""
    is_label = one_hot(labels, logits.shape[-1]).bool()
    others = logits[..., ~is_label].unflatten(-1, (len(labels), -1))
    binary = torch.stack([logits[..., is_label], others.logsumexp(-1)], -1)
    return binary.log_softmax(-1), others.log_softmax(-1)


def vid_loss(predicted: Tensor, teacher: Tensor, variance: Tensor) -> Tensor:
    """Variational information distillation (Ahn et al., CVPR 2019): 1/2 [(mu(f_S) - f_T)^2 / s + log s], the mean.

    predicted and teacher maps [..., N, C, H, W]; the variance s [C] is trained, as what predicts is.
    """
    refuse_unequal(predicted, teacher, 4, "maps")
    spread = variance.unsqueeze(-1).unsqueeze(-1)
    return ((predicted - teacher).square() / spread + spread.log()).mean((-4, -3, -2, -1)) / 2


def crd_loss(positive: Tensor, negative: Tensor, images: int) -> Tensor:
    """Contrastive representation distillation (Tian et al., ICLR 2020): noise-contrastive, mean over the batch.

    -log h(positive) - sum over the M negatives of log(1 - h), h(p) = p / (p + M/n) with n the number of images;
    positive [..., N] and negative [..., N, M] are exp(a b / tau) / Z of two embeddings.
    """
    noise = negative.shape[-1] / images
    hits, misses = (positive / (positive + noise)).log(), (noise / (negative + noise)).log()
    return -(hits + misses.sum(-1)).mean(-1)


def dist_loss(student: Tensor, teacher: Tensor, tau: float = 1.0) -> Tensor:
    """DIST (Huang et al., NeurIPS 2022): 1 - Pearson between rows, and between columns, of the probabilities.

    tau^2 times it, with the logits divided by tau: 1 for ImageNet, 4 for CIFAR in the authors' recipes. They add 1e-8
    to the product of two norms, which tells where a network is all but sure of every image.
    """
    refuse_unequal(student, teacher, 2, "logits")
    own, other = (student / tau).softmax(-1), (teacher / tau).softmax(-1)
    return tau**2 * ((1 - _pearson(own, other)).mean(-1) + (1 - _pearson(own.mT, other.mT)).mean(-1))


def fitnets_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """FitNets (Romero et al., ICLR 2015) without its regressor: mean squared difference of features [..., N, D]."""
    refuse_unequal(student, teacher, 2, "features")
    return (student - teacher).square().mean((-2, -1))


def at_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Attention transfer (Zagoruyko & Komodakis, ICLR 2017), released form: mean squared difference of energy maps.

    The energy map is mean_c f^2 with unit length over positions; channels may differ, the larger map is pooled.
    """
    own, other = (_energy(maps) for maps in _of_one_size(student, teacher))
    refuse_unequal(own, other, 2, "energy maps")
    return (own - other).square().mean((-2, -1))


def rkd_loss(student: Tensor, teacher: Tensor, distance: float = 25.0, angle: float = 50.0) -> Tensor:
    """Relational KD (Park et al., CVPR 2019): 25 distance + 50 angle loss on pooled features [..., N, D]."""
    return distance * rkd_distance(student, teacher) + angle * rkd_angle(student, teacher)


def rkd_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Smooth L1 of pairwise distances, each divided by the mean of the positive ones; [..., N, D] -> [...]."""
    refuse_unequal(student[..., :1], teacher[..., :1], 2, "batches")
    return _smooth(_scaled_distances(student), _scaled_distances(teacher)).mean((-2, -1))


def rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Smooth L1 of the cosines of all angles i, j, k between samples; [..., N, D] -> [...]."""
    refuse_unequal(student[..., :1], teacher[..., :1], 2, "batches")
    return _smooth(_angles(student), _angles(teacher)).mean((-3, -2, -1))


def cc_loss(student: Tensor, teacher: Tensor, gamma: float = 0.4, order: int = 2) -> Tensor:
    """Correlation congruence (Peng et al., ICCV 2019), the article's: ||K_S - K_T||_F^2 / N^2.

    K is the Gaussian kernel of unit features, by its Taylor series up to the order. Not the much copied code, which
    compares neighbours in the batch and so depends on its order.
    """
    refuse_unequal(student[..., :1], teacher[..., :1], 2, "batches")
    kernels = []
    for features in (student, teacher):
        cosines = gram(row_unit(features))
        terms = [(2 * gamma * cosines) ** p / factorial(p) for p in range(order + 1)]
        kernels.append(exp(-2 * gamma) * torch.stack(terms).sum(0))
    return (kernels[0] - kernels[1]).square().mean((-2, -1))


def pkt_loss(student: Tensor, teacher: Tensor, epsilon: float = 1e-7) -> Tensor:
    """Probabilistic knowledge transfer (Passalis & Tefas, ECCV 2018): divergence of row-normalised cosine kernels."""
    refuse_unequal(student[..., :1], teacher[..., :1], 2, "batches")
    own, other = (
        ((cosines := gram(row_unit(f))) + 1) / (cosines + 1).sum(-1, keepdim=True) for f in (student, teacher)
    )
    return (other * ((other + epsilon) / (own + epsilon)).log()).mean((-2, -1))


def nst_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Neuron selectivity transfer (Huang & Wang 2017): MMD^2 of unit channel maps with the kernel (a b)^2.

    Mean over the images; channels may differ, the larger map is pooled.
    """
    own, other = (row_unit(maps.flatten(-2)) for maps in _of_one_size(student, teacher))
    pairs = [(other, other), (own, own), (own, other)]
    kernels = [(a @ b.mT).square().mean((-3, -2, -1)) for a, b in pairs]
    return kernels[0] + kernels[1] - 2 * kernels[2]


def ickd_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Inter-channel correlation (Liu et al., ICCV 2021): unit rows of each image's C x C Gram, squared, /(C N)."""
    own, other = (row_unit(gram(f.flatten(-2))) for f in (student, teacher))
    refuse_unequal(own, other, 3, "channel Gram matrices (N x C x C)")
    images, channels = own.shape[-3:-1]
    return (own - other).square().sum((-3, -2, -1)) / (channels * images)


def cka(student: Tensor, teacher: Tensor) -> Tensor:
    """Linear centred kernel alignment of two maps or features, [..., N, D] -> [...], in [0, 1]; 0 for constant ones."""
    own, other = (_centred(gram(f)) for f in (student, teacher))
    norms = torch.linalg.matrix_norm(own) * torch.linalg.matrix_norm(other)
    return (own * other).sum((-2, -1)) / torch.where(norms == 0, 1.0, norms)


def cka_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """Three stages' maps compared (RMI-NAS, Zheng et al. 2022): sum over stages of 1 - linear CKA."""
    pairs = zip(student, teacher, strict=True)
    return torch.stack([1 - cka(s.flatten(-3), t.flatten(-3)) for s, t in pairs]).sum(0)


def kdsvd_loss(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
    """KD by SVD (Lee et al., ECCV 2018): how the leading channel vectors of consecutive maps relate.

    Of each image's [H*W, C] map the teacher's first right singular vector, turned so that its entries sum to 0 or more,
    and of the student's first four the one nearest to it, turned to it; then the RBF exp(-d^2/8) of all pairs of
    entries of consecutive maps, squared differences summed, over N. Needs equal channels, two maps at least.
    """
    found = [_leading_pair(s, t) for s, t in zip(student, teacher, strict=True)]
    if len(found) < 2:
        raise ValueError("kdsvd compares consecutive maps: two at least are needed")
    total: list[Tensor] = []
    for (s0, t0), (s1, t1) in pairwise(found):
        own, other = ((-(b.unsqueeze(-1) - a.unsqueeze(-2)).square() / 8).exp() for a, b in ((s0, s1), (t0, t1)))
        total.append((own - other).square().sum((-2, -1)).mean(-1))
    return torch.stack(total).sum(0)


def _leading_pair(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Right singular vectors [..., N, C] of student and teacher that are compared."""
    refuse_unequal(student[..., :1, :1], teacher[..., :1, :1], 4, "maps (N x C)")
    own, other = (_right_vectors(f) for f in (student, teacher))
    first = other[..., :1]
    first = first * torch.where(first.sum(-2, keepdim=True) < 0, -1.0, 1.0)
    candidates = own[..., :4]
    cosines = (candidates * first).sum(-2, keepdim=True)
    best = cosines.abs().argmax(-1, keepdim=True)
    chosen = candidates.gather(-1, best.expand(*candidates.shape[:-1], 1)).squeeze(-1)
    sign = cosines.gather(-1, best).squeeze(-1)
    return chosen * torch.where(sign < 0, -1.0, 1.0), first.squeeze(-1)


def _right_vectors(maps: Tensor) -> Tensor:
    """Right singular vectors of [H*W, C] maps as columns, the largest first; 0 for a map that is 0.

    Differentiated by first-order perturbation, v_k + sum over i of v_i (v_i' P v_k) / (l_k - l_i): autograd's own
    rule divides by zero where eigenvalues are equal, as those of silent channels are; such pairs are left out here.
    """
    products = gram(maps.flatten(-2).double())
    vectors = spectra.eigenvectors(products.detach()) * (products != 0).any(-1, keepdim=True).any(-2, keepdim=True)
    if not products.requires_grad:
        return vectors
    rotated = vectors.mT @ products @ vectors
    values = rotated.detach().diagonal(dim1=-2, dim2=-1)
    gaps = values.unsqueeze(-2) - values.unsqueeze(-1)
    apart = gaps.abs() > 1e-9 * values.amax(-1)[..., None, None]
    moved: Tensor = vectors + vectors @ torch.where(apart, rotated / torch.where(apart, gaps, 1.0), 0.0)
    return moved


def _pearson(a: Tensor, b: Tensor) -> Tensor:
    """Correlation of equal rows, [..., M, D] twice -> [..., M]; 0 for constant rows."""
    return (row_unit(a - a.mean(-1, keepdim=True)) * row_unit(b - b.mean(-1, keepdim=True))).sum(-1)


def _of_one_size(*maps: Tensor) -> list[Tensor]:
    """Maps pooled to the least height and the least width among them."""
    height, width = (min(one.shape[axis] for one in maps) for axis in (-2, -1))
    return [_pooled_to(one, (height, width)) for one in maps]


def _pooled_to(maps: Tensor, size: tuple[int, int]) -> Tensor:
    if maps.shape[-2:] == size:
        return maps
    pooled: Tensor = adaptive_avg_pool2d(maps.flatten(0, -4), size)
    unflattened: Tensor = pooled.unflatten(0, maps.shape[:-3])
    return unflattened


def _energy(maps: Tensor) -> Tensor:
    return row_unit(maps.square().mean(-3).flatten(-2))


def _scaled_distances(features: Tensor) -> Tensor:
    difference = features.unsqueeze(-2) - features.unsqueeze(-3)
    square = difference.square().sum(-1)
    distance = torch.where(square > 0, square.clamp_min(1e-12), 0.0).sqrt()
    positive = (distance > 0).sum((-2, -1), keepdim=True)
    return distance / (distance.sum((-2, -1), keepdim=True) / positive)


def _angles(features: Tensor) -> Tensor:
    unit = row_unit(features.unsqueeze(-3) - features.unsqueeze(-2))  # [i, j] from i to j
    return unit @ unit.mT


def _smooth(student: Tensor, teacher: Tensor) -> Tensor:
    student, teacher = torch.broadcast_tensors(student, teacher)
    return smooth_l1_loss(student, teacher, reduction="none")


def _centred(matrix: Tensor) -> Tensor:
    return matrix - matrix.mean(-1, keepdim=True) - matrix.mean(-2, keepdim=True) + matrix.mean((-2, -1), keepdim=True)
