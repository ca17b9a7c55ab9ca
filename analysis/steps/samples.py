"""The candidates of a run that was read as a sample of their space: what correlations are held against."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.rows.runs import Run
from analysis.stats.inference import Sample
from benchmarks.conditions.drawing import generator
from benchmarks.spaces import Space


def sample_of(run: Run, space: Space) -> Sample:
    """The run's candidates as a sample; trainings are drawn alike for runs with one truth."""
    noise, _ = run.noise
    share = len(run.archs) / len(space)
    return Sample(run.truth, share, noise, generator("retraining", run.conditions["truth_source"]))


def subject(run: Run) -> str | None:
    """The proxy that a run is about, the first that --proxy names (of a wildcard, without the star), or None."""
    first = str(run.options.get("proxy", "")).split(",")[0].strip().rstrip("*")
    return first if first in run.proxies else None


def references(run: Run) -> Sequence[str]:
    """What every proxy of a run is tested against: parameters, and the run's subject."""
    return list(dict.fromkeys(one for one in ("params", subject(run)) if one in run.proxies))
