"""How well scores rank candidates: correlations with measured accuracies, their intervals, and views of the top.

Everything takes arrays; nothing here knows what a network is. Higher scores are to predict higher accuracies; no
sign is ever removed. What is undefined is NaN, which tables print as n/a.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.rows.ties import to_be_ranked
from analysis.stats.bootstrap import RESAMPLES, Array, percentile_interval, spearman_resamples

TOP = 10  # candidates that top10_mean_truth looks at


@dataclass(frozen=True)
class Ranking:
    """One proxy against the truth over n candidates; means over seeds where there are several.

    `failed` counts scores, so with several seeds a candidate can count as often as there are seeds.
    """

    n: int
    failed: int
    spearman: float
    spearman_low: float
    spearman_high: float
    kendall: float
    top10_spearman: float
    top10_mean_truth: float
    regret: float
    partial_spearman: float
    seeds: int
    spearman_sd: float


def rank(
    scores: Array,
    truth: Array,
    size: Array,
    clusters: Sequence[object],
    *,
    ok: NDArray[np.bool_],
    whole_space: bool = False,
    random: np.random.Generator,
) -> Ranking:
    """Rank n candidates by the scores of S seeds.

    scores [S, n], truth [n], size [n] (parameters, held fixed in the partial correlation), clusters [n] (candidates
    with an equal key are resampled together), ok [S, n]: scores that failed rank last, tied. The interval is for the
    mean over seeds of Spearman's rho: a percentile bootstrap over clusters; none where the whole space was scored.
    Raises ValueError where lengths differ.
    """
    scores, truth, size = np.atleast_2d(scores), np.asarray(truth), np.asarray(size)
    if not scores.shape[1] == len(truth) == len(size) == len(clusters) or scores.shape != ok.shape:
        raise ValueError(
            f"lengths differ: scores {scores.shape}, ok {ok.shape}, truth {truth.shape}, size {size.shape}"
        )
    if not ok.any():  # nothing was predicted, and a proxy without scores has no favourite either
        return undefined(len(truth), len(scores))
    ranked = to_be_ranked(scores, ok)
    rhos = np.array([spearman(row, truth) for row in ranked])
    low = high = np.nan
    if not whole_space:
        low, high = bootstrap_interval(ranked, truth, clusters, random)
    return Ranking(
        n=len(truth),
        failed=int((~ok).sum()),
        spearman=float(rhos.mean()),
        spearman_low=low,
        spearman_high=high,
        kendall=_mean(kendall(row, truth) for row in ranked),
        top10_spearman=_mean(top_tenth_spearman(row, truth) for row in ranked),
        top10_mean_truth=_mean(top_mean_truth(row, truth, TOP) for row in ranked),
        regret=_mean(regret(row, truth) for row in ranked),
        partial_spearman=_mean(partial_spearman(row, truth, size) for row in ranked),
        seeds=len(scores),
        spearman_sd=float(rhos.std(ddof=1)) if len(rhos) > 1 else np.nan,
    )


def undefined(n: int, seeds: int) -> Ranking:
    """The ranking of a proxy that failed for all n candidates under all seeds."""
    nan = np.nan
    return Ranking(n, n * seeds, nan, nan, nan, nan, nan, nan, nan, nan, seeds, nan)


def spearman(x: Array, y: Array) -> float:
    """Spearman's rho with average ranks for ties; NaN where either is constant or n < 2."""
    return _pearson(stats.rankdata(x), stats.rankdata(y)) if len(x) > 1 else np.nan


def kendall(x: Array, y: Array) -> float:
    """Kendall's tau-b; NaN where either is constant or n < 2."""
    if len(x) < 2:
        return np.nan
    return float(stats.kendalltau(stats.rankdata(x), y, variant="b").statistic)


def partial_spearman(x: Array, y: Array, given: Array) -> float:
    """Spearman of x and y with the ranks of a third variable held fixed; NaN where that one determines x or y."""
    xy, xz, yz = spearman(x, y), spearman(x, given), spearman(y, given)
    left = (1 - xz**2) * (1 - yz**2)
    return float((xy - xz * yz) / np.sqrt(left)) if left > 1e-12 else np.nan


def top_tenth_spearman(x: Array, truth: Array) -> float:
    """Spearman among the best tenth of the candidates by truth (at least 2; ties with the last of them come along)."""
    if len(truth) < 2:
        return np.nan
    best = truth >= np.sort(truth)[-max(2, round(len(truth) / 10))]
    return spearman(x[best], truth[best])


def band_spearman(x: Array, truth: Array, size: Array, bands: int = 4) -> float:
    """Spearman among candidates of about equal size: the mean over bands of size, weighted by their candidates.

    Bands hold about equally many; candidates of equal size share one. A band in which the correlation is undefined is
    left out; NaN where none is left.
    """
    band = size_bands(size, bands)
    members = [band == number for number in np.unique(band)]
    found = np.array([spearman(x[inside], truth[inside]) for inside in members])
    weights = np.array([inside.sum() for inside in members])
    defined = ~np.isnan(found)
    return float(np.average(found[defined], weights=weights[defined])) if defined.any() else np.nan


def size_bands(size: Array, bands: int) -> NDArray[np.intp]:
    """The band, from 0, of each size: bands hold about equally many, and equal sizes share one. [n] -> [n]."""
    return np.asarray(bands * (stats.rankdata(size, "min").astype(np.intp) - 1) // max(len(size), 1))


def top_mean_truth(x: Array, truth: Array, k: int) -> float:
    """Mean truth of the k candidates with the highest scores, expected over a random order of ties."""
    if len(x) == 0:
        return np.nan
    above, level, left = _top(x, k)
    return float((truth[above].sum() + left * truth[level].mean()) / (above.sum() + left))


def regret(x: Array, truth: Array, k: int = 1) -> float:
    """Best truth minus the best among the k candidates with the highest scores, expected over ties."""
    if len(x) == 0:
        return np.nan
    above, level, left = _top(x, k)
    floor = truth[above].max(initial=-np.inf)
    tied = np.maximum(np.sort(truth[level]), floor)
    below = np.arange(len(tied) + 1)
    all_below = np.prod([(below - drawn) / (len(tied) - drawn) for drawn in range(left)], axis=0)
    return float(truth.max() - np.diff(all_below) @ tied)


def precision(x: Array, truth: Array, k: int) -> float:
    """Share of the k candidates with the highest scores that are among the k best by truth, expected over ties.

    Candidates whose truth equals that of the k-th best count as among them.
    """
    if len(x) == 0:
        return np.nan
    best = truth >= np.sort(truth)[-min(k, len(truth))]
    return top_mean_truth(x, best.astype(float), k)


def ndcg(x: Array, truth: Array, k: int) -> float:
    """Normalised discounted cumulative gain of the first k (Järvelin & Kekäläinen 2002), expected over ties.

    The gain is linear: truth from 0, the cohort's worst, to 1, its best; place i counts 1 / log2(i + 1). NaN where all
    truths are equal.
    """
    if len(x) == 0 or np.ptp(truth) == 0:
        return np.nan
    gain = (truth - truth.min()) / np.ptp(truth)
    discount = np.where(np.arange(len(x)) < k, 1 / np.log2(np.arange(len(x)) + 2), 0.0)
    _, group, counts = np.unique(-x, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    shared = np.add.reduceat(discount, ends - counts) / counts
    return float(gain @ shared[group] / (np.sort(gain)[::-1] @ discount))


def _top(x: Array, k: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], int]:
    """Who is surely among the k highest, who is tied for the places left, and how many places those are."""
    k = min(k, len(x))
    edge = np.sort(x)[-k]
    above = x > edge
    return above, x == edge, k - int(above.sum())


def bootstrap_interval(
    scores: Array,
    truth: Array,
    clusters: Sequence[object],
    random: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Percentile interval of the mean over seeds of Spearman's rho, by a bootstrap over clusters; scores [S, n]."""
    return percentile_interval(spearman_resamples(scores, truth, clusters, random, resamples=resamples).mean(axis=1))


def _pearson(x: Array, y: Array) -> float:
    """Pearson's r of ranks. Around their mean these are multiples of a half: sums are exact, and r stays within 1."""
    x, y = x - x.mean(), y - y.mean()
    spread = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / spread) if spread > 0 else np.nan


def _mean(values: object) -> float:
    """Mean over seeds; NaN where it is undefined for one of them."""
    return float(np.mean(list(values)))  # type: ignore[call-overload]
