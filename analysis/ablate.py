"""Ablations of the DisWOT measures and those they compete with: a CSV and a figure each. See --help.

The command's door; its steps are analysis/steps/ablate_run.py.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from analysis.steps.options import AblateOptions
from benchmarks.output.command import parse, reported

PROG = "ablate.py"


@dataclass
class Options(AblateOptions):
    """Score the candidates under many conditions; leave a CSV and a figure for each ablation."""


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)

    def run() -> None:
        from analysis.steps.ablate_run import ablate

        ablate(options)

    return reported(PROG, run)


if __name__ == "__main__":
    sys.exit(main())
