"""Who computes: this process, workers beside it, or a Ray cluster. An engine maps tasks and knows nothing of scores.

    with open_engine(options, tasks=len(tasks)) as engine:
        for task, result in engine.map(work, tasks):

`work` is anything callable on one task that cloudpickle can carry. It travels to each worker once, and stays there
until other work comes, so that what it keeps (a teacher, weights drawn) serves all tasks after the first. Results come
in any order, each with its task. A task whose worker died is given to another; the second time its result is `Lost`. An
exception that the work raises ends the map, here as there. Every process computes with one thread on a CPU: floating
point sums depend on the number of threads, and results must not depend on how many workers there are.
"""

from __future__ import annotations

import os

import torch

from benchmarks.output.options import EngineOptions
from benchmarks.scoring.engines.cluster import Ray
from benchmarks.scoring.engines.engine import ATTEMPTS, Engine, Lost, Serial
from benchmarks.scoring.engines.process import keep_memory, one_thread
from benchmarks.scoring.engines.workers import Workers

__all__ = [
    "ATTEMPTS",
    "TASKS_A_WORKER",
    "Engine",
    "Lost",
    "Ray",
    "Serial",
    "Workers",
    "keep_memory",
    "one_thread",
    "open_engine",
]

AUTO_WORKERS = 16  # at most, by themselves
TASKS_A_WORKER = 8  # fewer are done before another process has started


def open_engine(options: EngineOptions, *, tasks: int, cuda: bool = False) -> Engine:
    """The engine that the options name, for about so many tasks, on GPUs if `cuda`.

    Raises ValueError for what can't be had.
    """
    count = None if options.workers == "auto" else _number(str(options.workers))
    if options.engine == "ray":
        if not 0 < options.gpus_per_task <= 64:
            raise ValueError(f"--gpus-per-task {options.gpus_per_task}: above 0, such as .25, 1 or 2")
        if options.address is not None and count is not None:
            raise ValueError("--workers: a running Ray cluster has its own; it goes without --address")
        return Ray(options.address, count, options.gpus_per_task if cuda else 0)
    if options.address is not None:
        raise ValueError("--address is of a Ray cluster: it goes with --engine ray")
    if options.gpus_per_task != EngineOptions().gpus_per_task:
        raise ValueError("--gpus-per-task is of a Ray cluster: it goes with --engine ray")
    count = count or min(cores(cuda=cuda), AUTO_WORKERS, max(1, tasks // TASKS_A_WORKER))
    return Workers(count) if count > 1 else Serial()


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= 1024):
        raise ValueError(f"--workers {text}: auto, or a number from 1 to 1,024")
    return int(text)


def cores(*, cuda: bool) -> int:
    """GPUs, or processor cores that this process may use."""
    if cuda:
        return torch.cuda.device_count()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
