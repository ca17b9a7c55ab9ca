"""What an interval and a test are about, once for all commands.

The target is the correlation that a proxy has, on average over draws of weights and batch and over trainings as noisy
as those of the table, with the accuracies of all candidates of the space. Three things keep an estimate from it:

candidates   n of N were scored. The variance is that of the influences over n; where the noise of a training is known,
             it counts for the share 1 - n/N that was not scored, and nothing is left of it where all were.
training     an accuracy is one training (or a mean of few). What a candidate adds by it is among the influences
             already; for the share that was scored it is simulated: accuracies are drawn towards their mean until the
             noise put back gives their variance, and put back anew RETRAININGS times.
draws        S seeds. What their correlations differ by, over S, beyond what the influences hold of it.

With one seed another draw is not in it; where the whole space was scored and the noise of a training is unknown, there
is no interval. Both are said under every table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import stats

from analysis.stats.influence import Array, Ranked, centred_ranks, contributions, untied_ranks

CONFIDENCE = 0.95
ANGLES = 2_001  # at which an ellipse is looked at
FEWEST = 8  # candidates for an interval or a test
RETRAININGS = 10_000
DRAWN = 10_000_000  # accuracies drawn at most: fewer retrainings of very many candidates, whose deviation is small


class Estimate(NamedTuple):
    """A correlation, or a difference of two, with its 95 % interval, and of a difference the p that goes with it."""

    value: float
    low: float
    high: float
    p: float = np.nan


@dataclass(frozen=True)
class Sample:
    """n candidates as a sample of a space: truth [n], and the share of the space that they are.

    `noise` is the deviation in points of one accuracy over trainings, where it is known; `random` draws them.
    """

    truth: Array
    share: float = 0.0
    noise: float | None = None
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    retrainings: int = RETRAININGS

    @cached_property
    def ranked(self) -> Ranked:
        """The accuracies by rank, for all that is held against them."""
        return Ranked(self.truth)

    @cached_property
    def expected(self) -> Array:
        """The accuracies drawn towards their mean, so that noise put back gives the variance that they have: [n]."""
        mean = self.truth.mean()
        kept = 1 - self.noise**2 / self.truth.var(ddof=1) if self.noise and np.ptp(self.truth) > 0 else 1.0
        return np.asarray(mean + np.sqrt(max(kept, 0.0)) * (self.truth - mean))

    @cached_property
    def retrained(self) -> Array:
        """Centred ranks of the accuracies of R other trainings, [R, n]; none where the noise is unknown."""
        n = len(self.truth)
        if not self.noise or n < FEWEST:
            return np.empty((0, n))
        count = min(self.retrainings, max(DRAWN // n, 100))
        return untied_ranks(self.expected + self.noise * self.random.standard_normal((count, n)))

    @property
    def bounded(self) -> bool:
        """Whether there is anything that an interval could be about."""
        return len(self.truth) >= FEWEST and (self.share < 1 or self.noise is not None)

    def ceiling(self) -> float:
        """Spearman's rho of the expected accuracies with one training's, on average; NaN where noise is unknown."""
        if not len(self.retrained):
            return np.nan
        ranks = centred_ranks(self.expected)
        return float(_correlations(ranks, self.retrained, _basis((), len(ranks))).mean())


@dataclass(frozen=True)
class Measured:
    """The correlation of one proxy: of S seeds [S], with influences [S, n], and their mean over other trainings [R]."""

    values: Array
    influence: Array
    retrained: Array

    @property
    def value(self) -> float:
        """The mean over seeds; NaN where one is undefined."""
        return float(self.values.mean())


def measured(ranked: Array, sample: Sample, given: Sequence[Array] = ()) -> Measured:
    """Correlation of scores [S, n], failed ones -inf, with the truth; the ranks of the variables `given` held fixed."""
    found = contributions(ranked, sample.ranked, given)
    return Measured(found.value, found.influence, over_trainings(ranked, sample, given))


def over_trainings(ranked: Array, sample: Sample, given: Sequence[Array] = ()) -> Array:
    """The mean over seeds of the correlation with each of R other trainings: [R], none where the noise is unknown."""
    if not len(sample.retrained):
        return np.empty(0)
    basis = _basis(given, ranked.shape[1])
    ranks = centred_ranks(ranked)
    left = ranks - (ranks @ basis) @ basis.T
    return np.asarray(np.mean([_correlations(row, sample.retrained, basis) for row in left], axis=0))


def about(sample: Sample, seeds: int, noise_from: str = "") -> str:
    """What the intervals of a table with so many seeds are about, or why there are none."""
    if len(sample.truth) < FEWEST:
        return f"none, of fewer than {FEWEST} candidates"
    if not sample.bounded:
        return "none: the whole space was scored, and by how much another training of it differs is not known"
    text = "95 %, for the choice of candidates and their training"
    if sample.share == 1:
        text = (
            f"95 %, for other trainings of these candidates, which differ by {sample.noise:.2f} points ({noise_from})"
        )
    return f"{text}, and {seeds} draws" if seeds > 1 else f"{text}; another draw of weights and batch is not in it"


def interval(one: Measured, sample: Sample, fixed: int = 0) -> Estimate:
    """A correlation with its interval, so many variables held fixed: inside -1 to 1, and around its estimate.

    It is symmetric on Fisher's scale, with Student's t of the error's degrees of freedom.
    """
    error = _error(sample, one, [one], fixed)
    bounds = _Bounds.of(one.value, error, sample)
    low, high = bounds.at(_quantile(error.freedom))
    return Estimate(one.value, min(low, one.value), max(high, one.value))


def difference(a: Measured, b: Measured, sample: Sample, *, paired: bool = True) -> Estimate:
    """How much a correlation exceeds another over the same candidates, with interval and test.

    Both come from the errors of the two and what these have in common, so they agree. `paired` where both have the same
    seeds, so that what a draw does to both falls out.
    """
    if paired:
        shift = Measured(a.values - b.values, a.influence - b.influence, a.retrained - b.retrained)
    else:
        mean = a.influence.mean(0)[None] - b.influence.mean(0)[None]
        shift = Measured(np.array([a.value - b.value]), mean, a.retrained - b.retrained)
    errors = [_error(sample, one, [one]) for one in (a, b)]
    together = _error(sample, shift, [shift] if paired else [a, b])
    both = 2 * np.sqrt(errors[0].variance * errors[1].variance)
    shared = (errors[0].variance + errors[1].variance - together.variance) / both if both > 0 else 0.0
    first, second = (_Bounds.of(one.value, error, sample) for one, error in zip((a, b), errors, strict=True))
    return _difference(first, second, float(np.clip(shared, -1, 1)), together.freedom)


def apart(a: Measured, b: Measured, sample_a: Sample, sample_b: Sample) -> Estimate:
    """How much a correlation exceeds another of other candidates, with interval and test as of difference()."""
    errors = _error(sample_a, a, [a]), _error(sample_b, b, [b])
    first, second = _Bounds.of(a.value, errors[0], sample_a), _Bounds.of(b.value, errors[1], sample_b)
    variance = errors[0].variance + errors[1].variance
    weighed = sum(error.variance**2 / error.freedom for error in errors)
    return _difference(first, second, 0.0, variance**2 / weighed if weighed > 0 else np.inf)


class _Error(NamedTuple):
    """Variance of an estimate, and the degrees of freedom that it is known with."""

    variance: float
    freedom: float


class _Bounds(NamedTuple):
    """A correlation, its error on Fisher's scale, and how far it was taken in from 1."""

    value: float
    scaled: float
    beyond: float = 0.0

    @classmethod
    def of(cls, value: float, error: _Error, sample: Sample) -> _Bounds:
        """In perfect order nothing varies: the error is Bonett and Wright's (Psychometrika 2000) one swap below."""
        if np.isnan(error.variance):
            return cls(value, np.nan)
        edge = _edge(len(sample.truth))
        if not abs(value) <= edge:
            unseen = np.sqrt((1 + edge**2 / 2) / (len(sample.truth) - 3)) if sample.share < 1 else 0.0
            inside = float(np.clip(value, -edge, edge))
            return cls(inside, max(unseen, np.sqrt(error.variance)), value - inside)
        return cls(value, np.sqrt(error.variance) / (1 - value**2))

    def at(self, reach: float) -> tuple[float, float]:
        """Lower and upper bound at so many errors."""
        if np.isnan(reach * self.scaled):
            return np.nan, np.nan
        middle = np.arctanh(self.value)
        return float(np.tanh(middle - reach * self.scaled)), float(np.tanh(middle + reach * self.scaled))


def _edge(n: int) -> float:
    """The highest correlation below 1 that n candidates can have: two neighbours swapped."""
    return 1 - 12 / (n**3 - n)


def _quantile(freedom: float) -> float:
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


def _difference(a: _Bounds, b: _Bounds, shared: float, freedom: float) -> Estimate:
    """The difference of two correlations whose errors correlate by `shared`.

    On Fisher's scale both are about normal: p is that of their difference there, and the interval holds the differences
    of all pairs of correlations inside their ellipse, which touches a difference of zero where p is .05.
    """
    reach, shown = _quantile(freedom), a.value + a.beyond - b.value - b.beyond
    if np.isnan(reach * a.scaled * b.scaled * shown):
        return Estimate(shown, np.nan, np.nan)
    apart = np.arctanh(a.value) - np.arctanh(b.value)
    error = np.sqrt(max(a.scaled**2 + b.scaled**2 - 2 * shared * a.scaled * b.scaled, 0.0))
    angle = np.linspace(0, 2 * np.pi, ANGLES)
    first = np.arctanh(a.value) + reach * a.scaled * np.cos(angle)
    second = np.arctanh(b.value) + reach * b.scaled * (shared * np.cos(angle) + np.sqrt(1 - shared**2) * np.sin(angle))
    around = np.tanh(first) - np.tanh(second)
    p = float(2 * stats.t.sf(abs(apart) / error, freedom)) if error > 1e-12 else float(shown == 0)
    return Estimate(shown, min(float(around.min()), shown), max(float(around.max()), shown), p)


def _error(sample: Sample, one: Measured, drawn: Sequence[Measured], fixed: int = 0) -> _Error:
    """The error of the mean over seeds of `one`, with its degrees of freedom by Satterthwaite's formula.

    `drawn` is what has draws of its own: `one` itself, or the two that it is the difference of. NaN without any.
    """
    n = len(sample.truth)
    freedom = n - 1 - fixed
    if not sample.bounded or freedom < 1 or np.isnan(one.value):
        return _Error(np.nan, np.nan)
    scale = (1.0 if sample.noise is None else 1 - sample.share) / (n * freedom)
    mean = one.influence.mean(0)
    candidates = scale * float(mean @ mean)
    training = sample.share * float(one.retrained.var()) if len(one.retrained) else 0.0
    variance, weighed = candidates + training, candidates**2 / freedom
    for each in drawn:
        seeds = len(each.values)
        if seeds > 1:
            between = float(each.values.var(ddof=1))
            variance += max(between - _own(each.influence) * scale, 0.0) / seeds
            weighed += (between / seeds) ** 2 / (seeds - 1)
    return _Error(variance, variance**2 / weighed if weighed > 0 else np.inf)


def _own(influence: Array) -> float:
    """What the influences [S, n] of a seed hold of its draw alone: their squares beyond their products with others'."""
    products = influence @ influence.T
    seeds, squares = len(products), np.trace(products)
    return float(squares / seeds - (products.sum() - squares) / (seeds * (seeds - 1)))


def _basis(given: Sequence[Array], n: int) -> Array:
    """Orthonormal columns [n, K'] that span the centred ranks of the variables held fixed; K' = 0 for none."""
    if not given:
        return np.empty((n, 0))
    left, size, _ = np.linalg.svd(centred_ranks(np.stack(given)).T, full_matrices=False)
    return np.asarray(left[:, size > 1e-8 * size.max(initial=1)])


def _correlations(x: Array, many: Array, basis: Array) -> Array:
    """Pearson's r of x [n] with what a basis [n, K] leaves of each of many untied centred ranks [R, n]: [R].

    x is around zero and holds nothing of the basis, so its product with the whole is that with what is left, whose
    square is the whole's less the basis' part. NaN where one is constant.
    """
    n = many.shape[1]
    spread = (x @ x) * (n * (n * n - 1) / 12 - ((many @ basis) ** 2).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(spread > 0, many @ x / np.sqrt(spread), np.nan))
