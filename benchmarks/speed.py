"""What scoring costs, as ratios in one run: each proxy beside the plain one-module network on the same cells.

For every cell, in turn and repeated: the plain network's forward pass, its forward and backward pass, each proxy alone
and all of them in one go. A proxy's time includes building the stack and drawing its weights; the teacher's half is
measured once and shared over the candidates of a default run. The plain network runs in PyTorch's default layout, as
peers run it, and in channels_last, so that nothing is won by layout alone. On a CPU all of it has one thread, as a
worker has.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING

from benchmarks.output.command import option, parse, reported, show_table

if TYPE_CHECKING:
    from benchmarks.scoring.jobs import Job

PROG = "speed.py"
CLASSIC_NAMES = "grad_norm,snip,grasp,fisher,jacob_cov,plain,synflow,naswot"
REPORT = Path(__file__).resolve().parent.parent / "analysis" / "report.py"
PROXIES, SEEDS = 30, 3  # of the synthetic run
SHARED_OVER = 200  # candidates of a default run, that share the teacher's cost


@dataclass
class Options:
    """Measure seconds per cell of each proxy, as ratios to the plain network's passes in the same process."""

    proxy: str = option("diswot*,grad_norm,synflow,params,macs", "proxies to measure: names, wildcards, all")
    classic: bool = option(False, "the eight classic measures shared, against one by one on fresh plain networks")
    scale: bool = option(False, "instead: by stack, by workers, by number of candidates, memory, share of the floor")
    report: bool = option(False, "instead: the report over a synthetic run of a whole space, and the bootstrap")
    train: bool = option(False, "instead: a step of training, beside a bare PyTorch loop's, and in --stacks")
    search: bool = option(
        False, "instead: evaluations a second of searches by a table, and what a search adds to scoring"
    )
    dataset: str = option("cifar10", "cifar10, cifar100 or ImageNet16-120")
    stacks: str = option("1,2,4", "sizes of stacks for --scale and --train; on a GPU say 1,8,64,256")
    workers: str = option("1,2", "counts of workers for --scale")
    numbers: str = option("100,1000,15625", "numbers of candidates for --scale")
    cells: int = option(20, "how many cells, sampled by --seed")
    repeats: int = option(3, "how often each is measured; the median counts")
    batch_size: int = option(64, "images in the batch")
    seed: int = option(0, "seed of cells, batch and weights")
    device: str = option("auto", "auto, cpu, cuda or cuda:i")
    markdown: bool = option(False, "print the table as Markdown")
    json: str | None = option(None, "also write the figures to this file")


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)
    others = {"scale": measure_scale, "report": measure_report, "train": measure_training, "search": measure_search}
    asked = {name: measured for name, measured in others.items() if getattr(options, name)}

    def run() -> None:
        check(options)
        if len(asked) > 1:
            raise ValueError(f"{' and '.join(f'--{name}' for name in asked)}: one at a time")
        [*asked.values(), measure][0](options)

    return reported(PROG, run)


def measure(options: Options) -> None:
    """Measure proxies and print."""
    from analysis.rows.tables import number
    from benchmarks.timing.tasks import LAYOUTS

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
    ]
    if options.classic:
        together = seconds[f"all {len(job.proxies)} together"]
        for layout in LAYOUTS:
            alone = seconds[f"classic one by one, {layout}"]
            notes.append(f"together / one by one ({layout}): {together / alone:.2f}")
    title = "seconds per cell, and as multiples of the plain network's passes"
    show(options, title, headers, rows, notes, {"seconds_per_cell": seconds, "teacher_seconds": teacher})


def measure_scale(options: Options) -> None:
    """Measure how scoring grows, and print; the tables by stack, by workers, and by number of candidates."""
    from benchmarks.scoring.engines import keep_memory, one_thread
    from benchmarks.timing import scaling

    counts, numbers = (whole_numbers(name, options) for name in ("workers", "numbers"))
    sizes = stack_sizes(options)
    job = prepare(options)
    keep_memory()
    with one_thread():
        rate, bandwidth = scaling.machine(job.conditions.device)
        seconds = scaling.by_stack(job, sizes, options.repeats)
    floor = scaling.floor(job, rate, bandwidth)
    least = {"plain forward, ": 1, "plain forward+backward, ": 1 + scaling.BACKWARD}
    trips = {name: next((n for start, n in least.items() if name.startswith(start)), 0) for name in seconds}
    trips |= {proxy.name: scaling.passes(proxy) for proxy in job.proxies}
    memory = scaling.memory_by_stack(job, sizes)
    rates = scaling.by_workers(job, counts)
    grown = scaling.growth(job, numbers)
    rows = []
    for name, took in seconds.items():
        texts = [f"{1000 * one:.1f}" + share_of(floor * trips[name], one) for one in took]
        rows.append([name, *(texts[:1] + [""] * (len(sizes) - 1) if name.startswith("plain") else texts)])
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


def share_of(floor: float, seconds: float) -> str:
    """The floor as a part of what was measured, in brackets; nothing where there is no floor."""
    return f" ({100 * floor / seconds:.0f} %)" if floor else ""


def whole_numbers(name: str, options: Options) -> list[int]:
    """An option that lists numbers. Raises ValueError for one that is none."""
    text = str(getattr(options, name))
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and 0 < int(part) <= 10**6 for part in parts):
        raise ValueError(f"--{name} {text}: whole numbers from 1, separated by commas")
    return sorted({int(part) for part in parts})


def stack_sizes(options: Options) -> list[int]:
    """The sizes of --stacks. Raises ValueError where there are fewer cells."""
    sizes = whole_numbers("stacks", options)
    if max(sizes) > options.cells:
        raise ValueError(f"--stacks {options.stacks}: --cells {options.cells} are fewer")
    return sizes


def measure_training(options: Options) -> None:
    """Measure a step of training, ours, a bare loop's, and that of several students in one stack, and print."""
    import torch

    from analysis.rows.tables import number
    from benchmarks.timing.tasks import Tasks, alternated
    from search.distillation import pace

    sizes = [size for size in stack_sizes(options) if size > 1]
    job = prepare(options)
    noise = job.source.batch(options.batch_size, options.seed)
    data = pace.noise_data(noise, job.source.dataset.classes, job.conditions.device)
    around = {arch: [*job.archs[number:], *job.archs[:number]] for number, arch in enumerate(job.archs)}

    def tasks(arch: str) -> Tasks:
        single = pace.training_steps(arch, data, options.seed)
        return single | pace.stacked_steps(around[arch], sizes, data, options.seed)

    seconds = alternated(job.archs, tasks, options.repeats, job.on_gpu)
    for size in sizes:  # every cell is in as many stacks
        seconds[pace.stacked_name(size)] /= size
    bare = [seconds[f"bare loop, {layout}"] for layout in pace.LAYOUTS]
    rows = [[name, number(1000 * took, 1), *(number(took / one, 2) for one in bare)] for name, took in seconds.items()]
    headers = ["", "ms/step of a student", *(f"x bare, {layout}" for layout in pace.LAYOUTS)]
    notes = [
        how_measured(options, job, torch.get_num_threads()),
        "ours and stacks with augmentation and metrics; the bare loop is given its batch",
    ]
    show(options, "seconds per step of training by cross entropy", headers, rows, notes, {"seconds_per_step": seconds})


def measure_search(options: Options) -> None:
    """Measure searches of NAS-Bench-201: by the embedded accuracies, and by a proxy; print."""
    from search.evolution import rates

    job = prepare(options)
    found = {name: rates.tabular_rate(name, options.repeats) for name in rates.TABULAR}
    rows = [[f"{name}, accuracies", f"{rate:,.0f}", ""] for name, rate in found.items()]
    shares = {}
    for proxy in job.proxies:
        rate, shares[proxy.name] = rates.scored_rate(job, proxy, options.cells)
        found[proxy.name] = rate
        rows.append([f"evolution, {proxy.name}", f"{rate:,.1f}", f"{100 * shares[proxy.name]:.1f} %"])
    notes = [
        f"{rates.TABULAR_BUDGET:,} candidates by accuracies, median over {options.repeats}; {options.cells} by proxies"
    ]
    content = {"evaluations_per_second": found, "scoring_share": shares}
    show(options, "searches of nasbench201", ["", "evaluations/s", "scoring"], rows, notes, content)


def check(options: Options) -> None:
    """Raises ValueError for options that can't be."""
    from benchmarks.output import record

    if options.cells < 1 or options.repeats < 1 or options.seed < 0:
        raise ValueError("--cells and --repeats: 1 is the least; --seed: 0")
    if options.classic and options.proxy != Options().proxy:
        raise ValueError(f"--classic measures {CLASSIC_NAMES}: it goes without --proxy")
    if options.json:
        record.check_file("--json", Path(options.json))


def how_measured(options: Options, job: Job, threads: int = 1) -> str:
    """What has to be known beside the figures."""
    from benchmarks.output import record

    return (
        f"median over {options.repeats} runs, mean over {options.cells} cells; batch {options.batch_size}, "
        f"{options.dataset}, {record.device_name(job.conditions.device)}, threads: {threads}"
    )


def show(
    options: Options,
    title: str,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str],
    content: Mapping[str, object],
) -> None:
    """Print a table, and write the figures where that is wanted."""
    from analysis.rows.tables import markdown
    from benchmarks.output import record

    if options.markdown:
        print(markdown(headers, rows, notes))
    else:
        show_table(headers, rows, title)
        print("\n".join(f"  {note}" for note in notes))
    if options.json:
        record.write_json({"options": asdict(options), **content, **record.environment()}, Path(options.json))


def measure_report(options: Options) -> None:
    """Seconds and memory of analysis/report.py over a whole space, and seconds of its bootstrap."""
    import resource
    import subprocess
    import tempfile

    import numpy as np

    from analysis.rows import runs
    from analysis.stats import comparison
    from benchmarks.timing import synthetic
    from benchmarks.timing.tasks import once

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


def prepare(options: Options) -> Job:
    """The cells, proxies and conditions to measure."""
    import proxies
    from benchmarks import spaces
    from benchmarks.conditions import batches
    from benchmarks.conditions.drawing import generator
    from benchmarks.scoring import jobs

    space = spaces.find("nasbench201")
    return jobs.Job(
        space=space,
        archs=space.sample(options.cells, generator(options.seed, "sample")),
        proxies=proxies.parts(proxies.select(options.proxy)),
        seeds=[options.seed],
        source=batches.open_source("noise", options.dataset),
        conditions=jobs.Conditions(options.dataset, options.batch_size, device=jobs.find_device(options.device)),
    )


def timed(job: Job, options: Options) -> tuple[dict[str, float], float]:
    """Seconds per cell of everything measured, and seconds of the teacher's half."""
    from benchmarks.output.explain import asked_for
    from benchmarks.scoring.engines import keep_memory, one_thread
    from benchmarks.scoring.worker import SeedRun
    from benchmarks.timing.tasks import Tasks, alternated, look_at, once, peer_tasks, plain_tasks, proxy_tasks

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


if __name__ == "__main__":
    sys.exit(main())
