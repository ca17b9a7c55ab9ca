"""The images of a training run as the loop sees them: a data set, and its batches in a seeded order.

Here all images are held on the device; those of a folder that does not fit are in streaming.py. Which data set is meant
by a name stands in images.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from benchmarks.conditions.batches import channel_statistics
from benchmarks.conditions.drawing import generator
from search.distillation.normalisation import Normalisation

BORDER = 8  # an eighth of the side, 4 black pixels of 32, is what a crop may reach into: the field's augmentation

Cropped = Callable[[Tensor, Tensor, int], Tensor]


class Batch(NamedTuple):
    """Normalised images [N, 3, H, W], labels [N], their positions in the training set [N], the run's step and epoch.

    Steps and epochs are counted from 0. `targets` [N, K]: of images that are mixed, the share of each class. `whole`:
    images of the batch of which this is one process's part; 0 where it is all of it. `part`: its number among those
    that a batch is run in, from 0.
    """

    images: Tensor
    labels: Tensor
    places: Tensor
    step: int
    epoch: int = 0
    targets: Tensor | None = None
    whole: int = 0
    part: int = 0


class Split(NamedTuple):
    """images uint8 [n, 3, H, W], of a folder that is streamed [0, 3, H, W]; labels int64 [n]."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Data:
    """A data set on the device. mean and deviation [3, 1, 1] are the training set's; `flip`: mirrored images count.

    `names`: of its classes, where they have any; `skipped`: pictures that were left out since they can't be read.
    """

    name: str
    classes: int
    train: Split
    test: Split
    mean: Tensor
    deviation: Tensor
    flip: bool
    names: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    streams = False  # whether images are read when they are wanted

    @property
    def resolution(self) -> int:
        """Side of the square images."""
        return self.train.images.shape[-1]

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.train.labels.device

    @cached_property
    def digest(self) -> str:
        """The first 12 digits of a sha256 over all images and labels."""
        summary = hashlib.sha256()
        for part in (*self.train, *self.test):
            summary.update(str(tuple(part.shape)).encode() + part.cpu().numpy().tobytes())
        return summary.hexdigest()[:12]

    @property
    def normalisation(self) -> Normalisation:
        """What `normalised` does, in torchvision's units."""
        (*mean,), (*std,) = ((part.double().flatten() / 255).tolist() for part in (self.mean, self.deviation))
        return Normalisation((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))

    def normalised(self, images: Tensor) -> Tensor:
        """uint8 images [N, 3, H, W] -> float32."""
        return (images.float() - self.mean) / self.deviation

    def steps(self, size: int) -> int:
        """Batches in an epoch; what does not fill one is left out."""
        return max(1, len(self.train.labels) // size)

    def read(self, split: Split, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """The images, uint8 [N, 3, H, W], at some places [N] of a half, batch by batch."""
        return (split.images.index_select(0, places) for places in batches)

    @cached_property
    def example(self) -> Tensor:
        """Two normalised images, for a look at what networks make of them."""
        (one,) = self.read(self.test, [torch.zeros(1, dtype=torch.int64, device=self.device)])
        return self.normalised(one.expand(2, -1, -1, -1))

    def epoch(
        self, size: int, seed: int, epoch: int, cropped: Cropped | None = None, turn: tuple[int, int] = (0, 1)
    ) -> Iterator[Batch]:
        """The batches of one epoch, cropped and mirrored at random; order and augmentation depend on seed and epoch.

        `cropped`: another way than by a border: of images and whether each is mirrored, by a seed. `turn`: which of how
        many processes this is; where images are streamed it gets its part of each batch alone, else all of it.
        """
        random = generator(seed, "training images", epoch)
        count, device = len(self.train.labels), self.device
        order = torch.from_numpy(random.permutation(count)).to(device)
        shift = torch.from_numpy(random.integers(0, 2 * (self.resolution // BORDER) + 1, (count, 2))).to(device)
        mirrored = torch.from_numpy(random.random(count) < 0.5).to(device) & self.flip
        parts = [slice(step * size, min((step + 1) * size, count)) for step in range(self.steps(size))]
        wholes = [part.stop - part.start for part in parts]
        own = self.streams and turn[1] > 1
        if own:
            parts = [rows(whole, *turn, first=part.start) for part, whole in zip(parts, wholes, strict=True)]
        every = self.read(self.train, [order[part] for part in parts])
        for step, (part, whole, images) in enumerate(zip(parts, wholes, every, strict=True)):
            number = epoch * self.steps(size) + step
            if cropped is None:
                images = crop(images, shift[part], mirrored[part])
            else:
                images = cropped(images, mirrored[part], int(generator(seed, "crops", number).integers(2**31)))
            images, labels = self.normalised(images), self.train.labels[order[part]]
            if cropped is None:  # as it has always been: in another order of memory convolutions round differently
                images = images.contiguous(memory_format=torch.channels_last)
            yield Batch(images, labels, order[part], number, epoch, whole=whole if own else 0)


def rows(whole: int, number: int, count: int, first: int = 0) -> slice:
    """One of `count` parts of so many rows, equal but for the first ones, which have one more where it can't be."""
    size, more = divmod(whole, count)
    start = first + number * size + min(number, more)
    return slice(start, start + size + (number < more))


def crop(images: Tensor, shift: Tensor, mirrored: Tensor) -> Tensor:
    """Crops [N, 3, S, S] of images of that size with a black border of S/8: shift [N, 2] in 0..S/4, mirrored [N]."""
    side, border = images.shape[-1], images.shape[-1] // BORDER
    padded = pad(images, (border,) * 4).flatten(2)
    place = torch.arange(side, device=images.device)
    columns = torch.where(mirrored[:, None], place.flip(0), place) + shift[:, 1:]
    rows = (place + shift[:, :1]) * (side + 2 * border)
    pixels = (rows[:, :, None] + columns[:, None, :]).flatten(1)[:, None]
    return padded.gather(2, pixels.expand(-1, images.shape[1], -1)).view_as(images)


def channels(images: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, [3, 1, 1], of images uint8 [n, 3, H, W]; a deviation of 0 is 1."""
    mean, deviation = (
        torch.tensor(part, dtype=torch.float32, device=device)[:, None, None] for part in channel_statistics(images)
    )
    return mean, deviation
