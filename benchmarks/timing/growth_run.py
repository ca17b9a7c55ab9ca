"""How scoring grows, as a table: by stack, by workers, by number of candidates. What is measured: scaling.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.scoring.engines import keep_memory, one_thread
from benchmarks.scoring.jobs import Job
from benchmarks.timing import scaling
from benchmarks.timing.measuring import how_measured, prepare, show, stack_sizes, whole_numbers
from benchmarks.timing.options import SpeedOptions


def measure(options: SpeedOptions) -> None:
    """Measure how scoring grows, and print; the tables by stack, by workers, and by number of candidates."""
    counts, numbers = (whole_numbers(name, options) for name in ("workers", "numbers"))
    sizes = stack_sizes(options)
    job = prepare(options)
    keep_memory()
    with one_thread():
        rate, bandwidth = scaling.machine(job.conditions.device)
        seconds = scaling.by_stack(job, sizes, options.repeats)
    floor = scaling.floor(job, rate, bandwidth)
    memory = scaling.memory_by_stack(job, sizes)
    rates = scaling.by_workers(job, counts)
    grown = scaling.growth(job, numbers)
    rows = by_stack_rows(seconds, job, floor)
    rows.append(["memory of all together, MiB", *(f"{one / 2**20:,.0f}" for one in memory)])
    more = [
        how_measured(options, job),
        f"floor: {1000 * floor:.1f} ms a forward pass, thrice that with a backward pass, by {rate / 1e9:,.0f} GFLOP/s "
        f"(float32 matrix product) and {bandwidth / 1e9:,.1f} GB/s (copy), both measured here",
        "workers, candidates/s: " + ", ".join(f"{n}: {one:.1f}" for n, one in zip(counts, rates, strict=True)),
        "all but the passes, ms a candidate: "
        + ", ".join(f"{n:,}: {1000 * one:.2f}" for n, one in zip(numbers, grown, strict=True)),
    ]
    content = {
        "stacks": sizes,
        "seconds_per_candidate": seconds,
        "bytes": memory,
        "floor_seconds": floor,
        "operations_per_second": rate,
        "bytes_per_second": bandwidth,
        "candidates_per_second": dict(zip(map(str, counts), rates, strict=True)),
        "driver_seconds_per_candidate": dict(zip(map(str, numbers), grown, strict=True)),
    }
    headers = ["ms a candidate (share of the floor)", *(f"stack {size}" for size in sizes)]
    show(options, "what scoring costs as it grows", headers, rows, more, content)


def by_stack_rows(seconds: Mapping[str, Sequence[float]], job: Job, floor: float) -> list[list[str]]:
    """A row for each pass and proxy, ms by stack; the plain network's passes, which no stack changes, once."""
    least = {"plain forward, ": 1, "plain forward+backward, ": 1 + scaling.BACKWARD}
    trips = {name: next((n for start, n in least.items() if name.startswith(start)), 0) for name in seconds}
    trips |= {proxy.name: scaling.passes(proxy) for proxy in job.proxies}
    rows = []
    for name, took in seconds.items():
        texts = [f"{1000 * one:.1f}" + share_of(floor * trips[name], one) for one in took]
        rows.append([name, *(texts[:1] + [""] * (len(took) - 1) if name.startswith("plain") else texts)])
    return rows


def share_of(floor: float, seconds: float) -> str:
    """The floor as a part of what was measured, in brackets; nothing where there is no floor."""
    return f" ({100 * floor / seconds:.0f} %)" if floor else ""
