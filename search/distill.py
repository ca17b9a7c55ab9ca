"""Train students, alone and distilled from a teacher; THE command for it. See --help and docs/distillation.md."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchmarks.output.command import option, parse, reported
from search.distillation.options import PROG, DistillOptions


@dataclass
class Options(DistillOptions):
    """Train students by themselves and distilled from a trained teacher, and compare their test accuracies."""

    list: bool = option(False, "list methods and end")
    done: bool = option(
        False, "train nothing: write the tables of the runs that are done, and beside --table its .json"
    )


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)
    from search.distillation import distill_run  # brings in torch, and --help is without

    step = distill_run.gather if options.done else distill_run.distill
    return reported(PROG, distill_run.show_methods if options.list else lambda: step(options))


if __name__ == "__main__":
    sys.exit(main())
