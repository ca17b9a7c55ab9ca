"""How long score tables take as they grow: export from a store, import, ranking, of synthetic scores."""

from __future__ import annotations

import resource
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np

from analysis.stats import ranking
from analysis.stats.inference import Sample
from benchmarks.conditions.drawing import generator
from benchmarks.scoretables import archive, exporting
from benchmarks.scoring.jobs import Conditions, code_digest
from benchmarks.scoring.store import Score, Store
from benchmarks.spaces.plainnet import S2
from benchmarks.timing.measuring import show, whole_numbers
from benchmarks.timing.options import SpeedOptions

PROXIES = 10
AT_ONCE = 100_000


def measure(options: SpeedOptions) -> None:
    """Measure export, import and ranking of --numbers candidates x 10 proxies, and print."""
    rows, found = [], {}
    for count in whole_numbers("numbers", options):
        with TemporaryDirectory() as folder:
            store = Path(folder) / "store.sqlite"
            truth = fill(store, count)
            took = steps(store, Path(folder) / "scores.npz", truth)
        found[str(count)] = took
        rows.append([f"{count:,}", *(f"{one:,.1f}" for one in took)])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    headers = ["candidates", "export, s", "import, s", "ranking, s", "together, s", "file, MiB"]
    notes = [f"{PROXIES} proxies of random scores, float64; peak memory {peak:.1f} GiB, with the making of the store"]
    show(options, "score tables as they grow", headers, rows, notes, {"seconds_and_size": found, "peak_gib": peak})


def fill(path: Path, count: int) -> np.ndarray:
    """A store of random scores of candidates of S2, whose space is large enough; the truth that they are about [n]."""
    space, random = S2(), generator("synthetic tables")
    chosen = np.sort(random.choice(min(len(space), 10 * count), count, replace=False))
    archs = [space.arch(int(one)) for one in chosen]
    truth = random.standard_normal(count)
    content = {"dataset": "imagenet", "batch_size": 2, "draw": "shared", "init": "kaiming", "teacher": "none"}
    content |= {"teacher_weights": None, "precision": Conditions.precision, "batch": "0" * 64}
    with Store(path) as store:
        key = store.conditions({**content, "device": "cpu", "torch": "none", "code": code_digest()})
        for number in range(PROXIES):
            values = (truth + (1 + number) * random.standard_normal(count)).tolist()
            for first in range(0, count, AT_ONCE):
                some = zip(archs[first : first + AT_ONCE], values[first : first + AT_ONCE], strict=True)
                store.add(
                    key, (Score(space.name, arch, f"synthetic{number}", 0, value, "ok", 1e-3) for arch, value in some)
                )
    return truth


def steps(store: Path, into: Path, truth: np.ndarray) -> list[float]:
    """Seconds of export, import, ranking, and all of them; and the size of the file, MiB."""
    times = [perf_counter()]
    archive.write(exporting.from_store(store, {}), into)
    times.append(perf_counter())
    table = archive.read(into)
    times.append(perf_counter())
    sample = Sample(truth)
    for column in table.columns.values():
        ranking.rank(column.scores, sample, [], ok=column.ok)
    times.append(perf_counter())
    return [*np.diff(times).tolist(), times[-1] - times[0], into.stat().st_size / 2**20]
