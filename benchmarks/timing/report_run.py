"""What the report over a whole space takes, on a synthetic run."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time

from analysis.rows import runs
from analysis.stats import comparison, inference
from benchmarks.timing import synthetic
from benchmarks.timing.measuring import show
from benchmarks.timing.options import SpeedOptions
from benchmarks.timing.tasks import once

REPORT = Path(__file__).resolve().parent.parent.parent / "analysis" / "report.py"
PROXIES, SEEDS = 30, 3  # of the synthetic run


def measure(options: SpeedOptions) -> None:
    """Seconds and memory of analysis/report.py over a whole space, and seconds of comparing all its proxies."""
    with tempfile.TemporaryDirectory() as folder:
        run, page = Path(folder) / "synthetic", Path(folder) / "report.html"
        rows = synthetic.write_run(run, PROXIES, SEEDS)
        command = [sys.executable, str(REPORT), str(run), "--out", str(page)]
        took = once(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), False)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        memory = used.ru_maxrss / 2**20  # Linux counts in KiB
        read = runs.read(run)
        names, sample = read.proxies, inference.Sample(read.truth)
        before = process_time()
        tested = once(lambda: comparison.Ranked.of(names, read.ranked, sample).pairs, False)
        tested_processor = process_time() - before
        size = page.stat().st_size / 1e6
    cpu = used.ru_utime + used.ru_stime
    table = [
        ["page", f"{took:.1f}", f"{cpu:.1f}"],
        [f"all pairs of {PROXIES} proxies compared", f"{tested:.1f}", f"{tested_processor:.1f}"],
    ]
    notes = [
        f"{rows:,} rows: {len(read.archs):,} cells x {PROXIES} proxies x {SEEDS} seeds",
        f"the page takes {memory:.2f} GiB at most, and has {size:.1f} MB",
    ]
    content = {"rows": rows, "seconds": took, "processor_seconds": cpu, "gibibytes": memory, "megabytes": size}
    content |= {"pairs_seconds": tested, "pairs_processor_seconds": tested_processor}
    show(options, "report over a synthetic run of a whole space", ["", "s", "s of processor"], table, notes, content)
