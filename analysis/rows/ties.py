"""Ties: scores that differ by float32 rounding alone are equal where they are ranked. On disk they stay as they are.

Not for what a proxy's rounding really is: analysis/validate.py --rounding measures that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDING = 2.0**-23  # relative: from one float32 number to the next
EXACT = 2.0**53  # below it float64 holds every whole number, and beyond nothing else

Array = NDArray[np.float64]


def to_be_ranked(scores: Array, ok: NDArray[np.bool_]) -> Array:
    """What is ranked of scores [..., n] of n candidates: ties made equal, those that failed (not ok) last, as -inf."""
    return np.apply_along_axis(_levelled, -1, np.where(ok, scores, -np.inf)) if scores.size else scores


def all_tied(scores: Array, ok: NDArray[np.bool_]) -> bool:
    """Whether n > 1 scores [n] tell no two candidates apart."""
    return len(scores) > 1 and bool(ok.all()) and len(np.unique(to_be_ranked(scores, ok))) == 1


def _levelled(scores: Array) -> Array:
    """Scores [n], each run of neighbours no further apart than rounding set to its lowest; counts stay as they are."""
    values, place = np.unique(scores, return_inverse=True)
    finite = values[np.isfinite(values)]
    if (np.abs(finite) < EXACT).all() and np.array_equal(finite, np.round(finite)):
        return scores
    below, above = values[:-1], values[1:]
    with np.errstate(invalid="ignore"):  # of -inf
        apart = ~(above - below <= ROUNDING * np.maximum(np.abs(below), np.abs(above)))
    apart |= ~np.isfinite(below) | ~np.isfinite(above)
    starts = np.concatenate([[True], apart])
    levels: Array = values[starts][np.cumsum(starts) - 1][place]
    return levels
