"""Scoring from Python: `diswot_bench.score`. Options are those of the commands, under the same names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

import proxies as registry
from benchmarks import spaces
from benchmarks.conditions.batches import Given, named_dataset
from benchmarks.conditions.chosen import Chosen
from benchmarks.conditions.drawing import INITS, MODES, Init, Mode, generator
from benchmarks.output.options import LARGEST_SEED, MOST_SEEDS, EngineOptions, ScoringOptions, check_range
from benchmarks.output.terminal import progress as shown_progress
from benchmarks.scoring.asked import scoring_job
from benchmarks.scoring.engines import open_engine
from benchmarks.scoring.fingerprint import fingerprint
from benchmarks.scoring.given import check_fits, given_batch, own_dataset
from benchmarks.scoring.jobs import Job, Precision
from benchmarks.scoring.looking import submodules
from benchmarks.scoring.scorer import Scorer, combined
from benchmarks.scoring.selection import USUAL
from benchmarks.scoring.sizes import SIZES, sizes_of, uncounted
from benchmarks.scoring.store import Score, Store
from benchmarks.scoring.untouched import TABLED, Made, hashed, own_randomness
from benchmarks.spaces import Space
from benchmarks.spaces.modules import Listed, ModuleSpace
from proxies import Combination

Networks = Space | nn.Module | Mapping[str, Any]
IN_MEMORY = Path(":memory:")  # what SQLite calls a store that is no file


def space(name: str) -> Space:
    """The search space of this name, or a user's own as path/to/file.py:Name, which is run; as --space."""
    return spaces.find(name)


def proxies() -> pd.DataFrame:
    """The proxies that `score` can be asked for: what each is, and who published it."""
    rows = [(one.name, one.summary, one.source) for one in registry.select("all")]
    return pd.DataFrame(rows, columns=["proxy", "", "source"]).set_index("proxy")


def score(
    networks: Networks,
    images: Tensor | np.ndarray | None = None,
    labels: Tensor | np.ndarray | Sequence[int] | None = None,
    *,
    proxies: str | Sequence[str] = "diswot",
    archs: Sequence[str | int] | None = None,
    sample: int | str = "auto",
    seed: int = 0,
    seeds: int = 1,
    dataset: str | None = None,
    batch: str = "noise",
    batch_size: int = 64,
    draw: Mode = "shared",
    init: Init | None = None,
    running: bool = False,
    teacher: str | nn.Module | Callable[[], nn.Module] = "resnet56",
    teacher_weights: str | Path | None = None,
    teacher_resolution: int | None = None,
    precision: Precision = "float32",
    device: str = "auto",
    stack: int | str = "auto",
    workers: int | str = 1,
    store: str | Path | None = None,
    progress: bool = True,
    **found: Any,
) -> pd.DataFrame:
    """Score networks by training-free proxies: a row for each network, proxy and seed.

    `networks` is a module, a dict of modules or of constructors by name, or a space. Modules are scored as they are,
    unless `init` draws their weights; the candidates of a space are drawn. With `running` a module, the teacher too, is
    run by its running statistics. `features`, `head`, `stages`, `blocks` name submodules where `look` shows others.
    `teacher` is a name, as on the command line, or a module, whose own weights are taken; without one it is a resnet56
    with drawn weights. `proxies` are names, in one text with commas or one by one.

    `images` [N, 3, H, H], floats as the networks are to get them, with `labels` [N]; without them `batch` of `dataset`
    is taken, as on the command line. Classes are those of `dataset`, and without one, one more than the largest label.
    `archs` are codes or indices; without them `sample` of the space is drawn by `seed` (auto: 200, or all of fewer).
    Higher scores predict better; one that is no number has a status that is not ok. With `store` scores are kept.

    Raises ValueError for what can't be had.
    """
    check_choice("draw", draw, MODES)
    if init is not None:
        check_choice("init", init, INITS)
    if teacher_weights is not None and not isinstance(teacher, str):
        raise ValueError("teacher_weights is for a teacher by name: a module comes with the weights it has")
    candidates = as_space(networks, found)
    options = ScoringOptions(
        batch=batch,
        batch_size=batch_size,
        draw=draw,
        init=init or "kaiming",
        teacher=teacher if isinstance(teacher, str) else ScoringOptions.teacher,
        teacher_weights=None if teacher_weights is None else str(teacher_weights),
        teacher_resolution=teacher_resolution,
        precision=precision,
        device=device,
        stack=stack,
    )
    given = None if images is None else given_batch(images, labels)
    usual = "cifar10" if given is None else own_dataset(given)
    options.dataset = named_dataset(dataset or usual, batch)
    if given is not None:
        options.batch, options.batch_size = "noise", len(given.labels)
    chosen = registry.select(named_proxies(proxies))
    if not chosen:
        raise ValueError("proxies: names no proxy; diswot_bench.proxies() has them")
    check_range("seed", seed, 0, LARGEST_SEED)
    check_range("seeds", seeds, 1, MOST_SEEDS)
    codes = chosen_archs(candidates, archs, sample, seed)
    job = scoring_job(options, candidates, codes, chosen, range(seed, seed + seeds))
    if given is not None:
        check_fits(given, job.source.dataset, any_size=isinstance(candidates, ModuleSpace))
        job = replace(job, source=Given(given, job.source.dataset))
    if init is None and not isinstance(networks, Space):
        job = replace(job, conditions=replace(job.conditions, init="trained" if running else "own"))
    if not isinstance(teacher, str):
        own = Chosen(Listed({"teacher": teacher}, "teacher"), "teacher", "given", own=True, running=running)
        told = f"given {fingerprint(teacher, 'store')}" if store else "given"
        told += ", by its running statistics" if running else ""
        sees = replace(job.conditions, teacher=told, teacher_resolution=teacher_resolution)
        job = replace(job, teacher=own, conditions=sees)
    if store and isinstance(candidates, Listed) and candidates is not networks:
        candidates.version = fingerprint(candidates.named, "store")
        candidates.digests = {name: fingerprint(one, "store") for name, one in candidates.networks.items()}
    counting = replace(job, proxies=[*job.proxies, *uncounted(job)])
    rows = score_all(counting, Path(store) if store else IN_MEMORY, workers, progress)
    rows += combined(rows, job, [one for one in chosen if isinstance(one, Combination)])
    return frame(rows, job, [one.name for one in chosen])


def score_all(job: Job, path: Path, workers: int | str, progress: bool) -> list[Score]:
    """The rows of a job, with a progress bar (in a notebook too) where one is wanted."""
    with (
        own_randomness(),
        open_engine(EngineOptions(workers=workers), tasks=len(job), cuda=job.on_gpu) as engine,
        Store(path) as store,
    ):
        scorer = Scorer(job, store, engine)
        bar = shown_progress(f"scoring {job.space.name}", scorer.size(job.archs)) if progress else nullcontext(_quiet)
        with bar as advance:
            return scorer.rows(job.archs, advance)


def _quiet(count: int, text: str | None = None) -> None:
    """No bar."""


def named_proxies(given: str | Sequence[str]) -> str:
    """What `proxies` names as one text. Raises ValueError for what is no name."""
    names = [given] if isinstance(given, str) or not isinstance(given, Sequence) else given
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"proxies: {name!r} is no name; a function of yours is 'path/to/file.py:name'")
    return ",".join(names)


def as_space(networks: Networks, found: Mapping[str, Any]) -> Space:
    """What is to be scored as a space. Raises ValueError for what is none, or for options of modules that are none."""
    found = submodules(found, signature(score).parameters)
    if isinstance(networks, Space):
        if found:
            raise ValueError(f"{next(iter(found))} is for modules that are handed over, not for a space")
        networks.check_choices()
        return networks
    if isinstance(networks, nn.Module):
        networks = {type(networks).__name__: networks}
    if not isinstance(networks, Mapping):
        kind = type(networks).__name__
        raise ValueError(f"networks: a {kind}; a module, a dict of modules or constructors, or a space is expected")
    return Listed(networks, **found)


def check_choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raises ValueError for a value that is none of those allowed."""
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: there are {', '.join(allowed)}")


def sampled(space: Space, sample: int | str, seed: int) -> list[str]:
    """A uniform sample of a space, the same as rank.py's where that knows all accuracies."""
    named = {"all": len(space), "auto": min(USUAL, len(space))}
    try:
        number = named[sample] if isinstance(sample, str) and sample in named else int(sample)
    except (TypeError, ValueError):
        number = 0
    if not 1 <= number <= len(space):
        raise ValueError(f"sample={sample}: 1 to {len(space)}, auto or all")
    return space.sample(number, generator(seed, "sample"))


def chosen_archs(space: Space, archs: Sequence[str | int] | None, sample: int | str, seed: int) -> list[str]:
    """The candidates to score: those that are named, a sample, or all that were handed over, in their order."""
    if archs is not None:
        return parsed(space, archs)
    if isinstance(space, Listed) and sample == "auto":
        return list(space.networks)
    return sampled(space, sample, seed)


def parsed(space: Space, archs: Sequence[str | int]) -> list[str]:
    """The candidates that codes or indices name. Raises ValueError for what is none, or stands there twice."""
    if isinstance(archs, str) or not isinstance(archs, Iterable):
        raise ValueError(f"archs: {archs!r:.80} is no list; codes or indices are expected, such as [{archs!r:.80}]")
    archs = list(archs)
    if wrong := [arch for arch in archs if not isinstance(arch, str | int | np.integer)]:
        raise ValueError(f"archs: {wrong[0]!r:.80} is no code and no index")
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
    table.attrs[TABLED] = Made(job, hashed(table))
    sizes = sizes_of(rows, job)
    table.insert(2, "index", table["arch"].map({arch: job.space.index(arch) for arch in job.archs}))
    for place, name in enumerate(SIZES, 3):
        table.insert(place, name, table["arch"].map({arch: size.get(name) for arch, size in sizes.items()}))
    families = {arch: job.space.family(arch) for arch in job.archs}
    if any(families.values()):
        table.insert(3, "family", table["arch"].map(families))
    return table
