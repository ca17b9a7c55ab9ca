"""From the folders that rank.py leaves to score tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.rows.tables import UNDEFINED
from benchmarks import spaces
from benchmarks.scoretables.table import UNKNOWN, Filling, Made, ScoreTable, both, by_index, condensed, indexed
from benchmarks.scoring.store import STATUSES, Score
from benchmarks.spaces import Space
from proxies import registered

COLUMNS = ["arch", "proxy", "seed", "score", "status", "reason"]  # of scores.csv, as far as they are read


class Left(NamedTuple):
    """What a run left: its scores and costs, and what they were made under and by whom."""

    space: str
    rows: pd.DataFrame
    costs: pd.Series
    conditions: dict[str, Any]
    source: str
    batches: dict[int, str]
    here: Made
    made: dict[str, Made]  # by proxy, where not here
    unique: bool  # whether candidates have the scores of others that compute their function


def from_run(folder: Path) -> ScoreTable:
    """The scores that a run of rank.py left; without combinations and functions of a user's, which are no run's alone.

    Raises ValueError for a folder that holds none, and for a run of a space of a user's own or with --unique: its store
    has what it takes.
    """
    left = _left(folder)
    if left.unique:
        raise ValueError(f"{folder}: --unique gave its candidates scores of others; export the store that these are in")
    if left.space not in spaces.SPACES:
        raise ValueError(
            f"{folder}: a run of {left.space}, a space of your own; export the store that its scores are in"
        )
    space, seeds, rows = spaces.find(left.space), list(left.batches), left.rows
    ours = {one.name for one in registered()}
    names = [proxy for proxy in dict.fromkeys(rows["proxy"]) if proxy in ours]
    if not names:
        raise ValueError(f"{folder}: scores of functions of yours alone; export the store that they are in")
    archs = list(dict.fromkeys(rows["arch"]))
    place, reasons = {arch: number for number, arch in enumerate(archs)}, {"": 0}
    filled = {proxy: Filling.of((len(seeds), len(archs))) for proxy in names}
    for row in _scored(rows[rows["proxy"].isin(names)], space, left.costs, folder):
        filled[row.proxy].put((seeds.index(row.seed), place[row.arch]), row, reasons)
    columns = {proxy: one.column(left.made.get(proxy, left.here)) for proxy, one in filled.items()}
    index = np.array([indexed(space, arch) for arch in archs], dtype=np.int64)
    head = (space.name, space.version, len(space), condensed(left.conditions), left.source, left.batches)
    return by_index(ScoreTable(*head, index, columns, list(reasons)))


def _left(folder: Path) -> Left:
    """A run's files. Raises ValueError, saying what is missing, where they can't be read."""
    try:
        said = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        text = {"arch": str}
        rows = pd.read_csv(folder / "scores.csv", na_values=[UNDEFINED], keep_default_na=False, dtype=text)[COLUMNS]
        options, teacher = said["options"], said["teacher"]
        weights = teacher["weights"].removeprefix("sha256 ")
        conditions = {name: options[name] for name in ("dataset", "batch_size", "precision")}
        conditions |= {"draw": said["draw"], "init": said["init"], "teacher": teacher["name"]}
        conditions["teacher_weights"] = None if weights == "random by seed" else weights
        conditions["teacher_resolution"] = teacher.get("resolution")
        if (inputs := teacher.get("inputs")) is not None:
            conditions["teacher_inputs"] = inputs
        batches = {int(seed): str(said["batch"]["sha256"][str(seed)]) for seed in said["seeds"]}
        here = Made(str(said.get("code", UNKNOWN)), str(said["versions"]["torch"]), device_kind(str(said["device"])))
        made = _makers(said.get("scores", {}), len(batches) * rows["arch"].nunique(), here)
        costs, source = _costs(folder / "seconds.csv"), str(said["batch"]["source"])
        return Left(
            str(options["space"]), rows, costs, conditions, source, batches, here, made, options.get("unique") is True
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        told = (
            f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        )
        raise ValueError(f"{folder}: not a run of rank.py that can be read ({told})") from None


def _costs(path: Path) -> pd.Series:
    """What a candidate cost, by proxy; nothing where a run had no accuracies, and left no such file."""
    if not path.exists():
        return pd.Series(dtype=float)
    return pd.read_csv(path, na_values=[UNDEFINED]).set_index("proxy")["seconds_per_arch"]


def _makers(said: Mapping[str, Any], of_each: int, here: Made) -> dict[str, Made]:
    """Who made the scores that a run took from a table, by proxy; the run too, where the table had not all of them."""
    made = {str(proxy): Made(*map(str, maker)) for proxy, maker in said.get("made", {}).items()}
    if said.get("used") == of_each * len(made):
        return made
    return {proxy: Made(*map(both, maker, here)) for proxy, maker in made.items()}


def _scored(rows: pd.DataFrame, space: Space, costs: pd.Series, folder: Path) -> Iterator[Score]:
    """The rows of a scores.csv. Raises ValueError for one that can't be, or is there twice."""
    if rows.duplicated(["arch", "proxy", "seed"]).any():
        raise ValueError(f"{folder}/scores.csv: a row stands there twice")
    for arch, proxy, seed, score, status, reason in zip(*(rows[name] for name in COLUMNS), strict=True):
        if status not in STATUSES:
            raise ValueError(f"{folder}/scores.csv: a status {status!r:.20}")
        code, cost = space.parse(str(arch)), float(costs.get(proxy, np.nan))
        yield Score(space.name, code, str(proxy), int(seed), float(score), str(status), cost, str(reason))


def device_kind(name: str) -> str:
    """cpu, or cuda for what has a GPU's name."""
    return "cpu" if name == "cpu" else "cuda"
