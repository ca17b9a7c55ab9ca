"""The steps of benchmarks/data.py: getting accuracy tables, bringing stores together, checking both."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import torch

import proxies
from benchmarks import truth
from benchmarks.checking import doctor, golden, scores
from benchmarks.checking.doctor import Finding
from benchmarks.output import record
from benchmarks.output.naming import said
from benchmarks.output.options import check_range
from benchmarks.output.terminal import progress, show_table
from benchmarks.reading.limits import file_digest
from benchmarks.scoretables import archive, exporting, joining
from benchmarks.scoretables.table import makers
from benchmarks.scoring import jobs
from benchmarks.scoring.store import Store
from benchmarks.truth import embedded, imported, importing, official
from benchmarks.truth.tables import TABLES
from proxies.probing.memory import free

LARGEST_SAMPLE = 1_000_000


def fetch(dataset: str, source: str | None) -> None:
    """Bring the official table of a data set into the cache."""
    path = official.fetch(dataset, source)
    print(f"{dataset}: {path}")


def import_file(path: Path, trust_pickle: bool, any_digest: bool) -> None:
    """Import a benchmark file, saying beforehand what it takes."""
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    needed, left = importing.memory_needed(path), free(torch.device("cpu"))
    print(
        f"{path.name}: takes about {needed / 2**30:.1f} GiB of memory; {left / 2**30:.1f} GiB are free", file=sys.stderr
    )
    if needed > left:
        print("warning: that is less than it takes; the system may end this program", file=sys.stderr)
    if trust_pickle:
        print(f"warning: --trust-pickle: whatever code is in {path.name} runs now, with your rights", file=sys.stderr)
    folder = truth.cache_folder()
    made = importing.install(path, folder, progress, trust_pickle=trust_pickle, any_digest=any_digest)
    print(f"{folder / made.table}: {made.cells:,} cells of {made.source} (sha256 {made.source_sha256[:12]})")
    print(said("use it with: python benchmarks/rank.py --truth nasbench201:x-valid"))


def merge(stores: list[Path], into: Path) -> None:
    """Take stores into one, each in one transaction, so that a killed merge can be run again."""
    missing = [str(path) for path in stores if not path.is_file()]
    if missing:
        raise ValueError(f"no such store: {', '.join(missing)}; nothing was merged")
    with Store(into) as store:
        for path in stores:
            found = store.absorb(path)
            print(f"{path}: {found.total:,} scores, {found.new:,} of them new")
            if found.differing:
                print(f"  {found.differing:,} differ from those in {into}, which stay", file=sys.stderr)


def show_tables() -> None:
    """Print every table that --truth can name."""
    rows = []
    for name, table in TABLES.items():
        for space, dataset in product(table.spaces, table.datasets):
            about = _here(name, space, dataset)
            rows.append([name, space, dataset, ", ".join(table.targets), *about])
    headers = ["table", "space", "data set", "targets", "candidates", "sha256", "where"]
    show_table(headers, [*rows, *_imported()], "accuracy tables", texts=7)


def _here(name: str, space: str, dataset: str) -> list[str]:
    """How many candidates a table has, its file's digest and where it is; of one that can't be read why."""
    table, files = TABLES[name], {"published": embedded.PUBLISHED_S0, "trial": embedded.TRIAL}
    files |= {"distilled": embedded.DISTILLED, "vitbench": embedded.RESULTS / f"vitbench-{space}.csv"}
    try:
        count = max(len(table.read(space, dataset, target).accuracy) for target in table.targets)
    except ValueError as error:
        return ["", "", str(error)]
    if name == "official":
        files[name] = official.path_of(dataset)
    if name in files:
        return [f"{count:,}", file_digest(files[name])[:12], str(files[name])]
    if name == "retrained":
        return [f"{count:,}", embedded.RETRAINED_SHA256[:12], "package analog-nasbench"]
    return [f"{count:,}", "", "package torchvision"]


def _imported() -> list[list[str]]:
    """Rows of the imported NAS-Bench-201 file, or one that says how to get it."""
    folder = truth.cache_folder()
    if not (folder / imported.NOTE).is_file():
        get = said("get it with: python benchmarks/data.py import FILE")
        return [["nasbench201", "nasbench201", "all three", "", "", "", get]]
    note = imported.installed(folder)
    about = [f"{note.cells:,}", note.sha256[:12], str(folder / note.table)]
    return [
        ["nasbench201", "nasbench201", dataset, ", ".join(splits), *about]
        for dataset, splits in imported.splits(folder).items()
    ]


def export(
    sources: list[Path], into: Path, dtype: archive.Kind, where: str | None, names: str | None, space: str | None
) -> None:
    """Write the scores of stores, runs and tables as one table, and say what it holds."""
    if into.suffix != archive.SUFFIX:
        raise ValueError(f"--into {into}: a score table's name ends in {archive.SUFFIX}")
    wanted = exporting.conditions_named(where)
    found = [exporting.of(source, wanted, space) for source in sources]
    table = joining.joined(found)
    if names is not None:
        table = table.of([one.key for one in proxies.parts(proxies.select(names))])
    record.check_file("--into", into)
    digest = archive.write(table, into, dtype)
    print(f"{into}: {table.told()}")
    print(f"  {into.stat().st_size / 2**20:.2f} MiB, sha256 {digest[:12]} of its content; {', '.join(table.columns)}")
    for made, keys in makers(table).items():
        print(f"  made by {made}: {', '.join(keys) if len(keys) < len(table.columns) else 'all'}")
    if absent := table.absent:
        print(f"  {absent:,} scores of these are not there")
    print(said(f"use it with: python benchmarks/rank.py --scores {into}"))


def check(tables: list[Path], recompute: int, space: str | None, data_dir: str | None) -> None:
    """Verify every table. Raises ValueError after the last where one is damaged."""
    if not tables:
        shipped = [next(scores.findings(path, 0, None, None)) for path in scores.shipped()]
        _show([*doctor.tables(), *shipped], "accuracy tables, and the score tables of the project, verified")
        return
    check_range("recompute", recompute, 0, LARGEST_SAMPLE)
    found = [one for path in tables for one in scores.findings(path, recompute, space, data_dir)]
    _show(found, "score tables, verified")


def examine(store: Path, seconds: float, renew: bool) -> None:
    """Look at everything, then compute golden scores. Raises ValueError where something is not sound."""
    if renew:
        golden.renew()
    found = list(doctor.findings(store))
    devices = {"cpu", jobs.find_device("auto").type}
    found += [golden.self_test(torch.device(device), seconds) for device in sorted(devices)]
    _show(found, "what this machine has")


def _show(findings: list[Finding], title: str) -> None:
    marks = {True: "ok", False: "NOT SOUND", None: ""}
    show_table(["", "", ""], [[one.what, marks[one.sound], one.text] for one in findings], title, texts=3)
    unsound = [one.what for one in findings if one.sound is False]
    if unsound:
        raise ValueError(f"not sound: {', '.join(unsound)}")
