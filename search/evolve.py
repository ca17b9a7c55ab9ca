"""Search a space for the candidate that a proxy likes best, and say how good that is. See --help, docs/search.md.

The command's door; its steps are search/evolution/evolve_run.py.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchmarks.output.command import parse, reported
from search.evolution.options import SearchOptions

PROG = "evolve.py"


@dataclass
class Options(SearchOptions):
    """Search a space by training-free proxies, and compare what they find with what there was to find."""


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)

    def run() -> None:
        from search.evolution.evolve_run import evolve

        evolve(options)

    return reported(PROG, run)


if __name__ == "__main__":
    sys.exit(main())
