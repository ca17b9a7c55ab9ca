"""Ranking from Python: `diswot_bench.rank`, the table of rank.py over scores that are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd

from analysis.stats import ranking
from benchmarks import spaces, truth
from benchmarks.conditions.drawing import generator
from benchmarks.spaces import Space

COLUMNS = {  # of what the statistics say: what people read above it
    "spearman": "spearman",
    "spearman_sd": "sd",
    "spearman_low": "low",
    "spearman_high": "high",
    "kendall": "kendall",
    "top10_spearman": "top tenth",
    "top10_mean_truth": "top-10 truth",
    "regret": "regret",
    "partial_spearman": "given params",
    "failed": "failed",
}
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
    truth: str = "auto",
    dataset: str = "cifar10",
    target: str = "vanilla",
) -> pd.DataFrame:
    """The table of rank.py over what `score` gave: a row a proxy, the best correlation first.

    `accuracy` gives each candidate's accuracy by its arch; without it the table that `truth` names for `dataset` and
    `target` is taken, as on the command line. The columns are those of rank.py, its interval as `low` and `high` (none
    where the whole of a space was scored), `sd` the spread over seeds where there are several.

    Raises ValueError where a column or an accuracy is missing.
    """
    missing = [name for name in NEEDED if name not in scores.columns]
    if missing:
        raise ValueError(f"scores: no column {missing[0]}; what diswot_bench.score gives is expected")
    archs = list(dict.fromkeys(scores["arch"]))
    names = scores["space"].unique()
    known = accuracies(archs, names, accuracy, truth, dataset, target)
    space = spaces.SPACES[names[0]]() if len(names) == 1 and names[0] in spaces.SPACES else None
    rows = {
        name: _ranked(own.assign(ok=own["status"].eq("ok")), known, archs, _sizes(scores, archs), space)
        for name, own in scores.groupby("proxy", sort=False, observed=True)
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("proxy")
    if "seconds" in scores.columns:
        table["ms/arch"] = 1000 * scores[scores["status"].eq("ok")].groupby("proxy", observed=True)["seconds"].median()
    table = table.sort_values("spearman", ascending=False, kind="stable", na_position="last")
    return Table(table.drop(columns=[] if scores["seed"].nunique() > 1 else ["sd"]))


def accuracies(
    archs: list[str],
    names: np.ndarray,
    accuracy: Mapping[str, float] | pd.Series | None,
    table: str,
    dataset: str,
    target: str,
) -> np.ndarray:
    """Each candidate's accuracy [n]. Raises ValueError where one is missing or no number."""
    if accuracy is None:
        if len(names) != 1:
            raise ValueError("scores are of several spaces: give their accuracies by arch")
        found = truth.load(table, spaces.find(str(names[0])), dataset, target)
        accuracy = found.accuracy
    if isinstance(accuracy, pd.Series) and not accuracy.index.is_unique:
        raise ValueError(f"accuracy: {accuracy.index[accuracy.index.duplicated()][0]} stands there twice")
    missing = [arch for arch in archs if arch not in accuracy]
    if missing:
        raise ValueError(f"accuracy: none of {missing[0]} ({len(missing)} such candidates)")
    values = np.array([accuracy[arch] for arch in archs], dtype=float)
    if not np.isfinite(values).all():
        raise ValueError(f"accuracy: that of {archs[int(np.isfinite(values).argmin())]} is no number")
    return values


def _ranked(
    own: pd.DataFrame, known: np.ndarray, archs: list[str], sizes: np.ndarray, space: Space | None
) -> dict[str, object]:
    """One proxy's rows against the accuracies: what people read, by its title."""
    found = ranking.rank(
        _table(own, "score", archs),
        known,
        sizes,
        archs if space is None else [space.function_class(arch) for arch in archs],
        ok=_table(own, "ok", archs).astype(bool),
        whole_space=space is not None and len(archs) == len(space),
        random=generator("bootstrap"),
    )
    return {title: asdict(found)[key] for key, title in COLUMNS.items()}


def _table(own: pd.DataFrame, column: str, archs: list[str]) -> np.ndarray:
    """A column of one proxy's rows as [S, n]. Raises ValueError where rows are missing or there twice."""
    name = own["proxy"].iloc[0]
    if own.duplicated(["seed", "arch"]).any():
        raise ValueError(f"scores: {name} has two rows of a candidate and seed")
    wide = own.pivot(index="seed", columns="arch", values=column).reindex(columns=archs)
    if len(own) != wide.size:
        raise ValueError(f"scores: {name} lacks rows of some candidates")
    return wide.to_numpy()


def _sizes(scores: pd.DataFrame, archs: list[str]) -> np.ndarray:
    """Numbers of parameters [n]; NaN where the table does not have them."""
    if "params" not in scores.columns:
        return np.full(len(archs), np.nan)
    return scores.drop_duplicates("arch").set_index("arch")["params"].reindex(archs).to_numpy(float)
