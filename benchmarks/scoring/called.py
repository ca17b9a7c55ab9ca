"""Scoring from Python: `diswot_bench.score`. Options are those of the commands, under the same names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

import proxies as registry
from benchmarks import spaces
from benchmarks.conditions.batches import Given
from benchmarks.conditions.drawing import INITS, MODES, Init, Mode, generator
from benchmarks.output.options import EngineOptions, ScoringOptions
from benchmarks.output.terminal import progress as shown_progress
from benchmarks.scoring.asked import scoring_job
from benchmarks.scoring.engines import open_engine
from benchmarks.scoring.given import check_fits, given_batch, own_dataset
from benchmarks.scoring.jobs import Job, Precision
from benchmarks.scoring.scorer import Scorer, combined
from benchmarks.scoring.selection import USUAL
from benchmarks.scoring.store import Score, Store
from benchmarks.spaces import Space
from proxies import Combination

IN_MEMORY = Path(":memory:")  # what SQLite calls a store that is no file


def space(name: str) -> Space:
    """The search space of this name, or a user's own as path/to/file.py:Name, which is run; as --space."""
    return spaces.find(name)


def proxies() -> pd.DataFrame:
    """The proxies that `score` can be asked for: what each is, and who published it."""
    rows = [(one.name, one.summary, one.source) for one in registry.select("all")]
    return pd.DataFrame(rows, columns=["proxy", "", "source"]).set_index("proxy")


def score(
    networks: Space,
    images: Tensor | np.ndarray | None = None,
    labels: Tensor | np.ndarray | Sequence[int] | None = None,
    *,
    proxies: str = "diswot",
    archs: Sequence[str | int] | None = None,
    sample: int | str = "auto",
    seed: int = 0,
    seeds: int = 1,
    dataset: str | None = None,
    batch: str = "noise",
    batch_size: int = 64,
    draw: Mode = "shared",
    init: Init = "kaiming",
    teacher: str = "resnet56",
    teacher_weights: str | Path | None = None,
    precision: Precision = "float32",
    device: str = "auto",
    stack: int | str = "auto",
    workers: int | str = 1,
    store: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Score candidates of a space by training-free proxies: a row for each candidate, proxy and seed.

    `images` [N, 3, H, H], floats as the networks are to get them, with `labels` [N]; without them `batch` of `dataset`
    is taken, as on the command line. Classes are those of `dataset`, and without one, one more than the largest label.
    `archs` are codes or indices; without them `sample` of the space is drawn by `seed` (auto: 200, or all of fewer).
    Higher scores predict better; one that is no number has a status that is not ok. With `store` scores are kept.

    Raises ValueError for what can't be had.
    """
    check_choice("draw", draw, MODES)
    check_choice("init", init, INITS)
    options = ScoringOptions(
        batch=batch,
        batch_size=batch_size,
        draw=draw,
        init=init,
        teacher=teacher,
        teacher_weights=None if teacher_weights is None else str(teacher_weights),
        precision=precision,
        device=device,
        stack=stack,
    )
    given = None if images is None else given_batch(images, labels)
    options.dataset = dataset or ("cifar10" if given is None else own_dataset(given))
    if given is not None:
        options.batch, options.batch_size = "noise", len(given.labels)
    chosen = registry.select(proxies)
    if not chosen:
        raise ValueError("proxies: names no proxy; diswot_bench.proxies() has them")
    archs = sampled(networks, sample, seed) if archs is None else parsed(networks, archs)
    job = scoring_job(options, networks, archs, chosen, range(seed, seed + seeds))
    if given is not None:
        check_fits(given, job.source.dataset)
        job = replace(job, source=Given(given, job.source.dataset))
    rows = score_all(job, Path(store) if store else IN_MEMORY, workers, progress)
    rows += combined(rows, job, [one for one in chosen if isinstance(one, Combination)])
    return frame(rows, job, [one.name for one in chosen])


def score_all(job: Job, path: Path, workers: int | str, progress: bool) -> list[Score]:
    """The rows of a job, with a progress bar (in a notebook too) where one is wanted."""
    with (
        open_engine(EngineOptions(workers=workers), tasks=len(job), cuda=job.on_gpu) as engine,
        Store(path) as store,
    ):
        scorer = Scorer(job, store, engine)
        bar = shown_progress(f"scoring {job.space.name}", scorer.size(job.archs)) if progress else nullcontext(_quiet)
        with bar as advance:
            return scorer.rows(job.archs, advance)


def _quiet(count: int, text: str | None = None) -> None:
    """No bar."""


def check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raises ValueError for a value that is none of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: there are {', '.join(allowed)}")


def sampled(space: Space, sample: int | str, seed: int) -> list[str]:
    """A uniform sample of a space, the same as rank.py's where that knows all accuracies."""
    named = {"all": len(space), "auto": min(USUAL, len(space))}
    number = named[sample] if isinstance(sample, str) and sample in named else int(sample)
    if not 1 <= number <= len(space):
        raise ValueError(f"sample={sample}: 1 to {len(space)}, auto or all")
    return space.sample(number, generator(seed, "sample"))


def parsed(space: Space, archs: Sequence[str | int]) -> list[str]:
    """The candidates that codes or indices name. Raises ValueError for what is none, or stands there twice."""
    found = [space.arch(arch) if isinstance(arch, int | np.integer) else space.parse(arch) for arch in archs]
    if not found:
        raise ValueError("archs: names no candidate")
    if twice := [arch for arch in dict.fromkeys(found) if found.count(arch) > 1]:
        raise ValueError(f"archs: {twice[0]} stands there twice")
    return found


def frame(rows: Sequence[Score], job: Job, names: Sequence[str]) -> pd.DataFrame:
    """The rows of what was asked for as a table, with each candidate's index and number of parameters."""
    table = pd.DataFrame(list(rows), columns=Score._fields)
    table = table[table["proxy"].isin(names)].reset_index(drop=True)
    classes, resolution = job.source.dataset
    sizes = {arch: job.space.count(arch, classes, resolution) for arch in job.archs}
    table.insert(2, "index", table["arch"].map({arch: job.space.index(arch) for arch in job.archs}))
    for place, name in enumerate(("params", "macs"), 3):
        table.insert(place, name, table["arch"].map({arch: getattr(size, name) for arch, size in sizes.items()}))
    return table
