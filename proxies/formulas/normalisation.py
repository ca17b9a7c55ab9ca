"""Batch normalisation by the batch's own statistics, summed so that float32 on a CPU keeps its digits.

PyTorch sums a channels_last map [N, C, H, W] on a CPU position after position: on 64 images of 32 x 32 that is 65,536
additions in a row, and the result is off by 4e-5 where the default layout is off by 5e-7. Here the same kernels see the
map folded: every F-th position is taken for a channel of its own, so that a sum has F times fewer terms, and the F
means are put together afterwards. That is as exact as the default layout and takes less time than the unfolded sum.
Not for running statistics, and not needed on a GPU, whose kernels sum by blocks.
"""

from __future__ import annotations

from math import gcd
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

EPSILON = 1e-5  # added to the variance, PyTorch's default


def batch_norm(x: Tensor) -> Tensor:
    """[N, C, H, W] less the mean of its channel, over the root of its variance + EPSILON; can be differentiated twice.

    Raises ValueError where a channel has a single value.
    """
    if _summed_in_a_row(x) and _count(x) > 1:
        out: Tensor = _Normalised.apply(x) if torch.is_grad_enabled() else F.batch_norm(x, *_statistics(x), eps=EPSILON)
        return out
    return F.batch_norm(x, None, None, training=True, eps=EPSILON)


def variance(x: Tensor) -> Tensor:
    """Of each channel over images and positions, [N, C, H, W] -> [C]; exactly 0 where all its values are equal."""
    apart = x - x[:1, :, :1, :1]  # from one of its own, so that a constant leaves nothing to round
    if _summed_in_a_row(apart):
        return _statistics(apart)[1]
    found: Tensor = torch.batch_norm_update_stats(apart, None, None, 0.0)[1]
    return found


def _summed_in_a_row(x: Tensor) -> bool:
    """Whether PyTorch would sum a map position after position."""
    here = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    return here and x.is_contiguous(memory_format=torch.channels_last)


class _Normalised(Function):
    """x -> z = (x - mean) / root, a channel at a time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Keeps the map and its statistics."""
        mean, variance = _statistics(x)
        ctx.save_for_backward(x, mean, variance)
        return F.batch_norm(x, mean, variance, eps=EPSILON)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """The loss's gradient by x from that by the result."""
        back: Tensor = _Backward.apply(gradient, *ctx.saved_tensors)
        return back


class _Backward(Function):
    """g -> (g - mean(g) - z mean(g z)) / root: g without its part along the constant and along z."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        """Keeps all of it, and the two means."""
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        scale = (variance + EPSILON).rsqrt()
        means = _means(gradient, x, mean, scale)
        ctx.save_for_backward(gradient, x, mean, variance, scale, means)
        return _projected(gradient, x, mean, variance, scale, means)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """From o, the gradient by the result: that by g, and that by x, of which mean and root are functions.

        By g it is the projection of o. By x, all means over a channel and c(.) centred:
        -(z (mean(c(o) g) - 3 mean(o z) mean(g z)) + mean(g z) c(o) + mean(o z) c(g)) / root^2.
        """
        gradient, x, mean, variance, scale, means = ctx.saved_tensors
        outer = outer.contiguous(memory_format=torch.channels_last)
        others = _means(outer, x, mean, scale)
        (g, g_z), (o, o_z) = means, others
        _, o_g = _means(outer, gradient, g, torch.ones_like(g))
        square = -scale.square()
        weight, bias = (o_g - 3 * o_z * g_z) * square, -(g_z * o + o_z * g) * square
        by_x = F.batch_norm(x, mean, variance, weight, bias, eps=EPSILON)
        by_x.addcmul_(outer, _channels(g_z * square)).addcmul_(gradient, _channels(o_z * square))
        return _projected(outer, x, mean, variance, scale, others), by_x, None, None


def _projected(gradient: Tensor, x: Tensor, mean: Tensor, variance: Tensor, scale: Tensor, means: Tensor) -> Tensor:
    """(g - mean(g) - z mean(g z)) / root, `scale` being 1 / root and `means` both means."""
    bias, weight = means * -scale
    return F.batch_norm(x, mean, variance, weight, bias, eps=EPSILON).addcmul_(gradient, _channels(scale))


def _statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel: [C] twice. The variance is that within the folds plus that between them."""
    means, within = (v.view(-1, x.shape[1]) for v in torch.batch_norm_update_stats(_folded(x), None, None, 0.0))
    between = torch.batch_norm_update_stats(means, None, None, 0.0)[1]
    return means.mean(0), between + within.mean(0)


def _means(gradient: Tensor, x: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Means over each channel of the gradient, and of the gradient times (x - mean) scale: [2, C].

    PyTorch's kernel has both sums as gradients of a normalisation's shift and scale.
    """
    folds = _folds(x)
    tiled = (v.expand(folds, -1).flatten() for v in (mean, scale))
    maps = _folded(gradient), _folded(x)
    wanted = [False, True, True]
    _, along, own = torch.ops.aten.native_batch_norm_backward(*maps, None, None, None, *tiled, True, EPSILON, wanted)
    return torch.stack((own, along)).view(2, folds, -1).sum(1) / _count(x)


def _folded(x: Tensor) -> Tensor:
    """[N, C, H, W] in channels_last as [N*H*W / F, F*C], no value moved."""
    return x.permute(0, 2, 3, 1).reshape(-1, _folds(x) * x.shape[1])


def _folds(x: Tensor) -> int:
    """F: the power of two that divides N*H*W and is nearest to half its root, where sums cost least and err least."""
    return gcd(_count(x), 1 << max(0, _count(x).bit_length() // 2 - 1))


def _count(x: Tensor) -> int:
    """N*H*W, over which each channel is normalised."""
    return x.shape[0] * x.shape[2] * x.shape[3]


def _channels(values: Tensor) -> Tensor:
    """[C] -> [C, 1, 1], to be multiplied with maps."""
    return values[:, None, None]
