"""How things are timed: tasks in turn, repeated, medians; the plain networks and the proxies as such tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from time import perf_counter

import torch
from torch.nn.functional import cross_entropy

from benchmarks.output.terminal import progress
from benchmarks.scoring.worker import SeedRun
from benchmarks.spaces.cells import parse_cell
from benchmarks.timing.peers import CLASSIC
from benchmarks.timing.plain import PlainCellNetwork, plain_state, with_weights
from proxies import Proxy
from proxies.probing.probe import Probe

LAYOUTS = {"default layout": torch.contiguous_format, "channels_last": torch.channels_last}
Tasks = dict[str, Callable[[], object]]


def alternated(
    archs: Sequence[str],
    tasks: Callable[[str], Tasks],
    repeats: int,
    cuda: bool,
    clock: Callable[[], float] = perf_counter,
) -> dict[str, float]:
    """Seconds of each task by a clock, in turn and repeated: medians over the repeats, means over the cells."""
    sums: dict[str, float] = {}
    with progress("measuring", len(archs)) as advance:
        for arch in archs:
            chosen = tasks(arch)
            taken: dict[str, list[float]] = {name: [] for name in chosen}
            for _ in range(repeats + 1):
                for name, task in chosen.items():
                    taken[name].append(once(task, cuda, clock))
            for name, times in taken.items():
                sums[name] = sums.get(name, 0.0) + median(times[1:])  # the first round warms up
            advance(1)
    return {name: total / len(archs) for name, total in sums.items()}


def plain_tasks(run: SeedRun, arch: str) -> Tasks:
    """The bare passes of the plain network with the candidate's weights, in two memory layouts."""
    stack = run.job.space.build([arch], *run.job.source.dataset)
    state = plain_state(stack, run.drawing.candidates(stack, [arch]), 0)
    tasks: Tasks = {}
    for layout, memory in LAYOUTS.items():
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


def peer_tasks(run: SeedRun, arch: str) -> Tasks:
    """The eight classic measures one after the other, each on a fresh plain network, in two memory layouts."""

    def one_by_one(memory: torch.memory_format) -> None:
        for measure in CLASSIC:
            network = PlainCellNetwork(parse_cell(arch), run.job.source.dataset.classes).to(run.images.device)
            network.to(memory_format=memory)
            measure(network, run.images.contiguous(memory_format=memory), run.labels)

    return {f"classic one by one, {name}": partial(one_by_one, memory) for name, memory in LAYOUTS.items()}


def proxy_tasks(run: SeedRun, arch: str, proxies: Sequence[Proxy]) -> Tasks:
    """Each proxy alone on a fresh probe, and all of them on one."""

    together = {f"all {len(proxies)} together": proxies}
    return {name: stack_task(run, [arch], some) for name, some in ({p.name: [p] for p in proxies} | together).items()}


def stack_task(run: SeedRun, archs: Sequence[str], proxies: Sequence[Proxy]) -> Callable[[], Probe]:
    """Proxies of a stack on a fresh probe, which knows what will be asked of it."""

    def scored(plan: frozenset[str]) -> Probe:
        probe = run.probe(archs, plan)
        for proxy in proxies:
            probe.score(proxy)
        return probe

    return partial(scored, frozenset(scored(frozenset()).asked))


def look_at(teacher: Probe) -> None:
    """Compute all that the DisWOT forms ask of a teacher."""
    _ = teacher.class_maps, teacher.cam_gram, teacher.sample_gram, teacher.head_gradient


def once(task: Callable[[], object], cuda: bool, clock: Callable[[], float] = perf_counter) -> float:
    """Seconds of one call, by a clock."""
    if cuda:
        torch.cuda.synchronize()
    start = clock()
    task()
    if cuda:
        torch.cuda.synchronize()
    return clock() - start
