"""Accuracy tables and stores on this machine: getting them, bringing them together, checking them. See --help."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.output.command import Parser, option, parser, progress, reported, show_table

if TYPE_CHECKING:
    from benchmarks.doctor import Finding

PROG = "data.py"


@dataclass
class Fetch:
    """Fetch an official NAS-Bench-201 accuracy table by its checksum into the user's cache."""

    source: str | None = option(None, "folder (with DATASET/accuracies.csv), file, or address to take it from")


@dataclass
class Import:
    """Import NAS-Bench-201's own file into one small table: accuracies by data set, split, epochs and seed."""

    any_digest: bool = option(False, "import a file whose content is not what the digest in its name says")
    trust_pickle: bool = option(False, "load the file whatever it does: it can run any code; only for a file of yours")


@dataclass
class Merge:
    """Bring the stores of `rank.py --shard`, or of other machines, together into one."""

    into: str = option("runs/store.sqlite", "store that takes them in; made where it is not there")


@dataclass
class List:
    """List the accuracy tables: which are here, their digests, cells and splits, and how to get the others."""


@dataclass
class Check:
    """Verify every accuracy table that is here; exit code 2 where one is not what it should be."""


@dataclass
class Doctor:
    """Versions, devices, memory, data, a store's health, and a self-test against golden scores, in one screen."""

    store: str = option("runs/store.sqlite", "store of scores to look at")
    seconds: float = option(20.0, "how long the self-test scores golden cells on each device; 50 cells are all of them")
    renew: bool = option(False, "write the golden scores anew; for developers who changed what a proxy computes")


COMMANDS = {"fetch": Fetch, "import": Import, "merge": Merge, "list": List, "check": Check, "doctor": Doctor}
ARGUMENTS = {
    "fetch": ("dataset", "cifar10, cifar100 or ImageNet16-120"),
    "import": ("file", "FILE.pth, or FOLDER or .tar of NATS-Bench's topology files, simple"),
    "merge": ("stores", "stores to be taken in; they stay as they are"),
}


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    made = Parser(prog=PROG, description=(__doc__ or "").strip())
    commands = made.add_subcommands()
    for name, options in COMMANDS.items():
        one = parser(options, f"{PROG} {name}", config=False)
        if name in ARGUMENTS:
            several: dict[str, Any] = {"nargs": "+", "type": str} if name == "merge" else {}
            one.add_argument(ARGUMENTS[name][0], help=ARGUMENTS[name][1], **several)
        commands.add_subcommand(name, one, help=(options.__doc__ or "").strip())
    values = made.parse_args(arguments)
    chosen = values[values.subcommand]
    run = {
        "fetch": lambda: fetch(chosen.dataset, chosen.source),
        "import": lambda: import_file(Path(chosen.file), chosen.trust_pickle, chosen.any_digest),
        "merge": lambda: merge([Path(store) for store in chosen.stores], Path(chosen.into)),
        "list": show_tables,
        "check": check,
        "doctor": lambda: doctor(Path(chosen.store), chosen.seconds, chosen.renew),
    }
    return reported(PROG, run[values.subcommand])


def fetch(dataset: str, source: str | None) -> None:
    """Bring the official table of a data set into the cache."""
    from benchmarks.truth import official

    path = official.fetch(dataset, source)
    print(f"{dataset}: {path}")


def import_file(path: Path, trust_pickle: bool, any_digest: bool) -> None:
    """Import a benchmark file, saying beforehand what it takes."""
    from benchmarks import doctor, truth
    from benchmarks.truth import importing

    if not path.exists():
        raise ValueError(f"{path}: no such file")
    needed, free = importing.memory_needed(path), doctor.free_memory()
    print(
        f"{path.name}: takes about {needed / 2**30:.1f} GiB of memory; {free / 2**30:.1f} GiB are free", file=sys.stderr
    )
    if needed > free:
        print("warning: that is less than it takes; the system may end this program", file=sys.stderr)
    if trust_pickle:
        print(f"warning: --trust-pickle: whatever code is in {path.name} runs now, with your rights", file=sys.stderr)
    folder = truth.cache_folder()
    made = importing.install(path, folder, progress, trust_pickle=trust_pickle, any_digest=any_digest)
    print(f"{folder / made.table}: {made.cells:,} cells of {made.source} (sha256 {made.source_sha256[:12]})")
    print("use it with: python benchmarks/rank.py --truth nasbench201:x-valid")


def merge(stores: list[Path], into: Path) -> None:
    """Take stores into one, each in one transaction, so that a killed merge can be run again."""
    from benchmarks.scoring.store import Store

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
    from benchmarks import truth
    from benchmarks.spaces import find
    from benchmarks.truth import embedded, imported, official

    space = len(find("nasbench201"))
    rows = [
        ["retrained", "cifar10", "vanilla", f"{space:,}", embedded.RETRAINED_SHA256[:12], "package analog-nasbench"],
        ["published", "cifar100", "vanilla, distilled", "64", "", str(embedded.PUBLISHED_S0)],
    ]
    for dataset, digest in official.SHA256.items():
        path = official.path_of(dataset)
        here = path.is_file()
        where = str(path) if here else official.how_to_fetch(dataset)
        rows.append(["official", dataset, "test", f"{space:,}" if here else "", digest[:12], where])
    folder = truth.cache_folder()
    if (folder / imported.NOTE).is_file():
        note = imported.installed(folder)
        for dataset, splits in imported.splits(folder).items():
            rows.append(
                [
                    "nasbench201",
                    dataset,
                    ", ".join(splits),
                    f"{note.cells:,}",
                    note.sha256[:12],
                    str(folder / note.table),
                ]
            )
    else:
        rows.append(["nasbench201", "all three", "", "", "", "get it with: python benchmarks/data.py import FILE"])
    show_table(["table", "data set", "splits", "cells", "sha256", "where"], rows, "accuracy tables", texts=6)


def check() -> None:
    """Verify every table. Raises ValueError after the last where one is damaged."""
    from benchmarks import doctor

    _show(list(doctor.tables()), "accuracy tables, verified")


def doctor(store: Path, seconds: float, renew: bool) -> None:
    """Look at everything, then compute golden scores. Raises ValueError where something is not sound."""
    import torch

    from benchmarks import doctor
    from benchmarks.scoring import jobs

    if renew:
        doctor.renew()
    found = list(doctor.findings(store))
    devices = {"cpu", jobs.find_device("auto").type}
    found += [doctor.self_test(torch.device(device), seconds) for device in sorted(devices)]
    _show(found, "what this machine has")


def _show(findings: list[Finding], title: str) -> None:
    marks = {True: "ok", False: "NOT SOUND", None: ""}
    show_table(["", "", ""], [[one.what, marks[one.sound], one.text] for one in findings], title, texts=3)
    unsound = [one.what for one in findings if one.sound is False]
    if unsound:
        raise ValueError(f"not sound: {', '.join(unsound)}")


if __name__ == "__main__":
    sys.exit(main())
