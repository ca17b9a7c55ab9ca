"""The tables of the report's page: what they show, and the CSV that each one's numbers can be looked up in."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.rows.tables import UNDEFINED, number
from analysis.stats import ranking
from analysis.stats.comparison import Difference
from analysis.stats.influence import Array

DIGITS = {"regret": 2, "top_10_truth": 2, "p": 4, "p_holm": 4, "ms_per_arch": 1}

CONSTANT = "a constant score"


class Cell(NamedTuple):
    """A number or text as shown, and what it is sorted by."""

    text: str
    key: str
    text_column: bool


class Table(NamedTuple):
    """A table, the CSV that holds its numbers with all their digits, and that file's name and digest."""

    title: str
    note: str
    file: str
    csv: str
    digest: str
    headers: list[str]
    rows: list[list[Cell]]


class Picture(NamedTuple):
    """A picture, inlined as PNG; wide ones take the whole page."""

    title: str
    png: str
    wide: bool


@dataclass
class Section:
    """A part of the page: a run, a comparison of two, or an ablation."""

    title: str
    notes: list[str]
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    conditions: list[tuple[str, str]] = field(default_factory=list)


def table(frame: pd.DataFrame, title: str, file: str, note: str = "", *, content: bytes | None = None) -> Table:
    """A table of the page: line i + 2 of its CSV is its row i; `content` where the CSV is there already."""
    if content is None:
        content = frame.to_csv(index=False, na_rep=UNDEFINED, lineterminator="\n").encode()
    rows = [[cell(value, DIGITS.get(str(name), 3)) for name, value in row.items()] for row in frame.to_dict("records")]
    headers = [str(column).replace("_", " ") for column in frame.columns]
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Table(title, note, file, b64encode(content).decode(), digest, headers, rows)


def cell(value: Any, digits: int) -> Cell:
    """A value as shown and as sorted; undefined ones are sorted last."""
    if isinstance(value, float):
        return Cell(number(value, digits), "" if value != value else repr(value), False)
    return Cell(str(value), str(value), isinstance(value, str))


def views(
    names: Sequence[str], scores: Sequence[Array], truth: Array, live: NDArray[np.bool_], top: int
) -> pd.DataFrame:
    """Views of the first `top`, and correlations without disconnected candidates; last what a constant score gets.

    scores P of [S, n], truth [n], and which candidates are connected [n]; means over seeds.
    """
    measures = {
        f"precision_at_{top}": lambda x: ranking.precision(x, truth, top),
        f"ndcg_at_{top}": lambda x: ranking.ndcg(x, truth, top),
        f"top_{top}_truth": lambda x: ranking.top_mean_truth(x, truth, top),
        f"regret_at_{top}": lambda x: ranking.regret(x, truth, top),
        "spearman": lambda x: ranking.spearman(x, truth),
        "spearman_in_top_tenth": lambda x: ranking.top_tenth_spearman(x, truth),
        "spearman_connected": lambda x: ranking.spearman(x[live], truth[live]),
        "kendall": lambda x: ranking.kendall(x, truth),
        "kendall_connected": lambda x: ranking.kendall(x[live], truth[live]),
    }
    rows = [
        {"proxy": name, **{key: np.mean([measure(x) for x in ranked]) for key, measure in measures.items()}}
        for name, ranked in zip([*names, CONSTANT], [*scores, np.zeros((1, len(truth)))], strict=True)
    ]
    return pd.DataFrame(rows)


def pairs(found: Sequence[Difference]) -> pd.DataFrame:
    """A row per pair of proxies."""
    rows = [{**vars(pair), "verdict": f"{pair.winner} is ahead" if pair.winner else "not told apart"} for pair in found]
    return pd.DataFrame(rows, columns=["first", "second", "difference", "low", "high", "p", "p_holm", "verdict"])
