"""The images of a training run, all of them on the device: data sets by name, augmentation, batches in a seeded order.

Not the one minibatch that candidates are scored on: that is benchmarks/conditions/batches.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import interpolate, pad
from torchvision import datasets, transforms

from benchmarks.conditions.batches import DATASETS, channel_statistics, cifar, npz
from benchmarks.conditions.drawing import generator
from benchmarks.reading.limits import check_size
from search.distillation.normalisation import Normalisation

SIDES = (4, 1024)  # of images that networks are trained on
MOST_CLASSES = 100_000
MOST_PIXELS, MOST_OBLONG = 100_000_000, 20  # of a picture in a folder: its pixels, and how often its short side fits
BORDER = 8  # an eighth of the side, 4 black pixels of 32, is what a crop may reach into: the field's augmentation
DIGITS_TEST = 360  # of scikit-learn's 1,797 images
FOLDER_RESOLUTION = 224
NAMES = "digits, cifar10, cifar100, the path of a .npz file, or a folder that holds train/ and val/, a folder a class"

Arrays = tuple[np.ndarray, np.ndarray]
Cropped = Callable[[Tensor, Tensor, int], Tensor]


class Batch(NamedTuple):
    """Normalised images [N, 3, H, W], labels [N], their positions in the training set [N], the run's step and epoch.

    Steps and epochs are counted from 0. `targets` [N, K]: of images that are mixed, the share of each class.
    """

    images: Tensor
    labels: Tensor
    places: Tensor
    step: int
    epoch: int = 0
    targets: Tensor | None = None


class Split(NamedTuple):
    """images uint8 [n, 3, H, W], labels int64 [n]."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Data:
    """A data set on the device. mean and deviation [3, 1, 1] are the training set's; `flip`: mirrored images count."""

    name: str
    classes: int
    train: Split
    test: Split
    mean: Tensor
    deviation: Tensor
    flip: bool

    @property
    def resolution(self) -> int:
        """Side of the square images."""
        return self.train.images.shape[-1]

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

    def epoch(self, size: int, seed: int, epoch: int, cropped: Cropped | None = None) -> Iterator[Batch]:
        """The batches of one epoch, cropped and mirrored at random; order and augmentation depend on seed and epoch.

        `cropped`: another way than by a border: of images and whether each is mirrored, by a seed.
        """
        random = generator(seed, "training images", epoch)
        count, device = len(self.train.labels), self.train.labels.device
        order = torch.from_numpy(random.permutation(count)).to(device)
        shift = torch.from_numpy(random.integers(0, 2 * (self.resolution // BORDER) + 1, (count, 2))).to(device)
        mirrored = torch.from_numpy(random.random(count) < 0.5).to(device) & self.flip
        for step in range(self.steps(size)):
            part = slice(step * size, (step + 1) * size)
            places = order[part]
            images, number = self.train.images[places], epoch * self.steps(size) + step
            if cropped is None:
                images = crop(images, shift[part], mirrored[part])
            else:
                images = cropped(images, mirrored[part], int(generator(seed, "crops", number).integers(2**31)))
            yield Batch(self.normalised(images), self.train.labels[places], places, number, epoch)


def crop(images: Tensor, shift: Tensor, mirrored: Tensor) -> Tensor:
    """Crops [N, 3, S, S] of images of that size with a black border of S/8: shift [N, 2] in 0..S/4, mirrored [N]."""
    padded = pad(images, (images.shape[-1] // BORDER,) * 4)
    place = torch.arange(images.shape[-1], device=images.device)
    columns = torch.where(mirrored[:, None], place.flip(0), place) + shift[:, 1:]
    rows = place + shift[:, :1]
    who = torch.arange(len(images), device=images.device)[:, None, None]
    return padded[who, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def load(name: str, device: torch.device, *, data_dir: str | None, download: bool, resolution: int | None) -> Data:
    """The data set that `--data` names, scaled to the resolution where one is given.

    Raises ValueError where there is none, where its two halves do not fit together, or where it is too small.
    """
    if name == "digits":
        train, test = digits()
    elif name in ("cifar10", "cifar100"):
        train, test = (cifar("--data", name, data_dir, download, train=train) for train in (True, False))
    elif name.endswith(".npz"):
        train, test = (npz("--data", Path(name), part=part) for part in ("train", "test"))
    elif Path(name).is_dir():
        train, test = folder(Path(name), resolution or FOLDER_RESOLUTION)
    else:
        raise ValueError(f"--data {name}: no such data set, file or folder; there are: {NAMES}")
    classes = DATASETS[name].classes if name in DATASETS else int(train[1].max(initial=0)) + 1
    return _checked(Path(name).name, classes, train, test, device, resolution)


def given(train: tuple[Any, Any], test: tuple[Any, Any], device: torch.device, resolution: int | None) -> Data:
    """A data set of a user's own: images uint8 [n, 3, H, H] and labels [n], arrays or tensors, for both halves.

    Raises ValueError where they are something else, or don't fit together.
    """
    halves = []
    for name, (pixels, labels) in (("training", train), ("test", test)):
        images, numbers = (np.asarray(part) for part in (pixels, labels))
        whole = np.issubdtype(numbers.dtype, np.integer) and bool((numbers >= 0).all())
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise ValueError(f"{name} images are {images.dtype} {images.shape}; uint8 (n, 3, H, H) are wanted")
        if numbers.shape != images.shape[:1] or not whole:
            raise ValueError(
                f"{name} labels are {numbers.dtype} {numbers.shape}; whole numbers from 0, ({len(images)},) are wanted"
            )
        halves.append((images, numbers))
    classes = int(halves[0][1].max(initial=0)) + 1
    return _checked("given", classes, halves[0], halves[1], device, resolution)


def digits() -> tuple[Arrays, Arrays]:
    """scikit-learn's handwritten digits: 1,797 real images of 8x8, scaled to 32x32 and three equal channels."""
    found = load_digits()
    grey = torch.from_numpy(found.images).float().unsqueeze(1) * (255 / 16)
    large = interpolate(grey, scale_factor=4, mode="bilinear").round().clamp(0, 255).to(torch.uint8)
    images = large.expand(-1, 3, -1, -1).numpy()
    order = generator("digits").permutation(len(images))
    test, train = order[:DIGITS_TEST], order[DIGITS_TEST:]
    return (images[train], found.target[train]), (images[test], found.target[test])


def folder(path: Path, resolution: int) -> tuple[Arrays, Arrays]:
    """Images in folders by class, ImageNet's way, scaled and cut to squares; all are held in memory."""
    scaled = transforms.Compose([transforms.Resize(resolution), transforms.CenterCrop(resolution)])
    halves, classes = [], []
    for part in ("train", "val"):
        try:
            found = datasets.ImageFolder(str(path / part), scaled, loader=picture)
        except OSError as error:
            raise ValueError(f"--data {path}: {str(error).splitlines()[0]}; it takes train/ and val/") from None
        classes.append(found.classes)
        images = np.stack([np.asarray(image) for image, _ in found]).transpose(0, 3, 1, 2)
        halves.append((images, np.asarray(found.targets)))
    if classes[0] != classes[1]:
        raise ValueError(
            f"--data {path}: train/ and val/ hold different classes ({len(classes[0])}, {len(classes[1])})"
        )
    return halves[0], halves[1]


def picture(name: str) -> Image.Image:
    """A picture of a folder. Raises ValueError where it is none, too large, or so oblong that scaled it would be."""
    try:
        check_size(Path(name), "picture")
        with Image.open(name) as found:
            (short, long) = sorted(found.size)
            if short * long > MOST_PIXELS or long > MOST_OBLONG * short:
                raise ValueError(
                    f"{found.width} x {found.height}; {MOST_PIXELS:,} pixels are the most, and a side of {MOST_OBLONG} "
                    "times the other"
                )
            return found.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # SyntaxError: of a damaged PNG
        raise ValueError(f"--data {name}: {getattr(error, 'strerror', None) or str(error)}") from None


def _checked(
    name: str, classes: int, train: Arrays, test: Arrays, device: torch.device, resolution: int | None
) -> Data:
    if len(train[1]) < 2 or not len(test[1]):
        raise ValueError(f"--data {name}: {len(train[1])} training and {len(test[1])} test images are too few")
    if test[1].max() >= classes:
        raise ValueError(f"--data {name}: a test label {test[1].max()}; the training labels make {classes} classes")
    if classes > MOST_CLASSES:
        raise ValueError(f"--data {name}: its labels make {classes:,} classes; {MOST_CLASSES:,} are the most")
    side = train[0].shape[-1] if resolution is None else resolution
    if not SIDES[0] <= side <= SIDES[1]:
        raise ValueError(f"--data {name}: images of {side} x {side}; {SIDES[0]} to {SIDES[1]} is allowed")
    if train[0].shape[1:] != test[0].shape[1:]:
        raise ValueError(f"--data {name}: training images {train[0].shape[1:]}, test images {test[0].shape[1:]}")
    training, testing = (_split(*half, device, resolution) for half in (train, test))
    statistics = channel_statistics(training.images.cpu().numpy())
    mean, deviation = (torch.tensor(part, dtype=torch.float32, device=device)[:, None, None] for part in statistics)
    deviation = torch.where(deviation == 0, 1.0, deviation)
    return Data(name, classes, training, testing, mean, deviation, flip=name != "digits")


def _split(images: np.ndarray, labels: np.ndarray, device: torch.device, resolution: int | None) -> Split:
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    if resolution is not None and resolution != images.shape[-1]:
        size = (resolution, resolution)
        shrunk = interpolate(pixels.float(), size, mode="bilinear", antialias=True)
        pixels = shrunk.round().clamp(0, 255).to(torch.uint8)
    return Split(pixels, torch.from_numpy(labels.astype(np.int64)).to(device))
