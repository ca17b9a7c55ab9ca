"""One self-contained HTML page over runs and ablations: tables, pictures, comparisons. See --help.

The command's door; its steps are analysis/steps/report_run.py.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from analysis.steps.options import ReportOptions
from benchmarks.output.command import parse, reported

PROG = "report.py"


@dataclass
class Options(ReportOptions):
    """Build one HTML page, which needs no server and no network, from the folders of runs."""


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)

    def run() -> None:
        from analysis.steps.report_run import report

        report(options)

    return reported(PROG, run)


if __name__ == "__main__":
    sys.exit(main())
