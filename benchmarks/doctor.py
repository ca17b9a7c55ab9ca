"""What this machine has, and whether the programs compute here what they compute elsewhere.

`findings` describes versions, devices, memory, data and a store of scores; `self_test` scores cells with every proxy
and compares with golden scores: on a machine like that which made them they are equal to the last digit, on another
they differ by rounding.
"""

from __future__ import annotations

import csv
import json
import math
import os
import platform
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

import proxies
from benchmarks import spaces, truth
from benchmarks.conditions import batches
from benchmarks.output import record
from benchmarks.scoring import jobs, scorer
from benchmarks.scoring.store import Score, Store
from benchmarks.truth import embedded, imported, official

GOLDEN = Path(__file__).parent / "results" / "golden.csv"
GOLDEN_CELLS = (1462, 1651, *range(0, 15_600, 325))  # 50 official indices: all 3x3, all without operation, 48 others
GOLDEN_DATASET = "ImageNet16-120"  # the smallest images
GOLDEN_BATCH = 8
TOLERANCE = 5e-2  # over the largest score of a proxy; another thread count alone moves grasp by 2.4e-2
CPU = ("model name", "cpu family", "model", "stepping", "cache size")  # of /proc/cpuinfo: names alone stand for several
SECONDS = 20.0  # that a self-test takes


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
    yield _table("retrained cifar10", embedded.retrained)
    yield _table("published cifar100", lambda: embedded.published("distilled"))
    here = [dataset for dataset in official.SHA256 if official.path_of(dataset).is_file()]
    for dataset in here:
        yield _table(f"official {dataset}", partial(official.read, dataset))
    if missing := [dataset for dataset in official.SHA256 if dataset not in here]:
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


def golden_cells(device: torch.device) -> Iterator[list[Score]]:
    """Every proxy on one golden cell after another, computed with one thread as all scores are."""
    space = spaces.find("nasbench201")
    archs = [space.arch(index) for index in GOLDEN_CELLS]
    job = jobs.Job(
        space=space,
        archs=archs,
        proxies=proxies.registered(),
        seeds=[0],
        source=batches.open_source("noise", GOLDEN_DATASET),
        conditions=jobs.Conditions(GOLDEN_DATASET, batch_size=GOLDEN_BATCH, teacher="resnet20", device=device),
    )
    with Store(Path(":memory:")) as store:
        golden = scorer.Scorer(job, store)
        for arch in archs:
            yield golden.rows([arch])


def self_test(device: torch.device, seconds: float = SECONDS) -> Finding:
    """Golden scores computed again on a device, cell by cell while the seconds last, and the largest difference."""
    name = f"self-test {device.type}"
    golden = read_golden()
    names = {proxy.name for proxy in proxies.registered()}
    if {proxy for proxy, _ in golden} != names:
        return Finding(name, False, "the golden scores are not of these proxies: data.py doctor --renew")
    found = {(row.proxy, row.arch): row.score for rows in _while(seconds, golden_cells(device)) for row in rows}
    compared = compare(found, golden)
    worst = max(compared, key=lambda key: compared[key])
    off = sorted({proxy for (proxy, _), difference in compared.items() if difference > TOLERANCE})
    text = f"{len(found) // len(names)} of {len(GOLDEN_CELLS)} golden cells x {len(names)} proxies: "
    if compared[worst] == 0:
        return Finding(name, True, text + "equal to the last digit")
    text += f"largest relative difference {compared[worst]:.1e} ({worst[0]})"
    if device.type == "cpu" and machine() == made_on():
        text += "; golden scores made on a machine like this one: what is computed has changed"
    return Finding(name, not off, text + (f"; beyond {TOLERANCE:g}: {', '.join(off)}" if off else ""))


def _while(seconds: float, cells: Iterator[list[Score]]) -> Iterator[list[Score]]:
    """The first cell, and others as long as one more is likely to fit into the seconds."""
    began = time.monotonic()
    for number, rows in enumerate(cells, 1):
        yield rows
        took = time.monotonic() - began
        if took * (number + 1) / number > seconds:
            return


def read_golden() -> dict[tuple[str, str], float]:
    """The golden scores, by proxy and arch."""
    space = spaces.find("nasbench201")
    with GOLDEN.open(newline="", encoding="utf-8") as file:
        return {(row["proxy"], space.arch(int(row["index"]))): float(row["score"]) for row in csv.DictReader(file)}


def made_on() -> dict[str, str]:
    """The machine that the golden scores were made on."""
    found: dict[str, str] = json.loads(GOLDEN.with_suffix(".json").read_text(encoding="utf-8"))["machine"]
    return found


def machine() -> dict[str, str]:
    """What decides the last digits of a score on a CPU."""
    described = Path("/proc/cpuinfo")
    lines = described.read_text().split("\n\n")[0].splitlines() if described.is_file() else []
    entries = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    cpu = ", ".join(entries[key] for key in CPU if key in entries) or platform.processor()
    return {"torch": torch.__version__, "cpu": cpu, "instructions": torch.backends.cpu.get_cpu_capability()}


def compare(
    found: Mapping[tuple[str, str], float], golden: Mapping[tuple[str, str], float]
) -> dict[tuple[str, str], float]:
    """By proxy and arch of what was found: the difference from the golden score, over the proxy's largest one."""
    scale = {proxy: max(_sizes(golden, proxy), default=0.0) for proxy in {proxy for proxy, _ in found}}
    return {key: _difference(score, golden[key], scale[key[0]]) for key, score in found.items()}


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
    """Write the golden scores anew, computed on this machine's CPU, with all their digits, and what machine that is."""
    space = spaces.find("nasbench201")
    rows = [row for rows in golden_cells(torch.device("cpu")) for row in rows]
    with GOLDEN.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["proxy", "index", "score"])
        writer.writerows((row.proxy, space.index(row.arch), repr(row.score)) for row in rows)
    note = {"command": "python benchmarks/data.py doctor --renew", "machine": machine()}
    record.write_json(note, GOLDEN.with_suffix(".json"))
