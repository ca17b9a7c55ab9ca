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

Array = NDArray[np.float64]
TOP = 10  # candidates that top10_mean_truth looks at
RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ranking:
    """One proxy against the truth over n candidates; means over seeds where there are several."""

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
    ranked = np.where(ok, scores, -np.inf)
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


def top_mean_truth(x: Array, truth: Array, k: int) -> float:
    """Mean truth of the k candidates with the highest scores, expected over a random order of ties."""
    if len(x) == 0:
        return np.nan
    k = min(k, len(x))
    edge = np.sort(x)[-k]
    above, level = x > edge, x == edge
    return float((truth[above].sum() + (k - above.sum()) * truth[level].mean()) / k)


def regret(x: Array, truth: Array) -> float:
    """Best truth minus that of the candidate with the highest score, expected over ties."""
    return float(truth.max() - top_mean_truth(x, truth, 1)) if len(x) else np.nan


def bootstrap_interval(
    scores: Array,
    truth: Array,
    clusters: Sequence[object],
    random: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
) -> tuple[float, float]:
    """Percentile interval of the mean over seeds of Spearman's rho; scores [S, n].

    Clusters are drawn with replacement, all their candidates together. Resamples in which a correlation is undefined
    are left out; NaN where fewer than half are left.
    """
    _, cluster = np.unique([str(key) for key in clusters], return_inverse=True)
    number = cluster.max(initial=-1) + 1
    if number < 2:
        return np.nan, np.nan
    found = np.empty(resamples)
    orders = [_Order(row) for row in scores]
    truth_order = _Order(truth)
    step = max(1, 4_000_000 // len(truth))  # resamples held in memory at once
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        draws = random.multinomial(number, np.full(number, 1 / number), size=count)
        weights = draws[:, cluster].astype(float)
        y = truth_order.ranks(weights)
        found[start : start + count] = np.mean(
            [_weighted_pearson(o.ranks(weights), y, weights) for o in orders], axis=0
        )
    found = found[~np.isnan(found)]
    if len(found) < resamples / 2:
        return np.nan, np.nan
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return float(low), float(high)


class _Order:
    """Average ranks of one variable in any resample, from a single sort."""

    def __init__(self, values: Array) -> None:
        self.order = np.argsort(values, kind="stable")
        ordered = values[self.order]
        self.starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self.sizes = np.diff(np.r_[self.starts, len(values)])
        self.back = np.argsort(self.order)

    def ranks(self, weights: Array) -> Array:
        """weights [B, n], how often each candidate was drawn -> its average rank in each resample [B, n]."""
        tied = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        middle = np.cumsum(tied, axis=1) - (tied - 1) / 2
        return np.repeat(middle, self.sizes, axis=1)[:, self.back]


def _weighted_pearson(x: Array, y: Array, weights: Array) -> Array:
    """Pearson's correlation in each resample: [B, n] three times -> [B]."""
    total = weights.sum(1, keepdims=True)
    x = x - (weights * x).sum(1, keepdims=True) / total
    y = y - (weights * y).sum(1, keepdims=True) / total
    spread = np.sqrt((weights * x * x).sum(1) * (weights * y * y).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 0, (weights * x * y).sum(1) / spread, np.nan)


def _pearson(x: Array, y: Array) -> float:
    x, y = x - x.mean(), y - y.mean()
    spread = np.sqrt((x @ x) * (y @ y))
    return float(np.clip(x @ y / spread, -1, 1)) if spread > 0 else np.nan


def _mean(values: object) -> float:
    """Mean over seeds; NaN where it is undefined for one of them."""
    return float(np.mean(list(values)))  # type: ignore[call-overload]
