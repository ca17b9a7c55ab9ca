"""What benchmarks/speed.py can measure, by the name of its option."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from benchmarks.timing import growth, proxy_cost, report_cost
from benchmarks.timing.measuring import check
from benchmarks.timing.options import SpeedOptions
from search.timing import searching, training

PROXIES = "proxies"  # without an option
MODES: Mapping[str, Callable[[SpeedOptions], None]] = {
    PROXIES: proxy_cost.measure,
    "scale": growth.measure,
    "report": report_cost.measure,
    "train": training.measure,
    "search": searching.measure,
}


def measure(options: SpeedOptions, asked: list[str]) -> None:
    """Measure what is asked for, the proxies' cost by default, and print. Raises ValueError for more than one."""
    check(options)
    if len(asked) > 1:
        raise ValueError(f"{' and '.join(f'--{name}' for name in asked)}: one at a time")
    MODES[asked[0] if asked else PROXIES](options)
