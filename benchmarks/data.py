"""Accuracy tables and stores on this machine: getting them, bringing them together, checking them. See --help."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.output.command import Parser, option, parser, reported
from benchmarks.output.naming import said

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
        commands.add_subcommand(name, one, help=said((options.__doc__ or "").strip(), ours=True))
    values = made.parse_args(arguments)
    chosen = values[values.subcommand]

    def run() -> None:
        from benchmarks.checking import data_run

        steps = {
            "fetch": lambda: data_run.fetch(chosen.dataset, chosen.source),
            "import": lambda: data_run.import_file(Path(chosen.file), chosen.trust_pickle, chosen.any_digest),
            "merge": lambda: data_run.merge([Path(store) for store in chosen.stores], Path(chosen.into)),
            "list": data_run.show_tables,
            "check": data_run.check,
            "doctor": lambda: data_run.examine(Path(chosen.store), chosen.seconds, chosen.renew),
        }
        steps[values.subcommand]()

    return reported(PROG, run)


if __name__ == "__main__":
    sys.exit(main())
