"""What scoring costs as it grows: by stack, workers, number of candidates, and beside what the machine allows."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import torch

import proxies
from benchmarks import truth
from benchmarks.ranking import summary
from benchmarks.ranking.explain import PASSES, asked_for
from benchmarks.scoring.engines import Serial, Workers
from benchmarks.scoring.jobs import Job
from benchmarks.scoring.scorer import score
from benchmarks.scoring.store import Store
from benchmarks.scoring.worker import SeedRun
from benchmarks.timing.tasks import alternated, once, plain_tasks, stack_task
from proxies import Proxy
from proxies.probing.network import Layer

PLAIN = 8  # cells of the plain loop
TABULAR = "params,macs"  # proxies without a pass: what is left is the driver, the store and the ranking
FEW_IMAGES = ("flows", "few_relus", "maps")  # passes over less than the batch
FLOAT = 4  # bytes
TRIPS = 3  # of a map that is normalised, to or from memory: read for its statistics, read and written
BACKWARD = 2  # times the operations and bytes of a forward pass


def by_stack(job: Job, sizes: Sequence[int], repeats: int) -> dict[str, list[float]]:
    """Seconds per candidate of the plain loop, and of each proxy in stacks of each size."""
    run, cuda = SeedRun(job, job.seeds[0]), job.on_gpu
    plain = alternated(job.archs[:PLAIN], lambda arch: plain_tasks(run, arch), repeats, cuda)
    found = {name: [seconds] * len(sizes) for name, seconds in plain.items()}
    chunks = [job.archs[start : start + max(sizes)] for start in range(0, len(job.archs), max(sizes))]
    whole = [chunk for chunk in chunks if len(chunk) == max(sizes)]
    for proxy in job.proxies:
        taken = dict.fromkeys(sizes, 0.0)
        for chunk in whole:
            parts = {size: [chunk[i : i + size] for i in range(0, len(chunk), size)] for size in sizes}
            tasks = {size: [stack_task(run, part, [proxy]) for part in parts[size]] for size in sizes}
            best = {size: float("inf") for size in sizes}
            for _ in range(repeats):
                for size in sizes:  # in turn, so that a disturbance meets all of them
                    best[size] = min(best[size], sum(once(task, cuda) for task in tasks[size]))
            for size in sizes:
                taken[size] += best[size] / len(chunk) / len(whole)
        found[proxy.name] = list(taken.values())
    return found


class Memory:
    """Bytes that scoring a stack takes beyond what a worker holds before it, measured in the worker."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def __call__(self, size: int) -> float:
        """Of a stack of the job's first candidates."""
        run = SeedRun(self.job, self.job.seeds[0])
        archs, device = self.job.archs[:size], run.images.device
        stack_task(run, archs[:1], self.job.proxies)()
        if self.job.on_gpu:
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
            stack_task(run, archs, self.job.proxies)()
            return float(torch.cuda.max_memory_allocated(device) - before)
        held = Path("/proc/self/statm").read_text().split()[1]
        stack_task(run, archs, self.job.proxies)()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0 - int(held) * resource.getpagesize()


def memory_by_stack(job: Job, sizes: Sequence[int]) -> list[float]:
    """Bytes that a stack of each size takes, each in a process of its own."""
    found = []
    for size in sizes:
        with Workers(1) as engine:
            found += [float(taken) for _, taken in engine.map(Memory(job), [size])]  # type: ignore[arg-type]
    return found


def by_workers(job: Job, counts: Sequence[int]) -> list[float]:
    """Candidates a second, each count of workers with an empty store; they are there and warm before the clock runs."""
    rates = []
    for count in counts:
        with Serial() if count == 1 else Workers(count) as engine, TemporaryDirectory() as folder:
            for name, archs in (("warm", job.archs[: 2 * count]), ("timed", job.archs)):
                with Store(Path(folder) / name) as store:
                    start = perf_counter()
                    score(replace(job, archs=archs), store, engine=engine)
                    taken = perf_counter() - start
        rates.append(len(job.archs) / taken)
    return rates


def growth(job: Job, numbers: Sequence[int]) -> list[float]:
    """Seconds per candidate of all but the passes: driver, store, table and ranking, for numbers of candidates."""
    known = truth.load("retrained", job.space, "cifar10", "vanilla")
    taken = []
    for number in numbers:
        archs = list(known.accuracy)[:number]
        own = replace(job, archs=archs, proxies=proxies.parts(proxies.select(TABULAR)))
        with TemporaryDirectory() as folder, Store(Path(folder) / "store") as store:
            start = perf_counter()
            table = summary.scores_table(score(own, store), own, known)
            ranked = summary.rankings(
                table, [proxy.name for proxy in own.proxies], own, "vanilla", known, summary.sample_of(own, known)
            )
            summary.write_tables(table, ranked, Path(folder))
            taken.append((perf_counter() - start) / number)
    return taken


def machine(device: torch.device) -> tuple[float, float]:
    """Operations a second of a large float32 matrix product, and bytes a second of a large copy."""
    side, cuda = (8192 if device.type == "cuda" else 1024), device.type == "cuda"
    matrix, long = torch.rand(side, side, device=device), torch.rand(2**28 if cuda else 2**24, device=device)
    other = torch.empty_like(long)
    rate = 2 * side**3 / min(once(lambda: matrix @ matrix, cuda) for _ in range(10))
    return rate, 2 * FLOAT * len(long) / min(once(lambda: other.copy_(long), cuda) for _ in range(10))


def floor(job: Job, rate: float, bandwidth: float) -> float:
    """Seconds a forward pass takes at least, mean over the candidates: of each layer its operations or its bytes."""

    def least(layer: Layer) -> float:
        images = job.conditions.batch_size
        if layer.is_norm:
            return TRIPS * FLOAT * images * layer.shape[0] * layer.positions / bandwidth
        operations = 2 * images * layer.positions * torch.Size(layer.shape).numel()
        moved = images * layer.positions * (layer.shape[0] + layer.shape[1] * layer.stride**2)
        return max(operations / rate, FLOAT * moved / bandwidth)

    layers = [layer for arch in job.archs for layer in job.space.build([arch], *job.source.dataset).layers]
    return sum(map(least, layers)) / len(job.archs)


def passes(proxy: Proxy) -> int:
    """What a proxy runs at least over the batch, in forward passes: 0, 1, or 1 + BACKWARD."""
    texts: dict[str, list[str]] = {}
    for one in asked_for(proxy):
        further, _, name = one.rpartition(": ")
        if name in PASSES and name not in FEW_IMAGES:
            texts.setdefault(further, []).append(PASSES[name])
    return sum(1 + BACKWARD if any("backward" in text for text in each) else 1 for each in texts.values())
