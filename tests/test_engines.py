"""Who computes changes nothing: one process, workers, Ray, shards, kills, two runs at once; and what dies is told."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks import data, rank
from benchmarks.output.options import EngineOptions
from benchmarks.ranking import rank_run
from benchmarks.scoring import selection
from benchmarks.scoring.engines import Engine, Lost, Ray, Serial, Workers, open_engine
from benchmarks.scoring.store import Score, Store
from benchmarks.scoring.worker import fitting
from benchmarks.spaces import find
from tests.labour import Work

ROOT = Path(__file__).resolve().parent.parent
JOB = ["--proxy", "diswot", "--sample", "11", "--seeds", "2", "--batch-size", "4", "--teacher", "resnet20"]
ROWS = 11 * 2 * 5  # with the four baselines
OWN = """
import os, pathlib, signal, torch

def deadly(probe):
    "Dies of 3x3 convolutions: once, or always as long as there is a file of that name."
    if any(layer.operation == "nor_conv_3x3" for layer in probe.network.layers):
        always, once = (pathlib.Path(FOLDER, name) for name in ("always", "once"))
        if always.exists() or not once.exists():
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return torch.ones(probe.network.candidates)
"""


ENGINES: dict[str, Callable[[], Engine]] = {"serial": Serial, "workers": lambda: Workers(2)}


@pytest.mark.parametrize("name", ENGINES)
def test_every_task_has_its_result_and_work_stays_where_it_is_done(name: str) -> None:
    with ENGINES[name]() as engine:
        does_every_task(engine)


@pytest.mark.parametrize("name", ENGINES)
def test_what_the_work_raises_ends_the_map(name: str) -> None:
    with ENGINES[name]() as engine:
        ends_with_what_is_raised(engine)


def test_a_task_whose_worker_dies_is_done_by_another_and_given_up_the_second_time(tmp_path: Path) -> None:
    with ENGINES["workers"]() as engine:
        outlives_its_workers(engine, tmp_path)


def test_ray_is_an_engine_like_the_others(table: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One Ray for all: starting it takes longer than what is asked. That a command starts one: test_cluster.py."""
    pytest.importorskip("ray")
    with open_engine(EngineOptions(engine="ray", workers="2"), tasks=2) as engine:
        assert isinstance(engine, Ray)
        does_every_task(engine)
        ends_with_what_is_raised(engine)
        outlives_its_workers(engine, tmp_path)
        monkeypatch.setattr(rank_run, "open_engine", lambda *_, **__: nullcontext(engine))
        assert made(tmp_path / "ray") == table


def does_every_task(engine: Engine) -> None:
    for factor in (2, 3):  # other work replaces the first
        work = Work(factor)
        results = dict(engine.map(work, list(range(1, 30))))
        assert {task: result[0] for task, result in results.items()} == {t: factor * t for t in range(1, 30)}  # type: ignore[index]
        assert max(calls for _, calls in results.values()) >= 7, "one worker kept its work over several tasks"  # type: ignore[misc]
    assert list(engine.map(work, [])) == []


def ends_with_what_is_raised(engine: Engine) -> None:
    with pytest.raises(ZeroDivisionError, match="of -1"):
        list(engine.map(Work(2), [1, 2, -1, 4, 5]))
    results = dict(engine.map(Work(3), [1, 2]))  # and the engine can be used on
    assert {task: result[0] for task, result in results.items()} == {1: 3, 2: 6}  # type: ignore[index]


def outlives_its_workers(engine: Engine, folder: Path) -> None:
    results = dict(engine.map(Work(2, folder), list(range(12))))
    assert isinstance(results.pop(0), Lost)
    assert {task: result[0] for task, result in results.items()} == {task: 2 * task for task in range(1, 12)}  # type: ignore[index]


def test_the_engine_that_the_options_name() -> None:
    assert isinstance(open_engine(EngineOptions(), tasks=3), Serial), "too few for another process"
    assert isinstance(open_engine(EngineOptions(workers="1"), tasks=3000), Serial)
    with open_engine(EngineOptions(workers="3"), tasks=1) as engine:
        assert isinstance(engine, Workers)
    for wrong, said in (
        (EngineOptions(workers="0"), "--workers 0"),
        (EngineOptions(workers="many"), "--workers many"),
        (EngineOptions(address="auto"), "goes with --engine ray"),
        (EngineOptions(engine="ray", gpus_per_task=0), "--gpus-per-task 0"),
    ):
        with pytest.raises(ValueError, match=said):
            open_engine(wrong, tasks=100)


def test_a_stack_fits_with_room_to_spare() -> None:
    assert [fitting(free, 10) for free in (0, 12, 13, 100, 250, 1000)] == [1, 1, 1, 8, 16, 64]


# -- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The table of the job by one process."""
    return made(tmp_path_factory.mktemp("one"), "--workers", "1")


def made(out: Path, *more: str) -> bytes:
    """Both tables that a run leaves, after each other."""
    assert rank.main([*JOB, "--out", str(out), *more]) == 0
    return (out / "scores.csv").read_bytes() + (out / "ranking.csv").read_bytes()


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_make_the_same_bytes(workers: int, table: bytes, tmp_path: Path) -> None:
    assert made(tmp_path, "--workers", str(workers)) == table


def test_shards_that_are_merged_make_the_same_bytes(table: bytes, tmp_path: Path) -> None:
    count = 3
    for index in range(1, count + 1):
        assert rank.main([*JOB, "--out", str(tmp_path), "--shard", f"{index}/{count}"]) == 0
    parts = sorted(map(str, tmp_path.glob("store-*.sqlite")))
    assert len(parts) == count
    for _ in range(2):  # again changes nothing
        assert data.main(["merge", *parts, "--into", str(tmp_path / "all.sqlite")]) == 0
    assert rows(tmp_path / "all.sqlite") == ROWS
    assert made(tmp_path, "--store", str(tmp_path / "all.sqlite")) == table


def rows(path: Path) -> int:
    """Scores in a store, which has to be sound."""
    if not path.is_file():
        return 0
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        there = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'scores'").fetchone()[0]
        return int(connection.execute("SELECT count(*) FROM scores").fetchone()[0]) if there else 0
    finally:
        connection.close()


def process(target: Callable[..., object], *arguments: object) -> Any:
    """A process that starts at once: forked where torch is loaded already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "pandas", "benchmarks.scoring.scorer", "benchmarks.ranking.summary"])
    made = context.Process(target=target, args=arguments)
    made.start()
    return made


def quiet(*arguments: str) -> None:
    """rank.py in a process of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    sys.exit(rank.main(list(arguments)))


def test_runs_killed_at_random_end_in_the_unbroken_table(table: bytes, tmp_path: Path) -> None:
    """kill -9 after a random time, twenty times and more; a run that was faster than that starts again from nothing."""
    chance, kills, out, known = random.Random(0), 0, tmp_path / "0", 0
    while kills < 20:
        run = process(quiet, *JOB, "--out", str(out), "--workers", "1")
        run.join(chance.uniform(0.02, 0.35))
        if run.is_alive():
            run.kill()
            run.join()
            kills += 1
            before, known = known, rows(out / "store.sqlite")
            assert known >= before, "a score was lost"
        else:
            assert run.exitcode == 0
            assert (out / "scores.csv").read_bytes() + (out / "ranking.csv").read_bytes() == table
            out, known = tmp_path / str(kills), 0
    assert made(out) == table
    assert rows(out / "store.sqlite") == ROWS


def test_two_runs_share_a_store(table: bytes, tmp_path: Path) -> None:
    store = str(tmp_path / "store.sqlite")
    runs = [process(quiet, *JOB, "--out", str(tmp_path / name), "--store", store, "--workers", "1") for name in "ab"]
    for run in runs:
        run.join()
        assert run.exitcode == 0
    for name in "ab":
        out = tmp_path / name
        assert (out / "scores.csv").read_bytes() + (out / "ranking.csv").read_bytes() == table
    assert rows(tmp_path / "store.sqlite") == ROWS


def started(out: Path, *more: str, **environment: str) -> subprocess.Popen[str]:
    """rank.py as a user starts it, in a process group of its own that hears Ctrl-C: a shell's background does not."""
    command = [sys.executable, str(ROOT / "benchmarks" / "rank.py"), *JOB, "--out", str(out), *more]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what is ignored here is ignored there
    try:
        return subprocess.Popen(command, **streams, start_new_session=True, env={**os.environ, **environment})
    finally:
        signal.signal(signal.SIGINT, before)


def children(pid: int) -> set[int]:
    """All processes below one."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found |= {int(path.parent.name)} | children(int(path.parent.name))
    return found


def until(store: Path, run: subprocess.Popen[str]) -> int:
    """Wait for the first scores; how many there are."""
    while not (found := rows(store)) and run.poll() is None:
        time.sleep(0.02)
    return found


def test_ctrl_c_keeps_all_rows_and_leaves_no_worker(table: bytes, tmp_path: Path) -> None:
    run = started(tmp_path, "--workers", "2", "--sample", "300")
    assert until(tmp_path / "store.sqlite", run)
    below = children(run.pid)
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 130
    assert said.splitlines()[-1].startswith("rank.py: interrupted; what is done is kept, the same command goes on")
    assert "Traceback" not in said
    gone(below)
    assert made(tmp_path) == table


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_workers_end_with_their_driver(table: bytes, tmp_path: Path) -> None:
    run = started(tmp_path, "--workers", "2", "--sample", "300")
    assert until(tmp_path / "store.sqlite", run)
    below = children(run.pid)
    assert len(below) >= 2
    run.kill()
    run.communicate()
    gone(below)
    assert made(tmp_path) == table


def gone(processes: set[int]) -> None:
    """Wait for the end of processes."""
    end = time.monotonic() + 30
    while left := {pid for pid in processes if Path(f"/proc/{pid}").exists()}:
        assert time.monotonic() < end, left
        time.sleep(0.05)


@pytest.mark.parametrize("always", [False, True])
def test_a_worker_killed_in_mid_candidate(always: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Once: another does it. Always: the row says error, the run goes on, and another run tries it again."""
    own = tmp_path / "own.py"
    own.write_text(OWN.replace("FOLDER", repr(str(tmp_path))))
    if always:
        (tmp_path / "always").touch()
    (tmp_path / "archs").write_text("0\n25\n2\n125\n")  # the third has 3x3 convolutions
    command = [*JOB, "--out", str(tmp_path), "--baselines", "params", "--workers", "2"]
    command += ["--archs", str(tmp_path / "archs"), "--proxy", f"{own}:deadly"]
    assert rank.main(command) == 0
    lines = [line.split(",") for line in (tmp_path / "scores.csv").read_text().splitlines()[1:]]
    error = {line[1] for line in lines if line[6] == "error"}
    with_3x3 = {line[1] for line in lines if "nor_conv_3x3" in line[1]}
    assert len(with_3x3) == 1
    assert error == (with_3x3 if always else set())
    assert len(lines) == 16
    assert rows(tmp_path / "store.sqlite") == (12 if always else 16)
    assert (tmp_path / "once").exists(), "nobody died"
    if always:
        assert "failed scores rank last" in capsys.readouterr().out
        (tmp_path / "always").unlink()
        assert rank.main(command) == 0
        assert ",error," not in (tmp_path / "scores.csv").read_text()


def test_a_full_disk_ends_the_run_with_one_line_and_every_row_before_it(
    table: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (90_000, before[1]))
    try:
        code = rank.main([*JOB, "--out", str(tmp_path)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    said = capsys.readouterr().err
    lines = [line for line in said.splitlines() if line.startswith("rank.py")]
    assert code == 2
    assert len(lines) == 1
    assert "store.sqlite" in lines[0]
    assert "what was written before is kept" in lines[0]
    assert "Traceback" not in said
    assert 0 < rows(tmp_path / "store.sqlite") < ROWS
    assert made(tmp_path) == table


# -- merging ----------------------------------------------------------------------------------------------------------


def test_merging_keeps_what_is_there_and_tells_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = Score("s", "a", "p", 0, 1.0, "ok", 0.1)
    others = [row._replace(arch="b"), row._replace(arch="c", score=float("nan"), status="nan")]
    for name, changed in (("here", row), ("rounded", row._replace(score=1 + 1e-6)), ("other", row._replace(score=1.1))):
        with Store(tmp_path / name) as store:
            store.add(store.conditions({"batch": 64}), [changed, *(others if name != "here" else [])])
    files = [str(tmp_path / name) for name in ("rounded", "other")]
    assert data.main(["merge", *files, "--into", str(tmp_path / "here")]) == 0
    out, err = capsys.readouterr()
    told = [line.partition(": ")[2] for line in out.splitlines()]
    assert told == ["3 scores, 2 of them new", "3 scores, 0 of them new"]
    assert err.strip() == f"1 differ from those in {tmp_path / 'here'}, which stay"
    with Store(tmp_path / "here") as store:
        found = list(store.scores(store.conditions({"batch": 64}), "s", ["p"], 0))
    assert [(one.arch, one.score) for one in found[:2]] == [("a", 1.0), ("b", 1.0)]
    assert found[2].status == "nan"


def test_merging_what_is_no_store_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("no store")
    with Store(tmp_path / "here"):
        pass
    for bad, said in (("missing", "no such store"), ("text", "no store"), ("here", "into itself")):
        assert data.main(["merge", str(tmp_path / bad), "--into", str(tmp_path / "here")]) == 2
        assert said in capsys.readouterr().err
    assert (tmp_path / "text").read_text() == "no store"


def test_unique_scores_each_function_once(tmp_path: Path) -> None:
    space = find("nasbench201")
    archs = [space.arch(index) for index in range(200)]
    stand_ins = selection.stand_ins(space, archs)
    twins = [arch for arch in archs if stand_ins[arch] != arch and space.index(stand_ins[arch]) < 200][:3]
    chosen = [*twins, *map(stand_ins.__getitem__, twins)]
    assert len(set(chosen)) > len(twins) > 0
    (tmp_path / "archs").write_text("\n".join(dict.fromkeys(chosen)))
    options = ["--proxy", "synflow,params", "--baselines", "", "--batch-size", "4", "--archs", str(tmp_path / "archs")]
    assert rank.main([*options, "--out", str(tmp_path), "--unique"]) == 0
    table = pd.read_csv(tmp_path / "scores.csv").pivot(index="arch", columns="proxy", values="score")
    assert all(table.loc[twin, "params"] == space.count(twin, 10, 32).params for twin in twins)
    assert any(table.loc[twin, "params"] != table.loc[stand_ins[twin], "params"] for twin in twins)
    table = table["synflow"]
    assert rows(tmp_path / "store.sqlite") == 2 * len({stand_ins[arch] for arch in chosen})
    assert all(table[twin] == table[stand_ins[twin]] for twin in twins)


def test_workers_keep_no_work_that_was_done() -> None:
    """A search ships its images with every scorer."""
    with Workers(1) as engine:
        for factor in (2, 3, 4):
            assert [result for _, result in engine.map(Work(factor), [1])]
            assert len(list(Path(engine._folder.name).iterdir())) == 1
