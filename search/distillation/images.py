"""Which images a training run is on: data sets by name, arrays of a user's own, and a folder, held or streamed.

Not the one minibatch that candidates are scored on: that is benchmarks/conditions/batches.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import interpolate

from benchmarks.conditions.batches import DATASETS, cifar, npz
from benchmarks.conditions.drawing import generator
from search.distillation import folders, streaming
from search.distillation.data import Data, Split, channels

SIDES = (4, 1024)  # of images that networks are trained on
MOST_CLASSES = 100_000
AT_ONCE = 1024  # images that are scaled together: as floats all of them may be more than memory holds
DIGITS_TEST = 360  # of scikit-learn's 1,797 images
FOLDER_RESOLUTION = 224
HELD_BYTES = 4 << 30  # of a folder's pictures, scaled: more are streamed where nothing is said
NAMES = "digits, cifar10, cifar100, the path of a .npz file, or a folder that holds train/ and val/, a folder a class"

Arrays = tuple[np.ndarray, np.ndarray]
Stream = Literal["auto", "yes", "no"]


class Reading(NamedTuple):
    """How a folder is read: whether streamed, whether without what can't be read, and by how many processes."""

    stream: Stream = "auto"
    skip_corrupt: bool = False
    loaders: int | None = None


def load(
    name: str,
    device: torch.device,
    *,
    data_dir: str | None,
    download: bool,
    resolution: int | None,
    reading: Reading = Reading(),  # noqa: B008, a tuple
) -> Data:
    """The data set that `--data` names, scaled to the resolution where one is given.

    Raises ValueError where there is none, where its two halves do not fit together, or where it is too small.
    """
    named = name == "digits" or name in DATASETS
    if not named and Path(name).is_dir():
        return folder(Path(name), device, resolution or FOLDER_RESOLUTION, reading)
    if reading.stream == "yes" or reading.skip_corrupt:
        raise ValueError(f"--data {name}: --stream and --skip-corrupt are for a folder with train/ and val/")
    if name == "digits":
        train, test = digits()
    elif name in ("cifar10", "cifar100"):
        train, test = (cifar("--data", name, data_dir, download, train=train) for train in (True, False))
    elif name.endswith(".npz"):
        train, test = (npz("--data", Path(name), part=part) for part in ("train", "test"))
    else:
        raise ValueError(f"--data {name}: no such data set, file or folder; there are: {NAMES}")
    classes = DATASETS[name].classes if name in DATASETS else int(train[1].max(initial=0)) + 1
    return _checked(Path(name).name, classes, train, test, device, resolution)


def folder(path: Path, device: torch.device, side: int, reading: Reading) -> Data:
    """Images in folders by class, scaled and cut to squares: held, or streamed where they are wanted so or too many.

    Raises ValueError where one can't be read and is not to be left out, or where a class has none that can.
    """
    found = folders.listed(path)
    loaders = folders.readers(reading.loaders)
    counts = len(found.train.paths), len(found.val.paths)
    size = 3 * side**2 * sum(counts)
    if reading.stream == "yes" or (reading.stream == "auto" and size > HELD_BYTES):
        _check_sizes(path.name, len(found.names), counts, side)
        return streaming.opened(path, found, device, side, loaders, skip=reading.skip_corrupt)
    halves, skipped = [], list[str]()
    for listing in (found.train, found.val):
        images, faults = folders.held(listing, side, loaders, skip=reading.skip_corrupt)
        halves.append((images, listing.without(faults, found.names).labels))
        skipped += [listing.paths[place] for place, _ in faults]
    made = _checked(path.name, len(found.names), halves[0], halves[1], device, None)
    return replace(made, names=found.names, skipped=tuple(skipped))


def told(data: Data) -> str:
    """What is to be said of pictures that were left out; nothing where there are none."""
    if not data.skipped:
        return ""
    return f"{len(data.skipped)} pictures can't be read and are left out, such as {data.skipped[0]}"


def given(train: tuple[Any, Any], test: tuple[Any, Any], device: torch.device, resolution: int | None) -> Data:
    """A data set of a user's own: images uint8 [n, 3, H, H] and labels [n], arrays or tensors, for both halves.

    Raises ValueError where they are something else, or don't fit together.
    """
    halves = []
    for name, (pixels, labels) in (("training", train), ("test", test)):
        images, numbers = (np.asarray(part.cpu() if isinstance(part, Tensor) else part) for part in (pixels, labels))
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


def _checked(
    name: str, classes: int, train: Arrays, test: Arrays, device: torch.device, resolution: int | None
) -> Data:
    side = train[0].shape[-1] if resolution is None else resolution
    _check_sizes(name, classes, (len(train[1]), len(test[1])), side)
    if test[1].max() >= classes:
        raise ValueError(f"--data {name}: a test label {test[1].max()}; the training labels make {classes} classes")
    if train[0].shape[1:] != test[0].shape[1:]:
        raise ValueError(f"--data {name}: training images {train[0].shape[1:]}, test images {test[0].shape[1:]}")
    training, testing = (_split(*half, device, resolution) for half in (train, test))
    mean, deviation = channels(training.images.cpu().numpy(), device)
    return Data(name, classes, training, testing, mean, deviation, flip=name != "digits")


def _check_sizes(name: str, classes: int, counts: tuple[int, int], side: int) -> None:
    """Raises ValueError for too few images, too many classes, or images of a size that no network is trained on."""
    if counts[0] < 2 or not counts[1]:
        raise ValueError(f"--data {name}: {counts[0]} training and {counts[1]} test images are too few")
    if classes > MOST_CLASSES:
        raise ValueError(f"--data {name}: its labels make {classes:,} classes; {MOST_CLASSES:,} are the most")
    if not SIDES[0] <= side <= SIDES[1]:
        raise ValueError(f"--data {name}: images of {side} x {side}; {SIDES[0]} to {SIDES[1]} is allowed")


def _split(images: np.ndarray, labels: np.ndarray, device: torch.device, resolution: int | None) -> Split:
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    if resolution is not None and resolution != images.shape[-1]:
        pixels = torch.cat([_scaled(some, resolution) for some in pixels.split(AT_ONCE)])
    return Split(pixels, torch.from_numpy(labels.astype(np.int64)).to(device))


def _scaled(pixels: Tensor, side: int) -> Tensor:
    """Images uint8 [n, 3, H, H] -> [n, 3, side, side]."""
    shrunk = interpolate(pixels.float(), (side, side), mode="bilinear", antialias=True)
    return shrunk.round().clamp(0, 255).to(torch.uint8)
