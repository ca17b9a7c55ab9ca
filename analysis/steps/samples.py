"""The candidates of a run that was read as a sample of their space: what correlations are held against."""

from __future__ import annotations

from analysis.rows.runs import Run, subject
from analysis.stats.inference import Sample
from benchmarks.conditions.drawing import generator
from benchmarks.spaces import Space


def sample_of(run: Run, space: Space) -> Sample:
    """The run's candidates as a sample; trainings are drawn alike for runs with one truth."""
    noise, _ = run.noise
    share = space.share(len(run.archs))
    return Sample(run.truth, share, noise, generator("retraining", run.conditions["truth_source"]))


def references(run: Run) -> list[str]:
    """What every proxy of a run is tested against: parameters, and what the run is about, of several the plain name."""
    asked = str(run.options.get("proxy", ""))
    about = subject(run.proxies, asked)
    plain = [name for name in about if name == asked.split(",")[0].strip(" *")]
    return list(dict.fromkeys([name for name in ("params", *(plain or about[:1])) if name in run.proxies]))
