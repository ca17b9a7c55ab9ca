"""Parts: a batch that is run piece by piece, where no batch statistics are in the way.

In how many pieces a batch is run follows from the network and the batch alone, never from the machine or from what
else is asked for, so that scores repeat. Which passes there are stands in passes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

LARGEST = 4 * 2**30  # bytes that a pass may keep before its batch is split


def pieces(images: int, kept: int) -> list[slice]:
    """A batch of so many images, each of which keeps so many bytes, as pieces of like size that keep LARGEST at most.

    An image that keeps more is a piece of its own.
    """
    each = max(1, LARGEST // max(kept, 1))
    count = -(-images // each) or 1
    ends = [images * number // count for number in range(count + 1)]
    return [slice(*pair) for pair in pairwise(ends)]


def _images(values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """[A, n, ...] by piece -> [A, N, ...]."""
    return torch.cat(list(values), 1)


def _shared(values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Gradients [A, n, ...] of a mean over a piece -> of the mean over the batch, [A, N, ...]."""
    return torch.cat([value * share for value, share in zip(values, shares, strict=True)], 1)


def _each(join: Callable[[Sequence[Tensor], Sequence[float]], Tensor]) -> Callable[[Any, Any], Any]:
    """The same for lists of tensors."""
    return lambda values, shares: [join(column, shares) for column in zip(*values, strict=True)]


def _outputs(values: Sequence[Any], shares: Sequence[float]) -> Any:
    return type(values[0])(*(_images(column, shares) for column in zip(*values, strict=True)))


def _summed(values: Sequence[Any], shares: Sequence[float]) -> Any:
    """Gradients by weights of a mean over a piece -> of the mean over the batch."""
    return [
        column[0]._replace(gradient=sum(one.gradient * share for one, share in zip(column, shares, strict=True)))
        for column in zip(*values, strict=True)
    ]


# How the values of the pieces make that of the batch, by quantity; `shares`: a piece's part of the images.
JOINED: Mapping[str, Callable[[Sequence[Any], Sequence[float]], Any]] = {
    "outputs": _outputs,
    "gradients": _summed,
    "input_gradients": _images,
    "class_gradients": _images,
    "feature_gradients": _shared,
    "stages": _each(_images),
    "stage_gradients": _each(_shared),
    "attention_maps": _each(_images),
}
