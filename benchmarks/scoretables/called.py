"""Score tables from Python: `diswot_bench.read_scores` and `write_scores`."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.conditions.batches import find_dataset
from benchmarks.scoretables import archive
from benchmarks.scoretables.exporting import find_space
from benchmarks.scoretables.table import ScoreTable, from_rows
from benchmarks.scoring.jobs import Job
from benchmarks.scoring.store import Score
from benchmarks.scoring.untouched import TABLED, Made


def read_scores(path: str | Path, space: str | None = None) -> pd.DataFrame:
    """The scores of a table that `data.py export` or `write_scores` wrote, as `score` gives them.

    `space` names a space of your own, path/to/file.py:Name. Raises ValueError for a file that is no sound table.
    """
    table = archive.read(Path(path))
    own = find_space(table.space, table.space_version, space, str(path))
    rows = pd.DataFrame(list(table.rows(own)), columns=Score._fields)
    archs = dict(zip(table.archs(own), table.index.tolist(), strict=True))
    rows.insert(2, "index", rows["arch"].map(archs))
    dataset = find_dataset(str(table.conditions["dataset"]), own)
    sizes = {arch: own.count(arch, dataset.classes, dataset.resolution) for arch in archs}
    for place, name in enumerate(("params", "macs"), 3):
        rows.insert(place, name, rows["arch"].map({arch: getattr(size, name) for arch, size in sizes.items()}))
    rows.attrs[TABLED] = Made(table)
    return rows


def write_scores(scores: pd.DataFrame, path: str | Path, dtype: archive.Kind = "auto") -> str:
    """Write what `score` gave (all of it: its conditions go with it) as a score table; the digest of its content.

    Combinations are left out: they are defined for their cohort alone. Raises ValueError for another table, and where
    the networks or the teacher were modules of yours, which no file can name.
    """
    kept = scores.attrs.get(TABLED)
    made = kept.of if isinstance(kept, Made) else None
    if isinstance(made, ScoreTable):
        return archive.write(made, Path(path), dtype)
    if not isinstance(made, Job):
        raise ValueError("scores: what diswot_bench.score or read_scores gave is expected, whole")
    if made.space.name == "modules" or (made.teacher is not None and made.teacher.own) or made.source.name == "given":
        raise ValueError("scores of modules, or by a teacher or a batch, that were handed over: no file can name these")
    fields = scores[list(Score._fields)]
    keys = {proxy.name: proxy.key for proxy in made.proxies}
    rows = [Score(*row) for row in fields.itertuples(index=False)]
    there = {name: key for name, key in keys.items() if scores["proxy"].eq(name).any()}
    return archive.write(from_rows(rows, made, there), Path(path), dtype)
