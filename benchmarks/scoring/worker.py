"""What a worker does: a few candidates as stacks -> their rows. It sees no store, and no other worker."""

from __future__ import annotations

import math
import traceback
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.conditions import teachers
from benchmarks.conditions.batches import scaled
from benchmarks.conditions.drawing import Drawing
from benchmarks.conditions.normalisation import retouch
from benchmarks.scoring.jobs import Job
from benchmarks.scoring.store import Score
from benchmarks.spaces.stack import Stack
from proxies import Proxy
from proxies.probing.memory import TooLarge
from proxies.probing.network import Network, Weights
from proxies.probing.probe import Probe
from proxies.userfile import FAILURES

FIRST_ON_GPU = 8  # candidates, by whose memory the size of stacks is measured
# What a proxy, or torch in it, raises on a network that it was not made for.
FAULTS = (ValueError, RuntimeError, MemoryError)
SHARE = 0.8  # of the free memory that a stack may take


class Task(NamedTuple):
    """Candidates of one shape to be scored under one seed, by the proxies that are named."""

    seed: int
    archs: tuple[str, ...]
    proxies: tuple[str, ...]


class Worker:
    """Scores tasks of one job. It can be pickled: what it keeps between tasks stays behind."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._run: SeedRun | None = None

    def __getstate__(self) -> dict[str, object]:
        return {"job": self.job, "_run": None}

    def __call__(self, task: Task) -> list[Score]:
        """The rows of a task, by candidate and proxy."""
        if self._run is None or self._run.seed != task.seed:
            self._run = SeedRun(self.job, task.seed)
        half = torch.autocast(self._run.images.device.type, torch.bfloat16, self.job.conditions.precision == "bf16")
        with half, torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            return self._run.rows(task.archs, [p for p in self.job.proxies if p.name in task.proxies])


class SeedRun:
    """The scoring of one seed: its batch, its drawing, its teacher, and what earlier probes were asked for.

    `fits` is the number of candidates that a stack may have; None until it was measured.
    """

    def __init__(self, job: Job, seed: int) -> None:
        self.job = job
        self.seed = seed
        conditions = job.conditions
        batch = job.source.batch(conditions.batch_size, seed)
        self.exact = conditions.precision == "float64"
        self.images, self.labels = batch.images.to(conditions.device), batch.labels.to(conditions.device)
        if self.exact:
            self.images = self.images.double()
        self.drawing = Drawing(seed, conditions.draw, conditions.init, conditions.device)
        self.plan: frozenset[str] = frozenset()
        self.fits = job.stack or (None if self.images.is_cuda else 1)
        self.teacher = self._teacher()

    def _teacher(self) -> Probe:
        conditions, own = self.job.conditions, self.job.teacher
        classes, side = self.job.source.dataset
        side = conditions.teacher_resolution or side
        images = self._as_known() if conditions.teacher_resolution is None else scaled(self._as_known(), side)
        if images.shape[1] == 1 and (own is None or own.sees_colours):
            images = images.expand(-1, 3, -1, -1)
        network: Network
        if own is not None:
            network = module = own.network(classes, images.float())
            weights = own.weights(module, self.drawing, conditions.teacher_weights)
        else:
            network = stack = teachers.build(conditions.teacher, conditions.dataset, classes, side)
            weights = teachers.weights(stack, self.drawing, conditions.teacher_weights)
        weights = self._held(network, weights.double() if self.exact else weights)
        return Probe(network, weights, images, self.labels, noise=self.drawing.noise)

    def _as_known(self) -> Tensor:
        """The images, normalised as the teacher's trained weights know them where these bring that along."""
        wanted = self.job.teacher_inputs
        given = None if wanted is None else self.job.source.normalisation
        parts = None if given is None or wanted is None else retouch(given, wanted, self.images.device)
        return self.images if parts is None else self.images * parts[0] + parts[1]

    def rows(self, archs: Sequence[str], proxies: Sequence[Proxy]) -> list[Score]:
        """The rows of candidates of one shape, in stacks that fit into memory."""
        rows: list[Score] = []
        done = 0
        while done < len(archs):
            stack = archs[done : done + (self.fits or FIRST_ON_GPU)]
            try:
                rows += self._measured(stack, proxies)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                if len(stack) > 1:
                    self.fits = len(stack) // 2
                    continue
                rows += failed(self.job, Task(self.seed, tuple(stack), tuple(p.name for p in proxies)), "oom")
            done += len(stack)
        return rows

    def _measured(self, archs: Sequence[str], proxies: Sequence[Proxy]) -> list[Score]:
        """The rows of a stack; where nobody knows yet how many candidates fit, with a look at the memory it takes."""
        if self.fits is not None:
            return self._stack(archs, proxies)
        device = self.images.device
        _ = self._stack(archs, proxies)  # learns which passes are shared, and lets the drawing and the teacher settle
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        rows = self._stack(archs, proxies)
        each = (torch.cuda.max_memory_allocated(device) - before) / len(archs)
        torch.cuda.empty_cache()
        self.fits = fitting(torch.cuda.mem_get_info(device)[0], each)
        return rows

    def probe(self, archs: Sequence[str], plan: frozenset[str]) -> Probe:
        """The probe of some candidates as one stack, with their weights drawn; `plan` as in Probe."""
        with torch.autocast(self.images.device.type, enabled=False):  # a module is looked at as it is
            network = self.job.space.network(archs, self.job.source.dataset.classes, self.images.float())
        if self.images.is_cuda and isinstance(
            network, Stack
        ):  # a quarter faster there, on a CPU not worth other digits
            network.plain_convolutions = True
        weights = self._held(network, self.drawing.candidates(network, archs))
        if self.exact:
            weights = weights.double()
        return Probe(
            network, weights, self.images, self.labels, teacher=self.teacher, noise=self.drawing.noise, plan=plan
        )

    def _held(self, network: Network, weights: Weights) -> Weights:
        """A module's weights are in its own memory: where a proxy of the user's may write to them, a copy of them."""
        own = not isinstance(network, Stack) and any(proxy.version for proxy in self.job.proxies)
        return weights.each(torch.clone) if own else weights

    def _stack(self, archs: Sequence[str], proxies: Sequence[Proxy]) -> list[Score]:
        try:
            probe = self.probe(archs, self.plan)
        except ValueError as error:  # can't be built, or not run on these images
            if len(self.job.archs) == 1:  # a search names none beforehand
                raise
            return [row for proxy in proxies for row in self._failed(archs, proxy, "undefined", error)]
        rows = []
        for proxy in proxies:
            try:
                values, seconds = probe.score(proxy)
            except (torch.OutOfMemoryError, TooLarge) as error:
                if len(archs) > 1:
                    raise
                rows += self._failed(archs, proxy, "oom", error)
            except FAULTS as error:
                if len(archs) == 1:
                    status = "undefined" if isinstance(error, ValueError) else "error"
                    status = "oom" if out_of_memory(error) else status
                    rows += self._failed(archs, proxy, status, error)
                else:  # of one candidate, perhaps: find it, and let the others be
                    rows += [row for arch in archs for row in self._stack([arch], [proxy])]
            except FAILURES as error:
                if not proxy.version:
                    raise
                raise ValueError(f"--proxy {proxy.name}: {slip(error, proxy)}") from error
            else:
                rows += self._rows(archs, proxy, values, seconds)
            if proxy.version and (altered := probe.altered()):  # the scores of others would be of something else
                raise ValueError(
                    f"--proxy {proxy.name}: writes to its Probe's {altered} in place, which others read; take a copy"
                )
        self.plan |= probe.asked
        return rows

    def _rows(self, archs: Sequence[str], proxy: Proxy, scores: Tensor, seconds: float) -> list[Score]:
        """Scores [A] as rows; seconds are those of the stack."""
        # -0.0 becomes 0.0: SQLite keeps no sign of zero, and a row must not change by a resume
        values = (scores + 0.0).tolist()
        status = ["nan" if math.isnan(value) else "inf" if math.isinf(value) else "ok" for value in values]
        return [
            Score(self.job.space.name, arch, proxy.name, self.seed, values[i], status[i], seconds / len(archs))
            for i, arch in enumerate(archs)
        ]

    def _failed(self, archs: Sequence[str], proxy: Proxy, status: str, error: Exception) -> list[Score]:
        told = status != "oom" or isinstance(error, TooLarge)  # torch says how much memory is left just now
        reason = " ".join(str(error).split()) if told else ""
        if status == "error":
            reason = f"{type(error).__name__}: {reason}"
        return failed(self.job, Task(self.seed, tuple(archs), (proxy.name,)), status, reason)


def slip(error: BaseException, proxy: Proxy) -> str:
    """What Python says of a slip in a user's function, and the line of its file where that was."""
    own = getattr(proxy.score, "__globals__", None)  # a function that came to a worker has lost its file's name
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_globals is own]
    where = f" ({proxy.name.partition(':')[0]}, line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"


def out_of_memory(error: BaseException) -> bool:
    """Whether there was too little memory: on a GPU, or on this machine, where torch raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def failed(job: Job, task: Task, status: str, reason: str = "") -> list[Score]:
    """Rows of a task that has no scores."""
    return [
        Score(job.space.name, arch, name, task.seed, math.nan, status, 0.0, reason)
        for arch in task.archs
        for name in task.proxies
    ]


def fitting(free: float, each: float) -> int:
    """How many candidates of `each` bytes fit into `free` bytes, as a power of two: few stack sizes, few roundings."""
    most = max(1, int(SHARE * free / max(each, 1)))
    return 1 << (most.bit_length() - 1)
