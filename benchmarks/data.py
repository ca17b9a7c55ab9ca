"""Accuracy tables on this machine: what there is, and fetching the official ones. See --help."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.command import Parser, option, parser, reported, show_table

PROG = "data.py"


@dataclass
class Fetch:
    """Fetch an official NAS-Bench-201 accuracy table by its checksum into the user's cache."""

    source: str | None = option(None, "folder (with DATASET/accuracies.csv), file, or address to take it from")


@dataclass
class List:
    """List the accuracy tables: which are here, and how to get the others."""


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    made = Parser(prog=PROG, description=(__doc__ or "").strip())
    commands = made.add_subcommands()
    fetching = parser(Fetch, f"{PROG} fetch", config=False)
    fetching.add_argument("dataset", help="cifar10, cifar100 or ImageNet16-120")
    commands.add_subcommand("fetch", fetching, help=(Fetch.__doc__ or "").strip())
    commands.add_subcommand("list", parser(List, f"{PROG} list", config=False), help=(List.__doc__ or "").strip())
    values = made.parse_args(arguments)
    if values.subcommand == "list":
        return reported(PROG, show_tables)
    return reported(PROG, lambda: fetch(values.fetch.dataset, values.fetch.source))


def fetch(dataset: str, source: str | None) -> None:
    """Bring the official table of a data set into the cache."""
    from benchmarks import truth

    path = truth.fetch_official(dataset, source)
    print(f"{dataset}: {path}")


def show_tables() -> None:
    """Print every table that --truth can name."""
    from benchmarks import truth

    rows = [["retrained", "cifar10", "vanilla", "in the package analog-nasbench"]]
    for dataset in truth.OFFICIAL_SHA256:
        path: Path = truth.official_path(dataset)
        here = str(path) if path.is_file() else truth.how_to_fetch(dataset)
        rows.append(["official", dataset, "vanilla", here])
    show_table(["table", "data set", "target", "where"], rows, "accuracy tables", texts=4)


if __name__ == "__main__":
    sys.exit(main())
