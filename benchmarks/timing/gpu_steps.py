"""What benchmarks/speed.py --gpu measures, a function a step: each returns a sentence for the table, and its figures.

All of it runs on a CPU as well, so that the way is walked before a GPU is had. Ways of one pass that are compared:
gpu_ways.py. Which steps there are, in which order and for how long: gpu_run.py.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

import proxies
from analysis.rows.ties import to_be_ranked
from analysis.stats.ranking import kendall
from benchmarks.scoring.engines import Engine, Serial, Workers
from benchmarks.scoring.jobs import Job
from benchmarks.scoring.scorer import score
from benchmarks.scoring.store import Store
from benchmarks.scoring.worker import SeedRun
from benchmarks.timing import scaling
from benchmarks.timing.tasks import once, stack_task
from proxies import Proxy

SIZES = (1, 8, 64, 256, 1024)  # of stacks; on a CPU 1, and what --cells has up to
ON_CPU = 8
GROUPS = ("diswot*", "naswot", "synflow", "grad_norm,snip,fisher")
AGREEMENT_BATCH = 16  # images, the most
CPU_WORKERS = 14  # that score on the CPU what is held against the GPU, where there are so many cores
KERNELS = 12  # that a profile lists

Figures = dict[str, object]
Finding = tuple[str, Figures]


@dataclass(frozen=True)
class Bench:
    """What steps are given: the job with `--cells` candidates, all its proxies, and how often things are timed."""

    job: Job
    repeats: int

    @property
    def cuda(self) -> bool:
        """Whether it is a GPU's."""
        return self.job.on_gpu

    @property
    def sizes(self) -> list[int]:
        """Sizes of stacks to measure."""
        return list(SIZES) if self.cuda else sorted({1, min(ON_CPU, len(self.job.archs))})

    def archs(self, count: int) -> list[str]:
        """So many different candidates of the space, `--cells` first."""
        own = list(self.job.archs[:count])
        known = set(own)
        more = (self.job.space.arch(index) for index in range(len(self.job.space)))
        return own + [arch for arch in more if arch not in known][: count - len(own)]

    def best(self, task: Callable[[], object]) -> float:
        """The least seconds of some calls; a GPU's first, which warms up, does not count."""
        if self.cuda:
            once(task, self.cuda)
        return min(once(task, self.cuda) for _ in range(self.repeats))

    def bytes(self, task: Callable[[], object]) -> float:
        """The most bytes of a GPU that a call holds beyond what was held before; of a CPU, the process's most ever."""
        if not self.cuda:  # what was timed counts in it already
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
        device = self.job.conditions.device
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        task()
        return float(torch.cuda.max_memory_allocated(device) - before)


@contextmanager
def computing(*, tf32: bool = False, bf16: bool = False, search: bool = False, kind: str = "cuda") -> Iterator[None]:
    """How PyTorch computes: as a worker does by default; TF32, autocast to bf16, or cuDNN's fastest algorithm."""
    cudnn = torch.backends.cudnn.flags(enabled=True, benchmark=search, deterministic=not search, allow_tf32=tf32)
    with cudnn, torch.autocast(kind, torch.bfloat16, enabled=bf16):
        yield


def chosen(names: str) -> list[Proxy]:
    """The proxies of some names."""
    return proxies.parts(proxies.select(names))


def machine(bench: Bench) -> Finding:
    """Operations a second of a matrix product by precision, bytes a second of a copy."""
    device = bench.job.conditions.device
    rate, bandwidth = scaling.machine(device)
    rates = {"float32": rate}
    if bench.cuda:
        torch.backends.cuda.matmul.allow_tf32 = True
        rates["TF32"] = scaling.machine(device)[0]
        torch.backends.cuda.matmul.allow_tf32 = False
    figures: Figures = {"operations_per_second": rates, "bytes_per_second": bandwidth}
    if bench.cuda:
        about = torch.cuda.get_device_properties(device)
        figures |= {"device": about.name, "bytes": about.total_memory, "cuda": torch.version.cuda}
    told = ", ".join(f"{name} {one / 1e12:.2f}" for name, one in rates.items())
    return f"TFLOP/s: {told}; {bandwidth / 1e9:,.0f} GB/s", figures


def agreement(bench: Bench) -> Finding:
    """Every proxy on the device in one stack and on the CPU one by one: tau-b, and the largest difference of scores."""
    images = min(AGREEMENT_BATCH, bench.job.conditions.batch_size)
    here = replace(bench.job, conditions=replace(bench.job.conditions, batch_size=images, teacher="resnet20"))
    if not bench.cuda:
        here = replace(here, stack=len(here.archs))
    there = replace(here, stack=None, conditions=replace(here.conditions, device=torch.device("cpu")))
    there_by: Engine = Workers(CPU_WORKERS) if bench.cuda else Serial()
    with there_by as engine:
        pair = scores(here, Serial()), scores(there, engine)
    taus: dict[str, float] = {}
    apart: dict[str, float] = {}
    for proxy in here.proxies:
        ours, theirs = (found[proxy.name] for found in pair)
        taus[proxy.name] = kendall(*(to_be_ranked(one, np.isfinite(one)) for one in (ours, theirs)))
        largest = np.abs(theirs[np.isfinite(theirs)]).max(initial=0) or 1.0
        apart[proxy.name] = float(np.nan_to_num(np.abs(ours - theirs), posinf=0).max() / largest)
    known = {name: tau for name, tau in taus.items() if not np.isnan(tau)}
    least = min(known, key=lambda name: known[name], default="")
    worst = max(apart, key=lambda name: apart[name])
    text = (
        f"{len(taus)} proxies, {len(here.archs)} cells: least tau-b {known.get(least, np.nan):.4f} ({least}), "
        f"scores at most {apart[worst]:.1e} of the largest apart ({worst})"
    )
    return text, {"tau_b": taus, "largest_difference_over_largest_score": apart}


def scores(job: Job, engine: Engine) -> dict[str, np.ndarray]:
    """Scores by proxy, in the order of the candidates."""
    with Store(Path(":memory:")) as store:
        rows = score(job, store, engine=engine)
    return {proxy.name: np.array([row.score for row in rows if row.proxy == proxy.name]) for proxy in job.proxies}


def stacks(bench: Bench) -> Finding:
    """Milliseconds a candidate by size of stack, memory, and share of the floor, for proxies scored together."""
    run = SeedRun(bench.job, bench.job.seeds[0])
    floor = scaling.floor(bench.job, *scaling.machine(bench.job.conditions.device))
    figures: Figures = {"floor_seconds": floor}
    parts = []
    for group in GROUPS:
        some, found = chosen(group), dict[int, dict[str, float]]()
        trips = max(scaling.passes(proxy) for proxy in some)
        for size in bench.sizes:
            try:
                task = stack_task(run, bench.archs(size), some)
                seconds = bench.best(task) / size
                found[size] = {"seconds": seconds, "share": trips * floor / seconds, "bytes": bench.bytes(task)}
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                break
        figures[group] = found
        least = min(found, key=lambda size: found[size]["seconds"], default=0)
        if least:
            share = f", {100 * found[least]['share']:.0f} % of the floor" if trips else ""
            parts.append(f"{group} {1000 * found[least]['seconds']:.2f} ms at {least}{share}")
    return "; ".join(parts), figures


def profiled(bench: Bench) -> Finding:
    """Where the time of a stack's forward pass goes, by PyTorch's profiler, and its operations by its flop counter."""
    size = min(64, max(bench.sizes))
    run = SeedRun(bench.job, bench.job.seeds[0])
    probe = run.probe(bench.archs(size), frozenset())

    def forward() -> None:
        with torch.no_grad():
            probe.network(run.images, probe.weights)

    seconds = bench.best(forward)
    with FlopCounterMode(display=False) as counter:
        forward()
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.cuda else [])]
    with profile(activities=kinds) as seen:
        once(forward, bench.cuda)

    def own(event: object) -> float:
        return float(getattr(event, "self_device_time_total" if bench.cuda else "self_cpu_time_total"))

    events = sorted(seen.key_averages(), key=own, reverse=True)
    total = sum(map(own, events)) or 1.0
    shares = {event.key: own(event) / total for event in events[:KERNELS]}
    rate = counter.get_total_flops() / seconds
    first = ", ".join(f"{name} {100 * share:.0f} %" for name, share in list(shares.items())[:3])
    text = f"stack of {size}: {1000 * seconds / size:.2f} ms a candidate, {rate / 1e12:.2f} TFLOP/s; {first}"
    return text, {"size": size, "seconds": seconds, "operations": counter.get_total_flops(), "shares": shares}
