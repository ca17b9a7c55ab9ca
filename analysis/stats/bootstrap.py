"""The bootstrap over candidates: Spearman's rho of many scores with an accuracy in the same resamples.

Candidates are drawn with replacement, those of one cluster together. Ranks in a resample come from one sort of each
score: a candidate drawn w times stands for w tied ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
RESAMPLES = 2000
CONFIDENCE = 0.95
BLOCK = 125_000  # candidates times resamples held at once: a megabyte, which caches hold


def spearman_resamples(
    scores: Array,
    truth: Array,
    clusters: Sequence[object],
    random: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
) -> Array:
    """Spearman's rho with truth [n] of each of V scores [V, n], in B resamples they have in common: [B, V].

    NaN where a correlation is undefined in a resample, and everywhere where there are fewer than two clusters. An equal
    generator gives equal resamples, so that two calls can be compared resample by resample.
    """
    _, cluster = np.unique([str(key) for key in clusters], return_inverse=True)
    number = int(cluster.max(initial=-1)) + 1
    found = np.full((resamples, len(scores)), np.nan)
    if number < 2:
        return found
    orders, truth_order = [_Order(row) for row in scores], _Order(truth)
    step = max(1, BLOCK // len(truth))
    for start in range(0, resamples, step):
        count = min(step, resamples - start)
        draws = random.multinomial(number, np.full(number, 1 / number), size=count)
        weights = draws.T[cluster].astype(float)
        drawn = weights.sum(0)
        untied = _spread(weights, drawn)
        tied = truth_order.gathered(weights)
        spread = _spread(tied, drawn) if truth_order.ties else untied
        weighted = weights * _ranks(tied)[truth_order.group]
        for column, order in enumerate(orders):
            own = order.gathered(weights)
            product = np.einsum("gb,gb->b", _ranks(own), order.gathered(weighted)) - drawn * ((drawn + 1) / 2) ** 2
            both = np.sqrt((_spread(own, drawn) if order.ties else untied) * spread)
            with np.errstate(invalid="ignore", divide="ignore"):
                found[start : start + count, column] = np.where(both > 0, product / both, np.nan)
    return found


def partial_resamples(
    scores: Array, truth: Array, given: Array, clusters: Sequence[object], generator: Callable[[], np.random.Generator]
) -> Array:
    """Spearman of each score with truth, the ranks of a third variable held fixed, in common resamples: [B, V].

    `generator` gives equal generators, so that the three correlations are of the same resamples.
    """
    xy = spearman_resamples(scores, truth, clusters, generator())
    xz = spearman_resamples(scores, given, clusters, generator())
    yz = spearman_resamples(truth[None], given, clusters, generator())
    left = (1 - xz**2) * (1 - yz**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(left > 1e-12, (xy - xz * yz) / np.sqrt(left), np.nan)


def band_resamples(
    scores: Array, truth: Array, bands: NDArray[np.intp], clusters: Sequence[object], random: np.random.Generator
) -> Array:
    """Spearman's rho inside bands of candidates, their mean weighted by size; each band resampled by itself: [B, V].

    A band in which the correlation is undefined in a resample is left out of it; NaN where none is left.
    """
    total = np.zeros((RESAMPLES, len(scores)))
    weight = np.zeros_like(total)
    for band in np.unique(bands):
        inside = np.flatnonzero(bands == band)
        own = [clusters[int(one)] for one in inside]
        found = spearman_resamples(scores[:, inside], truth[inside], own, random)
        defined = ~np.isnan(found)
        total[defined] += len(inside) * found[defined]
        weight[defined] += len(inside)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / weight)


def percentile_interval(found: Array) -> tuple[float, float]:
    """The central 95 % of resampled values [B]; undefined ones are left out, NaN where fewer than half are left."""
    left = found[~np.isnan(found)]
    if len(left) < len(found) / 2 or not len(left):
        return np.nan, np.nan
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(left, [tail, 1 - tail])
    return float(low), float(high)


class _Order:
    """The order of one variable's values, equal ones in groups."""

    def __init__(self, values: Array) -> None:
        self.order = np.argsort(values, kind="stable")
        ordered = values[self.order]
        self.starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self.ties = len(self.starts) < len(values)
        self.group = np.empty(len(values), dtype=np.intp)
        self.group[self.order] = np.repeat(np.arange(len(self.starts)), np.diff(np.r_[self.starts, len(values)]))

    def gathered(self, values: Array) -> Array:
        """Values of the candidates [n, B] summed over each group, lowest group first: [G, B]."""
        ordered = values.take(self.order, axis=0)
        return np.add.reduceat(ordered, self.starts, axis=0) if self.ties else ordered


def _ranks(tied: Array) -> Array:
    """Average rank of each group from how many it holds, [G, B] -> [G, B]."""
    return np.cumsum(tied, axis=0) - (tied - 1) / 2


def _spread(tied: Array, drawn: Array) -> Array:
    """Sum of squared deviations of average ranks: [B]."""
    return np.asarray((drawn**3 - drawn - ((tied * tied - 1) * tied).sum(0)) / 12)
