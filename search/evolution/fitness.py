"""What a search climbs: the score of a proxy, ranks combined over what was scored so far, or a table that is known."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from analysis.rows.ties import Levels, to_be_ranked
from benchmarks.scoring.scorer import Scorer
from benchmarks.spaces import Size
from proxies import Combination


class Fitness(ABC):
    """Fitness by candidate, higher better; a failed score is -inf. Each candidate is evaluated once."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}  # what each candidate costs; of a stored score: what it did cost
        self.spent = 0.0  # seconds in `evaluate`
        self.undefined: dict[str, str] = {}  # by candidate, why a proxy is undefined for it

    def evaluate(self, archs: Sequence[str]) -> None:
        """Find the fitness of candidates that were not evaluated before."""
        start = time.perf_counter()
        if archs:
            self._evaluate(archs)
        self.spent += time.perf_counter() - start

    @abstractmethod
    def _evaluate(self, archs: Sequence[str]) -> None:
        """Find fitness and seconds of some candidates."""

    @abstractmethod
    def __call__(self, arch: str) -> float:
        """The fitness of an evaluated candidate."""


class ByProxy(Fitness):
    """The score of the one proxy that the scorer has; where it ties with others so far, the lowest of theirs."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self._scorer = scorer
        self._levels = Levels()

    def _evaluate(self, archs: Sequence[str]) -> None:
        for row in self._scorer.rows(archs):
            self._levels.add(row.arch, row.score, row.status == "ok")
            self.seconds[row.arch] = row.seconds
            if row.status == "undefined":
                self.undefined[row.arch] = row.reason

    def __call__(self, arch: str) -> float:
        """Its score."""
        return self._levels.level[arch]


class ByCombination(Fitness):
    """Combined ranks over all candidates evaluated so far, so that a candidate's fitness changes as others come."""

    def __init__(self, combination: Combination, scorer: Scorer) -> None:
        super().__init__()
        self._combination, self._scorer = combination, scorer
        self._parts: dict[str, list[float]] = {}
        self._combined: dict[str, float] = {}

    def _evaluate(self, archs: Sequence[str]) -> None:
        for row in self._scorer.rows(archs):
            self._parts.setdefault(row.arch, []).append(row.score if row.status == "ok" else math.nan)
            self.seconds[row.arch] = self.seconds.get(row.arch, 0.0) + row.seconds
            if row.status == "undefined":
                self.undefined[row.arch] = f"{row.proxy}: {row.reason}"
        scores = np.array(list(self._parts.values())).T
        ranked = torch.from_numpy(to_be_ranked(scores, ~np.isnan(scores)))
        self._combined = dict(zip(self._parts, self._combination.combine(ranked).tolist(), strict=True))

    def __call__(self, arch: str) -> float:
        """Its combined rank among all so far."""
        return self._combined[arch]


class Known(Fitness):
    """A table of accuracies, for the classic multi-trial baselines; what it lacks is -inf. Looking up costs nothing."""

    def __init__(self, table: Mapping[str, float]) -> None:
        super().__init__()
        self._table = table

    def _evaluate(self, archs: Sequence[str]) -> None:
        self.seconds.update(dict.fromkeys(archs, 0.0))

    def __call__(self, arch: str) -> float:
        """Its accuracy."""
        return self._table.get(arch, -math.inf)


class BySize(Fitness):
    """The number of parameters, counted in closed form: the search that a proxy has to beat."""

    def __init__(self, size: Callable[[str], Size]) -> None:
        super().__init__()
        self._size = size

    def _evaluate(self, archs: Sequence[str]) -> None:
        for arch in archs:
            start = time.perf_counter()
            self._size(arch)
            self.seconds[arch] = time.perf_counter() - start

    def __call__(self, arch: str) -> float:
        """Its parameters."""
        return self._size(arch).params
