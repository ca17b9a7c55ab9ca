"""Score tables from Python: `diswot_bench.read_scores` and `write_scores`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.scoretables import archive
from benchmarks.scoretables.exporting import find_space
from benchmarks.scoretables.table import Column, Filling, ScoreTable, from_rows
from benchmarks.scoring.cohorts import sizes
from benchmarks.scoring.jobs import Job
from benchmarks.scoring.store import Score
from benchmarks.scoring.untouched import TABLED, Made, hashed
from benchmarks.spaces import Space

CHANGED = "not what score or read_scores gave; rows of a table can be left out, not changed"


def read_scores(path: str | Path, space: str | None = None) -> pd.DataFrame:
    """The scores of a table that `data.py export` or `write_scores` wrote, as `score` gives them.

    `space` names a space of your own, path/to/file.py:Name. Raises ValueError for a file that is no sound table.
    """
    table = archive.read(Path(path))
    own = find_space(table.space, table.space_version, space, str(path))
    rows = pd.DataFrame(list(table.rows(own)), columns=Score._fields)
    archs = dict(zip(table.archs(own), table.index.tolist(), strict=True))
    rows.insert(2, "index", rows["arch"].map(archs))
    for place, (name, counted) in enumerate(_sizes(table, list(archs), own).items(), 3):
        rows.insert(place, name, rows["arch"].map(dict(zip(archs, counted, strict=True))))
    rows.attrs[TABLED] = Made(table)
    return rows


def _sizes(table: ScoreTable, archs: Sequence[str], space: Space) -> dict[str, list[int]]:
    """params and macs of the candidates: the table's own where it has them, since to count a module is to build it."""
    known = {name: table.columns[name] for name in ("params", "macs") if name in table.columns}
    if len(known) == 2 and all(column.ok[0].all() and _exact(column.scores[0]) for column in known.values()):
        return {name: [int(score) for score in column.scores[0]] for name, column in known.items()}
    counted = sizes(archs, space, str(table.conditions["dataset"]))
    return {name: [int(size) for size in values] for name, values in counted.items()}


def _exact(counts: NDArray[np.float64]) -> bool:
    """Whether counts can't have been rounded: a table may be written as float32, which is exact to 2^24."""
    return bool((counts < 2**24).all() or (counts != counts.astype(np.float32)).any())


def _left(table: ScoreTable, scores: pd.DataFrame) -> ScoreTable:
    """What a frame still has of a table that it was read from. Raises ValueError where it says something else."""
    names = {name: key for key, name in table.names.items()}
    seeds = {seed: number for number, seed in enumerate(table.seeds)}
    left, keep = {}, np.isin(table.index, scores["index"])
    for name, own in scores.groupby("proxy", sort=False, observed=True):
        column = table.columns.get(names.get(str(name), ""))
        at = own["seed"].map(seeds).to_numpy(float), own["index"].map(table.places).to_numpy(float)
        if column is None or np.isnan(at).any():
            raise ValueError(f"scores of {name}: {CHANGED}")
        cells = tuple(part.astype(np.int64) for part in at)
        if not np.array_equal(column.scores[cells], own["score"].to_numpy(float), equal_nan=True):
            raise ValueError(f"scores of {name}: {CHANGED}")
        new = Filling.of(column.scores.shape)
        new.scores[cells], new.status[cells] = column.scores[cells], column.status[cells]
        new.reason[cells] = column.reason[cells]
        cut = (new.scores[:, keep], new.status[:, keep], new.reason[:, keep])
        left[names[str(name)]] = Column(*cut, column.seconds, column.made)
    columns = {key: left[key] for key in table.columns if key in left}
    return replace(table, index=table.index[keep], columns=columns, _places={})


def write_scores(scores: pd.DataFrame, path: str | Path, dtype: archive.Kind = "auto") -> str:
    """Write what `score` gave as a score table, its conditions with it; the digest of its content.

    Rows may have been left out, and none changed: a table says by which code its scores were made. Combinations are
    left out: they are defined for their cohort alone. Raises ValueError for another table, and where the networks or
    the teacher were modules of yours, which no file can name.
    """
    kept = scores.attrs.get(TABLED)
    made = kept.of if isinstance(kept, Made) else None
    if isinstance(made, ScoreTable):
        return archive.write(_left(made, scores), Path(path), dtype)
    if not (isinstance(kept, Made) and isinstance(made, Job)):
        raise ValueError("scores: what diswot_bench.score or read_scores gave is expected, whole")
    if made.space.name == "modules" or (made.teacher is not None and made.teacher.own) or made.source.name == "given":
        raise ValueError("scores of modules, or by a teacher or a batch, that were handed over: no file can name these")
    if kept.rows is not None and not np.isin(hashed(scores), kept.rows).all():
        raise ValueError(f"scores: {CHANGED}")
    fields = scores[list(Score._fields)]
    keys = {proxy.name: proxy.key for proxy in made.proxies}
    rows = [Score(*row) for row in fields.itertuples(index=False)]
    there = {name: key for name, key in keys.items() if scores["proxy"].eq(name).any()}
    return archive.write(from_rows(rows, made, there), Path(path), dtype)
