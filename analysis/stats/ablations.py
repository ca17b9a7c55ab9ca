"""What becomes of the scores of one ablation's setting: rows with n, seeds, correlation and interval.

Arrays in, rows out; analysis/ablate.py scores. A `generator` gives equal random generators each time it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from analysis.stats import bootstrap, ranking
from analysis.stats.bootstrap import Array
from analysis.stats.comparison import mean_ranks

BANDS = 4
WITH_SIZE = ("kendall", "partial_spearman", "band_spearman")  # columns of a row whose correlation still has size in it
Rows = list[dict[str, Any]]
Generator = Callable[[], np.random.Generator]


@dataclass(frozen=True)
class Scores:
    """Scores [P, S, n] of one setting, failed ones -inf, with what they are held against: truth [n], size [n]."""

    names: list[str]
    ranked: Array
    failed: list[int]
    truth: Array
    size: Array
    clusters: Sequence[object]


def correlated(label: str, scores: Scores, generator: Generator) -> Rows:
    """A row per proxy: correlation, interval, and what is left of it without size."""
    truth, size, rows = scores.truth, scores.size, []
    for name, ranked, failed in zip(scores.names, scores.ranked, scores.failed, strict=True):
        rhos = np.array([ranking.spearman(row, truth) for row in ranked])
        low, high = ranking.bootstrap_interval(ranked, truth, scores.clusters, generator())
        row = {"setting": label, "proxy": name, "n": len(truth), "failed": failed, "seeds": len(rhos)}
        row |= {"spearman": rhos.mean(), "spearman_sd": spread(rhos), "low": low, "high": high}
        row |= {"kendall": np.mean([ranking.kendall(row, truth) for row in ranked])}
        row |= {"partial_spearman": np.mean([ranking.partial_spearman(row, truth, size) for row in ranked])}
        rows.append(
            row | {"band_spearman": np.mean([ranking.band_spearman(row, truth, size, BANDS) for row in ranked])}
        )
    return rows


def averaged(label: str, scores: Scores, generator: Generator, *, counts: Sequence[int]) -> Rows:
    """Rows for ranks averaged over groups of so many seeds; the seeds of such a row are its groups."""
    rows = []
    for count in counts:
        groups = np.split(scores.ranked, scores.ranked.shape[1] // count, axis=1)
        means = np.stack([mean_ranks(group) for group in groups], axis=1)
        rows += correlated(f"{label}, mean of {count}", replace(scores, ranked=means), generator)
    return rows


def without_size(scores: Scores, generator: Generator) -> Rows:
    """For each proxy, what there is, what is left given params, and inside bands of equal size."""
    truth, size, clusters, rows = scores.truth, scores.size, scores.clusters, []
    for row, ranked in zip(correlated("all", scores, generator), scores.ranked, strict=True):
        partial = np.array([ranking.partial_spearman(one, truth, size) for one in ranked])
        inside = np.array([ranking.band_spearman(one, truth, size, BANDS) for one in ranked])
        bands = ranking.size_bands(size, BANDS)
        left = [
            ("given params", partial, bootstrap.partial_resamples(ranked, truth, size, clusters, generator)),
            (
                f"within {BANDS} bands of size",
                inside,
                bootstrap.band_resamples(ranked, truth, bands, clusters, generator()),
            ),
        ]
        rows.append(row)
        for label, found, resampled in left:
            low, high = bootstrap.percentile_interval(resampled.mean(axis=1))
            numbers = {"spearman": found.mean(), "spearman_sd": spread(found), "low": low, "high": high}
            rows.append({**row, "setting": label, **numbers, **dict.fromkeys(WITH_SIZE, np.nan)})
    return rows


def spread(values: Array) -> float:
    """Standard deviation over seeds; NaN of one."""
    return float(values.std(ddof=1)) if len(values) > 1 else np.nan
