"""The one minibatch that every candidate sees: noise that needs no data, CIFAR images, or a .npz file of images.

The same source, size, seed and data set give the same batch, whatever the machine.
"""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from benchmarks.conditions.drawing import generator
from benchmarks.conditions.normalisation import Normalisation
from benchmarks.reading.late import Late
from benchmarks.reading.limits import LARGEST, MEBIBYTE, check_size, shown
from benchmarks.reading.naming import meant
from benchmarks.reading.pickles import MALFORMED
from benchmarks.spaces.space import Space

datasets = Late("torchvision.datasets")

DATA_VARIABLE = "DISWOT_DATA"  # a folder of local data: images for --data-dir, accuracy tables for tests


class Dataset(NamedTuple):
    """What a network needs to know of a data set."""

    classes: int
    resolution: int


DATASETS = {
    "cifar10": Dataset(10, 32),
    "cifar100": Dataset(100, 32),
    "ImageNet16-120": Dataset(120, 16),
    "imagenet": Dataset(1000, 224),
    "flowers": Dataset(102, 224),
    "chaoyang": Dataset(4, 224),
}

MOST_CLASSES, LARGEST_SIDE = 100_000, 2048
COUNTED = 4096  # images whose pixels are counted together
AUTO = "auto"  # --dataset: read off the images
OWN = re.compile(r"[\w.+-]{1,64}:([0-9]{1,6})x([0-9]{1,4})", re.ASCII)


def find_dataset(name: str, space: Space | None = None) -> Dataset:
    """The data set of this name, or one of the user's own, NAME:CLASSESxRESOLUTION (pets:37x64).

    Its images are of the size that a space wants of named ones. Raises ValueError, naming those there are, or where the
    space has no networks for such images.
    """
    known = _named(name)
    if space is not None:
        if space.resolution is not None and name in DATASETS:
            known = known._replace(resolution=space.resolution)
        space.check(*known)
    return known


def _named(name: str) -> Dataset:
    if found := OWN.fullmatch(name):
        own = Dataset(int(found[1]), int(found[2]))
        if not (2 <= own.classes <= MOST_CLASSES and 1 <= own.resolution <= LARGEST_SIDE):
            raise ValueError(
                f"data set {name!r}: 2 to {MOST_CLASSES:,} classes, images of 1 to {LARGEST_SIDE:,} pixels a side"
            )
        return own
    if name not in DATASETS:
        there = f"{', '.join(DATASETS)}, or your own as NAME:CLASSESxRESOLUTION"
        hint = meant(name, DATASETS)
        if name == "cifar10-valid":  # NAS-Bench-201's name for half of the training images to train on
            hint = "; its accuracies are those of --dataset cifar10 --truth nasbench201:x-valid"
        raise ValueError(f"no data set is called {name!r}; there are: {there}{hint}")
    return DATASETS[name]


@dataclass(frozen=True)
class Batch:
    """images [N, 3, H, W] float32, labels [N] int64, and a digest of both."""

    images: Tensor
    labels: Tensor

    @property
    def digest(self) -> str:
        """sha256 over shape and bytes of images and labels."""
        summary = hashlib.sha256(str(tuple(self.images.shape)).encode())
        summary.update(self.images.numpy().tobytes())
        summary.update(self.labels.numpy().tobytes())
        return summary.hexdigest()


class Source:
    """Where batches come from: `noise`, or images [n, 3, H, W], uint8 or floats, with labels [n]."""

    def __init__(self, name: str, dataset: Dataset, pool: tuple[np.ndarray, np.ndarray] | None = None) -> None:
        self.name = name
        self.dataset = dataset
        self.pool = pool

    @cached_property
    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of each channel, [C], over all its images; for a source that has images."""
        assert self.pool is not None
        return channel_statistics(self.pool[0])

    @property
    def normalisation(self) -> Normalisation | None:
        """What the pixels of its images went through; None where they are none of 0 to 255, as noise's are not."""
        if self.pool is None or self.pool[0].dtype != np.uint8:
            return None
        mean, deviation = (part / 255 for part in self.statistics)
        return Normalisation((mean[0], mean[1], mean[2]), (deviation[0], deviation[1], deviation[2]))

    def batch(self, size: int, seed: int) -> Batch:
        """A batch by seed. Raises ValueError where the source has too few images.

        Noise: N(0, 1) images with labels as evenly spread over the classes as the size allows. Images: a random
        choice, each at most once, normalised by the channel means and deviations of the whole source, and scaled where
        the data set's are of another size.
        """
        if size < 2:
            raise ValueError(f"batch size {size}: 2 is the least, batch statistics and relations need it")
        random = generator(seed, "batch", "noise" if self.pool is None else "images", size)
        if self.pool is None:
            classes, resolution = self.dataset
            images = random.standard_normal((size, 3, resolution, resolution), dtype=np.float32)
            labels = random.permutation(np.arange(size) % classes)
        else:
            every, every_label = self.pool
            if size > len(every):
                raise ValueError(f"batch size {size}: {self.name} has only {len(every)} images")
            chosen = random.permutation(len(every))[:size]
            images, labels = _normalised(every[chosen], *self.statistics), every_label[chosen]
        return Batch(
            scaled(torch.from_numpy(images), self.dataset.resolution), torch.from_numpy(labels.astype(np.int64))
        )


def scaled(images: Tensor, side: int) -> Tensor:
    """Square images [N, C, H, H] -> [N, C, side, side], bilinearly, without smoothing; untouched where they are so."""
    if images.shape[-1] == side:
        return images
    return interpolate(images, size=(side, side), mode="bilinear", align_corners=False)


class Given(Source):
    """One batch that is there already, whatever the seed: images [N, C, H, W], as networks are to get them."""

    def __init__(self, batch: Batch, dataset: Dataset) -> None:
        super().__init__("given", dataset)
        self._batch = batch

    def batch(self, size: int, seed: int) -> Batch:
        """The batch."""
        return self._batch


def open_source(
    name: str,
    dataset_name: str,
    *,
    data_dir: str | None = None,
    download: bool = False,
    space: Space | None = None,
) -> Source:
    """The source of batches that `--batch` names: noise, cifar10, cifar100, or the path of a .npz file.

    Images are those of the data set, and scaled where the space wants another size. Raises ValueError where there is
    none, or where its images do not fit the data set.
    """
    dataset = find_dataset(dataset_name, space)
    if name == "noise":
        return Source(name, dataset)
    if name in ("cifar10", "cifar100"):
        if name != dataset_name:
            raise ValueError(f"--batch {name} does not go with --dataset {dataset_name}: classes and size differ")
        return Source(name, dataset, cifar("--batch", name, data_dir, download))
    if Path(name).is_dir():
        raise ValueError(f"--batch {name}: a folder; the path of a .npz file is expected, or noise, cifar10, cifar100")
    if name.endswith(".npz"):
        images = npz("--batch", Path(name), find_dataset(dataset_name), floats=True)
        return Source(shown(Path(name).name), dataset, images)
    known = f"noise, cifar10, cifar100, or the path of a .npz file{meant(name, ('noise', 'cifar10', 'cifar100'))}"
    raise ValueError(f"no batch is called {name!r}; there are: {known}")


def cifar(
    option: str, name: str, data_dir: str | None, download: bool, *, train: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """CIFAR images uint8 [n, 3, 32, 32] and labels [n] by torchvision. Raises ValueError where they are not there."""
    root = data_dir or os.environ.get(DATA_VARIABLE) or "data"
    kind = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
    try:
        images = kind(root, train=train, download=download)
    except (HTTPException, OSError, RuntimeError) as error:
        hint = "download failed" if download else "name its folder by --data-dir or $DISWOT_DATA, or add --download"
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{option} {name}: not found in {root} ({reason}); {hint}") from None
    return images.data.transpose(0, 3, 1, 2), np.asarray(images.targets)


def npz(
    option: str, path: Path, dataset: Dataset | None = None, part: str = "train", *, floats: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Images [n, 3, H, H] and labels [n] of a .npz file: arrays `train_images`, `train_labels`, or `images`, `labels`.

    Grey images, [n, H, H] or [n, 1, H, H], stand three times. Images are uint8, or real numbers where `floats` are
    allowed. Raises ValueError where they are none, or not those of the data set; without one, any square size will do.
    """
    try:
        images, labels = _arrays(path, part)
    except (OSError, *MALFORMED) as error:
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0] or type(error).__name__
        raise ValueError(f"{option} {path}: {reason}") from None
    found = f"{images.dtype} {list(images.shape)}"
    images = images[:, None] if images.ndim == 3 else images
    images = images.repeat(3, axis=1) if images.ndim == 4 and images.shape[1] == 1 else images
    side = dataset.resolution if dataset else images.shape[-1] if images.ndim == 4 else "H"
    real = images.dtype.kind == "f" and floats
    if not (images.dtype == np.uint8 or real) or images.ndim != 4 or images.shape[1:] != (3, side, side):
        kinds = "floats or uint8" if floats else "uint8"
        turned = "; channels come before the sides: images.transpose(0, 3, 1, 2)"
        last = turned if images.shape[3:] in ((1,), (3,)) else ""
        raise ValueError(f"{option} {path}: images are {found}; {kinds} [n, 3, {side}, {side}] is expected{last}")
    if real and not np.isfinite(images).all():
        raise ValueError(f"{option} {path}: images hold NaN or infinities")
    _check_labels(f"{option} {path}", labels, len(images), dataset)
    return images, labels


def _arrays(path: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """The arrays of images and labels in a .npz file as they are."""
    check_size(path, "images")
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > LARGEST["images"]:
            raise ValueError(f"unpacks to more than {LARGEST['images'] // MEBIBYTE:,} MiB")
    with np.load(path, allow_pickle=False) as content:
        prefix = f"{part}_" if part != "train" or "train_images" in content else ""
        missing = [key for key in (f"{prefix}images", f"{prefix}labels") if key not in content]
        if missing:
            raise ValueError(f"no array called {missing[0]!r}; it holds: {', '.join(content) or 'nothing'}")
        images, labels = (np.asarray(content[f"{prefix}{key}"]) for key in ("images", "labels"))
    return images, labels


def _check_labels(where: str, labels: np.ndarray, count: int, dataset: Dataset | None) -> None:
    """Raises ValueError where labels are not one class of the data set for each image."""
    if labels.dtype.kind not in "iu" or labels.shape != (count,):
        raise ValueError(f"{where}: labels are {labels.dtype} {list(labels.shape)}; {count} integers wanted")
    allowed = dataset.classes - 1 if dataset else np.iinfo(np.int64).max
    if len(labels) and not (labels.min() >= 0 and labels.max() <= allowed):
        raise ValueError(f"{where}: labels run from {labels.min()} to {labels.max()}; 0 to {allowed} is allowed")


def named_dataset(name: str, batch: str) -> str:
    """The data set that --dataset names; `auto` reads classes and size off the images that --batch names.

    Raises ValueError where that is no .npz file, or holds none.
    """
    if name != AUTO:
        return name
    if not batch.endswith(".npz"):
        raise ValueError("--dataset auto: reads classes and size off --batch FILE.npz")
    images, labels = npz("--batch", Path(batch), floats=True)
    if len(labels) == 0:
        raise ValueError(f"--batch {batch}: holds no images")
    stem = re.sub(r"[^\w.+-]", "-", Path(batch).stem, flags=re.ASCII)[:64] or "own"
    return f"{stem}:{max(2, int(labels.max()) + 1)}x{images.shape[-1]}"


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each channel, [3] each, of images [n, 3, H, W], exact of uint8; a deviation of 0 is 1."""
    if images.dtype != np.uint8:
        flat = images.transpose(1, 0, 2, 3).reshape(3, -1)
        mean, deviation = flat.mean(1, dtype=np.float64), flat.std(1, dtype=np.float64)
    else:
        parts = np.array_split(images, -(-len(images) // COUNTED) or 1)  # to be counted a pixel is made eight bytes
        each = [[np.bincount(part[:, c].ravel(), minlength=256) for c in range(3)] for part in parts]
        counts = np.sum(each, axis=0)
        values = np.arange(256)
        mean = counts @ values / counts.sum(1)
        deviation = np.sqrt(counts @ values**2 / counts.sum(1) - mean**2)
    return mean, np.where(deviation == 0, 1.0, deviation)


def _normalised(images: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    return np.asarray((images - mean[:, None, None]) / deviation[:, None, None], dtype=np.float32)
