"""Candidates x proxies -> rows. The only scoring loop there is: ranking, search and distillation call it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.rows.ties import to_be_ranked
from benchmarks.scoring.alike import Alike
from benchmarks.scoring.cohorts import sizes
from benchmarks.scoring.engines import Engine, Lost, Serial
from benchmarks.scoring.jobs import Job
from benchmarks.scoring.store import Score, Store
from benchmarks.scoring.worker import Task, Worker, failed
from proxies import Combination

TASK_ON_GPU = 256  # candidates, which a worker cuts into stacks that fit into its memory; on a CPU 1: stacks are slower
PERIOD = 0.2  # seconds of work that a kill may cost: a transaction for each candidate would cost milliseconds
WHOLE = (1, 1)  # the shard that is everything


def score(
    job: Job, store: Store, advance: Callable[[int], None] = lambda _: None, engine: Engine | None = None
) -> list[Score]:
    """Score what the store lacks, and return all rows of the job by seed, proxy and candidate in the job's order.

    `advance` is told how many candidates are done, each once for every seed. Rows are stored every fifth of a second
    and at the end, also one by an error or Ctrl-C. No score depends on the stack it was computed in, nor on the engine.
    """
    return Scorer(job, store, engine).rows(job.archs, advance)


class Known(Protocol):
    """Scores that are there already, and of no store: those of a score table. `only`: nothing else counts."""

    only: bool

    def __call__(self, archs: Sequence[str], seeds: Sequence[int]) -> Iterable[Score]:
        """What is known of some candidates."""

    def lacks(self, proxies: Sequence[str], seeds: Sequence[int], archs: Sequence[str]) -> ValueError:
        """What is said where something is missing, and nothing else counts."""


class Scorer:
    """A job over an open store: scores candidates as they are named, and none twice.

    What is `known` stands in place of what would be scored, and is never put into the store.
    """

    def __init__(self, job: Job, store: Store, engine: Engine | None = None, known: Known | None = None) -> None:
        self.job = job
        self.known = known
        self._recalled: set[str] = set()
        self._foreign: set[tuple[int, str, str]] = set()  # rows of what is known, which the store is not to have
        self.store = store
        self.engine = engine or Serial()
        self._worker = Worker(job)
        only_known = known is not None and known.only
        self._alike = Alike(job, () if only_known else job.proxies)
        self._unwritten: list[Score] = []
        self._written = time.monotonic()
        self._keys = {proxy.name: proxy.key for proxy in job.proxies}
        self._conditions = {seed: self._file(seed) for seed in job.seeds}
        stored = [] if only_known else job.seeds
        self._rows = {(row.seed, row.proxy, row.arch): row for seed in stored for row in self._stored(seed)}

    def _file(self, seed: int) -> str:
        job = self.job
        version = {"space": job.space.version} if job.space.version else {}
        batch = job.source.batch(job.conditions.batch_size, seed)
        return self.store.conditions(job.conditions.content(batch) | version)

    def _stored(self, seed: int) -> list[Score]:
        names = {key: name for name, key in self._keys.items()}
        archs = {self.job.space.stored(arch): arch for arch in self.job.archs}
        found = self.store.scores(self._conditions[seed], self.job.space.name, names, seed)
        return [row._replace(proxy=names[row.proxy], arch=archs.get(row.arch, row.arch)) for row in found]

    def rows(self, archs: Sequence[str], advance: Callable[[int], None] = lambda _: None) -> list[Score]:
        """The rows of some candidates by seed, proxy and candidate; what the store lacks is scored, and kept."""
        self.fill(archs, advance)
        return [self._rows[seed, name, arch] for seed in self.job.seeds for name in self._keys for arch in archs]

    def fill(
        self, archs: Sequence[str], advance: Callable[[int], None] = lambda _: None, shard: tuple[int, int] = WHOLE
    ) -> int:
        """Score what the store lacks of some candidates, or of shard (i, n) of them: every n-th task from the i-th.

        Returns for how many candidates rows are there now, each counted once for every seed.
        """
        self._recall(archs)
        if shard == WHOLE and self._complete(archs):
            advance(whole := self.size(archs))
            return whole
        mine = self._tasks(archs, shard)
        whole = sum(len(task.archs) for task in mine)
        missing = [short for task in mine if (short := self._lacking(task)).proxies]
        if missing and self.known is not None and self.known.only:
            names = dict.fromkeys(name for task in missing for name in task.proxies)
            archs = list(dict.fromkeys(arch for task in missing for arch in task.archs))
            raise self.known.lacks(list(names), list({task.seed: None for task in missing}), archs)
        advance(whole - sum(len(task.archs) for task in missing))
        try:
            while missing:
                missing = self._score(missing, advance)
        finally:
            self._spread(archs)
            self._write()
        return whole

    def _recall(self, archs: Sequence[str]) -> None:
        """Take what is known of candidates that were not asked for before; it stands before what is stored."""
        if self.known is None or not (fresh := [arch for arch in dict.fromkeys(archs) if arch not in self._recalled]):
            return
        self._recalled.update(fresh)
        found = {(row.seed, row.proxy, row.arch): row for row in self.known(fresh, self.job.seeds)}
        self._foreign.update(found)
        self._rows.update(found)

    def _score(self, tasks: Sequence[Task], advance: Callable[[int], None]) -> list[Task]:
        """Score tasks; returns those to be tried again: the candidates of one that was lost, each alone."""
        again: list[Task] = []
        for task, fresh in self.engine.map(self._worker, tasks):
            if isinstance(fresh, Lost):
                if len(task.archs) > 1:
                    again += [task._replace(archs=(arch,)) for arch in task.archs]
                    continue
                self._add(
                    failed(self.job, task, "error", fresh.reason)
                )  # for this run alone: another time the worker may live
            else:
                self._add(fresh)
                self._unwritten += [row for row in fresh if row.status != "oom"]  # another time there may be memory
            if time.monotonic() - self._written > PERIOD:
                self._write()
            advance(len(task.archs))
        return again

    def _spread(self, archs: Sequence[str]) -> None:
        """Give the scores of candidates to those that they stand for."""
        others = [(arch, first) for arch in dict.fromkeys(archs) if (first := self._alike.first(arch)) != arch]
        for seed, name, (arch, first) in product(self.job.seeds, self._alike.names, others):
            row = self._rows.get((seed, name, first))
            if row is not None and (seed, name, arch) not in self._rows:
                self._rows[seed, name, arch] = row = row._replace(arch=arch)
                kept = row.status not in ("oom", "error") and (seed, name, first) not in self._foreign
                self._unwritten += [row] if kept else []

    def _write(self) -> None:
        """Put into the store what is not there yet, each seed in one transaction."""
        rows, self._unwritten = self._unwritten, []
        filed = [row._replace(proxy=self._keys[row.proxy], arch=self.job.space.stored(row.arch)) for row in rows]
        for seed, conditions in self._conditions.items():
            if own := [row for row in filed if row.seed == seed]:
                self.store.add(conditions, own)
        self._written = time.monotonic()

    def size(self, archs: Sequence[str], shard: tuple[int, int] = WHOLE) -> int:
        """How many candidates a shard has, each counted once for every seed."""
        if shard == WHOLE:
            return len(set(archs)) * len(self.job.seeds)
        return sum(len(task.archs) for task in self._tasks(archs, shard))

    def _complete(self, archs: Sequence[str]) -> bool:
        """Whether nothing is left to be scored: so it is where a table has all, and tasks need not be made."""
        return all(key in self._rows for key in product(self.job.seeds, self._keys, archs))

    def _tasks(self, archs: Sequence[str], shard: tuple[int, int]) -> list[Task]:
        """Candidates of one shape together, whatever is stored of them: so stacks are the same after a resume."""
        index, count = shard
        size = self.job.stack or (TASK_ON_GPU if self.job.on_gpu else 1)
        names = tuple(self._keys)
        own = tuple(name for name in names if name not in self._alike.names)  # of one that another stands for
        together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for arch in dict.fromkeys(archs):
            asked = names if self._alike.first(arch) == arch else own
            together.setdefault((self.job.space.shape(arch), asked), []).append(arch)
        return [
            Task(seed, tuple(some[start : start + size]), asked)
            for seed in self.job.seeds
            for (_, asked), some in together.items()
            for start in range(0, len(some), size)
        ][index - 1 :: count]

    def _lacking(self, task: Task) -> Task:
        """The task with those proxies only that lack a row."""
        names = (name for name in task.proxies if any((task.seed, name, arch) not in self._rows for arch in task.archs))
        return task._replace(proxies=tuple(names))

    def _add(self, fresh: Sequence[Score]) -> None:
        for row in fresh:  # what was there stays, as in the store
            self._rows.setdefault((row.seed, row.proxy, row.arch), row)


def shared(rows: Sequence[Score], job: Job, stand_ins: Mapping[str, str]) -> list[Score]:
    """The rows of all candidates of a job, each those of its stand-in; parameters and macs are a candidate's own."""
    if list(stand_ins.values()) == list(job.archs):  # each stands for itself
        return list(rows)
    found = {(row.seed, row.proxy, row.arch): row for row in rows}
    of_all = [
        found[seed, proxy.name, stand_ins[arch]]._replace(arch=arch)
        for seed in job.seeds
        for proxy in job.proxies
        for arch in job.archs
    ]
    counted = sizes(job.archs, job.space, job.conditions.dataset)
    own = {name: dict(zip(job.archs, values.tolist(), strict=True)) for name, values in counted.items()}
    return [row._replace(score=own[row.proxy][row.arch]) if row.proxy in own else row for row in of_all]


def combined(rows: Sequence[Score], job: Job, combinations: Sequence[Combination]) -> list[Score]:
    """Rows of combinations: ranks of their parts' rows over the candidates of the job, seed by seed.

    They cost what their parts cost, and are never stored: another cohort gives other scores. A combination is undefined
    where one of its parts is for all candidates.
    """
    by_part = {(row.seed, row.proxy, row.arch): row for row in rows}
    found = []
    for seed in job.seeds:
        for one in combinations:
            parts = [[by_part[seed, part, arch] for arch in job.archs] for part in one.parts]
            lacking = next((part for part in parts if all(row.status == "undefined" for row in part)), None)
            if lacking is not None:
                reason = f"{lacking[0].proxy}: {lacking[0].reason}"
                found += failed(job, Task(seed, tuple(job.archs), (one.name,)), "undefined", reason)
                continue
            scores = np.array([[row.score for row in part] for part in parts])
            ok = np.array([[row.status == "ok" for row in part] for part in parts])
            values = together(one, scores, ok).tolist()
            costs = [sum(row.seconds for row in column) for column in zip(*parts, strict=True)]
            found += [
                Score(job.space.name, arch, one.name, seed, value, "ok", cost)
                for arch, value, cost in zip(job.archs, values, costs, strict=True)
            ]
    return found


def together(one: Combination, scores: NDArray[np.float64], ok: NDArray[np.bool_]) -> NDArray[np.float64]:
    """A combination of its parts' scores [P, n] over a cohort: [n]. What is not ok ranks last."""
    return one.combine(torch.from_numpy(to_be_ranked(scores, ok))).numpy()


def refuse_undefined(rows: Sequence[Score], names: Sequence[str]) -> None:
    """Raises ValueError where none of the proxies of these names has a score that is defined, with the reason of each.

    One that has lets the others be: theirs stay rows with a reason.
    """
    first = {name: next(row for row in rows if row.proxy == name) for name in names}
    if first and all(row.status == "undefined" for row in rows if row.proxy in first):
        told = [f"{name} is undefined for {row.arch}: {row.reason}" for name, row in first.items()]
        raise ValueError("; ".join(told))
