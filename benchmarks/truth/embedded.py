"""Tables that come with the installation: the retraining of analog-nasbench, S0 of DisWOT's authors, our own trial."""

from __future__ import annotations

import functools
import hashlib
import io
import pickle
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.spaces.nasbench201 import NasBench201
from benchmarks.spaces.resnet import S0
from benchmarks.truth.accuracies import (
    CELLS_OF_A_FUNCTION,
    FIT,
    OFFICIAL_OF_RETRAINED,
    PUBLISHED_NOISE,
    RETRAINED,
    RETRAINED_NOISE,
    SEED_CEILING,
    Truth,
    between_seeds,
)
from benchmarks.truth.ownfile import from_csv

RETRAINED_SHA256 = "85f3435b877aa2d36268d55ce07f6ff6d73643d17a840f1941745da5eb80db32"

RESULTS = Path(__file__).resolve().parent.parent / "results"
PUBLISHED_S0 = RESULTS / "s0-cifar100.csv"
DISTILLED = RESULTS / "nasbench201-cifar10_5k-16x16.csv"  # its protocol: the .json beside it, as of the next
TRIAL = RESULTS / "nasbench201-cifar10_5k-8x8.csv"


def retrained() -> Truth:
    """The embedded table: `baseline_accuracy` of analog-nasbench, an independent retraining of every cell on CIFAR-10.

    Spearman with the official CIFAR-10 test accuracy .991 over the space; inside the top tenth see its ceiling.
    """
    source = f"retrained ({RETRAINED} baseline_accuracy, CIFAR-10, one training each)"
    means = f", the official mean over seeds {OFFICIAL_OF_RETRAINED} of this one"
    ceiling = between_seeds(SEED_CEILING["cifar10"]) + means
    return Truth(dict(_baseline()), source, ceiling=ceiling, noise=RETRAINED_NOISE, noise_from=CELLS_OF_A_FUNCTION)


def published(target: str) -> Truth:
    """The S0 accuracies on CIFAR-100 that DisWOT's authors published, one training each; teacher unstated."""
    table = from_csv(PUBLISHED_S0, S0(), target)
    source = (
        f"published ({target}; DisWOT's authors, one training each, CIFAR-100; lilujunai/DisWOT-CVPR2023, exps/s1-gt)"
    )
    return replace(table, source=source, noise=PUBLISHED_NOISE[target], noise_from=FIT)


class _Record:
    """Stands in for the two classes of analog-nasbench: the unpickler sets its attributes, and nothing runs."""


class _TwoClassesOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Record]:
        """Admit the package's two classes as plain records, and nothing else."""
        if module == "analognasbench.data" and name in ("Architecture", "DriftMeasurement"):
            return _Record
        raise pickle.UnpicklingError(f"{module}.{name} is not admitted")


@functools.cache
def _baseline() -> dict[str, float]:
    """The accuracies by arch, read once a process: most of a second."""
    return {NasBench201().from_tuple(cell): value.baseline_accuracy for cell, value in _analog_table().items()}


def _analog_table() -> dict[tuple[int, ...], Any]:
    """The package's data file, found through its metadata: the package itself is never imported."""
    try:
        files = metadata.files("analog-nasbench") or []
    except metadata.PackageNotFoundError:
        raise ValueError("the package analog-nasbench is not installed: pip install analog-nasbench") from None
    data = next((Path(str(file.locate())) for file in files if file.parts[-2:] == ("analognasbench", "data.anb")), None)
    if data is None or not data.is_file():
        raise ValueError("analog-nasbench is installed without its data file: reinstall it")
    content = data.read_bytes()
    if hashlib.sha256(content).hexdigest() != RETRAINED_SHA256:
        raise ValueError(f"{data}: not the data of analog-nasbench 0.1.3 (its checksum differs)")
    table: dict[tuple[int, ...], Any] = _TwoClassesOnly(io.BytesIO(content)).load()
    return table
