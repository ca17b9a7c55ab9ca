"""Scoring under the conditions of a table: the job that its scores were made by, for other candidates or proxies."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.output.options import ScoringOptions
from benchmarks.scoretables.recalling import check_fits
from benchmarks.scoretables.table import ScoreTable
from benchmarks.scoring.asked import scoring_job
from benchmarks.scoring.jobs import Job
from benchmarks.spaces import Space
from proxies import Proxy

SAID = ("dataset", "batch_size", "draw", "init", "teacher", "teacher_resolution", "precision")


def job_like(
    table: ScoreTable, space: Space, archs: Sequence[str], proxies: Sequence[Proxy], data_dir: str | None = None
) -> Job:
    """The job of a table's conditions and seeds. Raises ValueError where these can't be made here.

    A table comes from outside: it runs no file of code as its teacher, and downloads nothing.
    """
    said = dict(table.conditions)
    if said.pop("teacher_weights", None) is not None:
        raise ValueError(f"{table.where}: scored under a trained teacher, whose weights are not in the table")
    if table.source not in ("noise", "cifar10", "cifar100"):
        raise ValueError(f"{table.where}: scored on the batch {table.source!r:.40}, which is not in the table")
    if strange := [name for name in said if name not in SAID]:
        raise ValueError(f"{table.where}: scored under a condition that this program does not know, {strange[0]!r:.40}")
    if ".py:" in str(said.get("teacher")):
        raise ValueError(
            f"{table.where}: scored under the teacher {said['teacher']!r:.80}, a file of code; none is run"
        )
    options = ScoringOptions(**said, batch=table.source, data_dir=data_dir)
    job = scoring_job(options, space, archs, proxies, table.seeds)
    check_fits(table, job)
    return job
