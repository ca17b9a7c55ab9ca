"""What an interval and a test are about, once for all commands.

The target is the correlation that a proxy has on average over draws of weights and batch, and over trainings as noisy as
those of the table, with the accuracies of all candidates of the space. Three things keep an estimate from it:

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

from analysis.stats.influence import Array, centred_ranks, contributions

CONFIDENCE = 0.95
FEWEST = 8  # candidates for an interval or a test
RETRAININGS = 10_000
DRAWN = 20_000_000  # accuracies drawn at most: fewer retrainings of very many candidates, whose deviation is small


class Estimate(NamedTuple):
    """A correlation, or a difference of two, with its 95 % interval, standard error and that one's degrees of freedom."""

    value: float
    low: float
    high: float
    error: float
    freedom: float


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
        return centred_ranks(self.expected + self.noise * self.random.standard_normal((count, n)))

    @property
    def bounded(self) -> bool:
        """Whether there is anything that an interval could be about."""
        return len(self.truth) >= FEWEST and (self.share < 1 or self.noise is not None)

    def ceiling(self) -> float:
        """Spearman's rho that the expected accuracies reach with one training's, on average; NaN where it is unknown."""
        if not len(self.retrained):
            return np.nan
        return float(_correlations(centred_ranks(self.expected), self.retrained).mean())


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
    found = contributions(ranked, sample.truth, given)
    if not len(sample.retrained):
        return Measured(found.value, found.influence, np.empty(0))
    basis = _basis(given, ranked.shape[1])
    retrained, scores = (_without(ranks, basis) for ranks in (sample.retrained, centred_ranks(ranked)))
    means = [_correlations(row, retrained) for row in scores]
    return Measured(found.value, found.influence, np.mean(means, axis=0))


def interval(one: Measured, sample: Sample, held_fixed: int = 0) -> Estimate:
    """A correlation with its interval, on Fisher's scale: inside -1 to 1, and around its estimate.

    In perfect order there is no spread to go by: the bound is that of one swap of neighbours by Bonett and Wright's error
    (Psychometrika 2000). `held_fixed` variables take a degree of freedom each.
    """
    error, freedom = _error(sample, one, [one], held_fixed)
    if np.isnan(error) or np.isnan(one.value):
        return Estimate(one.value, np.nan, np.nan, np.nan, np.nan)
    n = len(sample.truth)
    edge = 1 - 12 / (n**3 - n)
    inside = float(np.clip(one.value, -edge, edge))
    scaled = error / (1 - inside**2)
    if abs(one.value) > edge and sample.share < 1:
        scaled = max(scaled, np.sqrt((1 + inside**2 / 2) / (n - 3)))
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * scaled
    low, high = np.tanh(np.arctanh(inside) - reach), np.tanh(np.arctanh(inside) + reach)
    return Estimate(one.value, min(float(low), one.value), max(float(high), one.value), error, freedom)


def difference(a: Measured, b: Measured, sample: Sample, *, paired: bool = True) -> Estimate:
    """How much a correlation exceeds another over the same candidates; interval and test by one error.

    `paired` where both have the same seeds, so that what a draw does to both falls out.
    """
    if paired:
        one = Measured(a.values - b.values, a.influence - b.influence, a.retrained - b.retrained)
        return symmetric(one.value, *_error(sample, one, [one]))
    mean = a.influence.mean(0)[None] - b.influence.mean(0)[None]
    one = Measured(np.array([a.value - b.value]), mean, a.retrained - b.retrained)
    return symmetric(one.value, *_error(sample, one, [a, b]))


def symmetric(value: float, error: float, freedom: float) -> Estimate:
    """An estimate with the interval that Student's distribution gives it."""
    if np.isnan(value) or np.isnan(error):
        return Estimate(value, np.nan, np.nan, np.nan, np.nan)
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * error
    return Estimate(value, value - reach, value + reach, error, freedom)


def p_value(one: Estimate) -> float:
    """Two-sided p of no difference: below .05 where the interval leaves zero out. NaN where there is no error."""
    if np.isnan(one.error):
        return np.nan
    if one.error < 1e-12:
        return 1.0 if one.value == 0 else 0.0
    return float(2 * stats.t.sf(abs(one.value) / one.error, one.freedom))


def _error(sample: Sample, one: Measured, drawn: Sequence[Measured], held_fixed: int = 0) -> tuple[float, float]:
    """Standard error of the mean over seeds of `one`, and its degrees of freedom by Satterthwaite's formula.

    `drawn` is what has draws of its own: `one` itself, or the two that it is the difference of. NaN where there is none.
    """
    n = len(sample.truth)
    freedom = n - 1 - held_fixed
    if not sample.bounded or freedom < 1:
        return np.nan, np.nan
    scale = (1.0 if sample.noise is None else 1 - sample.share) / (n * freedom)
    mean = one.influence.mean(0)
    parts = [(scale * float(mean @ mean), float(freedom))]
    if len(one.retrained):
        parts.append((sample.share * float(one.retrained.var()), np.inf))
    parts += [_draws(each, scale) for each in drawn if len(each.values) > 1]
    variance = sum(part for part, _ in parts)
    weighed = sum(part**2 / degrees for part, degrees in parts)
    return float(np.sqrt(variance)), variance**2 / weighed if weighed > 0 else np.inf


def _draws(one: Measured, scale: float) -> tuple[float, float]:
    """What S draws add to the variance of their mean beyond what the influences hold of them, and its S - 1 degrees.

    The influences of two seeds have in common what the candidates do; what they do not share is the draws' part.
    """
    seeds = len(one.values)
    products = scale * (one.influence @ one.influence.T)
    own = np.trace(products) / seeds - (products.sum() - np.trace(products)) / (seeds * (seeds - 1))
    return max(float(one.values.var(ddof=1) - own) / seeds, 0.0), seeds - 1.0


def _basis(given: Sequence[Array], n: int) -> Array:
    """Orthonormal columns [n, K'] that span the centred ranks of the variables held fixed; K' = 0 for none."""
    if not given:
        return np.empty((n, 0))
    left, size, _ = np.linalg.svd(centred_ranks(np.stack(given)).T, full_matrices=False)
    return np.asarray(left[:, size > 1e-8 * size.max(initial=1)])


def _without(ranks: Array, basis: Array) -> Array:
    """Centred ranks [..., n] less what the columns of a basis [n, K] explain."""
    return np.asarray(ranks - (ranks @ basis) @ basis.T)


def _correlations(x: Array, many: Array) -> Array:
    """Pearson's r of x [n] with each of many [R, n], all around zero: [R]; NaN where one is constant."""
    spread = np.einsum("rn,rn->r", many, many) * (x @ x)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(spread > 0, many @ x / np.sqrt(spread), np.nan))
