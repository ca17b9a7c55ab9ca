"""What benchmarks/speed.py can measure, by the name of its option."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.timing import (
    gpu_run,
    growth_run,
    module_training_run,
    modules_run,
    proxies_run,
    report_run,
    searching_run,
    tables_run,
    training_run,
)
from benchmarks.timing.measuring import check
from benchmarks.timing.options import SpeedOptions

PROXIES = "proxies"  # without an option
MODES: Mapping[str, Callable[[SpeedOptions], None]] = {
    PROXIES: proxies_run.measure,
    "gpu": gpu_run.measure,
    "scale": growth_run.measure,
    "report": report_run.measure,
    "train": training_run.measure,
    "module": modules_run.measure,
    "train --module": module_training_run.measure,
    "search": searching_run.measure,
    "tables": tables_run.measure,
}


def measure(options: SpeedOptions, asked: list[str]) -> None:
    """Measure what is asked for, the proxies' cost by default, and print. Raises ValueError for more than one."""
    check(options)
    if set(asked) == {"train", "module"}:
        asked = ["train --module"]
    if len(asked) > 1:
        raise ValueError(f"{' and '.join(f'--{name}' for name in asked)}: one at a time")
    MODES[asked[0] if asked else PROXIES](options)
