"""What this machine has, and whether the programs compute here what they compute elsewhere.

`findings` describes versions, devices, memory, data and a store of scores; `self_test` scores a few cells with every
proxy and compares with golden scores that lie beside this file.
"""

from __future__ import annotations

import csv
import math
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

import proxies
from benchmarks import batches, imported, jobs, results, scoring, spaces, truth
from benchmarks.store import Score, Store

GOLDEN = Path(__file__).parent / "results" / "golden.csv"
GOLDEN_CELLS = (0, 1462, 13714)  # official indices
GOLDEN_DATASET = "ImageNet16-120"  # the smallest images
GOLDEN_BATCH = 8
TOLERANCE = 5e-2  # over the largest score of a proxy; another thread count alone moves grasp by 2.4e-2


class Finding(NamedTuple):
    """One thing that was looked at: whether it is sound (None where that is no question), and what there is."""

    what: str
    sound: bool | None
    text: str


def findings(store: Path) -> Iterator[Finding]:
    """Versions, devices, memory, data and the store, one after another."""
    environment = results.environment()
    versions = environment["versions"]
    assert isinstance(versions, dict)
    yield Finding("versions", None, ", ".join(f"{name} {version}" for name, version in versions.items()))
    commit = str(environment["commit"] or "none")[:12] + (" with changes" if environment["dirty"] else "")
    yield Finding("source", None, f"code {jobs.code_digest()}, commit {commit}")
    yield Finding("devices", None, _devices())
    yield Finding("memory", None, _memory())
    yield from tables()
    yield _images()
    yield _store(store)


def tables() -> Iterator[Finding]:
    """Every accuracy table that --truth can name, verified: by its digest, or by reading it."""
    yield _table("retrained cifar10", truth.retrained)
    yield _table("published cifar100", lambda: truth.published("distilled"))
    for dataset in truth.OFFICIAL_SHA256:
        if truth.official_path(dataset).is_file():
            yield _table(f"official {dataset}", partial(truth.official, dataset))
        else:
            yield Finding(f"official {dataset}", None, f"not here; {truth.how_to_fetch(dataset)}")
    yield imported_table()


def _table(name: str, read: Callable[[], truth.Truth]) -> Finding:
    try:
        table = read()
    except ValueError as error:
        return Finding(name, False, str(error))
    return Finding(name, True, f"{len(table.accuracy):,} candidates: {table.source}")


def imported_table() -> Finding:
    """The imported NAS-Bench-201 file: every cell's name, accuracies and size."""
    folder = truth.cache_folder()
    if not (folder / imported.NOTE).is_file():
        return Finding("nasbench201", None, "not here; get it with: python benchmarks/data.py import FILE")
    try:
        note = imported.installed(folder)
        problems = imported.verify(folder)
    except ValueError as error:
        return Finding("nasbench201", False, str(error))
    text = f"{note.cells:,} cells of {note.source}; " + ("; ".join(problems) or "names, accuracies and sizes agree")
    return Finding("nasbench201", not problems, text + ("; was loaded by --trust-pickle" if note.trusted else ""))


def _devices() -> str:
    cpu = f"cpu with {torch.get_num_threads()} threads"
    if not torch.cuda.is_available():
        return f"{cpu}; no CUDA device that torch can use"
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return "; ".join([cpu, *(f"{one.name}, {one.total_memory / 2**30:.0f} GiB" for one in found)])


def free_memory() -> int:
    """Bytes of memory that are free or can be freed. Raises OSError or ValueError where the system does not say."""
    available = Path("/proc/meminfo")
    if available.is_file():
        for line in available.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _memory() -> str:
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return f"{free_memory() / 2**30:.1f} GiB free of {total / 2**30:.1f}"
    except (OSError, ValueError, AttributeError):
        return "this system does not say"


def _images() -> Finding:
    folder = os.environ.get(batches.DATA_VARIABLE)
    if not folder:
        return Finding("images", None, f"{batches.DATA_VARIABLE} is not set: --batch noise needs none")
    path = Path(folder)
    found = sorted(entry.name for entry in path.glob("*") if entry.suffix == ".npz" or entry.name.startswith("cifar"))
    return Finding("images", path.is_dir(), f"{folder}: {', '.join(found) or 'no .npz file or CIFAR folder'}")


def _store(path: Path) -> Finding:
    """A store's scores, and its health; read only, and nothing is made where there is none."""
    if not path.is_file():
        return Finding("store", None, f"{path}: none yet")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            health = connection.execute("PRAGMA integrity_check").fetchone()[0]
            scores = connection.execute("SELECT count(*) FROM scores").fetchone()[0]
            current = connection.execute(
                "SELECT count(*) FROM scores JOIN conditions ON conditions = id WHERE json LIKE ?",
                (f'%"code": "{jobs.code_digest()}"%',),
            ).fetchone()[0]
    except sqlite3.Error as error:
        return Finding("store", False, f"{path}: {error}")
    size = path.stat().st_size / 2**20
    text = f"{path}: {scores:,} scores, {current:,} of them by this source, {size:.1f} MiB; check {health}"
    return Finding("store", health == "ok", text)


def golden_scores(device: torch.device) -> list[Score]:
    """Every proxy on the golden cells."""
    space = spaces.find("nasbench201")
    job = jobs.Job(
        space=space,
        archs=[space.arch(index) for index in GOLDEN_CELLS],
        proxies=proxies.registered(),
        seeds=[0],
        source=batches.open_source("noise", GOLDEN_DATASET),
        conditions=jobs.Conditions(GOLDEN_DATASET, batch_size=GOLDEN_BATCH, teacher="resnet20", device=device),
    )
    with Store(Path(":memory:")) as store:
        return scoring.score(job, store)


def self_test(device: torch.device) -> Finding:
    """Golden scores computed again on a device, and the largest difference."""
    with GOLDEN.open(newline="", encoding="utf-8") as file:
        golden = {(row["proxy"], row["arch"]): float(row["score"]) for row in csv.DictReader(file)}
    found = {(row.proxy, row.arch): row.score for row in golden_scores(device)}
    scale = {proxy: max(_sizes(golden, proxy), default=0.0) for proxy, _ in golden}
    compared = {key: _difference(found[key], golden[key], scale[key[0]]) for key in golden if key in found}
    name = f"self-test {device.type}"
    if len(compared) < len(golden) or not compared:
        return Finding(name, False, "golden scores of proxies that are not there: data.py doctor --renew")
    worst = max(compared, key=lambda key: compared[key])
    off = sorted({proxy for (proxy, _), difference in compared.items() if difference > TOLERANCE})
    text = f"{len(compared)} golden scores, largest relative difference {compared[worst]:.1e} ({worst[0]})"
    return Finding(name, not off, text + (f"; beyond {TOLERANCE:g}: {', '.join(off)}" if off else ""))


def _sizes(golden: Mapping[tuple[str, str], float], proxy: str) -> list[float]:
    """The magnitudes of a proxy's finite golden scores."""
    return [abs(score) for (name, _), score in golden.items() if name == proxy and math.isfinite(score)]


def _difference(found: float, golden: float, scale: float) -> float:
    """How far apart two scores are, over the largest of the proxy's; infinite where only one is a number."""
    if found == golden or (math.isnan(found) and math.isnan(golden)):
        return 0.0
    if not (math.isfinite(found) and math.isfinite(golden)):
        return math.inf
    return abs(found - golden) / scale if scale else math.inf


def renew() -> None:
    """Write the golden scores anew, computed on this machine's CPU with all their digits."""
    rows = golden_scores(torch.device("cpu"))
    with GOLDEN.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["proxy", "arch", "score"])
        writer.writerows((row.proxy, row.arch, repr(row.score)) for row in rows)
