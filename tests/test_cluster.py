"""A real Ray cluster of two nodes on this machine, as `ray start` makes one; a node is killed in mid-run."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import benchmarks.rank

pytest.importorskip("ray")

ROOT = Path(__file__).resolve().parent.parent
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "5" * 64}  # as docs/scaling.md says; older Rays ask for none
SLOW = '''
import os, pathlib, time

def slow(probe):
    """Marks the node that it runs on, takes its time, and counts layers."""
    pathlib.Path(os.environ["MARKERS"], os.environ.get("RAY_RAYLET_PID", "none")).touch()
    time.sleep(0.2)
    return probe.size(lambda layer: 1)
'''
PATIENCE = 300  # seconds for what takes ten, on a machine that is busy


def ready(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: object, what: str) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, what
        time.sleep(0.1)


@contextmanager
def node(environment: dict[str, str], log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A node until the block ends, in a group of processes of its own."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus", "1", "--block", *options]
    with log.open("wb") as file:
        started = subprocess.Popen(command, stdout=file, stderr=file, env=environment, start_new_session=True)
    try:
        yield started
    finally:
        kill(started)


def kill(started: subprocess.Popen[bytes]) -> None:
    """End a node as a power cut does."""
    if started.poll() is None:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def test_a_node_that_dies_in_mid_run_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "markers").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, **TOKEN, "PYTHONPATH": str(ROOT), "MARKERS": str(tmp_path / "markers")}
    environment |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_memory_monitor_refresh_ms": "0"}
    rank = [sys.executable, str(ROOT / "benchmarks" / "rank.py"), "--proxy", f"{tmp_path / 'slow.py'}:slow"]
    rank += ["--baselines", "params", "--sample", "40", "--batch-size", "4", "--teacher", "resnet20"]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True))
        first = ["--head", "--port", str(port), "--include-dashboard", "false", "--temp-dir", folder]
        stack.enter_context(node(environment, tmp_path / "first.txt", *first))
        wait_for(lambda: ready(port), (tmp_path / "first.txt").read_text())
        second = stack.enter_context(node(environment, tmp_path / "second.txt", "--address", f"127.0.0.1:{port}"))
        wait_for(lambda: "started" in (tmp_path / "second.txt").read_text(), "no second node")
        command = [*rank, "--engine", "ray", "--address", f"127.0.0.1:{port}", "--out", str(tmp_path / "two")]
        run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        stack.callback(run.kill)
        wait_for(lambda: len(list((tmp_path / "markers").iterdir())) == 2 or run.poll() is not None, "two at work")
        assert run.poll() is None, run.stderr and run.stderr.read()
        kill(second)
        _, said = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, said
    monkeypatch.setenv("MARKERS", environment["MARKERS"])
    assert benchmarks.rank.main([*rank[2:], "--workers", "1", "--out", str(tmp_path / "one")]) == 0
    for name in ("scores.csv", "ranking.csv"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
