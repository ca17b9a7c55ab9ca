"""Proxies against each other on the same candidates: is a difference of correlations more than the choice of cells?

Scores are [P, S, n]: P proxies, S seeds, n candidates, failed ones -inf. A proxy's correlation is the mean over its
seeds of Spearman's rho.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from analysis.rows.runs import Run
from analysis.rows.tables import UNDEFINED
from analysis.stats.bootstrap import RESAMPLES, Array, percentile_interval, spearman_resamples
from analysis.stats.ranking import spearman

LEVEL = 0.05
NOISE = "noise: the choice of candidates (a whole space's: as if of more), by a paired bootstrap; Holm over proxies"


@dataclass(frozen=True)
class Difference:
    """Spearman of `first` minus that of `second`: interval and p by the paired bootstrap, and Steiger's test beside.

    `share` is how often the first came out higher over the resamples, ties half.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    share: float
    steiger_z: float
    steiger_p: float

    @property
    def winner(self) -> str | None:
        """Who is ahead at the family-wise level of 5 % (Holm); None where nobody is."""
        if not self.p_holm < LEVEL:
            return None
        return self.first if self.difference > 0 else self.second


def differences(
    names: Sequence[str],
    scores: Array,
    truth: Array,
    clusters: Sequence[object],
    random: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
) -> list[Difference]:
    """All pairs of P proxies, the better one first; Holm's correction is over all of them. scores [P, S, n]."""
    rhos = seed_mean_spearman(scores, truth)
    order = np.argsort(-rhos, kind="stable")
    found = resampled(scores, truth, clusters, random, resamples=resamples)
    among = correlations_among(scores)
    pairs = list(combinations(order, 2))
    rows = [paired(found[:, a], found[:, b], rhos[a] - rhos[b]) for a, b in pairs]
    corrected = holm(np.array([row[2] for row in rows]))
    tests = [steiger(rhos[a], rhos[b], among[a, b], len(truth)) for a, b in pairs]
    return [
        Difference(names[a], names[b], float(rhos[a] - rhos[b]), low, high, p, float(p_holm), share, *test)
        for (a, b), (low, high, p, share), p_holm, test in zip(pairs, rows, corrected, tests, strict=True)
    ]


def between(a: Run, b: Run, clusters: Sequence[object], generator: Callable[[], np.random.Generator]) -> pd.DataFrame:
    """Two runs over the same candidates: a row per proxy of both, what its scores and its correlations have in common.

    Columns: proxy, n, scores (those of common seeds), equal_scores, score_spearman (of ranks averaged over seeds),
    spearman_a, spearman_b, difference (b - a), low, high, p, p_holm, verdict. `generator` gives equal generators, so
    that both runs are resampled alike.
    """
    rows = []
    for proxy in [proxy for proxy in a.proxies if proxy in b.proxies]:
        pair = [(run.one(proxy)[None], run.truth) for run in (a, b)]
        rho_a, rho_b = (float(seed_mean_spearman(*one)[0]) for one in pair)
        found_a, found_b = (resampled(*one, clusters, generator())[:, 0] for one in pair)
        low, high, p, _ = paired(found_b, found_a, rho_b - rho_a)
        seeds = [seed for seed in a.seeds if seed in b.seeds]
        x, y = (run.one(proxy)[[run.seeds.index(seed) for seed in seeds]] for run in (a, b))
        rows.append(
            {
                **{"proxy": proxy, "n": len(a.archs), "scores": x.size, "equal_scores": int(np.sum(x == y))},
                "score_spearman": spearman(*(mean_ranks(scores)[0] for scores, _ in pair)),
                **{"spearman_a": rho_a, "spearman_b": rho_b, "difference": rho_b - rho_a},
                **{"low": low, "high": high, "p": p},
            }
        )
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"].to_numpy())
    pairs = zip(table["difference"], table["p_holm"], strict=True)
    table["verdict"] = [verdict(difference, p_holm) for difference, p_holm in pairs]
    return table


def verdict(difference: float, p_holm: float) -> str:
    """Whether a difference between two runs is more than the choice of candidates makes."""
    if difference == 0:
        return "the same"
    if np.isnan(p_holm):
        return UNDEFINED
    return "more than noise" if p_holm < LEVEL else "within noise"


def common_archs(a: Run, b: Run) -> list[str]:
    """The candidates that two runs have in common, in the order of the first; none of different spaces."""
    there = set(b.archs) if a.options["space"] == b.options["space"] else set()
    return [arch for arch in a.archs if arch in there]


def seed_mean_spearman(scores: Array, truth: Array) -> Array:
    """Mean over seeds of Spearman's rho: [P, S, n], [n] -> [P]."""
    return np.array([np.mean([spearman(row, truth) for row in rows]) for rows in scores])


def resampled(
    scores: Array, truth: Array, clusters: Sequence[object], random: np.random.Generator, *, resamples: int = RESAMPLES
) -> Array:
    """The mean over seeds of rho in common resamples: [P, S, n] -> [B, P]."""
    proxies, seeds, n = scores.shape
    flat = spearman_resamples(scores.reshape(-1, n), truth, clusters, random, resamples=resamples)
    return np.asarray(flat.reshape(resamples, proxies, seeds).mean(axis=2))


def paired(first: Array, second: Array, difference: float) -> tuple[float, float, float, float]:
    """Interval, p and share of wins of a difference from two correlations in the same resamples, [B] each.

    p is two-sided, of the difference over its bootstrap standard error, by the normal distribution: counting resamples
    beyond zero could not get below 1/B, and a correction over hundreds of pairs needs less.
    """
    gaps = first - second
    gaps = gaps[~np.isnan(gaps)]
    low, high = percentile_interval(first - second)
    if np.isnan(low) or np.isnan(difference):
        return low, high, np.nan, np.nan
    error = gaps.std(ddof=1)
    certain = 1.0 if difference == 0 else 0.0  # nothing moves: the same ranks in other clothes
    p = float(2 * stats.norm.sf(abs(difference) / error)) if error > 1e-12 else certain
    return low, high, p, float((np.sign(gaps).mean() + 1) / 2)


def holm(p: Array) -> Array:
    """Holm's step-down correction (1979) of p-values [m]; NaN stays, and is not counted."""
    corrected = np.full(len(p), np.nan)
    defined = np.flatnonzero(~np.isnan(p))
    order = defined[np.argsort(p[defined], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return corrected


def steiger(first: float, second: float, between: float, n: int) -> tuple[float, float]:
    """Steiger's test (1980) of two correlations with one variable in common: z and two-sided p.

    Fisher's z of both, with the covariance at their mean. `between` correlates the two predictors. It is meant for
    Pearson's correlation and independent candidates; among ranks, and cells of equal function, p is somewhat too small.
    NaN for n < 4 or perfect correlations.
    """
    mean = (first + second) / 2
    if n < 4 or not max(abs(first), abs(second)) < 1:
        return np.nan, np.nan
    covariance = between * (1 - 2 * mean**2) - mean**2 * (1 - 2 * mean**2 - between**2) / 2
    left = 2 - 2 * covariance / (1 - mean**2) ** 2
    if not left > 1e-12:
        return np.nan, np.nan
    z = (np.arctanh(first) - np.arctanh(second)) * np.sqrt((n - 3) / left)
    return float(z), float(2 * stats.norm.sf(abs(z)))


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


def wins(names: Sequence[str], pairs: Sequence[Difference]) -> Array:
    """Who beats whom: how often the row's proxy came out above the column's, [P, P], NaN on the diagonal."""
    place = {name: number for number, name in enumerate(names)}
    found = np.full((len(names), len(names)), np.nan)
    for pair in pairs:
        found[place[pair.first], place[pair.second]] = pair.share
        found[place[pair.second], place[pair.first]] = 1 - pair.share
    return found


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
