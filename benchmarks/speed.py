"""What scoring costs, beside the plain network's passes; or how it grows, or what else takes how long."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from benchmarks.output.command import option, parse, reported
from benchmarks.timing.options import SpeedOptions

PROG = "speed.py"
MODES = ("gpu", "scale", "report", "train", "module", "search", "tables")


@dataclass
class Options(SpeedOptions):
    """Measure seconds per cell of each proxy, as ratios to the plain network's passes in the same process."""

    gpu: bool = option(False, "instead: everything that needs a GPU, in one go; --device cpu --cells 8 walks the way")
    scale: bool = option(False, "instead: by stack, by workers, by number of candidates, memory, share of the floor")
    report: bool = option(
        False, "instead: the report over a synthetic run of a whole space, and comparing all its proxies"
    )
    train: bool = option(
        False, "instead: a step of training, beside a bare PyTorch loop's, and in --stacks; with --module of modules"
    )
    module: bool = option(
        False, "instead: proxies of ordinary modules at 224x224, beside their bare passes; --batch-size 8"
    )
    search: bool = option(
        False, "instead: evaluations a second of searches by a table, and what a search adds to scoring"
    )
    tables: bool = option(False, "instead: export, import and ranking of score tables of --numbers candidates")


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)

    def run() -> None:
        from benchmarks.timing import speed_run

        speed_run.measure(options, [name for name in MODES if getattr(options, name)])

    return reported(PROG, run)


if __name__ == "__main__":
    sys.exit(main())
