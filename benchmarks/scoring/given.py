"""A batch that a user hands over from Python, checked: images as the networks are to get them, and their labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmarks.conditions.batches import Batch, Dataset


def given_batch(images: Tensor | np.ndarray, labels: Tensor | np.ndarray | Sequence[int] | None) -> Batch:
    """A user's images and labels as a batch. Raises ValueError, saying what is expected, where they are none."""
    tensor = torch.as_tensor(images)
    if tensor.ndim != 4 or not tensor.is_floating_point():
        kind = f"{tensor.dtype} {list(tensor.shape)}".removeprefix("torch.")
        raise ValueError(f"images are {kind}; floats [N, C, H, W], as the networks are to get them, are expected")
    if labels is None:
        raise ValueError("images come with labels: N integers")
    classes = torch.as_tensor(labels)
    if classes.is_floating_point() or classes.dtype == torch.bool or classes.shape != tensor.shape[:1]:
        kind = f"{classes.dtype} {list(classes.shape)}".removeprefix("torch.")
        raise ValueError(f"labels are {kind}; {len(tensor)} integers are expected")
    if len(tensor) < 2:
        raise ValueError(f"{len(tensor)} images: 2 is the least, batch statistics and relations need it")
    if classes.min() < 0:
        raise ValueError(f"labels begin at {int(classes.min())}; 0 is the least")
    if not tensor.isfinite().all():
        raise ValueError("images hold NaN or infinities")
    return Batch(tensor.detach().cpu().float().contiguous().clone(), classes.cpu().long().clone())


def own_dataset(batch: Batch) -> str:
    """The data set that a batch is of where its user names none: as many classes as the labels show."""
    return f"given:{max(2, int(batch.labels.max()) + 1)}x{batch.images.shape[-1]}"


def check_fits(batch: Batch, dataset: Dataset, *, any_size: bool = False) -> None:
    """Raises ValueError where a batch's images (of any size for modules) or labels are not those of a data set."""
    side = dataset.resolution
    if not any_size and tuple(batch.images.shape[1:]) != (3, side, side):
        raise ValueError(f"images are {list(batch.images.shape)}; [N, 3, {side}, {side}] is expected")
    if int(batch.labels.max()) >= dataset.classes:
        raise ValueError(f"labels run to {int(batch.labels.max())}; 0 to {dataset.classes - 1} is allowed")
