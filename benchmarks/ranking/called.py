"""Ranking from Python: `diswot_bench.rank`, the table of rank.py over scores that are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from analysis.stats import ranking
from analysis.stats.inference import Sample
from benchmarks import spaces, truth
from benchmarks.scoring.jobs import Job
from benchmarks.scoring.untouched import TABLED, Made
from benchmarks.spaces import Space
from benchmarks.spaces.modules import Listed
from benchmarks.truth import Truth
from benchmarks.truth.accuracies import percent, refuse_fractions

COLUMNS = {  # of what the statistics say: what people read above it
    "spearman": "spearman",
    "spearman_sd": "sd",
    "spearman_low": "low",
    "spearman_high": "high",
    "kendall": "kendall",
    "top_tenth_spearman": "top tenth",
    "top_10_truth": "top-10 truth",
    "regret": "regret",
    "given": "given size",
    "given_low": "given low",
    "given_high": "given high",
    "failed": "failed",
}
MODULES = "modules"  # the space of networks that were handed over
NEEDED = ("space", "arch", "proxy", "seed", "score", "status")
DIGITS = "{:.3f}".format


class Table(pd.DataFrame):
    """A table that prints whole, as rank.py prints it: three digits, n/a where a value is undefined."""

    def __repr__(self) -> str:
        return self.to_string(na_rep="n/a", float_format=DIGITS)

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        html: str = self.to_html(na_rep="n/a", float_format=DIGITS)
        return html


def rank(
    scores: pd.DataFrame,
    accuracy: Mapping[str, float] | pd.Series | None = None,
    *,
    truth: str | Path = "auto",
    dataset: str = "cifar10",
    target: str = "vanilla",
) -> pd.DataFrame:
    """The table of rank.py over what `score` gave: a row a proxy, the best correlation first.

    `accuracy` gives each candidate's accuracy by its arch; without it the table that `truth` names for `dataset` and
    `target` is taken, as on the command line. The columns are those of rank.py, its intervals as `low` and `high`,
    `given low` and `given high`, `sd` the spread over seeds where there are several.

    Raises ValueError where a column or an accuracy is missing.
    """
    if not isinstance(scores, pd.DataFrame) or not len(scores):
        said = "no rows" if isinstance(scores, pd.DataFrame) else f"a {type(scores).__name__}"
        raise ValueError(f"scores: {said}; what diswot_bench.score gives is expected")
    missing = [name for name in NEEDED if name not in scores.columns]
    if missing:
        raise ValueError(f"scores: no column {missing[0]}; what diswot_bench.score gives is expected")
    space = space_of(scores)
    scores = scores.assign(arch=scores["arch"].astype(str))  # a CSV that was read again has numbers where it can
    archs = list(dict.fromkeys(scores["arch"]))
    found = accuracies(scores["space"].unique(), space, archs, accuracy, truth, dataset, target)
    share = 0.0 if space is None else space.share(len(archs))
    if missing := [arch for arch in archs if arch not in found.accuracy]:
        raise ValueError(f"accuracy: none of {missing[0]} ({len(missing)} such candidates)")
    sample = found.sample(archs, share)
    sizes = _sizes(scores, archs)
    rows = {
        name: _ranked(own.assign(ok=own["status"].eq("ok")), sample, archs, sizes)
        for name, own in scores.groupby("proxy", sort=False, observed=True)
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("proxy")
    if "seconds" in scores.columns:
        table["ms/arch"] = 1000 * scores[scores["status"].eq("ok")].groupby("proxy", observed=True)["seconds"].median()
    table = table.sort_values("spearman", ascending=False, kind="stable", na_position="last")
    return Table(table.drop(columns=[] if scores["seed"].nunique() > 1 else ["sd"]))


def space_of(scores: pd.DataFrame) -> Space | None:
    """The one space that scores are of, one of this project or that which was scored just now; None where unknown."""
    kept, names = scores.attrs.get(TABLED), scores["space"].unique()
    if len(names) == 1 and names[0] in spaces.SPACES:
        return spaces.SPACES[names[0]]()
    job = kept.of if isinstance(kept, Made) else None
    if isinstance(job, Job) and list(names) == [job.space.name] and names[0] != MODULES:
        return job.space
    return None


def accuracies(
    names: np.ndarray,
    space: Space | None,
    archs: list[str],
    accuracy: Mapping[str, float] | pd.Series | None,
    table: str | Path,
    dataset: str,
    target: str,
) -> Truth:
    """The accuracies of `archs` that were given, or those of a table. Raises ValueError where there are none."""
    if not isinstance(table, str | Path):
        raise ValueError(
            f"truth: a {type(table).__name__}; the name of a table or FILE.csv is expected; percents by name are for "
            "accuracy="
        )
    if accuracy is None:
        if len(names) != 1:
            raise ValueError("scores are of several spaces: give their accuracies by arch")
        if space is not None:
            return truth.load(str(table), space, dataset, target)
        if names[0] != MODULES:
            raise ValueError(f"nobody knows the space {names[0]!r} of these scores: accuracy={{arch: percent, ...}}")
        if table == "auto":
            raise ValueError("no table knows networks of yours: accuracy={name: percent, ...}, or truth='FILE.csv'")
        return truth.load(str(table), Listed(dict.fromkeys(archs, nn.Identity)), dataset, target)
    if not isinstance(accuracy, Mapping | pd.Series):
        raise ValueError(f"accuracy: a {type(accuracy).__name__}; percents by name are expected: a dict or a Series")
    if isinstance(accuracy, pd.Series) and not accuracy.index.is_unique:
        raise ValueError(f"accuracy: {accuracy.index[accuracy.index.duplicated()][0]} stands there twice")
    wanted = set(archs)
    found = {
        str(arch): percent(value, f"accuracy of {arch}") for arch, value in accuracy.items() if str(arch) in wanted
    }
    if found:
        refuse_fractions(found.values(), "accuracy", "it")
    return Truth(found, "given")


def _ranked(own: pd.DataFrame, sample: Sample, archs: list[str], sizes: list[np.ndarray]) -> dict[str, object]:
    """One proxy's rows against the accuracies: what people read, by its title."""
    ok = _table(own, "ok", archs).astype(bool)
    found = asdict(ranking.rank(_table(own, "score", archs), sample, sizes, ok=ok))
    if not sizes:
        found |= dict.fromkeys(("given", "given_low", "given_high"), np.nan)
    return {title: found[key] for key, title in COLUMNS.items()}


def _table(own: pd.DataFrame, column: str, archs: list[str]) -> np.ndarray:
    """A column of one proxy's rows as [S, n]. Raises ValueError where rows are missing or there twice."""
    name = own["proxy"].iloc[0]
    if own.duplicated(["seed", "arch"]).any():
        raise ValueError(f"scores: {name} has two rows of a candidate and seed")
    wide = own.pivot(index="seed", columns="arch", values=column).reindex(columns=archs)
    if len(own) != wide.size:
        raise ValueError(f"scores: {name} lacks rows of some candidates")
    return wide.to_numpy()


def _sizes(scores: pd.DataFrame, archs: list[str]) -> list[np.ndarray]:
    """Numbers of parameters [n] and of multiply-accumulates [n], as far as the table has them.

    None where one is lacking: of a network that could not be looked at nobody knows a size to be held fixed.
    """
    first = scores.drop_duplicates("arch").set_index("arch").reindex(archs)
    found = [first[name].to_numpy(float) for name in ("params", "macs") if name in scores.columns]
    return found if all(np.isfinite(one).all() for one in found) else []
