"""Search a space hundreds of times by a table of scores: every proxy, strategy and budget. See --help, docs/search.md.

The command's door; its steps are search/evolution/tabular_run.py.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchmarks.output.command import parse, reported
from search.evolution.options import TabularOptions

PROG = "tabular.py"


@dataclass
class Options(TabularOptions):
    """Search by a score table and say how good the winners are; the searches are those of evolve.py --same-draw."""


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)

    def run() -> None:
        from search.evolution.tabular_run import search

        search(options)

    return reported(PROG, run)


if __name__ == "__main__":
    sys.exit(main())
