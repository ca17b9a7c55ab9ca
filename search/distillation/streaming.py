"""Images that need not fit into memory: a folder whose pictures are read when a batch wants them, by several processes.

Order and augmentation are those of images that are held (data.py): by seed and epoch alone, whoever reads, and however
many do. Crops of a border, mirroring, erasing and mixing are done on the device; random parts are cut from the whole
picture where it is read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.conditions.drawing import generator
from search.distillation import folders
from search.distillation.data import Batch, Cropped, Data, Split, channels
from search.distillation.folders import Folder, Listing, Pictures, refused

MEASURED = 1024  # pictures, drawn at random, whose channels stand for those of all


@dataclass(frozen=True)
class Streamed(Data):
    """A folder's images, of which none is held. `cut`: as of Pictures, for those that are trained on."""

    folder: Path = Path()
    train_paths: Sequence[str] = ()
    test_paths: Sequence[str] = ()
    loaders: int = 0
    cut: tuple[int, int] | None = None

    streams = True

    @cached_property
    def digest(self) -> str:
        """The first 12 digits of a sha256 over the pictures' names, sizes in bytes and classes, not their pixels."""
        summary = hashlib.sha256()
        for paths, split in ((self.train_paths, self.train), (self.test_paths, self.test)):
            for path, label in zip(paths, split.labels.tolist(), strict=True):
                summary.update(f"{os.path.relpath(path, self.folder)} {os.path.getsize(path)} {label}\n".encode())
        return summary.hexdigest()[:12]

    def read(self, split: Split, batches: Sequence[Tensor]) -> Iterator[Tensor]:
        """See Data. Raises ValueError, naming it, where a picture can't be read."""
        training = split is self.train
        paths, cut = (self.train_paths, self.cut) if training else (self.test_paths, None)
        places = [batch.tolist() for batch in batches]
        pictures = Pictures(paths, self.resolution, cut)
        for images, faults in pictures.batches(places, self.loaders, pin=self.device.type == "cuda"):
            refused(faults)
            yield images.to(self.device, non_blocking=True)

    def epoch(
        self, size: int, seed: int, epoch: int, cropped: Cropped | None = None, turn: tuple[int, int] = (0, 1)
    ) -> Iterator[Batch]:
        """See Data; `cropped` says that random parts are wanted, which are cut where the pictures are read."""
        if cropped is None:
            return super().epoch(size, seed, epoch, None, turn)
        return Data.epoch(replace(self, cut=(seed, epoch)), size, seed, epoch, _mirrored, turn)


def opened(path: Path, found: Folder, device: torch.device, side: int, loaders: int, *, skip: bool) -> Streamed:
    """A folder as a data set that is streamed. `skip`: read every picture once, and leave out those that can't be.

    Mean and deviation of the channels are those of `MEASURED` training pictures, drawn at random, or of all that there
    are. Raises ValueError where one can't be read and is not skipped.
    """
    halves, skipped = [], list[str]()
    for listing in (found.train, found.val):
        faults = folders.faulty(listing, side, loaders) if skip else []
        skipped += [listing.paths[place] for place, _ in faults]
        halves.append(listing.without(faults, found.names))
    training, testing = halves
    some = sorted(generator("channels of pictures").permutation(len(training.paths))[:MEASURED].tolist())
    images, _ = folders.held(Listing([training.paths[place] for place in some], training.labels[some]), side, loaders)
    mean, deviation = channels(images, device)
    none = torch.empty(0, 3, side, side, dtype=torch.uint8, device=device)
    splits = [Split(none, torch.from_numpy(half.labels.astype(np.int64)).to(device)) for half in halves]
    return Streamed(
        path.name,
        len(found.names),
        splits[0],
        splits[1],
        mean,
        deviation,
        flip=True,
        names=found.names,
        skipped=tuple(skipped),
        folder=path,
        train_paths=training.paths,
        test_paths=testing.paths,
        loaders=loaders,
    )


def _mirrored(images: Tensor, mirrored: Tensor, _: int) -> Tensor:
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)
