"""Rank correlations, plain or with other variables held fixed, and what every candidate contributes to them.

The influence of a candidate is the derivative of the correlation by that candidate's weight (Hampel 1974; of Spearman's
rho: Croux & Dehon, Statistical Methods & Applications 2010). Its mean over candidates is zero, and its deviation over
the root of n the standard error that a bootstrap over candidates tends to with more and more resamples, without any.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NOTHING_LEFT = 1e-8  # of the variance of n untied ranks: less, and the others determine the variable, or it is constant


class Contributions(NamedTuple):
    """Rank correlations [...], and the influence [..., n] of each candidate on them; NaN where undefined."""

    value: Array
    influence: Array


class Ranked:
    """Variables [..., n] as average ranks around zero, whose products add up exactly, with the order they came from."""

    def __init__(self, values: Array) -> None:
        n = values.shape[-1]
        self.order = np.argsort(values, axis=-1, kind="stable")
        ordered = np.take_along_axis(values, self.order, -1)
        new = np.ones(values.shape, dtype=bool)
        new[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
        ends = np.ones_like(new)
        ends[..., :-1] = new[..., 1:]
        place = np.arange(n)
        self.first = np.maximum.accumulate(np.where(new, place, 0), axis=-1)
        self.last = np.minimum.accumulate(np.where(ends, place, n)[..., ::-1], axis=-1)[..., ::-1]
        self.ranks = self._back((self.first + self.last - (n - 1)) / 2)

    def shift(self, left: Array) -> Array:
        """What one more candidate of each value does to the sum of these ranks times `left` [..., n]: [..., n].

        It lifts the ranks of all candidates above it by one place, those of its equals by a half.
        """
        shape = np.broadcast_shapes(left.shape, self.order.shape)
        order, first, last = (np.broadcast_to(one, shape) for one in (self.order, self.first, self.last))
        ordered = np.take_along_axis(np.broadcast_to(left, shape), order, -1)
        below = np.cumsum(ordered, axis=-1)
        upto, before = np.take_along_axis(below, last, -1), np.take_along_axis(below - ordered, first, -1)
        moved = below[..., -1:] - (upto + before) / 2
        return self._back(moved - moved.mean(-1, keepdims=True))

    def _back(self, ordered: Array) -> Array:
        """From ascending order to that of the candidates."""
        found = np.empty(ordered.shape)
        np.put_along_axis(found, np.broadcast_to(self.order, ordered.shape), ordered, -1)
        return found


def centred_ranks(values: Array) -> Array:
    """Average ranks, their mean taken off, along the last axis: [..., n] -> [..., n]."""
    return Ranked(values).ranks


def untied_ranks(values: Array) -> Array:
    """The same, faster, of values that are drawn from a continuous distribution."""
    count, order = values.shape[-1], np.argsort(values, axis=-1)
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, np.arange(count) - (count - 1) / 2, -1)
    return ranks


def contributions(x: Array, y: Array | Ranked, given: Sequence[Array] = ()) -> Contributions:
    """Spearman's rho of x and y, the ranks of other variables held fixed, and the influences on it; all are [..., n].

    rho is the Pearson correlation of what is left of the ranks after a regression on the others' ranks (for one other
    the usual formula of three rhos). NaN where x or y is constant, or determined by the others. Ranks come from the
    candidates themselves, so a candidate counts twice: by its own ranks, and by the places that it moves the others up.
    A y that many x are held against can be ranked once before.
    """
    variables = [one if isinstance(one, Ranked) else Ranked(one) for one in (x, y, *given)]
    ranks = np.stack(np.broadcast_arrays(*(one.ranks for one in variables)), axis=-2)
    slopes = left_of(ranks)
    left = slopes @ ranks
    products, n = left @ np.swapaxes(left, -1, -2), ranks.shape[-1]
    xx, xy, yy = products[..., 0, 0], products[..., 0, 1], products[..., 1, 1]
    defined = np.minimum(xx, yy) > NOTHING_LEFT * n**3 / 12

    moved = [[one.shift(left[..., b, :]) for b in (0, 1)] for one in variables]

    def influence(a: int, b: int) -> Array:
        found = left[..., a, :] * left[..., b, :] - products[..., a, b, None] / n
        for k, by in enumerate(moved):
            if k >= 2 or k == a:
                found = found + slopes[..., a, k, None] * by[b]
            if k >= 2 or k == b:
                found = found + slopes[..., b, k, None] * by[a]
        return np.asarray(found)

    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.sqrt(xx * yy)
        rho = np.where(defined, np.clip(xy / scale, -1, 1), np.nan)
        spread = influence(0, 0) / xx[..., None] + influence(1, 1) / yy[..., None]
        found = influence(0, 1) / scale[..., None] - rho[..., None] / 2 * spread
    return Contributions(rho, np.where(defined[..., None], n * found, np.nan))


def left_of(ranks: Array) -> Array:
    """What a regression leaves of the first two variables, as combinations of all: [..., 2 + K, n] -> [..., 2, 2 + K].

    Variables held fixed that say the same (parameters and multiply-accumulates of some spaces) count once.
    """
    others = ranks[..., 2:, :]
    across = np.swapaxes(others, -1, -2)
    slopes = ranks[..., :2, :] @ across @ np.linalg.pinv(others @ across, rcond=1e-9, hermitian=True)
    own = np.broadcast_to(np.eye(2), (*ranks.shape[:-2], 2, 2))
    return np.concatenate([own, -slopes], axis=-1)
