"""What teacher, a good and a bad student see: class activation maps and sample relation matrices. See --help.

The command's door; its steps are analysis/steps/maps_run.py.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from analysis.steps.options import MapsOptions
from benchmarks.output.command import parse, reported

PROG = "maps.py"


@dataclass
class Options(MapsOptions):
    """Draw class activation maps over images, and relation matrices of the batch, of a teacher and two students."""


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)

    def run() -> None:
        from analysis.steps.maps_run import draw

        draw(options)

    return reported(PROG, run)


if __name__ == "__main__":
    sys.exit(main())
