"""What a score table holds: scores of candidates by proxies under one set of conditions, and who computed them.

Unlike a store, which takes scores of another version of this program for others, a table is meant to outlive it: each
proxy's scores say by which code (its digest), torch and device they were made. The file: archive.py.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.reading.limits import shown
from benchmarks.scoring.jobs import Job, code_digest
from benchmarks.scoring.store import STATUSES, Score
from benchmarks.spaces import Space
from proxies import Proxy

ABSENT = 255  # in place of a status: the table has no such score
OK = STATUSES.index("ok")
MADE = ("code", "torch", "device")  # of a store's conditions: who computed, which a table states and does not ask for
LARGEST_INDEX = 2**63
UNKNOWN = "unknown"  # a batch, or the code of a run, of which nothing says it

Floats = NDArray[np.float64]
Codes = NDArray[np.uint8]


class Made(NamedTuple):
    """Who computed a proxy's scores: the digest of the source, torch's version, the kind of device."""

    code: str
    torch: str
    device: str

    def told(self) -> str:
        """As a sentence has it."""
        this = " (this one)" if self.code == code_digest() else ""
        return f"code {self.code}{this}, torch {self.torch}, {self.device}"


def both(one: str, other: str) -> str:
    """Two makers' words for the same thing as one."""
    return " and ".join(dict.fromkeys([*one.split(" and "), *other.split(" and ")]))


@dataclass(frozen=True)
class Column:
    """One proxy's scores [S, n], their status as places in STATUSES (or ABSENT), and places of reasons in `reasons`.

    `seconds` [S] is the median cost of a candidate. A failed score is NaN or infinite.
    """

    scores: Floats
    status: Codes
    reason: NDArray[np.uint32]
    seconds: Floats
    made: Made

    @property
    def there(self) -> NDArray[np.bool_]:
        """Which scores there are: [S, n]."""
        return np.asarray(self.status != ABSENT)

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which of them are numbers: [S, n]."""
        return np.asarray(self.status == OK)


@dataclass(frozen=True)
class ScoreTable:
    """Scores of n candidates, by index [n] in their space, under S seeds.

    `conditions` are everything that a score depends on beside candidate, proxy, seed and batch; `batches` the digest of
    each seed's batch, `source` what it is called. Columns go by a proxy's key, which has a user's file's digest in it.
    """

    space: str
    space_version: str
    size: int
    conditions: Mapping[str, Any]
    source: str
    batches: Mapping[int, str]
    index: NDArray[np.int64]
    columns: Mapping[str, Column]
    reasons: Sequence[str] = ("",)
    digest: str = ""  # of the file that it was read from
    where: str = "this table"
    _places: dict[int, int] = field(default_factory=dict, compare=False, repr=False)

    @property
    def seeds(self) -> list[int]:
        """The seeds, in the order of the scores' first axis."""
        return list(self.batches)

    @property
    def places(self) -> dict[int, int]:
        """Where each candidate stands, by its index."""
        if not self._places:
            self._places.update({number: place for place, number in enumerate(self.index.tolist())})
        return self._places

    @property
    def name(self) -> str:
        """What it is called in what is printed."""
        return f"{self.where} (sha256 {self.digest[:12]})" if self.digest else self.where

    @property
    def names(self) -> dict[str, str]:
        """What people read for each key: a proxy of a user's file by its name, with its version where there are two."""
        names = {key: key.partition("@")[0] for key in self.columns}
        several = Counter(names.values())
        return {key: name if several[name] == 1 else key for key, name in names.items()}

    @property
    def absent(self) -> int:
        """How many scores are not there, of those that its candidates, proxies and seeds make."""
        return sum(int((~column.there).sum()) for column in self.columns.values())

    def keys_of(self, job: Job) -> list[str]:
        """The keys of a job's proxies that it has scores of."""
        return [proxy.key for proxy in job.proxies if proxy.key in self.columns]

    def of(self, keys: Sequence[str]) -> ScoreTable:
        """The same table with these proxies alone. Raises ValueError for one that is not there."""
        if missing := [key for key in keys if key not in self.columns]:
            raise ValueError(f"{self.where} has no scores of {missing[0]}; it has: {shown(', '.join(self.columns))}")
        return replace(self, columns={key: self.columns[key] for key in keys})

    def archs(self, space: Space) -> list[str]:
        """The codes of its candidates, in its order."""
        return [space.arch(number) for number in self.index.tolist()]

    def rows_of(self, key: str, name: str, seed: int, archs: Sequence[str], places: Sequence[int]) -> list[Score]:
        """One proxy's scores of candidates that stand at these places, as rows; none where it has none."""
        column, number, at = self.columns[key], self.seeds.index(seed), np.asarray(places, dtype=np.int64)
        seconds = float(column.seconds[number])
        cells = (kind[number, at].tolist() for kind in (column.scores, column.status, column.reason))
        return [
            Score(self.space, arch, name, seed, score, STATUSES[code], seconds, self.reasons[why])
            for arch, score, code, why in zip(archs, *cells, strict=True)
            if code != ABSENT
        ]

    def rows(self, space: Space) -> Iterator[Score]:
        """All that it holds, by proxy, seed and candidate; a proxy under what people read for it."""
        archs = self.archs(space)
        for key, name in self.names.items():
            for seed in self.seeds:
                yield from self.rows_of(key, name, seed, archs, range(len(archs)))

    def held(self, keys: Sequence[str], seeds: Sequence[int]) -> NDArray[np.bool_]:
        """Of which candidates it has every one of these scores: [n]. None where a proxy or a seed is not here."""
        if any(key not in self.columns for key in keys) or any(seed not in self.seeds for seed in seeds):
            return np.zeros(len(self.index), dtype=bool)
        numbers = [self.seeds.index(seed) for seed in seeds]
        every = np.ones(len(self.index), dtype=bool)
        for key in keys:
            every &= self.columns[key].there[numbers].all(axis=0)
        return every

    def any_ok(self, key: str, seed: int) -> bool:
        """Whether it has a number by a proxy; of a seed that is not here nobody can say, which is another matter."""
        column = self.columns.get(key)
        return column is not None and (seed not in self.seeds or bool(column.ok[self.seeds.index(seed)].any()))

    def candidates(self, proxies: Sequence[Proxy], seeds: Sequence[int], space: Space) -> list[str]:
        """The candidates that it has all these scores of. Raises ValueError where there are none, saying why."""
        keys = [proxy.key for proxy in proxies]
        every = self.held(keys, seeds)
        if not every.any():
            missing = [self.lacking(proxy.name) for proxy in proxies if proxy.key not in self.columns]
            missing += [f"seed {seed}" for seed in seeds if seed not in self.batches]
            lacks = missing[0] if missing else "a candidate that every proxy has a score of"
            there = f"{', '.join(self.columns)}; seed {', '.join(map(str, self.seeds))}"
            raise ValueError(f"--scores-only: {self.where} lacks {lacks}; it has: {shown(there)}")
        return [space.arch(number) for number in self.index[every].tolist()]

    def lacking(self, name: str) -> str:
        """A proxy that it lacks, as people read it: of a user's file it may have another version."""
        other = any(key.partition("@")[0] == name for key in self.columns)
        return f"{name} as the file is now" if other else name

    def told(self) -> str:
        """What it holds, in a sentence."""
        seeds = ", ".join(map(str, self.seeds))
        held = f"{len(self.index):,} of {self.size:,} candidates of {self.space}"
        return f"{held} x {len(self.columns)} proxies, seed {seeds}; batch {self.source}; {stated(self.conditions)}"


def stated(conditions: Mapping[str, Any]) -> str:
    """Conditions as people read them."""
    return ", ".join(f"{name} {_short(value)}" for name, value in conditions.items() if value is not None)


def _short(value: object) -> str:
    return str(value)[:12] if isinstance(value, str) and len(value) == 64 else str(value)


def conditions_of(job: Job) -> dict[str, Any]:
    """What a table's conditions have to be for a job: those of the store, without who computes and the batch."""
    seed = job.seeds[0]
    return condensed(job.conditions.content(job.source.batch(job.conditions.batch_size, seed)))


def condensed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A store's conditions without what a table says elsewhere."""
    return {name: content[name] for name in sorted(content) if name not in (*MADE, "batch", "space")}


def made_here(job: Job) -> Made:
    """This program, as the maker of a job's scores."""
    content = job.conditions.content(job.source.batch(job.conditions.batch_size, job.seeds[0]))
    return Made(*(str(content[name]) for name in MADE))


@dataclass(frozen=True)
class Filling:
    """A column while its rows come in: scores, status, reason and seconds, each [S, n]."""

    scores: Floats
    status: Codes
    reason: NDArray[np.uint32]
    seconds: Floats

    @classmethod
    def of(cls, shape: tuple[int, int]) -> Filling:
        """One without any score."""
        absent = np.full(shape, ABSENT, dtype=np.uint8)
        return cls(np.full(shape, np.nan), absent, np.zeros(shape, dtype=np.uint32), np.full(shape, np.nan))

    def put(self, at: tuple[int, int], row: Score, reasons: dict[str, int]) -> None:
        """Take in a row; reasons are counted as they come."""
        self.scores[at], self.status[at], self.seconds[at] = row.score, STATUSES.index(row.status), row.seconds
        self.reason[at] = reasons.setdefault(row.reason, len(reasons))

    def column(self, made: Made) -> Column:
        """The column, its seconds made into medians of the scores that are numbers; without any, NaN."""
        ok = self.status == OK
        pairs = zip(self.seconds, ok, strict=True)
        medians = [float(np.median(row[fine])) if fine.any() else math.nan for row, fine in pairs]
        return Column(self.scores, self.status, self.reason, np.array(medians), made)


def from_rows(rows: Sequence[Score], job: Job, keys: Mapping[str, str], made: Made | None = None) -> ScoreTable:
    """The table of a job's rows; `keys` has the key of each proxy, and rows of others are left out."""
    archs = list(dict.fromkeys(row.arch for row in rows))
    place = {arch: number for number, arch in enumerate(archs)}
    seeds = list(job.seeds)
    reasons: dict[str, int] = {"": 0}
    filled = {name: Filling.of((len(seeds), len(archs))) for name in keys}
    for row in rows:
        if row.proxy in filled:
            filled[row.proxy].put((seeds.index(row.seed), place[row.arch]), row, reasons)
    columns = {keys[name]: one.column(made or made_here(job)) for name, one in filled.items()}
    digests = {seed: job.source.batch(job.conditions.batch_size, seed).digest for seed in seeds}
    index = np.array([indexed(job.space, arch) for arch in archs], dtype=np.int64)
    space, conditions = job.space, conditions_of(job)
    head = (space.name, space.version, len(space), conditions, job.source.name, digests)
    return ScoreTable(*head, index, columns, list(reasons))


def makers(table: ScoreTable) -> dict[str, list[str]]:
    """Who made a table's scores, each with the proxies that are its."""
    found: dict[str, list[str]] = {}
    for key, column in table.columns.items():
        found.setdefault(column.made.told(), []).append(key)
    return found


def indexed(space: Space, arch: str) -> int:
    """A candidate's index. Raises ValueError for one that a table can't hold."""
    number = space.index(arch)
    if number >= LARGEST_INDEX:
        raise ValueError(f"{space.name} has indices beyond 2^63: its scores fit into no table")
    return number


def by_index(table: ScoreTable) -> ScoreTable:
    """The same table, its candidates by index."""
    order = np.argsort(table.index)
    columns = {
        key: Column(one.scores[:, order], one.status[:, order], one.reason[:, order], one.seconds, one.made)
        for key, one in sorted(table.columns.items())
    }
    head = (table.space, table.space_version, table.size, table.conditions, table.source, table.batches)
    return ScoreTable(*head, table.index[order], columns, table.reasons, table.digest, table.where)
