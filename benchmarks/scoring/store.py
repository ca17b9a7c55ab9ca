"""The crash-safe store of scores: SQLite, one transaction a stack, keyed by content.

A score's key is the candidate, the proxy, the seed and the conditions; conditions hold everything else that a score
depends on, so that runs under different conditions can share a file. What is stored is never scored again.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

VERSION = 2

_TABLES = """
CREATE TABLE conditions (id TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE scores (
    conditions TEXT NOT NULL REFERENCES conditions (id),
    space TEXT NOT NULL, arch TEXT NOT NULL, proxy TEXT NOT NULL, seed INTEGER NOT NULL,
    score REAL, status TEXT NOT NULL, seconds REAL NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (conditions, space, proxy, seed, arch)
) WITHOUT ROWID;
"""


_COLUMNS = "conditions, space, arch, proxy, seed, score, status, seconds, reason"
_INSERT = f"INSERT OR IGNORE INTO scores ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
STATUSES = ("ok", "nan", "inf", "undefined", "oom", "error")
PATIENCE = 60  # seconds that a process waits for others
AGREES = 1e-3  # relative: what another machine's rounding can make of a score


# What sqlite_master says of them: a store with more, such as a trigger or a view, is not one that this program made.
def _layout(tables: str) -> list[tuple[str, str, str]]:
    return sorted((sql.split()[2], "table", sql) for statement in tables.split(";") if (sql := statement.strip()))


# Version 1 had no reasons. A store of it becomes one of version 2 when it is opened, with all that it holds.
_OLD_TABLES = _TABLES.replace(", reason TEXT NOT NULL", "")
_RENEWED = (
    *("ALTER TABLE scores RENAME TO old", _TABLES.split(";")[1], "INSERT INTO scores SELECT *, '' FROM old"),
    "DROP TABLE old",
)


class Score(NamedTuple):
    """One row: status is ok, nan, inf, undefined, oom or error; seconds are those of the proxy alone for one candidate.

    `reason` says why a proxy is undefined for a candidate, or what the error was.
    """

    space: str
    arch: str
    proxy: str
    seed: int
    score: float
    status: str
    seconds: float
    reason: str = ""


class Merged(NamedTuple):
    """What became of another store's scores: how many it has, were new, and differ from what was here."""

    total: int
    new: int
    differing: int


class Store:
    """An open store. Use as a context manager; raises ValueError where the file can't be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        except sqlite3.OperationalError as error:
            raise ValueError(f"store {path}: {error}") from None
        try:
            self._prepare()
        except sqlite3.OperationalError as error:  # locked, read-only, no space: the file itself is sound
            self._connection.close()
            raise ValueError(f"store {path}: {error}") from None
        except sqlite3.DatabaseError as error:
            self._connection.close()
            if not _looks_like_a_store(path):
                raise ValueError(f"store {path}: no store ({error}), and left alone; name another by --store") from None
            aside = _set_aside(path)
            raise ValueError(
                f"store {path} is damaged ({error}); it is kept as {aside}, run again for a new one"
            ) from None
        except ValueError:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        self._connection.execute("BEGIN")  # both as they are at one moment: another process may be making the store
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        tables = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        self._connection.execute("COMMIT")
        if version not in (0, 1, VERSION):
            raise ValueError(
                f"store {self.path} is of version {version}, this program writes {VERSION}: update the program, "
                "or name another file by --store; nothing was changed"
            )
        self._connection.execute("PRAGMA trusted_schema = OFF")
        if version == 0 and tables:  # told before anything is written to it
            raise ValueError(f"{self.path} is another program's SQLite file; name another by --store")
        self._journal_ahead()
        self._connection.execute("PRAGMA synchronous = FULL")
        if self._connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("its check failed")
        with self._transaction():
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            layout = _layout(_OLD_TABLES if version == 1 else _TABLES)
            if version and sorted(self._connection.execute("SELECT name, type, sql FROM sqlite_master")) != layout:
                raise ValueError(f"store {self.path} has other tables than a store; name another file by --store")
            for statement in {0: _TABLES.split(";"), 1: _RENEWED}.get(version, ()):
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {VERSION}")

    def _journal_ahead(self) -> None:
        """Write-ahead journal: readers and a writer side by side. SQLite does not wait for others that switch to it."""
        last = monotonic() + PATIENCE
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() > last:
                    raise
                sleep(0.02)
            else:
                return

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def conditions(self, conditions: Mapping[str, object]) -> str:
        """The id of some conditions, filed if new."""
        text = json.dumps(conditions, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()
        with self._transaction():
            self._connection.execute("INSERT OR IGNORE INTO conditions VALUES (?, ?)", (key, text))
        return key

    def add(self, conditions: str, scores: Iterable[Score]) -> None:
        """Write scores in one transaction. One that is there already stays as it is."""
        rows = [
            (conditions, *(None if value != value else value for value in score))  # NULL stands for NaN
            for score in scores
        ]
        with self._transaction():
            self._connection.executemany(_INSERT, rows)

    def absorb(self, path: Path) -> Merged:
        """Take in all that another store holds, in one transaction; what is here already stays as it is.

        Raises ValueError where there is no store that can be read.
        """
        if not path.is_file():
            raise ValueError(f"store {path}: no such file")
        if self.path.exists() and path.samefile(self.path):
            raise ValueError(f"store {path}: can't be merged into itself")
        new = differing = total = 0
        with Store(path) as other, self._transaction():
            for row in other._connection.execute("SELECT id, json FROM conditions"):
                self._connection.execute("INSERT OR IGNORE INTO conditions VALUES (?, ?)", row)
            for row in other._rows(f"SELECT {_COLUMNS} FROM scores"):
                other._check(Score(*row[1:]))
                total += 1
                added = self._connection.execute(_INSERT, row).rowcount
                new += added
                differing += not added and not self._agrees(row)
        return Merged(total, new, differing)

    def _agrees(self, row: tuple[Any, ...]) -> bool:
        """Whether the score that is here is that of the row, rounding aside."""
        conditions, space, arch, proxy, seed, score, status, *_ = row
        key = (conditions, space, proxy, seed, arch)
        here = self._connection.execute(
            "SELECT score, status FROM scores WHERE (conditions, space, proxy, seed, arch) = (?, ?, ?, ?, ?)", key
        ).fetchone()
        if not isinstance(score, float) or not isinstance(here[0], float):
            return bool((score, status) == tuple(here))
        return bool(status == here[1] and math.isclose(score, here[0], rel_tol=AGREES))

    def scores(self, conditions: str, space: str, proxies: Iterable[str], seed: int) -> Iterator[Score]:
        """What is stored for some proxies and a seed under these conditions, by proxy and arch."""
        for proxy in proxies:
            found = self._rows(
                "SELECT space, arch, proxy, seed, score, status, seconds, reason FROM scores "
                "WHERE conditions = ? AND space = ? AND proxy = ? AND seed = ?",
                (conditions, space, proxy, seed),
            )
            for row in found:
                score = Score(*row)
                self._check(score)
                yield score._replace(score=math.nan) if score.score is None else score

    def _rows(self, statement: str, values: tuple[object, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a SELECT. Raises ValueError where the file is damaged."""
        try:
            for row in self._connection.execute(statement, values):  # noqa: UP028, `yield from` closes it after the store
                yield row
        except sqlite3.Error as error:  # a text that is none, say
            raise ValueError(f"store {self.path}: {error}") from None

    def _check(self, row: Score) -> None:
        """Raises ValueError for a row that this program has not written."""
        if not isinstance(row.score, float | None) or not isinstance(row.seconds, float):
            raise self._strange(row, "no number")
        if not isinstance(row.reason, str):
            raise self._strange(row, "without a reason that is text")
        finite = row.score is not None and math.isfinite(row.score)
        if row.status not in STATUSES or (row.status == "ok" and not finite) or not 0 <= row.seconds < math.inf:
            raise self._strange(row, f"{row.score}, status {row.status!r:.20}, {row.seconds} s")

    def _strange(self, row: Score, what: str) -> ValueError:
        return ValueError(f"store {self.path}: the score of {row.proxy} for {row.arch!r:.80} is {what}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:  # a full disk, say
            self._roll_back()
            raise ValueError(f"store {self.path}: {error}; what was written before is kept") from None
        except BaseException:
            self._roll_back()
            raise

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # SQLite has done it already after some errors
            self._connection.execute("ROLLBACK")


def _looks_like_a_store(path: Path) -> bool:
    """Whether a file that can't be read was one: by its first bytes, or by its name."""
    with path.open("rb") as file:
        return file.read(15) == b"SQLite format 3" or path.suffix == ".sqlite"


def _set_aside(path: Path) -> Path:
    """Rename a damaged store, and its journals, to a name that is free; never over another file."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        journal = path.with_name(path.name + suffix)
        if journal.exists():
            journal.rename(aside.with_name(aside.name + suffix))
    return aside
