"""From stores, and from folders of runs, to score tables."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.rows.tables import UNDEFINED
from benchmarks import spaces
from benchmarks.conditions.batches import open_source
from benchmarks.scoretables import archive
from benchmarks.scoretables.table import MADE, OK, Column, Filling, Made, ScoreTable, condensed, indexed
from benchmarks.scoring.store import STATUSES, Score, Store
from benchmarks.spaces import Space
from proxies import registered

UNKNOWN = "unknown"  # the code of runs that did not say it
AT_ONCE = 1_000  # rows; many more at once are slower: they leave the processor's cache


@dataclass
class Group:
    """Scores of a store under the same conditions: the ids that they are filed under, by seed, and what they say."""

    space: str
    content: dict[str, Any]
    ids: dict[int, str] = field(default_factory=dict)
    batches: dict[int, str] = field(default_factory=dict)

    @property
    def said(self) -> dict[str, Any]:
        """All that --where can ask for."""
        return {"space": self.space, **{name: value for name, value in self.content.items() if name != "space"}}


def of(source: Path, where: Mapping[str, str], named: str | None) -> ScoreTable:
    """The scores of a store, of a run's folder, or of a table. Raises ValueError where there are none."""
    if source.is_dir():
        table = from_run(source)
    elif source.suffix == archive.SUFFIX:
        table = archive.read(source)
    else:
        table = from_store(source, where, named)
    return replace(table, where=str(source))


def conditions_named(text: str | None) -> dict[str, str]:
    """--where as names and values. Raises ValueError for what is none."""
    pairs = [part.partition("=") for part in (text or "").split(",") if part.strip()]
    if any(not middle for _, middle, _ in pairs):
        raise ValueError(f"--where {text}: NAME=VALUE,... such as draw=shared")
    return {name.strip(): value.strip() for name, _, value in pairs}


def from_store(path: Path, where: Mapping[str, str], named: str | None = None) -> ScoreTable:
    """The scores of a store that were made under one set of conditions, which `where` chooses among several.

    `named` is the space of a user's own. Raises ValueError where there are none or several, saying how they differ.
    """
    if not path.is_file():
        raise ValueError(f"store {path}: no such file")
    with Store(path):  # is one, and of this version
        pass
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        filed = list(_filed(connection))
        found = [group for group in _groups(connection, filed) if _fits(group.said, where)]
        if len(found) != 1:
            raise ValueError(f"store {path}: {_which(found, where)}")
        (group,) = found
        space = find_space(group.space, str(group.content.get("space", "")), named, str(path))
        keys = {one.proxy for one in filed if one.space == group.space and one.conditions in group.ids.values()}
        return _read(connection, group, space, sorted(keys))


def find_space(name: str, version: str, named: str | None, where: str) -> Space:
    """The space of some scores. Raises ValueError for a user's own that is not named, or is another version of it."""
    if named is None and name not in spaces.SPACES:
        raise ValueError(f"{where}: scores of {name!r}, a space of your own: name it by --space FILE.py:NAME")
    space = spaces.find(named or name)
    if (space.name, space.version) != (name, version):
        raise ValueError(f"{where}: scores of the space {name} {version}, not of {space.name} {space.version}".rstrip())
    return space


class Filed(NamedTuple):
    """What scores are filed under, beside their candidate."""

    conditions: str
    space: str
    proxy: str
    seed: int


def _filed(connection: sqlite3.Connection) -> Iterator[Filed]:
    """All that scores of a store are filed under, by leaps over its index, of which DISTINCT reads every row."""
    names = ", ".join(Filed._fields)
    after: Sequence[object] = ("", "", "", 0)
    while row := connection.execute(
        f"SELECT {names} FROM scores WHERE ({names}) > (?, ?, ?, ?) ORDER BY {names} LIMIT 1", after
    ).fetchone():
        yield Filed(*row)
        after = row


def _groups(connection: sqlite3.Connection, filed: Sequence[Filed]) -> list[Group]:
    """What a store's scores are made under, seeds aside."""
    found: dict[str, Group] = {}
    texts = dict(connection.execute("SELECT id, json FROM conditions").fetchall())
    for name, space, seed in dict.fromkeys((one.conditions, one.space, one.seed) for one in filed):
        content = json.loads(texts[name])
        batch = str(content.pop("batch", ""))
        if "code" not in content:  # not of this program
            continue
        group = found.setdefault(json.dumps([space, content], sort_keys=True), Group(space, content))
        group.ids[seed], group.batches[seed] = name, batch
    for group in found.values():
        group.ids = dict(sorted(group.ids.items()))
        group.batches = dict(sorted(group.batches.items()))
    return list(found.values())


def _fits(said: Mapping[str, Any], where: Mapping[str, str]) -> bool:
    return all(str(said.get(name)) == value for name, value in where.items())


def _which(found: Sequence[Group], where: Mapping[str, str]) -> str:
    if not found:
        return "holds no scores" + (f" of {', '.join(f'{n}={v}' for n, v in where.items())}" if where else "")
    names = dict.fromkeys(name for group in found for name in group.said)
    told = []
    for name in names:
        values = sorted({str(group.said.get(name)) for group in found})
        if len(values) > 1:
            told.append(f"{name}={' or '.join(values)}")
    return f"holds scores under {len(found)} conditions; choose by --where {'; '.join(told)}"


class Places:
    """Where candidates stand, in the order in which they come: mostly the same ones, for each proxy and seed."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}
        self._before: dict[int, tuple[tuple[str, ...], np.ndarray]] = {}

    def at(self, number: int, archs: tuple[str, ...]) -> np.ndarray:
        """The places of so many candidates, which the part of this number of some scores has: [m]."""
        known, found = self._before.get(number, ((), np.empty(0, dtype=np.int64)))
        if known != archs:
            found = np.array([self.of.setdefault(arch, len(self.of)) for arch in archs], dtype=np.int64)
            self._before[number] = (archs, found)
        return found


class Part(NamedTuple):
    """One proxy's scores under a seed, as they are filed: [m]; status and reason of those that are not just ok."""

    at: np.ndarray
    scores: np.ndarray
    seconds: np.ndarray
    failed: list[tuple[str, str, str]]  # arch, status, reason


def _read(connection: sqlite3.Connection, group: Group, space: Space, keys: Sequence[str]) -> ScoreTable:
    """All scores of a group, proxy by proxy and seed by seed, as they are filed: by candidate."""
    places = Places()
    parts = {
        (key, seed): _part(connection, (filed, group.space, key, seed), places)
        for key in keys
        for seed, filed in group.ids.items()
    }
    order = np.array([indexed(space, arch) for arch in places.of], dtype=np.int64)
    made = Made(*(str(group.content[name]) for name in MADE))
    reasons: dict[str, int] = {"": 0}
    columns = {}
    for key in keys:
        filling = Filling.of((len(group.ids), len(order)))
        for number, seed in enumerate(group.ids):
            part = parts.pop((key, seed))
            filling.scores[number, part.at], filling.seconds[number, part.at] = part.scores, part.seconds
            filling.status[number, part.at] = OK
            for arch, status, reason in part.failed:
                if status not in STATUSES:
                    raise ValueError(f"the score of {key} for {arch!r:.80} is of the status {status!r:.20}")
                place = places.of[arch]
                filling.status[number, place] = STATUSES.index(status)
                filling.reason[number, place] = reasons.setdefault(reason, len(reasons))
        columns[key] = filling.column(made)
    source = source_of(group.content, group.batches, space)
    head = (space.name, space.version, len(space), condensed(group.content), source, group.batches)
    return by_index(ScoreTable(*head, order, columns, list(reasons)))


def _part(connection: sqlite3.Connection, key: tuple[str, str, str, int], places: Places) -> Part:
    """One proxy's scores under a seed. Two questions, as most scores are ok and texts are dear to fetch."""
    filed = "FROM scores WHERE (conditions, space, proxy, seed) = (?, ?, ?, ?)"
    asked = connection.execute(f"SELECT arch, score, seconds {filed} ORDER BY arch", key)
    at, scores, seconds = [np.empty(0, dtype=np.int64)], [np.empty(0)], [np.empty(0)]
    while rows := asked.fetchmany(AT_ONCE):
        archs, values, took = zip(*rows, strict=True)
        at.append(places.at(len(at), archs))
        scores.append(np.array(values, dtype=float))  # None is NaN
        seconds.append(np.array(took, dtype=float))
    other = connection.execute(f"SELECT arch, status, reason {filed} AND (status <> 'ok' OR reason <> '')", key)
    return Part(np.concatenate(at), np.concatenate(scores), np.concatenate(seconds), other.fetchall())


def source_of(content: Mapping[str, Any], batches: Mapping[int, str], space: Space) -> str:
    """What a batch is called, as far as its digest tells."""
    try:
        noise = open_source("noise", str(content["dataset"]), space=space)
        same = all(noise.batch(int(content["batch_size"]), seed).digest == digest for seed, digest in batches.items())
    except (KeyError, ValueError):
        return UNKNOWN
    return "noise" if same else UNKNOWN


def by_index(table: ScoreTable) -> ScoreTable:
    """The same table, its candidates by index."""
    order = np.argsort(table.index)
    columns = {
        key: Column(one.scores[:, order], one.status[:, order], one.reason[:, order], one.seconds, one.made)
        for key, one in sorted(table.columns.items())
    }
    head = (table.space, table.space_version, table.size, table.conditions, table.source, table.batches)
    return ScoreTable(*head, table.index[order], columns, table.reasons, table.digest, table.where)


def from_run(folder: Path) -> ScoreTable:
    """The scores that a run of rank.py left; without combinations and functions of a user's, which are no run's alone.

    Raises ValueError for a folder that holds none, or a run of a space of a user's own: its store has what it takes.
    """
    try:
        said = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        rows = pd.read_csv(folder / "scores.csv", na_values=[UNDEFINED], keep_default_na=False)
        costs = pd.read_csv(folder / "seconds.csv", na_values=[UNDEFINED]).set_index("proxy")["seconds_per_arch"]
        options, seeds = said["options"], [int(seed) for seed in said["seeds"]]
        name = str(options["space"])
        weights = said["teacher"]["weights"].removeprefix("sha256 ")
        conditions = {name: options[name] for name in ("dataset", "batch_size", "precision")}
        conditions |= {"draw": said["draw"], "init": said["init"], "teacher": said["teacher"]["name"]}
        conditions["teacher_weights"] = None if weights == "random by seed" else weights
        conditions["teacher_resolution"] = said["teacher"].get("resolution")
        batches = {int(seed): str(digest) for seed, digest in said["batch"]["sha256"].items()}
        made = Made(str(said.get("code", UNKNOWN)), str(said["versions"]["torch"]), device_kind(str(said["device"])))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        told = (
            f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        )
        raise ValueError(f"{folder}: not a run of rank.py that can be read ({told})") from None
    if name not in spaces.SPACES:
        raise ValueError(f"{folder}: a run of {name}, a space of your own; export the store that its scores are in")
    space = spaces.find(name)
    ours = {one.name for one in registered()}
    names = [proxy for proxy in dict.fromkeys(rows["proxy"]) if proxy in ours]
    archs = list(dict.fromkeys(rows["arch"].astype(str)))
    place, reasons = {arch: number for number, arch in enumerate(archs)}, {"": 0}
    filled = {proxy: Filling.of((len(seeds), len(archs))) for proxy in names}
    for row in _scored(rows[rows["proxy"].isin(names)], space, costs, folder):
        filled[row.proxy].put((seeds.index(row.seed), place[row.arch]), row, reasons)
    columns = {proxy: one.column(made) for proxy, one in filled.items()}
    index = np.array([indexed(space, arch) for arch in archs], dtype=np.int64)
    head = (space.name, space.version, len(space), condensed(conditions), str(said["batch"]["source"]), batches)
    return by_index(ScoreTable(*head, index, columns, list(reasons)))


def _scored(rows: pd.DataFrame, space: Space, costs: pd.Series, folder: Path) -> Iterator[Score]:
    """The rows of a scores.csv. Raises ValueError for one that can't be."""
    names = ("arch", "proxy", "seed", "score", "status", "reason")
    for arch, proxy, seed, score, status, reason in zip(*(rows[name] for name in names), strict=True):
        if status not in STATUSES:
            raise ValueError(f"{folder}/scores.csv: a status {status!r:.20}")
        code, cost = space.parse(str(arch)), float(costs.get(proxy, np.nan))
        yield Score(space.name, code, str(proxy), int(seed), float(score), str(status), cost, str(reason))


def device_kind(name: str) -> str:
    """cpu, or cuda for what has a GPU's name."""
    return "cpu" if name == "cpu" else "cuda"
