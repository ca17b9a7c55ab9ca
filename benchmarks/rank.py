"""Rank the candidates of a space by proxies, and compare with measured accuracies. THE command; see --help."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchmarks.output.command import option, parse, reported
from benchmarks.output.options import RankingOptions

PROG = "rank.py"


@dataclass
class Options(RankingOptions):
    """Score candidates with training-free proxies and correlate the scores with measured accuracies."""

    explain: str | None = option(None, "say what a proxy is, what it reads and where it comes from, and end")
    list: bool = option(False, "list proxies, spaces, teachers and truths, and end")


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)

    def run() -> None:
        from benchmarks.ranking import listing, rank_run

        if options.list:
            listing.show_list()
        elif options.explain is not None:
            listing.show_explained(options.explain)
        else:
            rank_run.rank(options)

    return reported(PROG, run)


if __name__ == "__main__":
    sys.exit(main())
