"""The leaderboard: every proxy on every question, from committed score tables. See --help.

The command's door; its steps are analysis/steps/leaderboard_run.py.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from analysis.steps.options import LeaderboardOptions
from benchmarks.output.command import parse, reported

PROG = "leaderboard.py"


@dataclass
class Options(LeaderboardOptions):
    """Rank every proxy on every question that a committed score table answers, and write the pages."""


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)

    def run() -> None:
        from analysis.steps.leaderboard_run import leaderboard

        leaderboard(options)

    return reported(PROG, run)


if __name__ == "__main__":
    sys.exit(main())
