"""Ties: scores that differ by float32 rounding alone are equal where they are ranked. On disk they stay as they are.

Not for what a proxy's rounding really is: analysis/validate.py --rounding measures that.
"""

from __future__ import annotations

import bisect
import math

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


class Levels:
    """The same for scores that come one after another: what is ranked of each changes as its neighbours come.

    `level` has it by key. Equal to `to_be_ranked` over all that was added, at the cost of a few steps each.
    """

    def __init__(self) -> None:
        self.level: dict[str, float] = {}
        self._values: list[float] = []  # different finite scores, ascending,
        self._starts: list[float] = []  # the lowest of each one's run,
        self._keys: dict[float, list[str]] = {}  # and who has it
        self._counts = True  # whether all so far are whole numbers, which are never levelled

    def add(self, key: str, score: float, ok: bool) -> None:
        """Take in a score; one that failed is last."""
        if not ok or score == -math.inf:
            self.level[key] = -math.inf
            return
        if score in self._keys:
            self._keys[score].append(key)
            self.level[key] = self.level[self._keys[score][0]]
            return
        self._keys[score] = [key]
        self.level[key] = score
        if self._counts and not (abs(score) < EXACT and score == round(score)):
            self._counts = False
            self._begin()
        place = bisect.bisect_left(self._values, score)
        self._values.insert(place, score)
        if self._counts:
            return
        before = place and _tied(self._values[place - 1], score)
        self._starts.insert(place, self._starts[place - 1] if before else score)
        self.level[key] = self._starts[place]
        after = place + 1
        if after < len(self._values) and _tied(score, self._values[after]):
            self._set(after, self._starts[place])

    def _begin(self) -> None:
        """From now on scores are levelled: those so far too."""
        self._starts = []
        for place, value in enumerate(self._values):
            joins = place and _tied(self._values[place - 1], value)
            self._starts.append(self._starts[-1] if joins else value)
            self.level.update(dict.fromkeys(self._keys[value], self._starts[-1]))

    def _set(self, place: int, start: float) -> None:
        """Move the run that begins at a place to another start."""
        old = self._starts[place]
        while place < len(self._values) and self._starts[place] == old and old != start:
            self._starts[place] = start
            self.level.update(dict.fromkeys(self._keys[self._values[place]], start))
            place += 1


def _tied(below: float, above: float) -> bool:
    return above - below <= ROUNDING * max(abs(below), abs(above))
