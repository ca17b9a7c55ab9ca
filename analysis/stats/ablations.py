"""What becomes of the scores of one ablation's setting: rows with n, seeds, correlations and their intervals.

Arrays in, rows out; analysis/ablate.py scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.stats.comparison import mean_ranks
from analysis.stats.inference import Sample, interval, measured
from analysis.stats.influence import Array
from analysis.stats.ranking import kendall

WITH_SIZE = ("kendall", "given_size", "given_size_low", "given_size_high")  # of a row whose correlation has size in it
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Scores:
    """Scores [P, S, n] of one setting, failed ones -inf, and what they are held against; sizes by name, [n] each."""

    names: list[str]
    ranked: Array
    failed: list[int]
    sample: Sample
    sizes: dict[str, Array]


def correlated(label: str, scores: Scores) -> Rows:
    """A row per proxy: correlation, and what is left of it without size."""
    rows, sizes = [], list(scores.sizes.values())
    for name, ranked, failed in zip(scores.names, scores.ranked, scores.failed, strict=True):
        row = {"setting": label, "proxy": name, "n": ranked.shape[1], "failed": failed, "seeds": len(ranked)}
        row |= _numbers(ranked, scores.sample, [])
        row["kendall"] = np.mean([kendall(one, scores.sample.truth) for one in ranked])
        left = _numbers(ranked, scores.sample, sizes)
        rows.append(
            {**row, "given_size": left["spearman"], "given_size_low": left["low"], "given_size_high": left["high"]}
        )
    return rows


def averaged(label: str, scores: Scores, *, counts: Sequence[int]) -> Rows:
    """Rows for ranks averaged over groups of so many seeds; the seeds of such a row are its groups."""
    rows = []
    for count in counts:
        groups = np.split(scores.ranked, scores.ranked.shape[1] // count, axis=1)
        means = np.stack([mean_ranks(group) for group in groups], axis=1)
        rows += correlated(f"{label}, mean of {count}", replace(scores, ranked=means))
    return rows


def without_size(scores: Scores) -> Rows:
    """For each proxy, what there is, and what is left given each measure of size, and given all of them."""
    held = {f"given {name}": [values] for name, values in scores.sizes.items()}
    held["given size"] = list(scores.sizes.values())
    rows = []
    for row, ranked in zip(correlated("all", scores), scores.ranked, strict=True):
        rows.append(row)
        for label, sizes in held.items():
            rows.append(
                {**row, "setting": label, **_numbers(ranked, scores.sample, sizes), **dict.fromkeys(WITH_SIZE, np.nan)}
            )
    return rows


def _numbers(ranked: Array, sample: Sample, given: Sequence[Array]) -> dict[str, float]:
    """Correlation, its deviation over seeds and its interval, of scores [S, n]; the ranks of `given` held fixed."""
    found = measured(ranked, sample, given)
    value, low, high, _ = interval(found, sample, len(given))
    return {"spearman": value, "spearman_sd": spread(found.values), "low": low, "high": high}


def spread(values: Array) -> float:
    """Standard deviation over seeds; NaN of one."""
    return float(values.std(ddof=1)) if len(values) > 1 else np.nan
