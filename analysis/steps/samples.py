"""The candidates of a run that was read as a sample of their space: what correlations are held against."""

from __future__ import annotations

from analysis.rows.runs import Run, subject
from analysis.stats.inference import Sample
from benchmarks.spaces import Space
from benchmarks.truth import Truth


def sample_of(run: Run, space: Space) -> Sample:
    """The run's candidates as a sample; trainings are drawn alike for runs with one truth."""
    noise, _ = run.noise
    known = Truth(dict(zip(run.archs, run.truth, strict=True)), run.conditions["truth_source"], noise=noise)
    return known.sample(run.archs, space.share(len(run.archs)))


def references(run: Run) -> list[str]:
    """What every proxy of a run is tested against: parameters, and what the run is about, of several the plain name."""
    asked = str(run.options.get("proxy", ""))
    about = subject(run.proxies, asked)
    plain = [name for name in about if name == asked.split(",")[0].strip(" *")]
    return list(dict.fromkeys([name for name in ("params", *(plain or about[:1])) if name in run.proxies]))
