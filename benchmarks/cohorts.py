"""What a space knows of scored candidates beside their scores: size, which are one function, which are connected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import batches, spaces


@dataclass(frozen=True)
class Cohort:
    """n candidates: params [n]; a key that equal functions share [n]; whether the output sees the input [n].

    `whole` where they are all of their space, so that nothing was sampled.
    """

    size: NDArray[np.float64]
    clusters: list[str]
    connected: NDArray[np.bool_]
    whole: bool


def cohort(archs: Sequence[str], options: Mapping[str, Any]) -> Cohort:
    """The candidates of a run, by the space and data set among its options. ValueError where one is unknown."""
    space = spaces.find(options["space"])
    dataset = batches.find_dataset(options["dataset"])
    return Cohort(
        size=np.array([space.count(arch, *dataset)[0] for arch in archs], dtype=float),
        clusters=[space.function_class(arch) for arch in archs],
        connected=np.array([space.connected(arch) for arch in archs], dtype=bool),
        whole=len(archs) == len(space),
    )
