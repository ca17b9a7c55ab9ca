"""Our correlations beside published ones, on the same cells and accuracies as far as they are known. See --help.

The command's door; its steps are analysis/steps/validate_run.py.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from analysis.steps.options import ValidateOptions
from benchmarks.output.command import option, parse, reported

PROG = "validate.py"


@dataclass
class Options(ValidateOptions):
    """Score a seeded sample of NAS-Bench-201 cells and print our Spearman correlations beside the published ones."""

    experiments: bool = option(False, "instead, change one thing at a time where a published value differs")
    rounding: bool = option(False, "instead, hold every proxy's float32 scores against float64, on noise")


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)

    def run() -> None:
        from analysis.steps import rounding_run, validate_run

        if options.rounding:
            rounding_run.measure(options)
        else:
            validate_run.experiment(options) if options.experiments else validate_run.validate(options)

    return reported(PROG, run)


if __name__ == "__main__":
    sys.exit(main())
