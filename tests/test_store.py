"""The store keeps every number as it was, whatever happens to the process or the file."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.scoring import store as module
from benchmarks.scoring.store import VERSION, Merged, Score, Store


def score(value: float = 1.0, arch: str = "a", proxy: str = "p", seed: int = 0, status: str = "ok") -> Score:
    return Score("space", arch, proxy, seed, value, status, 0.25)


def all_of(store: Store, key: str, proxy: str = "p", seed: int = 0) -> list[Score]:
    return list(store.scores(key, "space", [proxy], seed))


def asked(store: Store, question: str) -> Any:
    """The first field of SQLite's answer."""
    return store._connection.execute(question).fetchone()[0]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """Every connection that is opened from now on; none waits for a lock."""
    found: list[sqlite3.Connection] = []
    connect: Callable[..., sqlite3.Connection] = sqlite3.connect

    def remembered(path: Path, **options: Any) -> sqlite3.Connection:
        found.append(connect(path, **options | {"timeout": 0}))
        return found[-1]

    monkeypatch.setattr(module.sqlite3, "connect", remembered)
    return found


def assert_closed(connection: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


@given(st.floats())
def test_every_float_survives(value: float) -> None:
    """But for the sign of zero, which SQLite does not keep: the scoring loop hands in no -0.0."""
    with Store(Path(":memory:")) as store:
        key = store.conditions({})
        status = "nan" if math.isnan(value) else "inf" if math.isinf(value) else "ok"
        store.add(key, [score(value, status=status)])
        (back,) = all_of(store, key)
    assert back.score == value or (math.isnan(back.score) and math.isnan(value))


def test_rows_survive_closing(tmp_path: Path) -> None:
    rows = [score(math.nan, "a", status="nan"), score(-math.inf, "b", status="inf"), score(0.1, "c")]
    rows.append(score(1.0, "d")._replace(seconds=0.0))
    with Store(tmp_path / "s.sqlite") as store:
        store.add(store.conditions({"x": 1}), rows)
    with Store(tmp_path / "s.sqlite") as store:
        back = all_of(store, store.conditions({"x": 1}))
    assert repr(back) == repr(rows)


def test_nothing_is_doubled_or_overwritten(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        key = store.conditions({})
        store.add(key, [score(1.0)])
        store.add(key, [score(2.0), score(3.0, "b")])
        assert [row.score for row in all_of(store, key)] == [1.0, 3.0]


def test_conditions_proxies_and_seeds_keep_apart(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        one, other = store.conditions({"draw": "shared"}), store.conditions({"draw": "common"})
        assert one != other
        assert one == store.conditions({"draw": "shared"})
        store.add(one, [score()])
        assert all_of(store, other) == all_of(store, one, proxy="q") == all_of(store, one, seed=1) == []


def test_conditions_are_filed_as_they_were_whatever_their_order(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        assert store.conditions({"a": 1, "b": "x"}) == store.conditions({"b": "x", "a": 1})
        assert json.loads(asked(store, "SELECT json FROM conditions")) == {"a": 1, "b": "x"}


def test_a_store_is_made_in_folders_of_its_own_so_that_no_crash_harms_it(tmp_path: Path) -> None:
    for _ in range(2):
        with Store(tmp_path / "some" / "runs" / "s.sqlite") as store:
            assert asked(store, "PRAGMA user_version") == 2  # the format on disk: another needs a way to read this one
            assert asked(store, "PRAGMA journal_mode") == "wal"
            assert asked(store, "PRAGMA synchronous") == 2
            assert asked(store, "PRAGMA trusted_schema") == 0
            assert asked(store, "PRAGMA busy_timeout") == 60_000


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store, Store(tmp_path / "s.sqlite") as other:
        key = store.conditions({})
        with pytest.raises(sqlite3.Error):
            store.add(key, [score(1.0, "a"), score(2.0, arch=object())])  # type: ignore[arg-type]
        assert all_of(store, key) == []
        other.add(key, [score(3.0, "b")])  # no lock was left
        assert [row.score for row in all_of(store, key)] == [3.0]


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        key = store.conditions({})
        store.add(key, [score(1.0)])
        store._connection.execute(f"PRAGMA max_page_count = {asked(store, 'PRAGMA page_count')}")
        with pytest.raises(ValueError, match=r"s\.sqlite: .*full; what was written before is kept"):
            store.add(key, [score(2.0, f"{number}" * 100) for number in range(300)])
        assert [row.score for row in all_of(store, key)] == [1.0]
        store._connection.execute("PRAGMA max_page_count = 100000")
        store.add(key, [score(2.0, "b")])
        assert [row.score for row in all_of(store, key)] == [1.0, 2.0]


def test_a_text_in_place_of_a_score_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        key = store.conditions({})
        store.add(key, [score()])
        for column in ("score", "seconds"):
            store._connection.execute("UPDATE scores SET score = 1.0, seconds = 1.0")
            store._connection.execute(f"UPDATE scores SET {column} = 'much'")
            with pytest.raises(ValueError, match=r"s\.sqlite: the score of p for 'a' is no number"):
                all_of(store, key)


MERGED = [  # what is here, what the other store has, whether they differ
    (1.0, "ok", 1.0 + 1e-4, "ok", False),
    (1.0, "ok", 1.01, "ok", True),
    (1.0, "ok", 1.0, "error", True),
    (math.nan, "nan", math.nan, "nan", False),
    (math.nan, "nan", math.nan, "oom", True),
    (math.nan, "nan", 1.0, "ok", True),
    (1.0, "ok", math.nan, "nan", True),
    (1.0, "nan", math.nan, "nan", True),
    (math.nan, "nan", 1.0, "nan", True),
]


@pytest.mark.parametrize(("mine", "my_status", "theirs", "their_status", "differs"), MERGED)
def test_what_is_merged_comes_beside_what_is_here(
    tmp_path: Path, mine: float, my_status: str, theirs: float, their_status: str, differs: bool
) -> None:
    with Store(tmp_path / "other.sqlite") as other:
        key, alone = other.conditions({}), other.conditions({"x": 1})
        other.add(key, [score(theirs, "a", status=their_status), score(5.0, "b"), score(6.0, "c")])
        other.add(alone, [score(7.0)])
    with Store(Path(":memory:")) as store:
        store.add(store.conditions({}), [score(mine, "a", status=my_status)])
        assert store.absorb(tmp_path / "other.sqlite") == Merged(4, 3, int(differs))
        expected = [score(mine, "a", status=my_status), score(5.0, "b"), score(6.0, "c")]
        assert repr(all_of(store, key)) == repr(expected)
        assert all_of(store, alone) == [score(7.0)]
        assert asked(store, f"SELECT json FROM conditions WHERE id = '{alone}'") == '{"x": 1}'
        assert store.absorb(tmp_path / "other.sqlite") == Merged(4, 0, int(differs))


def test_a_store_that_is_none_or_itself_is_not_merged(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        with pytest.raises(ValueError, match=r"other\.sqlite: no such file"):
            store.absorb(tmp_path / "other.sqlite")
        with pytest.raises(ValueError, match=r"s\.sqlite: can't be merged into itself"):
            store.absorb(tmp_path / ".." / tmp_path.name / "s.sqlite")


def test_two_writers_share_a_store(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as first, Store(tmp_path / "s.sqlite") as second:
        key = first.conditions({})
        assert second.conditions({}) == key
        first.add(key, [score(1.0)])
        second.add(key, [score(2.0), score(2.0, "b")])
        assert [row.score for row in all_of(first, key)] == [1.0, 2.0]


def open_all(folder: Path, together: Barrier) -> None:
    for number in range(60):
        together.wait(60)
        with Store(folder / f"{number}.sqlite"):
            pass


def test_processes_that_open_a_new_store_at_once_share_it(tmp_path: Path) -> None:
    """The tasks of a job array do."""
    context = get_context("forkserver")
    together = context.Barrier(3)
    processes = [context.Process(target=open_all, args=(tmp_path, together)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]


class Refusing(sqlite3.Connection):
    """Refuses to switch its journal, with these codes one after another."""

    codes: list[int] = []  # noqa: RUF012

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:  # type: ignore[override]
        if "WAL" in statement and self.codes:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = self.codes.pop()
            raise error
        return super().execute(statement, *values)


@pytest.mark.parametrize(
    ("codes", "pauses", "opens"),
    [
        ([sqlite3.SQLITE_BUSY] * 2, 2, True),
        ([sqlite3.SQLITE_BUSY] * 9, 7, False),
        ([sqlite3.SQLITE_READONLY], 0, False),
    ],
)
def test_others_that_switch_their_journal_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: list[int], pauses: int, opens: bool
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(Refusing, "codes", codes)
    monkeypatch.setattr(module.sqlite3, "connect", partial(sqlite3.connect, factory=Refusing))
    monkeypatch.setattr(module, "sleep", slept.append)
    monkeypatch.setattr(module, "monotonic", lambda: 100 + 10 * len(slept))  # each pause takes ten seconds
    refused = nullcontext() if opens else pytest.raises(ValueError, match=r"s\.sqlite: database is locked")
    with refused, Store(tmp_path / "s.sqlite") as store:
        assert asked(store, "PRAGMA journal_mode") == "wal"
    assert slept == [0.02] * pauses


def test_a_store_of_the_first_version_is_taken_over_with_all_it_holds(tmp_path: Path) -> None:
    old = """CREATE TABLE conditions (id TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE scores (
    conditions TEXT NOT NULL REFERENCES conditions (id),
    space TEXT NOT NULL, arch TEXT NOT NULL, proxy TEXT NOT NULL, seed INTEGER NOT NULL,
    score REAL, status TEXT NOT NULL, seconds REAL NOT NULL,
    PRIMARY KEY (conditions, space, proxy, seed, arch)
) WITHOUT ROWID;
PRAGMA user_version = 1;
INSERT INTO conditions VALUES ('key', '{}');
INSERT INTO scores VALUES ('key', 'space', 'a', 'p', 0, 0.1, 'ok', 0.25);
INSERT INTO scores VALUES ('key', 'space', 'b', 'p', 0, NULL, 'nan', 0.5);
"""
    connection = sqlite3.connect(tmp_path / "s.sqlite")
    connection.executescript(old)
    connection.close()
    for _ in range(2):  # the second time it is one of this version
        with Store(tmp_path / "s.sqlite") as store:
            found = list(store.scores("key", "space", ["p"], 0))
            assert [row.reason for row in found] == ["", ""]
            assert repr(found[0]) == repr(score(0.1, "a", "p"))
            assert asked(store, "SELECT json FROM conditions") == "{}"
            assert asked(store, "PRAGMA user_version") == VERSION


def test_a_store_keeps_why_a_score_is_undefined(tmp_path: Path) -> None:
    row = score(math.nan, status="undefined")._replace(reason="the network has no ReLU")
    with Store(tmp_path / "s.sqlite") as store:
        store.add(store.conditions({}), [row])
    with Store(tmp_path / "s.sqlite") as store, Store(tmp_path / "other.sqlite") as other:
        other.absorb(tmp_path / "s.sqlite")
        for one in (store, other):
            (found,) = one.scores(one.conditions({}), "space", [row.proxy], 0)
            assert repr(found) == repr(row)


def test_a_newer_store_is_left_alone(tmp_path: Path, opened: list[sqlite3.Connection]) -> None:
    path = tmp_path / "s.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"{path} is of version {VERSION + 1}, this program writes {VERSION}"):
        Store(path)
    assert path.read_bytes() == before
    assert_closed(opened[-1])


def test_a_store_that_is_locked_is_left_alone(tmp_path: Path, opened: list[sqlite3.Connection]) -> None:
    holder = sqlite3.connect(tmp_path / "s.sqlite")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ValueError, match=re.escape(f"store {tmp_path / 's.sqlite'}: database is locked")):
        Store(tmp_path / "s.sqlite")
    assert_closed(opened[-1])
    holder.close()
    assert [path.name for path in tmp_path.iterdir()] == ["s.sqlite"]


def test_a_store_with_more_tables_is_left_alone(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        store._connection.execute("CREATE TABLE more (x)")
    with pytest.raises(ValueError, match=r"s\.sqlite has other tables than a store"):
        Store(tmp_path / "s.sqlite")


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ValueError, match="another program"):
        Store(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["s.sqlite"]


@pytest.mark.parametrize("name", ["notes.txt", "notes.db"])
def test_a_file_that_never_was_a_store_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match="no store"):
        Store(tmp_path / name)
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize(
    ("damage", "name"),
    [("text", "s.sqlite"), ("torn", "s.sqlite"), ("torn", "scores"), ("free", "scores")],
)
def test_a_damaged_store_is_set_aside_and_never_overwritten(
    tmp_path: Path, damage: str, name: str, opened: list[sqlite3.Connection]
) -> None:
    path = tmp_path / name
    with Store(path) as store:
        store.add(store.conditions({}), [score(float(i), f"{i}" * 50) for i in range(500)])
    sound = path.read_bytes()
    broken = {
        "text": b"not a database at all" * 100,
        "torn": sound[:4096] + b"\xff" * (len(sound) - 4096),
        "free": sound[:36] + b"\0\0\0\5" + sound[40:],  # five free pages that are not there: only its check finds it
    }
    path.write_bytes(broken[damage])
    for number in (1, 2):
        with pytest.raises(ValueError, match=rf"is damaged \(.*\).*{name}\.damaged-{number}") as said:
            Store(path)
        assert_closed(opened[-1])
        assert ("its check failed" in str(said.value)) == (damage == "free")
        assert (tmp_path / f"{name}.damaged-{number}").read_bytes() == broken[damage]
        path.write_bytes(broken[damage])
    path.unlink()
    with Store(path) as store:
        assert all_of(store, store.conditions({})) == []


def test_journals_go_with_their_store(tmp_path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / f"s.sqlite{suffix}").write_text(suffix)
    aside = module._set_aside(tmp_path / "s.sqlite")
    assert aside.name == "s.sqlite.damaged-1"
    assert {path.name.removeprefix(aside.name): path.read_text() for path in tmp_path.iterdir()} == {
        "": "", "-wal": "-wal", "-shm": "-shm"
    }  # fmt: skip


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="store"):
        Store(tmp_path)
