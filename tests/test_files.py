"""Files that several processes write at once, and that a reader never sees half of."""

from __future__ import annotations

import json
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

from analysis.rows.files import replacing
from benchmarks.output import record


def write_often(folder: Path) -> None:
    for number in range(300):
        record.check_writable(folder)
        record.write_json({"number": number}, folder / "run.json")
        json.loads((folder / "run.json").read_text())


def test_processes_write_into_one_folder_at_once(tmp_path: Path) -> None:
    """The shards of a job array share --out."""
    with get_context("forkserver").Pool(2) as pool:
        pool.map(write_often, [tmp_path, tmp_path], chunksize=1)
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_what_fails_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("whole")
    with suppress(ZeroDivisionError), replacing(path) as meanwhile:
        meanwhile.write_text("ha")
        raise ZeroDivisionError
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("table.csv", "whole")]
