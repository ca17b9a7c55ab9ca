"""What scoring costs, as ratios in one run: each proxy beside the plain one-module network on the same cells.

For every cell, in turn and repeated: the plain network's forward pass, its forward and backward pass, each proxy alone
and all of them in one go. A proxy's time includes building the stack and drawing its weights; the teacher's half is
measured once and shared over the candidates of a default run. The plain network runs in PyTorch's default layout, as
peers run it, and in channels_last, so that nothing is won by layout alone. On a CPU all of it has one thread, as a
worker has.
"""

from __future__ import annotations

from dataclasses import replace

from analysis.rows.tables import number
from benchmarks.ranking.explain import asked_for
from benchmarks.scoring.engines import keep_memory, one_thread
from benchmarks.scoring.jobs import Job
from benchmarks.scoring.worker import SeedRun
from benchmarks.timing.measuring import CLASSIC_NAMES, how_measured, peak_memory, prepare, show
from benchmarks.timing.options import SpeedOptions
from benchmarks.timing.tasks import LAYOUTS, Tasks, alternated, look_at, once, peer_tasks, plain_tasks, proxy_tasks

SHARED_OVER = 200  # candidates of a default run, that share the teacher's cost


def measure(options: SpeedOptions) -> None:
    """Measure proxies and print."""
    job = prepare(replace(options, proxy=CLASSIC_NAMES) if options.classic else options)
    seconds, teacher = timed(job, options)
    forward, both = (
        [seconds[f"plain {what}, {layout}"] for layout in LAYOUTS] for what in ("forward", "forward+backward")
    )
    rows = [
        [name, number(1000 * took, 1), *(number(took / plain, 2) for plain in (*forward, *both))]
        for name, took in seconds.items()
    ]
    against = ["x fwd, default", "x fwd, ch. last", "x fwd+bwd, default", "x fwd+bwd, ch. last"]
    headers = ["", "ms/cell", *against]
    notes = [
        how_measured(options, job),
        f"teacher {job.conditions.teacher}: {1000 * teacher:.0f} ms once, 1/{SHARED_OVER} of it in rows that read one",
        peak_memory(),
    ]
    if options.classic:
        together = seconds[f"all {len(job.proxies)} together"]
        for layout in LAYOUTS:
            alone = seconds[f"classic one by one, {layout}"]
            notes.append(f"together / one by one ({layout}): {together / alone:.2f}")
    title = "seconds per cell, and as multiples of the plain network's passes"
    show(options, title, headers, rows, notes, {"seconds_per_cell": seconds, "teacher_seconds": teacher})


def timed(job: Job, options: SpeedOptions) -> tuple[dict[str, float], float]:
    """Seconds per cell of everything measured, and seconds of the teacher's half."""
    keep_memory()
    run = SeedRun(job, options.seed)

    def tasks(arch: str) -> Tasks:
        shared = {**plain_tasks(run, arch), **proxy_tasks(run, arch, job.proxies)}
        return shared | peer_tasks(run, arch) if options.classic else shared

    with one_thread():
        teacher_seconds = once(lambda: look_at(run.teacher), job.on_gpu)
        seconds = alternated(job.archs, tasks, options.repeats, job.on_gpu)
    readers = {proxy.name for proxy in job.proxies if "teacher" in asked_for(proxy)}
    for name in [*readers, f"all {len(job.proxies)} together"] if readers else []:
        seconds[name] += teacher_seconds / SHARED_OVER
    return seconds, teacher_seconds
