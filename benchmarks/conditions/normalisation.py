"""What a network's inputs go through: without it, its weights are worth little. It travels beside them as JSON.

Units are those of torchvision: pixels are first divided by 255, and then (pixel - mean) / std by channel.
"""

from __future__ import annotations

import json
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.reading.limits import check_size

Triple = tuple[float, float, float]


class Normalisation(NamedTuple):
    """Mean and standard deviation of each channel, of pixels from 0 to 1."""

    mean: Triple
    std: Triple

    @property
    def text(self) -> str:
        """As --teacher-normalisation reads it."""
        return "/".join(",".join(f"{value:.6g}" for value in part) for part in self)


def checked(mean: list[float], std: list[float]) -> Normalisation:
    """The normalisation of three means and deviations. Raises ValueError where they are none."""
    numbers = [float(value) for value in (*mean, *std)]
    if len(mean) != 3 or len(std) != 3 or not all(map(isfinite, numbers)) or min(numbers[3:]) <= 0:
        raise ValueError("three means, and three deviations above 0")
    return Normalisation((numbers[0], numbers[1], numbers[2]), (numbers[3], numbers[4], numbers[5]))


def beside(weights: Path) -> Path:
    """Where the normalisation of a file of weights stands."""
    return weights.with_suffix(".json")


def read(path: Path) -> Normalisation | None:
    """The normalisation in a file that stands beside weights, None where there is no file.

    Raises ValueError where the file holds none.
    """
    found = _content(path)
    return found[0] if found else None


def class_names(path: Path) -> tuple[str, ...]:
    """The names of the classes that such a file holds; none where it does not, or is not there."""
    found = _content(path)
    return found[1] if found else ()


def _content(path: Path) -> tuple[Normalisation, tuple[str, ...]] | None:
    if not path.exists():
        return None
    try:
        check_size(path, "config")
        content = json.loads(path.read_text(encoding="utf-8"))
        return checked(content["mean"], content["std"]), tuple(map(str, content.get("names", ())))
    except (OSError, ValueError, LookupError, TypeError, RecursionError, AttributeError):
        raise ValueError(
            f"{path}: no mean and std of three channels, which a file of that name beside weights holds"
        ) from None


def retouch(given: Normalisation, wanted: Normalisation, device: torch.device) -> tuple[Tensor, Tensor] | None:
    """Scale and shift [3, 1, 1] that make images of the wanted normalisation out of the given one's; None if equal."""
    if given == wanted:
        return None
    (mean, std), (other, spread) = (torch.tensor(one, dtype=torch.float64) for one in (given, wanted))
    parts = (std / spread, (mean - other) / spread)
    scale, shift = (part.float()[:, None, None].to(device) for part in parts)
    return scale, shift
