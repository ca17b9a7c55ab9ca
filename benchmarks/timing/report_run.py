"""What the report over a whole space takes, on a synthetic run."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time

import numpy as np

from analysis.rows import runs
from analysis.stats import comparison
from benchmarks.timing import synthetic
from benchmarks.timing.measuring import show
from benchmarks.timing.options import SpeedOptions
from benchmarks.timing.tasks import once

REPORT = Path(__file__).resolve().parent.parent.parent / "analysis" / "report.py"
PROXIES, SEEDS = 30, 3  # of the synthetic run


def measure(options: SpeedOptions) -> None:
    """Seconds and memory of analysis/report.py over a whole space, and seconds of its bootstrap."""
    with tempfile.TemporaryDirectory() as folder:
        run, page = Path(folder) / "synthetic", Path(folder) / "report.html"
        rows = synthetic.write_run(run, PROXIES, SEEDS)
        command = [sys.executable, str(REPORT), str(run), "--out", str(page)]
        took = once(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), False)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        memory = used.ru_maxrss / 2**20  # Linux counts in KiB
        read = runs.read(run)
        archs = [str(number) for number in range(len(read.archs))]
        random = np.random.default_rng(0)
        before = process_time()
        resampled = once(lambda: comparison.resampled(read.ranked, read.truth, archs, random, resamples=1000), False)
        bootstrap = process_time() - before
        size = page.stat().st_size / 1e6
    cpu = used.ru_utime + used.ru_stime
    table = [
        ["page", f"{took:.1f}", f"{cpu:.1f}"],
        [f"1,000 resamples of {PROXIES * SEEDS} correlations", f"{resampled:.1f}", f"{bootstrap:.1f}"],
    ]
    notes = [
        f"{rows:,} rows: {len(archs):,} cells x {PROXIES} proxies x {SEEDS} seeds",
        f"the page takes {memory:.2f} GiB at most, and has {size:.1f} MB",
    ]
    content = {"rows": rows, "seconds": took, "processor_seconds": cpu, "gibibytes": memory, "megabytes": size}
    content |= {"bootstrap_seconds": resampled, "bootstrap_processor_seconds": bootstrap}
    show(options, "report over a synthetic run of a whole space", ["", "s", "s of processor"], table, notes, content)
