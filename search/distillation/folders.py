"""Pictures in folders by class, ImageNet's way (train/CLASS/*.jpg, val/CLASS/*.jpg): what is there, and reading it.

All held in memory by images.py, or read when they are wanted by streaming.py.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.conditions.drawing import generator
from benchmarks.reading.late import Late
from benchmarks.reading.limits import check_size
from benchmarks.scoring.engines import cores

datasets = Late("torchvision.datasets")
transforms = Late("torchvision.transforms")
functional = Late("torchvision.transforms.functional")

PARTS = ("train", "val")
MOST_PIXELS, MOST_OBLONG = 100_000_000, 20  # of a picture: its pixels, and how often its short side fits into the other
AREA, ASPECT, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10  # of a random part, as torchvision's RandomResizedCrop
CHUNK, MOST_LOADERS = 64, 8

Faults = list[tuple[int, str]]  # places of pictures that can't be read, and why


class Listing(NamedTuple):
    """Pictures, and the classes [n] that they are of."""

    paths: list[str]
    labels: np.ndarray

    def without(self, faults: Faults, names: Sequence[str]) -> Listing:
        """All but those that can't be read. Raises ValueError where one of the classes called so has no other."""
        left = np.delete(np.arange(len(self.paths)), np.array([place for place, _ in faults], dtype=int))
        if missing := set(range(len(names))) - set(self.labels[left].tolist()):
            raise ValueError(f"{faults[0][1]}; no picture of the class {names[min(missing)]} can be read")
        return Listing([self.paths[place] for place in left], self.labels[left])


class Folder(NamedTuple):
    """The names of the classes, and the pictures of both halves."""

    names: tuple[str, ...]
    train: Listing
    val: Listing


def listed(path: Path) -> Folder:
    """What a folder holds. Raises ValueError where a half, a class in it, or a class of the other half is missing."""
    halves, classes = [], []
    for part in PARTS:
        try:
            found = datasets.ImageFolder(str(path / part))
        except OSError as error:
            raise ValueError(f"--data {path}: {str(error).splitlines()[0]}; it takes train/ and val/") from None
        classes.append(found.classes)
        halves.append(Listing([name for name, _ in found.samples], np.asarray(found.targets)))
    for (there, here), (has, lacks) in zip((PARTS[::-1], PARTS), (classes[::-1], classes), strict=True):
        if more := [name for name in has if name not in lacks]:
            raise ValueError(
                f"--data {path}: train/ and val/ hold different classes ({len(classes[0])}, {len(classes[1])}): "
                f"{there}/ has {more[0]}, which {here}/ lacks"
            )
    return Folder(tuple(classes[0]), *halves)


def picture(name: str) -> Image.Image:
    """A picture of a folder in 8 bits; of 16 the upper ones.

    Raises ValueError where it is none, of 32 bits, too large, or so oblong that scaled it would be.
    """
    try:
        check_size(Path(name), "picture")
        with Image.open(name) as found:
            (short, long) = sorted(found.size)
            if short * long > MOST_PIXELS or long > MOST_OBLONG * short:
                raise ValueError(
                    f"{found.width} x {found.height}; {MOST_PIXELS:,} pixels are the most, and a side of {MOST_OBLONG} "
                    "times the other"
                )
            if found.mode in ("I", "F"):
                raise ValueError("its values have 32 bits; 8 or 16 are read")
            if found.mode.startswith("I;16"):  # of which convert() makes white
                return Image.fromarray((np.asarray(found) >> 8).astype(np.uint8)).convert("RGB")
            return found.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # SyntaxError: of a damaged PNG
        raise ValueError(f"--data {name}: {getattr(error, 'strerror', None) or str(error)}") from None


def random_part(width: int, height: int, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Left, top, width and height of a random part of a picture, drawn as torchvision's RandomResizedCrop does.

    Its area is a uniform share `AREA` of the picture's and the logarithm of its aspect uniform in `ASPECT`; where ten
    tries do not fit, the middle of the picture at the nearest aspect that is allowed.
    """
    for _ in range(TRIES):
        area = width * height * random.uniform(*AREA)
        aspect = math.exp(random.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        wide, high = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < high <= height:
            return int(random.integers(width - wide + 1)), int(random.integers(height - high + 1)), wide, high
    wide, high = min(width, round(height * ASPECT[1])), min(height, round(width / ASPECT[0]))
    return (width - wide) // 2, (height - high) // 2, wide, high


@dataclass(frozen=True)
class Pictures(Dataset[Tensor | str]):
    """Pictures as squares uint8 [3, side, side]: scaled, and cut in the middle; the text of an error where one is none.

    `cut`: seed and epoch by which random parts are cut and scaled instead, each picture's by its own place, so that it
    is the same whoever reads it.
    """

    paths: Sequence[str]
    side: int
    cut: tuple[int, int] | None = None

    def __getitem__(self, place: int) -> Tensor | str:
        try:
            found = picture(self.paths[place])
        except ValueError as error:
            return str(error)  # raised by who asked: what a process of a DataLoader raises is a page long
        if self.cut is None:
            square = transforms.CenterCrop(self.side)(transforms.Resize(self.side)(found))
        else:
            left, top, wide, high = random_part(*found.size, generator("part of a picture", *self.cut, place))
            square = functional.resized_crop(found, top, left, high, wide, [self.side, self.side])
        return torch.from_numpy(np.array(square).transpose(2, 0, 1))

    def batches(self, places: Sequence[Sequence[int]], loaders: int, *, pin: bool = False) -> Iterator[Read]:
        """Batch by batch, the pictures at these places, read by so many processes beside this one."""
        loader = DataLoader(
            self,
            batch_sampler=[list(batch) for batch in places],
            num_workers=min(loaders, sum(map(len, places)) // CHUNK),  # few pictures are read sooner than these begin
            collate_fn=together,
            pin_memory=pin,
            generator=torch.Generator(),  # else it draws from torch's own
        )
        yield from loader

    def every(self, loaders: int) -> Iterator[Read]:
        """All of them in order, `CHUNK` at a time."""
        count = len(self.paths)
        return self.batches([range(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)], loaders)


class Read(NamedTuple):
    """Pictures uint8 [n, 3, S, S] that were read, and which of those that were wanted could not be."""

    images: Tensor
    faults: Faults


def together(found: Sequence[Tensor | str]) -> Read:
    """A batch of what was read."""
    images = [one for one in found if isinstance(one, Tensor)]
    faults = [(place, one) for place, one in enumerate(found) if isinstance(one, str)]
    return Read(torch.stack(images) if images else torch.empty(0), faults)


def refused(faults: Faults) -> None:
    """Raises ValueError for the first picture that can't be read, where there is one."""
    if faults:
        raise ValueError(f"{faults[0][1]}; --skip-corrupt leaves out what can't be read")


def held(listing: Listing, side: int, loaders: int, *, skip: bool = False) -> tuple[np.ndarray, Faults]:
    """All pictures of a listing that can be read, uint8 [n, 3, side, side], and those that can't.

    Raises ValueError for one of these, where they are not to be skipped.
    """
    images, faults = [], Faults()
    for number, read in enumerate(Pictures(listing.paths, side).every(loaders)):
        if not skip:
            refused(read.faults)
        faults += [(number * CHUNK + place, text) for place, text in read.faults]
        if len(read.images):
            images.append(read.images.numpy().copy())  # out of what a process shared
    return np.concatenate(images or [np.empty((0, 3, side, side), np.uint8)]), faults


def faulty(listing: Listing, side: int, loaders: int) -> Faults:
    """The pictures of a listing that can't be read: all of them are read, and none is kept."""
    every = enumerate(Pictures(listing.paths, side).every(loaders))
    return [(number * CHUNK + place, text) for number, read in every for place, text in read.faults]


def readers(asked: int | None) -> int:
    """How many processes read pictures: as asked, else a core each; none in a process that may start none."""
    if multiprocessing.current_process().daemon:
        return 0
    return min(MOST_LOADERS, cores(cuda=False)) if asked is None else asked
