"""What this machine has: versions, devices, memory, data, a store of scores, and whether each is sound."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks import truth
from benchmarks.conditions import batches
from benchmarks.output import record
from benchmarks.output.naming import said
from benchmarks.scoring import jobs
from benchmarks.truth import imported, official
from benchmarks.truth.tables import TABLES
from proxies.probing.memory import UNTOLD, free


class Finding(NamedTuple):
    """One thing that was looked at: whether it is sound (None where that is no question), and what there is."""

    what: str
    sound: bool | None
    text: str


def findings(store: Path) -> Iterator[Finding]:
    """Versions, devices, memory, data and the store, one after another."""
    environment = record.environment()
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
    missing = []
    for name, table in TABLES.items():
        for space, dataset in product(table.spaces, table.datasets):
            if name == "official" and not official.path_of(dataset).is_file():
                missing.append(dataset)
                continue
            of = (name, space, dataset) if len(table.spaces) > 1 else (name, dataset)
            target = next(one for one in ("distilled", "vanilla") if one in table.targets)  # distilled reads both
            yield _table(" ".join(of), partial(table.read, space, dataset, target))
    if missing:
        yield Finding("official", None, f"{', '.join(missing)} not here; {official.how_to_fetch('DATASET')}")
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
        return Finding("nasbench201", None, said("not here; get it with: python benchmarks/data.py import FILE"))
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


def _memory() -> str:
    left = free(torch.device("cpu"))
    if left >= UNTOLD:
        return "this system does not say"
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{left / 2**30:.1f} GiB free of {total / 2**30:.1f}"


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
