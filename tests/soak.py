"""Scoring that is killed at random again and again must end in the table of the unbroken run. Not part of the tests.

    python tests/soak.py --minutes 120

Runs the same command over and over with kill -9 after a random time, alone in a folder of its own; when the minutes are
over it is let through, its scores are compared with those of an unbroken run, and the figures are printed. Exit code 1
where the scores differ, or where a run ended by itself with an error.
"""

from __future__ import annotations

import argparse
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, str(ROOT / "benchmarks" / "rank.py"), "--proxy", "diswot", "--teacher", "resnet20"]
QUICK = ["--batch-size", "8", "--device", "cpu"]


def start(out: Path, sample: int) -> subprocess.Popen[bytes]:
    """The command, writing into a folder."""
    arguments = [*QUICK, "--sample", str(sample), "--out", str(out)]
    return subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=out.parent)


def finish(out: Path, sample: int) -> float:
    """Let the command through; its seconds. Raises RuntimeError with what it said where it fails."""
    began = time.monotonic()
    process = start(out, sample)
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(said.decode())
    return time.monotonic() - began


def stored(out: Path) -> int:
    """Scores in the store, after its own check."""
    path = out / "store.sqlite"
    if not path.is_file():
        return 0
    with closing(sqlite3.connect(path)) as connection:
        health = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if health != "ok":
            raise RuntimeError(f"{path}: {health}")
        made = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'scores'").fetchone()[0]
        return int(connection.execute("SELECT count(*) FROM scores").fetchone()[0]) if made else 0


def killed_run(out: Path, sample: int, longest: float, chance: random.Random) -> str:
    """One run with a kill -9 at a random moment; `killed`, or `done` where it was faster."""
    process = start(out, sample)
    try:
        _, said = process.communicate(timeout=chance.uniform(0, longest))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return "killed"
    if process.returncode:
        raise RuntimeError(said.decode())
    return "done"


def main() -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=120, help="how long to kill; the runs to the end come on top")
    parser.add_argument("--sample", type=int, default=200, help="candidates")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments of killing")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder, "whole"), Path(folder, "broken")
        seconds = finish(whole, options.sample)
        total = stored(whole)
        print(f"unbroken: {seconds:.0f} s, {total} scores", flush=True)
        kills, rounds, equal, end = 0, 0, True, time.monotonic() + 60 * options.minutes
        while time.monotonic() < end:
            before = stored(broken)
            state = killed_run(broken, options.sample, seconds, chance)
            after = stored(broken)
            if after < before:
                raise RuntimeError(f"scores were lost: {before} before, {after} after")
            kills += state == "killed"
            print(f"{state}: {after} of {total} scores", flush=True)
            if state == "done":
                equal &= same(whole, broken)
                rounds += 1
                broken = Path(folder, f"broken{rounds}")
        finish(broken, options.sample)
        equal &= same(whole, broken)
    verdict = "equal" if equal else "NOT EQUAL"
    print(f"{kills} kills, {rounds + 1} tables made through them, {verdict} to the unbroken one")
    return 0 if equal else 1


def same(one: Path, other: Path) -> bool:
    """Whether two runs left the same table, byte for byte."""
    first, second = ((out / "scores.csv").read_bytes() for out in (one, other))
    return first == second


if __name__ == "__main__":
    sys.exit(main())
