"""Whether a score table is sound: its file, its space, and some of its scores computed anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

import proxies
from benchmarks.checking.doctor import Finding
from benchmarks.conditions.drawing import generator
from benchmarks.output.terminal import progress
from benchmarks.scoretables import archive, joining
from benchmarks.scoretables.anew import job_like
from benchmarks.scoretables.exporting import find_space
from benchmarks.scoretables.recalling import SHIPPED, paths
from benchmarks.scoretables.table import Column, ScoreTable, from_rows, makers
from benchmarks.scoring.scorer import Scorer
from benchmarks.scoring.store import Store
from benchmarks.spaces import Space

IN_MEMORY = Path(":memory:")


def shipped() -> list[Path]:
    """The score tables that come with the project."""
    return paths(SHIPPED)


def findings(path: Path, recompute: int, named: str | None, data_dir: str | None) -> Iterator[Finding]:
    """What there is to say of a table; with `recompute` so many of its candidates are scored anew."""
    try:
        table = archive.read(path)
        space = find_space(table.space, table.space_version, named, str(path))
    except ValueError as error:
        yield Finding(str(path), False, str(error))
        return
    right = len(space) == table.size
    yield Finding(str(path), right, f"sha256 {table.digest[:12]}; {table.told()}")
    for made, keys in makers(table).items():
        yield Finding("  made by", None, f"{made}: {', '.join(keys)}")
    failed = sum(int((column.there & ~column.ok).sum()) for column in table.columns.values())
    yield Finding("  scores", None, f"{failed:,} failed, {table.absent:,} not there")
    if recompute and right:
        yield from recomputed(table, space, recompute, data_dir)


def recomputed(table: ScoreTable, space: Space, count: int, data_dir: str | None) -> Iterator[Finding]:
    """Some candidates scored anew, proxy by proxy: how far apart, and whether that is more than rounding."""
    chosen = np.sort(generator(0, "recompute").permutation(len(table.index))[:count])
    archs = [space.arch(one) for one in table.index[chosen].tolist()]
    fresh = anew(table, space, archs, data_dir)
    for key, now in fresh.columns.items():
        old = table.columns[key]
        before = Column(old.scores[:, chosen], old.status[:, chosen], old.reason[:, chosen], old.seconds, old.made)
        wrong = joining.disagreement(before, now)
        fine = before.ok & now.ok
        apart = joining.relative(before.scores[fine], now.scores[fine])
        largest = f"largest relative difference {apart.max():.1e}" if len(apart) else "no score is a number"
        yield Finding(f"  {key}", not wrong, f"{len(archs):,} candidates anew: {wrong or largest}")
    others = [key for key in table.columns if key not in fresh.columns]
    if others:
        yield Finding("  not scored anew", None, f"of files of code, or unknown here: {', '.join(others)}")


def anew(table: ScoreTable, space: Space, archs: list[str], data_dir: str | None) -> ScoreTable:
    """The scores of some candidates, computed here. Raises ValueError where the conditions can't be made here."""
    ours = {one.name: one for one in proxies.registered()}
    known = [ours[key] for key in table.columns if key in ours]
    job = job_like(table, space, archs, known, data_dir)
    with Store(IN_MEMORY) as store, progress(f"scoring {space.name} anew", len(job)) as advance:
        rows = Scorer(job, store).rows(archs, advance)
    fresh = from_rows(rows, job, {one.name: one.key for one in known})
    return replace(fresh, where="what is computed here")
