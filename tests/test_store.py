"""The store keeps every number as it was, whatever happens to the process or the file."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.store import VERSION, Score, Store


def score(value: float = 1.0, arch: str = "a", proxy: str = "p", seed: int = 0, status: str = "ok") -> Score:
    return Score("space", arch, proxy, seed, value, status, 0.25)


def all_of(store: Store, key: str, proxy: str = "p", seed: int = 0) -> list[Score]:
    return list(store.scores(key, "space", [proxy], seed))


@given(st.floats())
def test_every_float_survives(value: float) -> None:
    """But for the sign of zero, which SQLite does not keep: the scoring loop hands in no -0.0."""
    with Store(Path(":memory:")) as store:
        key = store.conditions({})
        store.add(key, [score(value, status="nan" if math.isnan(value) else "ok")])
        (back,) = all_of(store, key)
    assert back.score == value or (math.isnan(back.score) and math.isnan(value))


def test_rows_survive_closing(tmp_path: Path) -> None:
    rows = [score(math.nan, "a", status="nan"), score(-math.inf, "b", status="inf"), score(0.1, "c")]
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


def test_two_writers_share_a_store(tmp_path: Path) -> None:
    with Store(tmp_path / "s.sqlite") as first, Store(tmp_path / "s.sqlite") as second:
        key = first.conditions({})
        assert second.conditions({}) == key
        first.add(key, [score(1.0)])
        second.add(key, [score(2.0), score(2.0, "b")])
        assert [row.score for row in all_of(first, key)] == [1.0, 2.0]


def test_a_newer_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ValueError, match=f"version {VERSION + 1}, this program writes {VERSION}"):
        Store(path)
    assert path.read_bytes() == before


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE mine (x)")
    connection.close()
    with pytest.raises(ValueError, match="another program"):
        Store(path)
    assert sqlite3.connect(path).execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]


def test_a_file_that_never_was_a_store_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="no store"):
        Store(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("damage", ["text", "torn"])
def test_a_damaged_store_is_set_aside_and_never_overwritten(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        store.add(store.conditions({}), [score(float(i), f"{i}" * 50) for i in range(500)])
    sound = path.read_bytes()
    path.write_bytes(
        b"not a database at all" * 100 if damage == "text" else sound[:4096] + b"\xff" * (len(sound) - 4096)
    )
    damaged = path.read_bytes()
    (tmp_path / "s.sqlite.damaged-1").write_text("an earlier one")
    with pytest.raises(ValueError, match=r"damaged.*s\.sqlite\.damaged-2"):
        Store(path)
    assert (tmp_path / "s.sqlite.damaged-2").read_bytes() == damaged
    assert (tmp_path / "s.sqlite.damaged-1").read_text() == "an earlier one"
    with Store(path) as store:
        assert all_of(store, store.conditions({})) == []


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="store"):
        Store(tmp_path)
