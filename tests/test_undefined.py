"""Proxies that do not fit: rows of status undefined with a reason, which end no run of others."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import rank
from search import evolve
from tests.cases import SPACE

UNFIT = "at is undefined for "  # a teacher of four stages beside networks of three
WHY = "stages are compared one by one: the network has 3, the teacher 4"
QUICK = ["--teacher", "resnet18", "--batch-size", "4", "--baselines", "params"]
SEARCH = ["--space", "s0", "--dataset", "cifar100", "--teacher", "resnet18", "--batch-size", "4", "--budget", "4"]
SEARCH += ["--population", "3", "--tournament", "2", "--top", "1", "--alone"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def cells(number: int) -> list[str]:
    """The option that lists the first cells."""
    Path("cells.txt").write_text("\n".join(map(str, range(number))))
    return ["--archs", "cells.txt"]


def test_a_proxy_that_does_not_fit_is_a_row_with_a_reason_and_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = [*QUICK, *cells(3), "--proxy", "at,kd,vote(at,kd)", "--out", "o"]
    assert rank.main(wanted) == 0
    printed = " ".join(capsys.readouterr().out.split())
    scores = pd.read_csv("o/scores.csv").set_index("proxy")
    assert set(scores.loc["at", "status"]) == {"undefined"}
    assert set(scores.loc["at", "reason"]) == {WHY}
    assert set(scores.loc["kd", "status"]) == {"ok"}
    assert scores.loc["kd", "reason"].isna().all()
    assert set(scores.loc["vote(at,kd)", "reason"]) == {f"at: {WHY}"}
    ranking = pd.read_csv("o/ranking.csv", na_values=["n/a"]).set_index("proxy")
    assert ranking.loc["at", "failed"] == 3
    assert pd.isna(ranking.loc["at", "spearman"])
    assert f"{UNFIT.removesuffix('for ')}for 3 of 3: {WHY}" in printed
    assert "6 undefined" in printed
    connection = sqlite3.connect("o/store.sqlite")
    kept = connection.execute("SELECT DISTINCT status, reason FROM scores WHERE proxy = 'at'").fetchall()
    connection.close()
    assert kept == [("undefined", WHY)]
    files = {name: Path("o", name).read_bytes() for name in ("scores.csv", "ranking.csv")}
    for more in ([], ["--stack", "2", "--store", "other.sqlite"]):
        assert rank.main([*wanted, *more, "--proxy", "at,params", "--out", "p"]) == 0
        again = pd.read_csv("p/scores.csv").set_index("proxy")
        assert set(again.loc["at", "reason"]) == {WHY}
    assert rank.main(wanted) == 0
    assert files == {name: Path("o", name).read_bytes() for name in files}


def test_alone_it_is_one_line_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert rank.main([*QUICK, *cells(2), "--proxy", "at,kdsvd"]) == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if "scoring" not in one and one.strip()]
    assert line.startswith(f"rank.py: error: {UNFIT}{SPACE.arch(0)}: {WHY}; kdsvd is undefined for ")


def test_what_torch_refuses_in_a_users_proxy_is_told_under_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.py").write_text("def widened(probe):\n    return probe.logits @ probe.logits\n")
    assert rank.main([*QUICK, *cells(2), "--proxy", "mine.py:widened", "--out", "o"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "last, tied, whatever the sign of an infinity: 2 error" in printed
    assert "mine.py:widened ends in an error for 2 of 2: RuntimeError: " in printed


def test_a_users_space_without_relu_leaves_out_what_reads_them(capsys: pytest.CaptureFixture[str]) -> None:
    source = Path(__file__).with_name("unusual.py").read_text()
    Path("own.py").write_text(source + "\n\nclass Smooth(Unusual):\n    name = 'smooth'\n\n    def __init__(self):\n")
    with Path("own.py").open("a") as file:
        file.write("        super().__init__('silu')\n        self.name = 'smooth'\n")
    Path("own.csv").write_text("index,accuracy\n0,50\n1,60\n2,70\n")
    options = ["--space", "own.py:Smooth", "--truth", "own.csv", "--teacher", "resnet20", "--batch-size", "4"]
    assert rank.main([*options, "--proxy", "naswot,regions,swap,near,fitnets,kd,zen", "--out", "o"]) == 0
    scores = pd.read_csv("o/scores.csv").set_index("proxy")
    for name in ("naswot", "regions", "swap", "near"):
        assert set(scores.loc[name, "reason"]) == {"the network has no ReLU"}
    assert "features of student and teacher differ in shape" in scores.loc["fitnets", "reason"].iloc[0]
    assert set(scores.loc["zen", "status"]) == {"ok"}


def test_a_search_by_it_is_left_out_with_a_note_and_alone_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert evolve.main([*SEARCH, "--proxy", "at,kd", "--out", "o"]) == 0
    best = pd.read_csv("o/best.csv")
    assert "at" not in set(best["proxy"])
    assert "kd" in set(best["proxy"])
    assert UNFIT in " ".join(capsys.readouterr().out.split())
    assert evolve.main([*SEARCH, "--proxy", "at"]) == 2
    assert f"evolve.py: error: {UNFIT}" in capsys.readouterr().err
