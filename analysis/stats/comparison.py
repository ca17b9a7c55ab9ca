"""Proxies against each other on the same candidates: is a difference of correlations more than noise?

Scores are [P, S, n]: P proxies, S seeds, n candidates, failed ones -inf. A proxy's correlation is the mean over its
seeds of Spearman's rho. What noise is: analysis/stats/inference.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from analysis.rows.runs import Run
from analysis.rows.tables import UNDEFINED
from analysis.stats.inference import Measured, Sample, difference, measured
from analysis.stats.influence import Array
from analysis.stats.ranking import spearman

LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """Spearman of `first` minus that of `second`, with interval and p of one error; p_holm corrects over the family."""

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float

    @property
    def winner(self) -> str | None:
        """Who is ahead at the family-wise level of 5 % (Holm); None where nobody is."""
        if not self.p_holm < LEVEL:
            return None
        return self.first if self.difference > 0 else self.second


@dataclass(frozen=True)
class Ranked:
    """The proxies of a table that rank differently, best first: names (of equal rankings joined), and correlations."""

    names: list[str]
    found: list[Measured]
    sample: Sample

    @classmethod
    def of(cls, names: Sequence[str], scores: Array, sample: Sample) -> Ranked:
        """Rankings that are equal count once; scores [P, S, n]."""
        groups: dict[bytes, list[int]] = {}
        for number, ranks in enumerate(stats.rankdata(scores, axis=2)):
            groups.setdefault(ranks.tobytes(), []).append(number)
        found = [(", ".join(names[i] for i in group), measured(scores[group[0]], sample)) for group in groups.values()]
        found.sort(key=lambda one: -np.nan_to_num(one[1].value, nan=-np.inf))
        return cls([name for name, _ in found], [one for _, one in found], sample)

    @cached_property
    def pairs(self) -> list[Difference]:
        """All pairs, the better one first; Holm's correction over all of them."""
        return self._tested(list(combinations(range(len(self.names)), 2)))

    def against(self, references: Sequence[str]) -> list[Difference]:
        """The family that is stated beforehand: each proxy against each of some; Holm's correction over these."""
        chosen = {i for i, name in enumerate(self.names) if set(name.split(", ")) & set(references)}
        return self._tested([(i, j) for i, j in combinations(range(len(self.names)), 2) if {i, j} & chosen])

    def _tested(self, pairs: Sequence[tuple[int, int]]) -> list[Difference]:
        found = [difference(self.found[i], self.found[j], self.sample) for i, j in pairs]
        corrected = holm(np.array([one.p for one in found]))
        return [
            Difference(self.names[i], self.names[j], *one, float(p))
            for (i, j), one, p in zip(pairs, found, corrected, strict=True)
        ]


def between(a: Run, b: Run, *samples: Sample) -> pd.DataFrame:
    """Two runs over the same candidates: a row per proxy of both, what its scores and its correlations have in common.

    Columns: proxy, n, scores (those of common seeds), equal_scores, score_spearman (of ranks averaged over seeds),
    spearman_a, spearman_b, difference (b - a), low, high, p, p_holm, verdict. `samples` are those of a and b. Proxies
    that rank alike are not tested.
    """
    rows: list[dict[str, object]] = []
    if None in [sample.noise for sample in samples]:
        samples = tuple(replace(sample, noise=None) for sample in samples)
    for proxy in [proxy for proxy in a.proxies if proxy in b.proxies]:
        x, y = a.one(proxy), b.one(proxy)
        found_a, found_b = measured(x, samples[0]), measured(y, samples[1])
        seeds = [seed for seed in a.seeds if seed in b.seeds]
        alike = a.seeds == b.seeds and np.array_equal(stats.rankdata(x, axis=1), stats.rankdata(y, axis=1))
        shift = difference(found_b, found_a, samples[0], paired=a.seeds == b.seeds)
        common = [run.one(proxy)[[run.seeds.index(seed) for seed in seeds]] for run in (a, b)]
        rows.append(
            {
                **{"proxy": proxy, "n": len(a.archs), "scores": common[0].size},
                "equal_scores": int(np.sum(common[0] == common[1])),
                "score_spearman": spearman(*(mean_ranks(scores[None])[0] for scores in (x, y))),
                **{"spearman_a": found_a.value, "spearman_b": found_b.value, "difference": shift.value},
                **{"low": shift.low, "high": shift.high, "p": np.nan if alike and shift.value == 0 else shift.p},
            }
        )
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"].to_numpy(dtype=float))
    drawn = min(len(a.seeds), len(b.seeds)) > 1
    pairs = zip(table["difference"], table["p_holm"], strict=True)
    table["verdict"] = [verdict(shift, p_holm, drawn=drawn) for shift, p_holm in pairs]
    return table


def verdict(shift: float, p_holm: float, *, drawn: bool) -> str:
    """Whether a difference between two runs is more than noise, which holds other draws only if there are several."""
    if shift == 0:
        return "the same"
    if np.isnan(p_holm):
        return UNDEFINED
    if not p_holm < LEVEL:
        return "within noise"
    return "more than noise" if drawn else "more than the candidates make"


def common_archs(a: Run, b: Run) -> list[str]:
    """The candidates that two runs have in common, in the order of the first; none of different spaces."""
    there = set(b.archs) if a.options["space"] == b.options["space"] else set()
    return [arch for arch in a.archs if arch in there]


def holm(p: Array) -> Array:
    """Holm's step-down correction (1979) of p-values [m]; NaN stays, and is not counted."""
    corrected = np.full(len(p), np.nan)
    defined = np.flatnonzero(~np.isnan(p))
    order = defined[np.argsort(p[defined], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return corrected


def mean_ranks(scores: Array) -> Array:
    """Each proxy's ranks averaged over its seeds: [P, S, n] -> [P, n]."""
    return np.asarray(stats.rankdata(scores, axis=2).mean(axis=1))


def correlations_among(scores: Array) -> Array:
    """Spearman between proxies under the same seed, averaged over seeds: [P, S, n] -> [P, P]; NaN where constant."""
    ranks = stats.rankdata(scores, axis=2)
    ranks = ranks - ranks.mean(axis=2, keepdims=True)
    norms = np.linalg.norm(ranks, axis=2, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = np.where(norms > 0, ranks / norms, np.nan)
    return np.asarray(np.clip(np.einsum("asn,bsn->ab", unit, unit) / scores.shape[1], -1, 1))


def undecided(names: Sequence[str], pairs: Sequence[Difference]) -> list[list[int]]:
    """Groups of a list of proxies, best first, inside which no pair is told apart; every such pair is in one of them.

    Positions in ascending order. Being alike is not transitive, so a group may leave out who stands between its ends.
    """
    place = {name: number for number, name in enumerate(names)}
    alike = ~np.eye(len(names), dtype=bool)
    for pair in pairs:
        if pair.winner:
            a, b = place[pair.first], place[pair.second]
            alike[a, b] = alike[b, a] = False
    missing, groups = np.triu(alike), []
    while missing.any():
        first = int(np.flatnonzero(missing.any(axis=1))[0])
        group = [first, int(np.flatnonzero(missing[first])[-1])]  # the widest first: fewer groups
        for one in range(len(names)):
            if alike[one, group].all():
                group.append(one)
        missing[np.ix_(group, group)] = False
        groups.append(sorted(group))
    return groups
