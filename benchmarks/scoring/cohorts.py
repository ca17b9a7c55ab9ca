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
    """n candidates: params [n], macs [n]; whether the output sees the input [n]; what share of the space they are."""

    params: NDArray[np.float64]
    macs: NDArray[np.float64]
    connected: NDArray[np.bool_]
    share: float

    @property
    def sizes(self) -> dict[str, NDArray[np.float64]]:
        """Both measures of size, by the name of the proxy that counts them."""
        return {"params": self.params, "macs": self.macs}


def cohort(archs: Sequence[str], space: Space, dataset: str) -> Cohort:
    """Candidates of a space, counted for a data set. Raises ValueError for an unknown data set."""
    known = batches.find_dataset(dataset, space)
    counted = [space.count(arch, known.classes, known.resolution) for arch in archs]
    return Cohort(
        params=np.array([size.params for size in counted], dtype=float),
        macs=np.array([size.macs for size in counted], dtype=float),
        connected=np.array([space.connected(arch) for arch in archs], dtype=bool),
        share=space.share(len(archs)),
    )
