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

    whole: bool = option(
        False, "instead, correlate over the whole space, by the score tables that come with the project"
    )
    experiments: bool = option(False, "instead, change one thing at a time where a published value differs")
    rounding: bool = option(False, "instead, hold every proxy's float32 scores against float64, on noise")
    statistics: bool = option(False, "instead, simulate how often our intervals and tests are right; no network is run")
    repeats: int = option(2000, "how often each line of --statistics is simulated")


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)

    def run() -> None:
        from analysis.steps import rounding_run, validate_run, whole_run

        if options.whole:
            whole_run.measure(options)
        elif options.rounding:
            rounding_run.measure(options)
        elif options.statistics:
            validate_run.statistics(options, options.repeats)
        elif options.experiments:
            validate_run.experiment(options)
        else:
            validate_run.validate(options)

    return reported(PROG, run)


if __name__ == "__main__":
    sys.exit(main())
