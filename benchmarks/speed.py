"""What scoring costs, as ratios in one run: each proxy beside the plain one-module network on the same cells.

For every cell, in turn and repeated: the plain network's forward pass, its forward and backward pass, each proxy alone
and all of them in one go. A proxy's time includes building the stack and drawing its weights; the teacher's half is
measured once and shared over the candidates of a default run. The plain network runs in PyTorch's default layout, as
peers run it, and in channels_last, so that nothing is won by layout alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from benchmarks.command import option, parse, progress, reported, show_table

if TYPE_CHECKING:
    from benchmarks.jobs import Job
    from benchmarks.worker import SeedRun
    from proxies import Proxy
    from proxies.probe import Probe

PROG = "speed.py"
Tasks = dict[str, Callable[[], object]]
CLASSIC_NAMES = "grad_norm,snip,grasp,fisher,jacob_cov,plain,synflow,naswot"
REPORT = Path(__file__).resolve().parent.parent / "analysis" / "report.py"
PROXIES, SEEDS = 30, 3  # of the synthetic run
SHARED_OVER = 200  # candidates of a default run, that share the teacher's cost


@dataclass
class Options:
    """Measure seconds per cell of each proxy, as ratios to the plain network's passes in the same process."""

    proxy: str = option("diswot*,grad_norm,synflow,params,macs", "proxies to measure: names, wildcards, all")
    classic: bool = option(False, "the eight classic measures shared, against one by one on fresh plain networks")
    report: bool = option(False, "instead: the report over a synthetic run of a whole space, and the bootstrap")
    train: bool = option(False, "instead: a step of training, beside a bare PyTorch loop's")
    search: bool = option(
        False, "instead: evaluations a second of searches by a table, and what a search adds to scoring"
    )
    dataset: str = option("cifar10", "cifar10, cifar100 or ImageNet16-120")
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
    others = {"report": measure_report, "train": measure_training, "search": measure_search}
    asked = [measured for name, measured in others.items() if getattr(options, name)]
    return reported(PROG, lambda: [*asked, measure][0](options))


def measure(options: Options) -> None:
    """Measure proxies and print."""
    from analysis.tables import number

    check(options)
    if options.classic:
        options.proxy = CLASSIC_NAMES
    job = prepare(options)
    seconds, teacher = timed(job, options)
    layouts = ("default layout", "channels_last")
    forward, both = (
        [seconds[f"plain {what}, {layout}"] for layout in layouts] for what in ("forward", "forward+backward")
    )
    rows = [
        [name, number(1000 * took, 1), *(number(took / plain, 2) for plain in (*forward, *both))]
        for name, took in seconds.items()
    ]
    against = ["x fwd, default", "x fwd, ch. last", "x fwd+bwd, default", "x fwd+bwd, ch. last"]
    headers = ["", "ms/cell", *against]
    notes = [
        how_measured(options, job),
        f"teacher {job.conditions.teacher}: {1000 * teacher:.0f} ms once, 1/{SHARED_OVER} of it in each diswot row",
    ]
    if options.classic:
        together = seconds[f"all {len(job.proxies)} together"]
        for layout in layouts:
            alone = seconds[f"classic one by one, {layout}"]
            notes.append(f"together / one by one ({layout}): {together / alone:.2f}")
    title = "seconds per cell, and as multiples of the plain network's passes"
    show(options, title, headers, rows, notes, {"seconds_per_cell": seconds, "teacher_seconds": teacher})


def measure_training(options: Options) -> None:
    """Measure a step of training, ours and a bare loop's, and print."""
    from analysis.tables import number
    from search import pace

    check(options)
    job = prepare(options)
    noise = job.source.batch(options.batch_size, options.seed)
    data = pace.noise_data(noise, job.source.dataset.classes, job.conditions.device)
    seconds = alternated(
        job.archs, lambda arch: pace.training_steps(arch, data, options.seed), options, data.train.labels.is_cuda
    )
    bare = [seconds[f"bare loop, {layout}"] for layout in pace.LAYOUTS]
    rows = [[name, number(1000 * took, 1), *(number(took / one, 2) for one in bare)] for name, took in seconds.items()]
    headers = ["", "ms/step", *(f"x bare, {layout}" for layout in pace.LAYOUTS)]
    notes = [how_measured(options, job), "ours with augmentation and metrics; the bare loop is given its batch"]
    show(options, "seconds per step of training by cross entropy", headers, rows, notes, {"seconds_per_step": seconds})


def measure_search(options: Options) -> None:
    """Measure searches of NAS-Bench-201: by the embedded accuracies, and by a proxy; print."""
    from search import rates

    check(options)
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
    from benchmarks import results

    if options.cells < 1 or options.repeats < 1 or options.seed < 0:
        raise ValueError("--cells and --repeats: 1 is the least; --seed: 0")
    if options.json:
        results.check_writable(Path(options.json).parent)


def how_measured(options: Options, job: Job) -> str:
    """What has to be known beside the figures."""
    import torch

    from benchmarks import results

    return (
        f"median over {options.repeats} runs, mean over {options.cells} cells; batch {options.batch_size}, "
        f"{options.dataset}, {results.device_name(job.conditions.device)}, {torch.get_num_threads()} threads"
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
    from analysis.tables import markdown
    from benchmarks import results

    if options.markdown:
        print(markdown(headers, rows, notes))
    else:
        show_table(headers, rows, title)
        print("\n".join(f"  {note}" for note in notes))
    if options.json:
        results.write_json({"options": asdict(options), **content, **results.environment()}, Path(options.json))


def measure_report(options: Options) -> None:
    """Seconds and memory of analysis/report.py over a whole space, and seconds of its bootstrap."""
    import resource
    import subprocess
    import tempfile

    import numpy as np

    from analysis import comparison, runs
    from benchmarks import synthetic

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
    print(f"report over {rows:,} rows ({len(archs):,} cells x {PROXIES} proxies x {SEEDS} seeds):")
    cpu = used.ru_utime + used.ru_stime
    print(f"  {took:.1f} s ({cpu:.1f} s of processor), {memory:.2f} GiB at most, page of {size:.1f} MB")
    print(f"  bootstrap of all {PROXIES * SEEDS} correlations, 1,000 resamples: {resampled:.1f} s ({bootstrap:.1f} s)")


def prepare(options: Options) -> Job:
    """The cells, proxies and conditions to measure."""
    import proxies
    from benchmarks import batches, jobs, spaces
    from benchmarks.drawing import generator

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
    from benchmarks.worker import SeedRun

    run = SeedRun(job, options.seed)
    teacher_seconds = once(lambda: look_at(run.teacher), run.images.is_cuda)

    def tasks(arch: str) -> Tasks:
        shared = {**plain_tasks(run, arch), **proxy_tasks(run, arch, job.proxies)}
        return shared | peer_tasks(run, arch) if options.classic else shared

    seconds = alternated(job.archs, tasks, options, run.images.is_cuda)
    for name in seconds:
        if name.startswith(("diswot", "all ")):
            seconds[name] += teacher_seconds / SHARED_OVER
    return seconds, teacher_seconds


def alternated(archs: Sequence[str], tasks: Callable[[str], Tasks], options: Options, cuda: bool) -> dict[str, float]:
    """Seconds of each task, in turn and repeated: medians over the repeats, means over the cells."""
    sums: dict[str, float] = {}
    with progress("measuring", len(archs)) as advance:
        for arch in archs:
            chosen = tasks(arch)
            taken: dict[str, list[float]] = {name: [] for name in chosen}
            for _ in range(options.repeats + 1):
                for name, task in chosen.items():
                    taken[name].append(once(task, cuda))
            for name, times in taken.items():
                sums[name] = sums.get(name, 0.0) + median(times[1:])  # the first round warms up
            advance(1)
    return {name: total / len(archs) for name, total in sums.items()}


def plain_tasks(run: SeedRun, arch: str) -> dict[str, Callable[[], object]]:
    """The bare passes of the plain network with the candidate's weights, in two memory layouts."""
    import torch
    from torch.nn.functional import cross_entropy

    from benchmarks.plain import PlainCellNetwork, plain_state, with_weights
    from benchmarks.spaces.nasbench201 import parse_cell

    stack = run.job.space.build([arch], *run.job.source.dataset)
    state = plain_state(stack, run.drawing.candidates(stack, [arch]), 0)
    tasks: dict[str, Callable[[], object]] = {}
    for layout, memory in (("default layout", torch.contiguous_format), ("channels_last", torch.channels_last)):
        network = PlainCellNetwork(parse_cell(arch), run.job.source.dataset.classes).to(run.images.device)
        with_weights(network, state, torch.float32)
        network.to(memory_format=memory)
        images = run.images.contiguous(memory_format=memory)

        def forward(network: torch.nn.Module = network, images: torch.Tensor = images) -> None:
            with torch.no_grad():
                network(images)

        def both(network: torch.nn.Module = network, images: torch.Tensor = images) -> None:
            network.zero_grad()
            cross_entropy(network(images), run.labels).backward()

        tasks |= {f"plain forward, {layout}": forward, f"plain forward+backward, {layout}": both}
    return tasks


def peer_tasks(run: SeedRun, arch: str) -> dict[str, Callable[[], object]]:
    """The eight classic measures one after the other, each on a fresh plain network, in two memory layouts."""
    import torch

    from benchmarks.peers import CLASSIC
    from benchmarks.plain import PlainCellNetwork
    from benchmarks.spaces.nasbench201 import parse_cell

    def one_by_one(memory: torch.memory_format) -> None:
        for measure in CLASSIC:
            network = PlainCellNetwork(parse_cell(arch), run.job.source.dataset.classes).to(run.images.device)
            network.to(memory_format=memory)
            measure(network, run.images.contiguous(memory_format=memory), run.labels)

    layouts = {"default layout": torch.contiguous_format, "channels_last": torch.channels_last}
    return {f"classic one by one, {name}": partial(one_by_one, memory) for name, memory in layouts.items()}


def proxy_tasks(run: SeedRun, arch: str, proxies: Sequence[Proxy]) -> dict[str, Callable[[], object]]:
    """Each proxy alone on a fresh probe, and all of them on one."""

    def scored(chosen: Sequence[Proxy], plan: frozenset[str]) -> Probe:
        probe = run.probe([arch], plan)
        for proxy in chosen:
            probe.score(proxy)
        return probe

    tasks: dict[str, Callable[[], object]] = {}
    for name, chosen in {**{proxy.name: [proxy] for proxy in proxies}, f"all {len(proxies)} together": proxies}.items():
        plan = frozenset(scored(chosen, frozenset()).asked)
        tasks[name] = partial(scored, chosen, plan)
    return tasks


def look_at(teacher: Probe) -> None:
    """Compute all that the DisWOT forms ask of a teacher."""
    _ = teacher.cam_gram, teacher.sample_gram, teacher.head_gradient


def once(task: Callable[[], object], cuda: bool) -> float:
    """Seconds of one call."""
    import torch

    if cuda:
        torch.cuda.synchronize()
    start = perf_counter()
    task()
    if cuda:
        torch.cuda.synchronize()
    return perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
