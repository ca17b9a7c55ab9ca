"""What a space knows of scored candidates beside their scores: their size, and which are connected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.conditions import batches
from benchmarks.spaces import Space


@dataclass(frozen=True)
class Cohort:
    """n candidates: sizes [n] by measure; whether the output sees the input [n]; what share of the space they are."""

    sizes: dict[str, NDArray[np.float64]]
    connected: NDArray[np.bool_]
    share: float


def sizes(archs: Sequence[str], space: Space, dataset: str) -> dict[str, NDArray[np.float64]]:
    """Both measures of size, by the name of the proxy that counts them. Raises ValueError for an unknown data set."""
    known = batches.find_dataset(dataset, space)
    counted = [space.count(arch, known.classes, known.resolution) for arch in archs]
    return {
        "params": np.array([size.params for size in counted], dtype=float),
        "macs": np.array([size.macs for size in counted], dtype=float),
    }


def cohort(archs: Sequence[str], space: Space, dataset: str) -> Cohort:
    """Candidates of a space, counted for a data set. Raises ValueError for an unknown data set."""
    connected = np.array([space.connected(arch) for arch in archs], dtype=bool)
    return Cohort(sizes(archs, space, dataset), connected, space.share(len(archs)))
