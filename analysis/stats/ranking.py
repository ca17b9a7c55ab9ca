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
from analysis.stats.inference import Sample, interval, measured
from analysis.stats.influence import Array, centred_ranks, contributions, left_of

TOP = 10  # candidates that top_10_truth looks at
FEWEST_IN_TENTH = 20  # for a correlation inside it: among fewer, training alone decides


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
    top_tenth_spearman: float
    top_10_truth: float
    regret: float
    given: float
    given_low: float
    given_high: float
    seeds: int
    spearman_sd: float


def rank(scores: Array, sample: Sample, given: Sequence[Array], *, ok: NDArray[np.bool_]) -> Ranking:
    """Rank n candidates by the scores of S seeds.

    scores [S, n], ok [S, n]: scores that failed, +inf and -inf among them, rank last, tied. `given` are the variables
    [n] held fixed in the partial correlation. What the intervals are about: analysis/stats/inference.py. Raises
    ValueError where lengths differ.
    """
    scores, truth = np.atleast_2d(scores), sample.truth
    if {scores.shape[1], *map(len, given)} != {len(truth)} or scores.shape != ok.shape:
        sizes = ", ".join(str(len(one)) for one in given)
        raise ValueError(f"lengths differ: scores {scores.shape}, ok {ok.shape}, truth {truth.shape}, given {sizes}")
    if not ok.any():  # nothing was predicted, and a proxy without scores has no favourite either
        return undefined(len(truth), len(scores))
    ranked = to_be_ranked(scores, ok)
    whole = measured(ranked, sample)
    left = measured(ranked, sample, given) if given else whole
    (rho, low, high, _), (partial, partial_low, partial_high, _) = (
        interval(whole, sample),
        interval(left, sample, len(given)),
    )
    return Ranking(
        n=len(truth),
        failed=int((~ok).sum()),
        spearman=rho,
        spearman_low=low,
        spearman_high=high,
        kendall=_mean(kendall(row, truth) for row in ranked),
        top_tenth_spearman=_mean(top_tenth_spearman(row, truth) for row in ranked),
        top_10_truth=_mean(top_mean_truth(row, truth, TOP) for row in ranked),
        regret=_mean(regret(row, truth) for row in ranked),
        given=partial,
        given_low=partial_low,
        given_high=partial_high,
        seeds=len(scores),
        spearman_sd=float(whole.values.std(ddof=1)) if len(scores) > 1 else np.nan,
    )


def undefined(n: int, seeds: int) -> Ranking:
    """The ranking of a proxy that failed for all n candidates under all seeds."""
    nan = np.nan
    return Ranking(n, n * seeds, nan, nan, nan, nan, nan, nan, nan, nan, nan, nan, seeds, nan)


def spearman(x: Array, y: Array) -> float:
    """Spearman's rho with average ranks for ties; NaN where either is constant or n < 2."""
    return _pearson(stats.rankdata(x), stats.rankdata(y)) if len(x) > 1 else np.nan


def kendall(x: Array, y: Array) -> float:
    """Kendall's tau-b; NaN where either is constant or n < 2."""
    if len(x) < 2:
        return np.nan
    return float(stats.kendalltau(x, y, variant="b").statistic)


def kendall_within(x: Array, y: Array, groups: Sequence[str]) -> tuple[float, int]:
    """Kendall's tau-b over the pairs of one group alone, and the number of pairs; NaN where all tie in x, or in y."""
    first, second = np.triu_indices(len(x), 1)
    _, group = np.unique(np.array(groups), return_inverse=True)
    inside = group[first] == group[second]
    signs = [np.sign(values[first] - values[second])[inside] for values in (stats.rankdata(x), y)]
    spread = np.sqrt(np.abs(signs[0]).sum() * np.abs(signs[1]).sum())
    return (float(signs[0] @ signs[1] / spread) if spread > 0 else np.nan), int(inside.sum())


def partial_spearman(x: Array, y: Array, *given: Array) -> float:
    """Spearman of x and y with the ranks of other variables held fixed; NaN where they determine x or y."""
    return float(contributions(x, y, given).value) if len(x) > 1 else np.nan


def explained(x: Array, *given: Array) -> float:
    """How far the ranks of x follow those of others: the multiple correlation, 0 to 1; NaN where x is constant."""
    ranks = centred_ranks(np.stack([x, x, *given]))
    left = (left_of(ranks) @ ranks)[0]
    spread = ranks[0] @ ranks[0]
    return float(np.sqrt(max(1 - left @ left / spread, 0.0))) if spread > 0 else np.nan


def tenth(truth: Array) -> NDArray[np.bool_]:
    """Which candidates are among the best n // 10 by truth, those that tie with the last of them too; at least one."""
    return np.asarray(truth >= np.sort(truth)[-max(1, len(truth) // 10)])


def top_tenth_spearman(x: Array, truth: Array) -> float:
    """Spearman among the best tenth of the candidates by truth; NaN where fewer than 20 make a tenth."""
    if len(truth) // 10 < FEWEST_IN_TENTH:
        return np.nan
    best = tenth(truth)
    return spearman(x[best], truth[best])


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


def _pearson(x: Array, y: Array) -> float:
    """Pearson's r of ranks. Around their mean these are multiples of a half: sums are exact, and r stays within 1."""
    x, y = x - x.mean(), y - y.mean()
    spread = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / spread) if spread > 0 else np.nan


def _mean(values: object) -> float:
    """Mean over seeds; NaN where it is undefined for one of them."""
    return float(np.mean(list(values)))  # type: ignore[call-overload]
