"""What changed between two runs of benchmarks/rank.py, and whether it is more than noise. See --help.

The command's door; its steps are analysis/steps/compare_run.py.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from analysis.steps.options import CompareOptions
from benchmarks.output.command import parse, reported

PROG = "compare.py"


@dataclass
class Options(CompareOptions):
    """Say what differs between two runs: conditions, scores and correlations, paired on the candidates in common."""


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)

    def run() -> None:
        from analysis.steps.compare_run import compare

        compare(options)

    return reported(PROG, run)


if __name__ == "__main__":
    sys.exit(main())
