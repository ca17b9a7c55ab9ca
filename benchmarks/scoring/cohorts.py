"""What a space knows of scored candidates beside their scores: size, which are one function, which are connected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.conditions import batches
from benchmarks.spaces import Space


@dataclass(frozen=True)
class Cohort:
    """n candidates: params [n]; a key that equal functions share [n]; whether the output sees the input [n].

    `whole` where they are all of their space.
    """

    size: NDArray[np.float64]
    clusters: list[str]
    connected: NDArray[np.bool_]
    whole: bool


def cohort(archs: Sequence[str], space: Space, dataset: str) -> Cohort:
    """Candidates of a space, counted for a data set. Raises ValueError for an unknown data set."""
    known = batches.find_dataset(dataset)
    return Cohort(
        size=np.array([space.count(arch, known.classes, known.resolution).params for arch in archs], dtype=float),
        clusters=[space.function_class(arch) for arch in archs],
        connected=np.array([space.connected(arch) for arch in archs], dtype=bool),
        whole=len(archs) == len(space),
    )
