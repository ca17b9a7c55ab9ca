"""Ways in which a GPU may compute the same pass, each beside the way as it is: a step of benchmarks/speed.py --gpu."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from analysis.stats.ranking import kendall
from benchmarks.scoring.jobs import Job
from benchmarks.scoring.worker import SeedRun
from benchmarks.spaces import Space
from benchmarks.spaces.cells import OPERATIONS, parse_cell
from benchmarks.spaces.stack import Stack
from benchmarks.timing.gpu_steps import Bench, Figures, Finding, chosen, computing
from benchmarks.timing.tasks import stack_task
from proxies.probing.probe import Probe

PROXIES = "diswot*,naswot"  # they need no gradient by weights, so that every way tells
LARGEST = 64  # of the stacks compared


class Plain(SeedRun):
    """Scoring whose stacks run members that share a kernel as more images of one convolution, as is usual on a GPU."""

    plain = True

    def probe(self, archs: Sequence[str], plan: frozenset[str]) -> Probe:
        """See SeedRun."""
        probe = super().probe(archs, plan)
        assert isinstance(probe.network, Stack)
        probe.network.plain_convolutions = self.plain
        return probe


class Grouped(Plain):
    """Scoring whose stacks run each convolution in groups, as is usual on a CPU."""

    plain = False


class LastChannels(SeedRun):
    """Scoring whose images, and so the maps made of them, lie in channels_last, as a CPU's always do."""

    def __init__(self, job: Job, seed: int) -> None:
        super().__init__(job, seed)
        self.images = self.images.contiguous(memory_format=torch.channels_last)


class Way(NamedTuple):
    """How candidates are scored, and whether those are that share most operations."""

    run: type[SeedRun] = SeedRun
    alike: bool = False
    tf32: bool = False
    bf16: bool = False
    search: bool = False


WAYS = {
    "as it is": Way(),
    "plain convolutions": Way(Plain),
    "groups": Way(Grouped),
    "channels_last": Way(LastChannels),
    "cuDNN's fastest": Way(search=True),
    "TF32": Way(tf32=True),
    "bf16": Way(bf16=True),
    "cells alike": Way(alike=True),
    "cells alike, groups": Way(Grouped, alike=True),
}


def alike(space: Space, count: int) -> list[str]:
    """Candidates of the middle of the space, sorted so that those which share operations stand together."""
    every = (space.arch(index) for index in range(len(space)))
    ordered = sorted(every, key=lambda arch: [OPERATIONS.index(operation) for operation in parse_cell(arch)])
    start = (len(ordered) - count) // 2
    return ordered[start : start + count]


def timed(bench: Bench, task: Callable[[], Probe]) -> tuple[Probe, float]:
    """What the last of the timed calls gave, and the least seconds of them."""
    kept: list[Probe] = []

    def keep() -> None:
        kept[:] = [task()]

    seconds = bench.best(keep)
    return kept[0], seconds


def ways(bench: Bench) -> Finding:
    """Milliseconds a candidate of each way, and the least tau-b of its scores with those of the way as it is."""
    size = min(LARGEST, max(bench.sizes))
    cells = {False: bench.archs(size), True: alike(bench.job.space, size)}
    some, figures, told = chosen(PROXIES), Figures(size=size), []
    usual: dict[bool, list[np.ndarray]] = {}
    for name, way in WAYS.items():
        run = way.run(bench.job, bench.job.seeds[0])
        kind = run.images.device.type
        with computing(tf32=way.tf32, bf16=way.bf16, search=way.search, kind=kind):
            last, seconds = timed(bench, stack_task(run, cells[way.alike], some))
            found = [last.score(proxy)[0].double().cpu().numpy() for proxy in some]
        expected = usual.setdefault(way.alike, found)
        taus = [kendall(one, other) for one, other in zip(found, expected, strict=True)]
        least = min((tau for tau in taus if not np.isnan(tau)), default=np.nan)
        figures[name] = {"seconds": seconds / size, "least_tau_b": least}
        told.append(f"{name} {1000 * seconds / size:.2f} ms ({least:.3f})")
    return "; ".join(told), figures
