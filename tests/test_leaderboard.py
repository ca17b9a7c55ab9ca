"""The leaderboard: its numbers are those of the statistics, a proxy of one's own stands among the others."""

from __future__ import annotations

import html
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import diswot_bench as db
from analysis import leaderboard
from benchmarks import rank, truth
from benchmarks.leaderboard import commands, questions, standings
from benchmarks.scoretables import archive
from benchmarks.scoretables.table import ScoreTable
from benchmarks.scoring.store import STATUSES
from benchmarks.truth.accuracies import VANILLA
from proxies.combine import NAMED
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
    rows, _, missing = standings.board()
    known = truth.load("published", S0, "cifar100", "distilled").accuracy
    table = archive.read(tables / "s0-test.npz")
    for proxy, column in table.columns.items():
        scores = np.where(column.ok[0], column.scores[0], -np.inf)
        expected = stats.spearmanr(scores, [known[arch] for arch in table.archs(S0)]).statistic
        (found,) = rows[rows["question"].eq("S0 distilled") & rows["proxy"].eq(proxy)]["spearman"]
        assert found == pytest.approx(expected, abs=1e-12)
    assert set(rows["question"]) == {"S0 vanilla", "S0 distilled", "S0 gain"}
    assert "zoo ImageNet: no score table of it is committed yet" in missing


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of made-up scores, those of one proxy all equal, of another all failed."""
    folder, table = tmp_path_factory.mktemp("pages"), made_up("synflow,params,l2_norm,snip")
    table.columns["synflow"].status[:] = STATUSES.index("undefined")
    table.columns["snip"].scores[:], table.columns["snip"].status[:] = 1.5, 0
    archive.write(table, folder / "s0-test.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(questions.committed, "__defaults__", (folder,))
        assert leaderboard.main(["--out", str(folder)]) == 0
    return folder


def test_the_pages_are_written(pages: Path) -> None:
    assert "## S0 gain" in (pages / "leaderboard.md").read_text()
    assert len(pd.read_csv(pages / "leaderboard.csv")) == 4 + 5 + 5


def test_notes_of_the_page_are_those_that_its_cells_refer_to(pages: Path) -> None:
    text = (pages / "leaderboard.md").read_text().partition("## S0")[0]
    table, listed = text.partition("- candidates:")[::2]
    assert sorted(set(re.findall(r"(?:n/a|\d) \((\d+)\) \|", table))) == re.findall(r"- n/a \((\d+)\):", listed) != []
    assert "- asked: --space s0 --dataset cifar100 --target gain --truth auto" in (pages / "leaderboard.md").read_text()


def test_pages_that_answer_more_are_kept(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.DataFrame({"question": ["S0 gain", "zoo ImageNet"]}).to_csv(tables / "leaderboard.csv")
    assert leaderboard.main(["--out", str(tables)]) == 2
    assert "leaderboard.csv has more questions than can be answered here. zoo ImageNet: " in capsys.readouterr().err
    assert not (tables / "leaderboard.md").exists()


def test_every_number_leads_to_a_command_and_what_is_undefined_to_its_reason(pages: Path) -> None:
    text = (pages / "leaderboard.html").read_text()
    cells = re.findall(r"<td data[^>]*>(.*?)</td>", text, re.DOTALL)
    assert len(cells) == 2 * 5 * (1 + 3 + 4 + 1)
    plain = [one for one in cells if "href" not in one]
    assert len(plain) == 2 * 5 * 2  # names and families
    for one in cells:
        assert one.count("n/a") <= one.count("<sup><a")
        left = re.sub(r"<a [^>]*>[^<]*</a>|<small>[^<]*</small>|<sup>.*?</sup>|<[^>]*>", " ", one)
        assert one in plain or set(left.split()) <= {"n/a", "given", "regret", "top", "10"}
    assert {*re.findall(r'href="#([^"]+)"', text)} <= {*re.findall(r' id="([^"]+)"', text)}
    reasons = text[text.index("Why a cell is undefined") :]
    for why in ("all 64 scores failed", "all its scores are equal", "it is what the question asks for"):
        assert why in reasons


def test_a_command_of_the_page_makes_its_numbers(pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.ranking.rank_run.draw_figure", lambda *_: None)
    text = (pages / "leaderboard.html").read_text().partition('<article id="q3">')[2]
    found = re.search('<pre class="ranks"[^>]*>(.*?)<span>', text)
    assert found is not None
    words = shlex.split(html.unescape(found[1]).replace(commands.SCORES, str(pages)))
    assert rank.main([*words[2:], "l2_norm", "--workers", "1", "--out", str(tmp_path)]) == 0
    ranked = pd.read_csv(tmp_path / "ranking.csv").set_index("proxy")
    rows = pd.read_csv(pages / "leaderboard.csv").query("question == 'S0 gain'").set_index("proxy")
    names = ["spearman", "spearman_low", "spearman_high", "given_size", "given_size_low", "regret", "top_10_truth"]
    for proxy in ("l2_norm", VANILLA):
        np.testing.assert_allclose(ranked.loc[proxy, names].astype(float), rows.loc[proxy, names].astype(float))


def test_vanilla_accuracies_that_are_known_of_some_alone_have_no_rank() -> None:
    (question,) = [one for one in questions.QUESTIONS if one.name == "AutoFormer cifar100 distilled"]
    one = questions.asked(question, questions.committed(questions.SHIPPED))
    found = standings.standings(one, None, {}).set_index("proxy").loc[VANILLA]
    assert pd.isna(found["spearman"])
    assert found["why"] == found["why_given_size"] == "it is known of 100 of the 200 candidates alone"


def test_on_the_gain_the_vanilla_accuracy_is_tested_against_nothing(tables: Path) -> None:
    for target, ahead in (("distilled", True), ("gain", False)):
        (question,) = [one for one in questions.QUESTIONS if one.name == f"S0 {target}"]
        one = questions.asked(question, [archive.read(tables / "s0-test.npz")])
        perfect = replace(one, truth=replace(one.truth, vanilla=one.truth.accuracy))
        row = standings.standings(perfect, None, {}).set_index("proxy").loc[VANILLA]
        assert (row["spearman"], row["beats_params"]) == (1, ahead)


def test_places_are_shares_of_those_scored_there_and_few_answers_come_last() -> None:
    found = {"a": [0.9, 0.5, 0.1], "b": [0.5, 0.1, 0.3], "c": [0.1, 0.7, 0.2], "d": [0.95, np.nan, np.nan]}
    rows = pd.DataFrame(
        [
            {"question": f"q{number}", "proxy": name, "spearman": value, "beats_params": False, "cost": 2.0 + number}
            for name, values in found.items()
            for number, value in enumerate(values)
        ]
    )
    table = standings.wide(rows)
    assert table["mean place"].to_dict() == pytest.approx(
        {
            "a": (100 / 3 + 50 + 100) / 3,
            "b": (200 / 3 + 100 + 0) / 3,
            "c": (100 + 0 + 50) / 3,
            "d": 0,
        }
    )
    assert table.index[-1] == "d", "it answers one of three"
    assert table["cost"].to_dict() == dict.fromkeys(found, 3.0)


def test_what_failed_for_most_is_no_ranking_and_costs_are_of_one_machine(tables: Path) -> None:
    table = made_up("synflow,params,diswot")
    table.columns["synflow"].status[:, :40] = STATUSES.index("undefined")
    other = table.columns["params"].made._replace(device="cuda")
    table.columns["params"] = replace(table.columns["params"], made=other)
    archive.write(table, tables / "s0-test.npz")
    rows = standings.board().rows.query("question == 'S0 gain'").set_index("proxy")
    assert np.isnan(rows.loc["synflow", "spearman"])
    assert rows.loc["synflow", "why"].startswith(f"{(~table.columns['synflow'].ok).sum()} of 64 scores failed: ")
    assert rows.loc["diswot", "cost"] == 1
    assert rows.loc["synflow", "cost"] > 0
    assert np.isnan(rows.loc["params", "cost"])
    (question,) = [one for one in questions.QUESTIONS if one.name == "S0 gain"]
    one = questions.asked(question, [archive.read(tables / "s0-test.npz")])
    best = one.sample.truth >= np.quantile(one.sample.truth, 0.6)
    mine = np.where(best, one.sample.truth, np.nan)[None], best[None]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            standings, "scores_of", lambda one: {"params": (one.known.sizes["params"][None], ~mine[1] | True)}
        )
        patch.setattr(standings.Own, "scores", lambda own, one: mine)
        made = standings.standings(one, standings.Own(standings.named("snip")), {}).set_index("proxy")
    assert np.isnan(made.loc["snip", "spearman"])
    assert not made.loc["snip", "beats_params"]


def test_a_proxy_of_ones_own_stands_among_the_others(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tables / "mine.py").write_text(OWN)
    table = db.leaderboard(f"{tables}/mine.py:smallness", quick=True)
    assert table.loc["mine.py:smallness", "S0 vanilla"] < -0.8
    assert table.loc["mine.py:smallness", "questions"] == 3
    assert capsys.readouterr().err.count("mine.py:smallness is scored on 30 of s0\n") == 1
    with pytest.raises(ValueError, match="is no name; a function of yours is"):
        db.leaderboard(len)  # type: ignore[arg-type]


def test_scores_of_ones_own_are_kept_and_why_they_failed_is_said(
    tables: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tables / "mine.py").write_text(OWN + "def never(probe):\n    'Fails.'\n    raise ValueError('not today')\n")
    asked = ["--quick", "--workers", "1", "--store", str(tables / "mine.sqlite"), "--proxy"]
    assert leaderboard.main([*asked, f"{tables}/mine.py:never"]) == 0
    assert "mine.py:never on s0: 30 of 30 scores failed: not today" in capsys.readouterr().err
    assert leaderboard.main([*asked, f"{tables}/mine.py:smallness"]) == 0
    monkeypatch.setattr("benchmarks.scoring.scorer.Serial.map", None)  # no network is run
    assert leaderboard.main([*asked, f"{tables}/mine.py:smallness"]) == 0


def test_quick_without_a_proxy_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert leaderboard.main(["--quick"]) == 2
    assert "--quick goes with --proxy" in capsys.readouterr().err


def test_a_named_combination_has_a_row_where_its_parts_have(tables: Path) -> None:
    table = made_up("expressivity,progressivity,trainability,macs,diswot")
    archive.write(table, tables / "s0-test.npz")
    rows = standings.board().rows
    found = rows.query("question == 'S0 gain'").set_index("proxy")
    parts = [table.columns[name] for name in ("expressivity", "progressivity", "trainability", "macs")]
    ranked = [stats.rankdata(np.where(part.ok[0], part.scores[0], -np.inf)) for part in parts]
    gains = truth.load("published", S0, "cifar100", "gain").accuracy
    expected = stats.spearmanr(np.log(ranked).sum(0), [gains[arch] for arch in table.archs(S0)]).statistic
    assert found.loc["az_nas", "spearman"] == pytest.approx(expected, abs=1e-12)
    assert found.loc["az_nas", "cost"] == pytest.approx(sum(found.loc[list(NAMED["az_nas"].parts), "cost"]))
    assert standings.wide(rows).loc["az_nas", "family"] == "combine"
    assert "az_nas" not in standings.scores_of(asked_of(table.of(["expressivity", "macs"])))


def asked_of(table: ScoreTable) -> questions.Asked:
    """The first question of S0, by a table."""
    return questions.asked(next(one for one in questions.QUESTIONS if one.space == "s0"), [table])
