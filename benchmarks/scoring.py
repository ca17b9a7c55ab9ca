"""Candidates x proxies -> rows. The only scoring loop there is: ranking, search and distillation call `score`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType

import torch

import proxies as proxies_package
from benchmarks import teachers
from benchmarks.batches import Batch, Source
from benchmarks.drawing import Drawing, Init, Mode
from benchmarks.spaces import Space
from benchmarks.store import Score, Store
from proxies import Combination, Proxy
from proxies.probe import Probe

STACK_ON_GPU = 64


@dataclass(frozen=True)
class Conditions:
    """Everything but candidate, proxy and seed that a score depends on."""

    dataset: str
    batch_size: int = 64
    draw: Mode = "shared"
    init: Init = "kaiming"
    teacher: str = "resnet56"
    teacher_weights: Path | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def content(self, batch: Batch) -> dict[str, object]:
        """The key under which scores are stored, the batch and the code by their digests."""
        content = asdict(self)
        trained = None if self.teacher_weights is None else teachers.digest(self.teacher_weights)
        content.update(device=self.device.type, teacher_weights=trained, batch=batch.digest, code=code_digest())
        return {**content, "precision": "float32", "torch": torch.__version__}


@dataclass(frozen=True)
class Job:
    """What to score: every candidate with every proxy under every seed."""

    space: Space
    archs: Sequence[str]
    proxies: Sequence[Proxy]
    seeds: Sequence[int]
    source: Source
    conditions: Conditions
    stack: int | None = None  # candidates run together; None chooses by device

    def __len__(self) -> int:
        return len(self.archs) * len(self.seeds)


def score(job: Job, store: Store, advance: Callable[[int], None] = lambda _: None) -> list[Score]:
    """Score what the store lacks, and return all rows of the job by seed, proxy and candidate in the job's order.

    `advance` is told how many candidates are done, each once for every seed. A row is kept as soon as its stack is
    done. No score depends on the stack it was computed in, so out-of-memory only makes stacks smaller.
    """
    return [row for seed in job.seeds for row in Scorer(job, seed, store).rows(job.archs, advance)]


class Scorer:
    """One seed of a job over an open store: scores candidates as they are named, and none twice."""

    def __init__(self, job: Job, seed: int, store: Store) -> None:
        self.job = job
        self.seed = seed
        self.store = store
        self.batch = job.source.batch(job.conditions.batch_size, seed)
        version = {"space": job.space.version} if job.space.version else {}
        self._conditions = store.conditions(job.conditions.content(self.batch) | version)
        self._keys = {proxy.name: proxy.key for proxy in job.proxies}
        names = {key: name for name, key in self._keys.items()}
        kept = store.scores(self._conditions, job.space.name, names, seed)
        self._stored = {(name := names[row.proxy], row.arch): row._replace(proxy=name) for row in kept}

    def rows(self, archs: Sequence[str], advance: Callable[[int], None] = lambda _: None) -> list[Score]:
        """The rows of some candidates by proxy and candidate; what the store lacks is scored, and kept."""
        missing = [arch for arch in archs if any((name, arch) not in self._stored for name in self._keys)]
        advance(len(archs) - len(missing))
        if missing:
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
                for fresh in self._run.over(missing):
                    lasting = (row for row in fresh if row.status != "oom")  # another time there may be memory
                    self.store.add(self._conditions, (row._replace(proxy=self._keys[row.proxy]) for row in lasting))
                    self._stored.update(((row.proxy, row.arch), row) for row in fresh)
                    advance(len({row.arch for row in fresh}))
        return [self._stored[name, arch] for name in self._keys for arch in archs]

    @cached_property
    def _run(self) -> SeedRun:
        return SeedRun(self.job, self.seed, self.batch, self._stored)


def combined(rows: Sequence[Score], job: Job, combinations: Sequence[Combination]) -> list[Score]:
    """Rows of combinations: ranks of their parts' rows over the candidates of the job, seed by seed.

    They cost what their parts cost, and are never stored: another cohort gives other scores.
    """
    by_part = {(row.seed, row.proxy, row.arch): row for row in rows}
    found = []
    for seed in job.seeds:
        for one in combinations:
            parts = [[by_part[seed, part, arch] for arch in job.archs] for part in one.parts]
            scores = [[row.score if row.status == "ok" else math.nan for row in part] for part in parts]
            values = one.combine(torch.tensor(scores, dtype=torch.float64)).tolist()
            costs = [sum(row.seconds for row in column) for column in zip(*parts, strict=True)]
            found += [
                Score(job.space.name, arch, one.name, seed, value, "ok", cost)
                for arch, value, cost in zip(job.archs, values, costs, strict=True)
            ]
    return found


class SeedRun:
    """The scoring of one seed: its drawing, its teacher, and what earlier probes were asked for."""

    def __init__(
        self, job: Job, seed: int, batch: Batch, stored: Mapping[tuple[str, str], Score] = MappingProxyType({})
    ) -> None:
        self.job = job
        self.seed = seed
        self.stored = stored
        conditions = job.conditions
        self.images, self.labels = batch.images.to(conditions.device), batch.labels.to(conditions.device)
        self.drawing = Drawing(seed, conditions.draw, conditions.init, conditions.device)
        self.plan: frozenset[str] = frozenset()
        self.teacher = self._teacher()

    def _teacher(self) -> Probe:
        conditions = self.job.conditions
        network = teachers.build(conditions.teacher, conditions.dataset, *self.job.source.dataset)
        weights = teachers.weights(network, self.drawing, conditions.teacher_weights)
        return Probe(network, weights, self.images, self.labels)

    def over(self, archs: Sequence[str]) -> Iterator[list[Score]]:
        """The missing rows of some candidates, a stack of one shape at a time."""
        by_shape: dict[str, list[str]] = {}
        for arch in archs:
            by_shape.setdefault(self.job.space.shape(arch), []).append(arch)
        for alike in by_shape.values():
            yield from self._over(alike)

    def _over(self, archs: Sequence[str]) -> Iterator[list[Score]]:
        size = self.job.stack or (STACK_ON_GPU if self.images.is_cuda else 1)
        done = 0
        while done < len(archs):
            stack = list(archs[done : done + size])
            try:
                fresh = self._stack(stack)
            except torch.OutOfMemoryError:
                if len(stack) > 1:
                    size = len(stack) // 2
                    continue
                fresh = self._without_memory(stack)
            except torch.linalg.LinAlgError:  # of one candidate: find it, and let the others be
                fresh = [row for arch in stack for row in self._stack([arch])]
            yield fresh
            done += len(stack)

    def probe(self, archs: Sequence[str], plan: frozenset[str]) -> Probe:
        """The probe of some candidates as one stack, with their weights drawn; `plan` as in Probe."""
        network = self.job.space.build(archs, *self.job.source.dataset)
        weights = self.drawing.candidates(network, archs)
        return Probe(
            network, weights, self.images, self.labels, teacher=self.teacher, noise=self.drawing.noise, plan=plan
        )

    def _without_memory(self, archs: Sequence[str]) -> list[Score]:
        """Rows of candidates that could not even be built."""
        space = self.job.space.name
        missing = [(p, arch) for p in self.job.proxies for arch in archs if (p.name, arch) not in self.stored]
        return [Score(space, arch, p.name, self.seed, math.nan, "oom", 0.0) for p, arch in missing]

    def _stack(self, archs: Sequence[str]) -> list[Score]:
        probe = self.probe(archs, self.plan)
        rows = []
        for proxy in self.job.proxies:
            wanted = [(i, arch) for i, arch in enumerate(archs) if (proxy.name, arch) not in self.stored]
            if wanted:
                values, status, seconds = _scores(probe, proxy)
                rows += [
                    Score(self.job.space.name, arch, proxy.name, self.seed, values[i], status[i], seconds)
                    for i, arch in wanted
                ]
        self.plan |= probe.asked
        return rows


def _scores(probe: Probe, proxy: Proxy) -> tuple[list[float], list[str], float]:
    """Scores, their status, and seconds a candidate. A failing stack of one gets a status, a larger one raises."""
    candidates = probe.network.candidates
    try:
        scores, seconds = probe.score(proxy)
    except (torch.OutOfMemoryError, torch.linalg.LinAlgError) as error:
        if candidates > 1:
            raise
        return [math.nan], ["oom" if isinstance(error, torch.OutOfMemoryError) else "error"], 0.0
    # -0.0 becomes 0.0: SQLite keeps no sign of zero, and a row must not change by a resume
    values = (scores + 0.0).tolist()
    status = ["nan" if math.isnan(value) else "inf" if math.isinf(value) else "ok" for value in values]
    return values, status, seconds / candidates


def find_device(name: str) -> torch.device:
    """The device that auto, cpu, cuda or cuda:i names. Raises ValueError where there is none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if name == "cpu":
        return torch.device(name)
    if kind != "cuda" or (number and not number.isdecimal()):
        raise ValueError(f"no device is called {name!r}; there are: auto, cpu, cuda, cuda:i")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= there:
        raise ValueError(f"--device {name}: this machine has {there} CUDA devices that torch can use")
    return torch.device(name)


@cache
def code_digest() -> str:
    """Digest of the source that scores depend on: scores of another version of it are not taken for these."""
    here = Path(__file__).parent
    files = sorted(Path(proxies_package.__file__).parent.glob("*.py")) + sorted((here / "spaces").glob("*.py"))
    files += [here / name for name in ("batches.py", "drawing.py", "scoring.py", "stack.py", "teachers.py")]
    summary = hashlib.sha256()
    for file in files:
        summary.update(file.name.encode() + b"\0" + file.read_bytes())
    return summary.hexdigest()[:16]
