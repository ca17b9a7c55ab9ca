"""NAS-Bench-201's official means over seeds: fetched once into the cache by checksum, and read from there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd
import pooch

from benchmarks.output.naming import said
from benchmarks.reading.limits import file_digest
from benchmarks.spaces.nasbench201 import NasBench201
from benchmarks.truth.accuracies import (
    CELLS_OF_A_FUNCTION,
    OFFICIAL_NOISE,
    RETRAINED,
    RETRAINED_OF_OFFICIAL,
    SEED_CEILING,
    Truth,
    between_seeds,
)

FREEREA = "https://raw.githubusercontent.com/NiccoloCavagnero/FreeREA/9c2a726cd3adf526c43ae52a515a8fc5ea927fe7/"
SHA256 = {
    "cifar10": "a41e06dbbd097df080ee6eb3eb8c6a92d589a0f53d51d66147155fcddbcacd2d",
    "cifar100": "f6487d29eb75cfa40dd1741d7d77f36e935828613576f8ea2d838482f1e10169",
    "ImageNet16-120": "b2c6c6b30cb9dd429106cdca913bf908680a4dc1d53199e062aa1ffae1a9bf9a",
}


def how_to_fetch(dataset: str) -> str:
    """What a user types to get the official table."""
    return said(f"get the official table with: python benchmarks/data.py fetch {dataset}")


def cache_folder() -> Path:
    """Where fetched tables lie: the user's cache, or the folder that DISWOT_CACHE names."""
    return Path(os.environ.get("DISWOT_CACHE") or pooch.os_cache("diswot-bench"))


def path_of(dataset: str) -> Path:
    """The fetched official table of a data set, there or not."""
    return cache_folder() / f"nats-{dataset}-{SHA256[dataset][:12]}.csv"


def read(dataset: str) -> Truth:
    """The official table. Raises ValueError where it was not fetched, or is not what was fetched."""
    path = path_of(dataset)
    if not path.is_file():
        raise ValueError(f"the official table of {dataset} is not here yet; {how_to_fetch(dataset)}")
    if file_digest(path) != SHA256[dataset]:
        raise ValueError(f"{path}: not the table that was fetched (its checksum differs); delete it and fetch again")
    accuracy = pd.read_csv(path, index_col="index")["accuracy"]
    space = NasBench201()
    table = {space.arch(int(index)): float(value) for index, value in accuracy.items()}  # type: ignore[call-overload]
    source = f"official ({dataset} test accuracy, 200 epochs, mean over seeds)"
    again = f", the retraining of {RETRAINED} {RETRAINED_OF_OFFICIAL} of this mean" if dataset == "cifar10" else ""
    ceiling = between_seeds(SEED_CEILING[dataset]) + again
    return Truth(table, source, ceiling=ceiling, noise=OFFICIAL_NOISE[dataset], noise_from=CELLS_OF_A_FUNCTION)


def fetch(dataset: str, source: str | None = None) -> Path:
    """Bring the official table into the cache, from where it is published or from another folder, file or address.

    Raises ValueError for an unknown data set, where nothing is found, or where the checksum differs.
    """
    if dataset not in SHA256:
        raise ValueError(f"no official table for {dataset!r}; there are: {', '.join(SHA256)}")
    path = path_of(dataset)
    where = source or f"{FREEREA}cached_metrics/nats/{dataset}/accuracies.csv"
    local = not where.startswith(("http://", "https://", "ftp://"))
    if local and Path(where).is_dir():
        where = str(Path(where) / dataset / "accuracies.csv")
    if local and not Path(where).is_file():
        raise ValueError(f"{where}: no such file, nor an http address; the published table comes without --source")
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(
            where,
            known_hash=f"sha256:{SHA256[dataset]}",
            fname=path.name,
            path=path.parent,
            downloader=_copied if local else None,
            progressbar=False,
        )
    except ValueError:
        raise ValueError(
            f"{where}: its checksum is not that of the official {dataset} table; nothing was kept"
        ) from None
    except OSError as error:  # requests' errors among them
        raise ValueError(f"{where}: can't be fetched ({str(error).splitlines()[0]})") from None
    return path


def _copied(where: str, output: str, _: pooch.Pooch) -> None:
    shutil.copyfile(where, output)
