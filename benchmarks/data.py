"""Accuracy tables and stores on this machine: getting them, bringing them together, checking them. See --help."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.output.command import Parser, option, parser, reported
from benchmarks.output.naming import said

PROG = "data.py"
SPACE = "path/to/file.py:Name, where scores are of such a space of your own; it is run"


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
    """Verify score tables, or, without any, all that is here and of the project; exit code 2 for an unsound one."""

    recompute: int = option(0, "also score so many candidates of each score table anew, and compare")
    space: str | None = option(None, SPACE)
    data_dir: str | None = option(None, "folder of CIFAR images, where a table's batch is of these")


@dataclass
class Export:
    """Write the scores of stores, of folders of rank.py or of other score tables as one score table, to be shared."""

    into: str = option("scores.npz", "the table; its name ends in .npz")
    dtype: Literal["auto", "float32", "float64"] = option("auto", "of scores; auto is float32 where nothing is lost")
    where: str | None = option(
        None, "NAME=VALUE,...: which conditions, of a store that has several: draw=shared,batch=noise"
    )
    proxy: str | None = option(None, "only these proxies, as for rank.py")
    space: str | None = option(None, SPACE)


@dataclass
class Doctor:
    """Versions, devices, memory, data, a store's health, and a self-test against golden scores, in one screen."""

    store: str = option("runs/store.sqlite", "store of scores to look at")
    seconds: float = option(20.0, "how long the self-test scores golden cells on each device; 50 cells are all of them")
    renew: bool = option(False, "write the golden scores anew; for developers who changed what a proxy computes")


COMMANDS = {
    **{"fetch": Fetch, "import": Import, "merge": Merge, "export": Export},
    **{"list": List, "check": Check, "doctor": Doctor},
}
ARGUMENTS = {
    "fetch": ("dataset", "cifar10, cifar100 or ImageNet16-120"),
    "import": ("file", "FILE.pth, or FOLDER or .tar of NATS-Bench's topology files, simple"),
    "merge": ("stores", "stores to be taken in; they stay as they are"),
    "export": ("sources", "stores, folders that rank.py left, score tables"),
    "check": ("tables", "score tables; without any, all accuracy tables, and the score tables of the project"),
}
SEVERAL = {"merge": "+", "export": "+", "check": "*"}


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    made = Parser(prog=PROG, description=(__doc__ or "").strip())
    commands = made.add_subcommands()
    for name, options in COMMANDS.items():
        one = parser(options, f"{PROG} {name}", config=False)
        if name in ARGUMENTS:
            several: dict[str, Any] = {"nargs": SEVERAL[name], "type": str} if name in SEVERAL else {}
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
            "export": lambda: data_run.export(
                [Path(one) for one in chosen.sources],
                Path(chosen.into),
                *(chosen.dtype, chosen.where, chosen.proxy, chosen.space),
            ),
            "list": data_run.show_tables,
            "check": lambda: data_run.check(
                [Path(one) for one in chosen.tables or ()], chosen.recompute, chosen.space, chosen.data_dir
            ),
            "doctor": lambda: data_run.examine(Path(chosen.store), chosen.seconds, chosen.renew),
        }
        steps[values.subcommand]()

    return reported(PROG, run)


if __name__ == "__main__":
    sys.exit(main())
