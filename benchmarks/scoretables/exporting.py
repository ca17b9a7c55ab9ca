"""From stores, folders of runs, and other tables to score tables; folders are read in runs.py."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import spaces
from benchmarks.conditions.batches import open_source
from benchmarks.scoretables import archive
from benchmarks.scoretables.runs import from_run
from benchmarks.scoretables.table import MADE, OK, UNKNOWN, Filling, Made, ScoreTable, by_index, condensed, indexed
from benchmarks.scoring.store import STATUSES, Store
from benchmarks.spaces import Space

BATCH = "batch"  # of --where: noise or images, which conditions alone do not tell
BEYOND = b""  # every text comes before it, in SQLite's order
AT_ONCE = 1_000  # rows; many more at once are slower: they leave the processor's cache


@dataclass
class Group:
    """Scores of a store under the same conditions: the ids that they are filed under, by seed, and what they say.

    `filed` has all ids, by seed and the digest of their batch: a store may have scores on several.
    """

    space: str
    content: dict[str, Any]
    ids: dict[int, str] = field(default_factory=dict)
    batches: dict[int, str] = field(default_factory=dict)
    filed: dict[int, dict[str, str]] = field(default_factory=dict)
    source: str = UNKNOWN

    @property
    def version(self) -> str:
        """The version of its space, which a user's own has."""
        return str(self.content.get("space", ""))

    @property
    def said(self) -> dict[str, Any]:
        """All that --where can ask for, batches aside."""
        return {**self.content, "space": self.space, "space_version": self.version}


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
        connection.execute("BEGIN")  # what others write meanwhile is not seen: a table is asked for more than once
        filed = list(_filed(connection))
        wanted = {name: value for name, value in where.items() if name != BATCH}
        found = [group for group in _groups(connection, filed) if _fits(group.said, wanted)]
        if len(found) != 1:
            raise ValueError(f"store {path}: {_which(found, wanted)}")
        space = find_space(found[0].space, found[0].version, named, str(path))
        group = _on_one(found[0], space, where.get(BATCH), str(path))
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
    after: Sequence[object] = ("", "", "", 0, "")
    while row := connection.execute(
        f"SELECT {names} FROM scores WHERE ({names}, arch) > (?, ?, ?, ?, ?) ORDER BY {names} LIMIT 1", after
    ).fetchone():
        yield Filed(*row)
        after = (*row, BEYOND)


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
        group.filed.setdefault(seed, {})[batch] = name
    return list(found.values())


def _on_one(group: Group, space: Space, asked: str | None, where: str) -> Group:
    """The scores on noise, or on images, which are other scores. Raises ValueError where that has to be chosen.

    Which images a store does not say: of two such batches under one seed neither can be named.
    """
    noise = {seed: noise_of(group.content, seed, space) for seed in group.filed}
    kinds: dict[str, dict[int, dict[str, str]]] = {}
    for seed, batches in sorted(group.filed.items()):
        for digest, name in batches.items():
            kinds.setdefault("noise" if digest == noise[seed] else "images", {}).setdefault(seed, {})[digest] = name
    if asked is not None and asked not in kinds:
        raise ValueError(f"{where}: holds no scores of {BATCH}={asked}; it has: {', '.join(sorted(kinds))}")
    if asked is None and len(kinds) > 1:
        raise ValueError(f"{where}: holds scores on noise and on images; choose by --where {BATCH}=noise or images")
    ((kind, chosen),) = [(kind, some) for kind, some in kinds.items() if asked in (None, kind)]
    if several := [seed for seed, batches in chosen.items() if len(batches) > 1]:
        raise ValueError(
            f"{where}: holds scores on several batches of images, seed {several[0]}; export the run's folder"
        )
    pairs = {seed: next(iter(batches.items())) for seed, batches in chosen.items()}
    group.batches = {seed: digest for seed, (digest, _) in pairs.items()}
    group.ids = {seed: name for seed, (_, name) in pairs.items()}
    group.source = kind if kind == "noise" else UNKNOWN
    return group


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
    head = (space.name, space.version, len(space), condensed(group.content), group.source, group.batches)
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


def noise_of(content: Mapping[str, Any], seed: int, space: Space) -> str:
    """The digest of the batch of noise under some conditions; empty where there is none."""
    try:
        source = open_source("noise", str(content["dataset"]), space=space)
        return source.batch(int(content["batch_size"]), seed).digest
    except (KeyError, ValueError):
        return ""
