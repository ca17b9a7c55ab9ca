"""The leaderboard: its numbers are those of the statistics, a proxy of one's own stands among the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import diswot_bench as db
from analysis import leaderboard
from benchmarks import truth
from benchmarks.leaderboard import questions, standings
from benchmarks.scoretables import archive
from tests.test_scoretables import S0, made_up

OWN = """
def smallness(probe):
    'Minus the parameters.'
    return -probe.size(lambda layer: layer.parameters)
"""


@pytest.fixture
def tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    archive.write(made_up(), tmp_path / "s0-test.npz")
    monkeypatch.setattr(questions.committed, "__defaults__", (tmp_path,))
    return tmp_path


def test_a_row_is_what_the_statistics_say(tables: Path) -> None:
    rows, missing = standings.board()
    known = truth.load("published", S0, "cifar100", "distilled").accuracy
    table = archive.read(tables / "s0-test.npz")
    for proxy, column in table.columns.items():
        scores = np.where(column.ok[0], column.scores[0], -np.inf)
        expected = stats.spearmanr(scores, [known[arch] for arch in table.archs(S0)]).statistic
        (found,) = rows[rows["question"].eq("S0 distilled") & rows["proxy"].eq(proxy)]["spearman"]
        assert found == pytest.approx(expected, abs=1e-12)
    assert set(rows["question"]) == {"S0 vanilla", "S0 distilled", "S0 gain"}
    assert "zoo ImageNet: no score table of it is committed yet" in missing


def test_the_pages_are_written(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leaderboard.main(["--out", str(tables / "out")]) == 0
    assert "## S0 gain" in (tables / "out" / "leaderboard.md").read_text()
    assert len(pd.read_csv(tables / "out" / "leaderboard.csv")) == 3 + 4 + 4
    assert "<table" in (tables / "out" / "leaderboard.html").read_text()


def test_a_proxy_of_ones_own_stands_among_the_others(tables: Path) -> None:
    (tables / "mine.py").write_text(OWN)
    table = db.leaderboard(f"{tables}/mine.py:smallness", quick=True)
    assert table.loc["mine.py:smallness", "S0 vanilla"] < -0.8
    assert table.loc["mine.py:smallness", "questions"] == 3


def test_quick_without_a_proxy_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert leaderboard.main(["--quick"]) == 2
    assert "--quick goes with --proxy" in capsys.readouterr().err
