"""What reads runs: their arrays, what changed between two, ablations, maps, and the page, also in a real browser."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from analysis import ablate, compare, maps, report
from analysis.pages import sections
from analysis.pages.page import Picture
from analysis.pictures import figures
from analysis.rows import runs
from analysis.stats.comparison import Ranked
from analysis.stats.inference import Sample
from analysis.steps import ablation_settings, maps_run
from benchmarks import rank
from benchmarks.scoring.store import Store
from search import evolve

TINY = ["--batch-size", "4", "--teacher", "resnet20", "--device", "cpu"]
RUN = [*TINY, "--sample", "8", "--proxy", "diswot,naswot", "--baselines", "params,macs"]
S0 = [*TINY, "--space", "s0", "--dataset", "cifar100", "--target", "distilled", "--sample", "6", "--seeds", "1"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two small runs that differ in who shares weights."""
    where = tmp_path_factory.mktemp("runs")
    for draw in ("shared", "independent"):
        assert rank.main([*RUN, "--draw", draw, "--seeds", "2", "--out", str(where / draw)]) == 0
    return str(where / "shared"), str(where / "independent")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def copied(folder: str, name: str) -> Path:
    return Path(shutil.copytree(folder, name))


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def endless(run: Path, column: str) -> None:
    """A run whose scores.csv holds infinities."""
    pd.read_csv(run / "scores.csv").assign(**{column: np.inf}).to_csv(run / "scores.csv", index=False)


def doubled(run: Path) -> None:
    """A run whose scores.csv has a row twice, in place of another."""
    lines = (run / "scores.csv").read_text().splitlines()
    (run / "scores.csv").write_text("\n".join([*lines[:2], lines[1], *lines[3:]]))


def changed_options(run: Path, **options: object) -> None:
    """A run whose run.json says other options."""
    content = json.loads((run / "run.json").read_text())
    content["options"] |= options
    (run / "run.json").write_text(json.dumps(content))


def test_a_run_is_read_as_it_was_written(folders: tuple[str, str]) -> None:
    run = runs.read(folders[0])
    rows = pd.read_csv(Path(folders[0], "scores.csv"), na_values=["n/a"])
    assert run.scores.shape == (4, 2, 8)
    for row in rows.sample(20, random_state=0).to_dict("records"):
        place = run.proxies.index(row["proxy"]), run.seeds.index(row["seed"]), run.archs.index(row["arch"])
        np.testing.assert_equal(run.scores[place], row["score"])
        assert run.ok[place] == (row["status"] == "ok")
        assert run.truth[place[2]] == row["truth"]
    some = run.of(run.archs[3:1:-1])
    np.testing.assert_array_equal(some.scores, run.scores[:, :, [3, 2]])


def test_codes_of_digits_and_the_vanilla_accuracy_are_read_as_they_are() -> None:
    """The codes of S0 look like numbers; its vanilla accuracy stands among the proxies, and costs nothing known."""
    options = ["--space", "s0", "--dataset", "cifar100", "--target", "distilled", "--sample", "5", "--out", "s0"]
    assert rank.main([*TINY, *options, "--proxy", "params", "--baselines", ""]) == 0
    run = runs.read("s0")
    assert all(re.fullmatch("[1357]{3}", arch) for arch in run.archs)
    assert set(run.proxies) == {"params", "vanilla accuracy"}
    assert report.main(["s0"]) == 0


def test_candidates_whose_names_mean_nothing_to_pandas_are_read(folders: tuple[str, str]) -> None:
    run, names = copied(folders[0], "run"), ["None", "NA", "nan", "null"]
    before = runs.read(run)
    text = (run / "scores.csv").read_text()
    for arch, name in zip(before.archs, names, strict=False):
        text = text.replace(arch, name)
    (run / "scores.csv").write_text(text)
    after = runs.read(run)
    assert after.archs == [*names, *before.archs[4:]]
    np.testing.assert_array_equal(after.scores, before.scores)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda run: (run / "ranking.csv").unlink(), "no ranking.csv"),
        (lambda run: (run / "run.json").write_text("{"), "not a run that can be read"),
        (lambda run: (run / "run.json").write_text("{}"), "not a run that can be read"),
        (lambda run: (run / "run.json").write_text("[" * 100_000), "not a run that can be read"),
        (lambda run: changed_options(run, dataset=None), "run.json says no options.dataset"),
        (lambda run: changed_options(run, space=["nasbench201"]), "run.json says no options.space"),
        (lambda run: changed_options(run, space="s9"), "no space is called 's9'"),
        (lambda run: changed_options(run, space="own.py:Own"), "run only where you name it: --space PATH/own.py:Own"),
        (lambda run: replaced(run / "run.json", '"seeds": [', '"seeds": [0, '), "run.json says no seeds"),
        (lambda run: replaced(run / "run.json", '"teacher": {', '"pupil": {'), "run.json says no teacher.name"),
        (lambda run: replaced(run / "ranking.csv", ",spearman,", ",rho,"), "no column spearman"),
        (lambda run: replaced(run / "ranking.csv", ",given_size,", ",left,"), "no column given_size, given_params"),
        (lambda run: replaced(run / "run.json", '"points": 0.25', '"points": "x"'), "run.json says of noise"),
        (lambda run: replaced(run / "ranking.csv", ",0.", ",zero."), "the column spearman holds what is no number"),
        (lambda run: replaced(run / "ranking.csv", ",0.", ",1e999"), "(holds infinities|what is no number)"),
        (lambda run: endless(run, "truth"), "a truth, or a score of status ok, is no number"),
        (lambda run: endless(run, "score"), "a truth, or a score of status ok, is no number"),
        (lambda run: (run / "scores.csv").write_text("arch,proxy\n"), "not a run that can be read"),
        (
            lambda run: (run / "scores.csv").write_text("\n".join((run / "scores.csv").read_text().splitlines()[:-3])),
            "61 rows do not make 4 proxies x 2 seeds x 8 candidates",
        ),
        (doubled, "a row stands there twice"),
    ],
)
def test_what_is_no_run_is_one_line(
    folders: tuple[str, str], spoil: object, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(copied(folders[0], "spoilt"))  # type: ignore[operator]
    for command in (lambda: compare.main(["spoilt", "spoilt"]), lambda: report.main(["spoilt"])):
        assert command() == 2
        assert re.fullmatch(rf"\w+\.py: error: spoilt.*{says}.*\n", capsys.readouterr().err)
    assert not Path("report.html").exists()


def test_columns_of_earlier_runs_are_read(folders: tuple[str, str]) -> None:
    old = copied(folders[0], "old")
    table = pd.read_csv(old / "ranking.csv", na_values=["n/a"]).drop(columns=["given_size_low", "given_size_high"])
    names = {
        "top_tenth_spearman": "top10_spearman",
        "top_10_truth": "top10_mean_truth",
        "given_size": "partial_spearman",
    }
    table.rename(columns=names).to_csv(old / "ranking.csv", index=False)
    conditions = json.loads((old / "run.json").read_text())
    del conditions["noise"]
    (old / "run.json").write_text(json.dumps(conditions))
    new, read = runs.read(folders[0]), runs.read(old)
    np.testing.assert_equal(read.ranking["given_params"].to_numpy(), new.ranking["given_size"].to_numpy())
    np.testing.assert_equal(read.ranking["top_10_truth"].to_numpy(), new.ranking["top_10_truth"].to_numpy())
    assert (read.noise[0], new.noise[0]) == (None, 0.25)
    assert report.main(["old"]) == 0
    assert "hollow: given params" in Path("report.html").read_text()


def test_what_is_no_run_among_others_is_skipped_and_said(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As runs/* has it: the store, a search's folder, a half of a run."""
    Path("store.sqlite").write_text("")
    Path("search").mkdir()
    Path("search", "run.json").write_text("{}")
    (copied(folders[0], "half") / "ranking.csv").unlink()
    others = ["half", "search", "store.sqlite"]
    assert report.main([others[0], folders[0], *others[1:]]) == 0
    said = "skipped, as they are no runs of benchmarks/rank.py with accuracies: half, search, store.sqlite\n"
    assert said in capsys.readouterr().out
    assert report.main(others) == 2
    assert "half: no ranking.csv" in capsys.readouterr().err
    conditions = json.loads(Path("half/run.json").read_text())
    Path("half/run.json").write_text(json.dumps(conditions | {"truth_source": None}))
    assert report.main(["half"]) == 2
    assert "half: a run without accuracies, so nothing is ranked" in capsys.readouterr().err
    assert report.main([folders[0], "nowhere"]) == 2
    assert "nowhere: no run.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "about"),
    [
        ("diswot*,snip", ["diswot", "diswot_relation"]),
        ("snip,diswot", ["snip"]),
        ("vote(snip, diswot),snip", ["vote(snip,diswot)"]),
        ("own/file.py:mine", ["file.py:mine"]),
        ("all", []),
        ("", []),
    ],
)
def test_a_run_is_about_what_it_asks_for_first(asked: str, about: list[str]) -> None:
    names = ["snip", "diswot", "diswot_relation", "vote(snip,diswot)", "file.py:mine"]
    assert runs.subject(names, asked) == about


def test_the_pictures_of_the_best_keep_what_the_run_is_about(
    folders: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """diswot is the last of the four by correlation, and only two are drawn."""
    monkeypatch.setattr(figures, "PANELS", 2)
    run = runs.read(folders[0])
    drawn: list[list[str]] = []

    def draw(figure: Figure | Iterable[Figure], name: str, title: str, *, wide: bool = False) -> Picture:
        if name.endswith("-scores"):
            drawn.append([axis.get_xlabel() for axis in next(iter(figure)).axes])  # type: ignore[arg-type]
        return Picture(title, "", wide)

    names = [name for name in run.proxies if name != "diswot"] + ["diswot"]
    made = list(sections.pictures(run, names, run.ranked, Ranked.of(names, run.ranked, Sample(run.truth)), draw))  # type: ignore[arg-type]
    assert drawn == [[names[0], "diswot"]]
    assert "2 of 4 proxies, the best ones and the best that the run is about" in made[-1].title


def test_a_space_of_code_is_run_only_where_it_is_named(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A run's folder comes from others: what its run.json names is no command."""
    Path("own.py").write_text(
        "open('ran', 'w').close()\nfrom benchmarks.spaces.nasbench201 import NasBench201\n"
        "class Own(NasBench201):\n    name = 'own'\n"
    )
    for name in ("a", "b"):
        changed_options(copied(folders[0], name), space="elsewhere/own.py:Own")
    for command in (lambda *own: compare.main(["a", "b", *own]), lambda *own: report.main(["a", "b", *own])):
        for own in ([], ["--space", "own.py:Other"]):
            assert command(*own) == 2
            assert "run only where you name it: --space PATH/own.py:Own" in capsys.readouterr().err
            assert not Path("ran").exists()
        assert command("--space", "own.py:Own") == 0
        Path("ran").unlink()


def test_compare_says_what_changed_and_what_it_is_worth(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare.main([*folders, "--out", "between.csv", "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert "| --draw | shared | independent |" in printed
    assert "--out" not in printed
    table = pd.read_csv("between.csv", na_values=["n/a"]).set_index("proxy")
    assert table.loc["params", "equal_scores"] == table.loc["params", "scores"] == 16
    assert table.loc["params", "difference"] == 0
    assert table.loc["naswot", "equal_scores"] < 16
    a, b = (runs.read(folder) for folder in folders)
    rho = [np.mean([stats.spearmanr(row, run.truth).statistic for row in run.one("naswot")]) for run in (a, b)]
    np.testing.assert_allclose(table.loc["naswot", ["spearman_a", "spearman_b"]].astype(float), rho)
    assert table.loc["naswot", "low"] <= rho[1] - rho[0] <= table.loc["naswot", "high"]
    assert re.search(r"\| params \| 16 of 16 \|.*\| the same \|", printed)
    assert set(table["verdict"]) <= {"the same", "within noise", "more than noise"}


def test_a_run_does_not_differ_from_itself(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main([folders[0], folders[0], "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert "| nothing |" in printed
    assert printed.count("| the same |") == 4


def test_runs_without_a_common_candidate_are_refused(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    other = copied(folders[0], "other")
    conditions = json.loads((other / "run.json").read_text())
    conditions["options"]["space"] = "s0"
    (other / "run.json").write_text(json.dumps(conditions))
    assert compare.main([folders[0], "other"]) == 2
    assert "no candidates or no proxies in common" in capsys.readouterr().err


@pytest.mark.pictures
def test_an_ablation_leaves_rows_and_figures_and_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ["draw", *S0, "--proxy", "diswot,params", "--out", "ablations"]
    assert ablate.main(arguments) == 0
    table = pd.read_csv("ablations/draw.csv", na_values=["n/a"])
    assert len(table) == 9 * 2
    assert set(zip(table["draw"], table["init"], strict=True)) == {
        (draw, init) for draw in ("independent", "common", "shared") for init in ("kaiming", "normal", "default")
    }
    assert (table["n"] == 6).all()
    assert table.groupby("proxy")["spearman"].nunique()["params"] == 1
    for name in ("draw.png", "draw.pdf", "draw.json"):
        assert Path("ablations", name).stat().st_size > 500
    before = Path("ablations/draw.csv").read_bytes()
    added: list[object] = []
    monkeypatch.setattr(Store, "add", lambda self, key, rows: added.extend(rows))
    assert ablate.main(arguments) == 0
    assert not added
    assert Path("ablations/draw.csv").read_bytes() == before


def test_every_ablation_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ablation_settings.ABLATIONS, "draw")  # it has a test of its own
    monkeypatch.setattr(ablation_settings, "BATCHES", (2, 4))
    monkeypatch.setattr(ablation_settings, "AVERAGED", (1, 2))
    assert ablate.main(["all", *S0, "--proxy", "diswot_relation,params", "--out", "all"]) == 0
    assert {path.stem for path in Path("all").glob("*.csv")} == set(ablation_settings.ABLATIONS)
    batch = pd.read_csv("all/batch.csv")
    assert batch.groupby("setting")["seeds"].first().to_dict() == {
        **{"noise 2": 1, "noise 4": 1},
        **{"noise 4, mean of 1": 2, "noise 4, mean of 2": 1},
    }
    size = pd.read_csv("all/size.csv", na_values=["n/a"]).query("proxy == 'diswot_relation'").set_index("setting")
    np.testing.assert_equal(size.loc["given size", "spearman"], size.loc["all", "given_size"])
    assert size["kendall"].notna().tolist() == [True, False, False, False], "of what still has size in it"
    assert pd.read_csv("all/init.csv")["init"].unique().tolist() == ["kaiming", "normal", "default"]
    assert set(pd.read_csv("all/target.csv")["target"]) == {"vanilla", "distilled", "gain"}


def test_an_ablation_says_what_each_interval_is_about_and_ranks_combinations(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation_settings, "BATCHES", (2,))
    monkeypatch.setattr(ablation_settings, "AVERAGED", (1, 2))
    both = ["params", "vote(params,macs)"]
    assert ablate.main(["batch", *S0, "--sample", "9", "--proxy", ",".join(both), "--out", "some"]) == 0
    printed = capsys.readouterr().out
    assert re.search("interval of noise 2; noise 4, mean of 2: 95 %, .* is not in it\n", printed)
    assert re.search("interval of noise 4, mean of 1: 95 %, .*, and 2 draws\n", printed)
    assert pd.read_csv("some/batch.csv")["proxy"].tolist() == 3 * both
    ranked = [*S0, "--sample", "9", "--proxy", both[1], "--baselines", "", "--batch-size", "2", "--out", "o"]
    assert rank.main(ranked) == 0
    expected = pd.read_csv("o/ranking.csv").set_index("proxy").loc[both[1], "spearman"]
    assert pd.read_csv("some/batch.csv")["spearman"][1] == expected


def test_the_control_knows_nothing_of_a_candidate() -> None:
    """With shared weights all heads are the teacher's: every score is equal, and no correlation is defined."""
    assert ablate.main(["metrics", *S0, "--proxy", ablation_settings.CONTROL, "--out", "control"]) == 0
    table = pd.read_csv("control/metrics.csv", na_values=["n/a"])
    assert table["proxy"].tolist() == ["controls.py:fc_weights"]
    assert table["spearman"].isna().all()


def test_maps_are_drawn_for_the_best_and_the_worst(capsys: pytest.CaptureFixture[str]) -> None:
    assert maps.main([*TINY, "--space", "s0", "--dataset", "cifar100", "--bad", "111", "--images", "2"]) == 0
    printed = capsys.readouterr().out
    assert "good student: 777; bad student: 111" in printed
    assert "  again: python " in printed
    relations = {"teacher": np.array([[1.0, 0.0]]), "student": np.array([[0.0, 1.0]])}
    named = [maps_run.with_distance(name, relations) for name in relations]
    assert named == ["teacher", "student, 1.41 from the teacher"]
    assert maps_run.weights_said(maps.Options()) == (
        "teacher resnet56 and students have random weights (draw shared, init kaiming, seed 0): nothing is trained"
    )
    assert maps_run.weights_said(maps.Options(teacher_weights="a/b.pt")).startswith(
        "teacher resnet56 is trained (b.pt)"
    )
    assert {path.name for path in Path("runs/maps").iterdir()} == {
        *("maps.png", "maps.pdf", "relations.png", "relations.pdf", "maps.json")
    }
    assert maps.main([*TINY, "--good", "nonsense"]) == 2


@pytest.fixture(scope="module")
def page(folders: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page over both runs."""
    out = tmp_path_factory.mktemp("page") / "report.html"
    seen = str(out.parent / "maps")
    assert maps.main([*TINY, "--images", "2", "--out", seen]) == 0
    more = ["--maps", seen, "--top", "3", "--title", "<Runs & proxies>"]
    assert report.main([*folders, "--out", str(out), *more]) == 0
    return out


def test_the_page_holds_its_numbers_and_their_csv(page: Path, folders: tuple[str, str]) -> None:
    text = page.read_text()
    held = re.findall(r'download="([\w.]+)" href="data:text/csv;base64,([^"]+)"', text)
    assert [name for name, _ in held] == [*["ranking.csv", "views.csv", "family.csv", "pairs.csv"] * 2, "between.csv"]
    assert base64.b64decode(held[0][1]) == Path(folders[0], "ranking.csv").read_bytes()
    lines = list(csv.reader(base64.b64decode(held[0][1]).decode().splitlines()))
    row = re.search(r'<td data-v="diswot" class="text">diswot</td><td data-v="([^"]+)">.*?"line" data-v="(\d+)"', text)
    assert row is not None
    cells = dict(zip(lines[0], lines[int(row[2]) - 1], strict=True))
    assert cells["proxy"] == "diswot"
    assert float(cells["spearman"]) == float(row[1])


def test_on_the_gain_the_vanilla_accuracy_is_in_no_pair() -> None:
    asked = [*S0, "--target", "gain", "--sample", "9", "--proxy", "params,macs", "--baselines", "", "--out", "s0"]
    assert rank.main(asked) == 0
    assert report.main(["s0"]) == 0
    text = Path("report.html").read_text()
    held = {
        name: base64.b64decode(content).decode()
        for name, content in re.findall(r'download="([\w.]+)" href="data:text/csv;base64,([^"]+)"', text)
    }
    assert {name for name, content in held.items() if "vanilla accuracy" in content} == {"ranking.csv", "views.csv"}
    assert "vanilla accuracy: its own noise is in the gain with the other sign, so it is in no pair" in text


def test_the_page_shows_maps_views_of_the_top_and_what_changed(page: Path) -> None:
    text = page.read_text()
    assert base64.b64encode((page.parent / "maps" / "relations.png").read_bytes()).decode() in text
    assert "bad student |" in text
    assert ">precision at 3<" in text
    assert ">kendall connected<" in text
    assert "--draw: shared in A, independent in B" in text
    assert re.search(r'data-v="params".*data-v="the same"', text)


def test_a_run_that_tells_nothing_apart_is_shown_and_one_of_failed_scores_alone_is_one_line(
    folders: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, status, score, code in (("same", "ok", "1.0", 0), ("failed", "nan", "n/a", 2)):
        path = copied(folders[0], name) / "scores.csv"
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        rows.assign(status=status, score=score).to_csv(path, index=False)
        assert report.main([name]) == code
    assert capsys.readouterr().err == "report.py: error: failed: every score failed, so there is nothing to rank\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--top", "0"], "--top 0: 1 is the least"),
        (["--maps", "."], "no maps.json; the folder of a run of analysis/maps.py is expected"),
        (["--maps", "spoilt"], "maps.json: can't be read"),
        (["--ablation", "spoilt"], "a.csv: no column n"),
        (["--search", "spoilt"], "history.csv: no column fitness"),
    ],
)
def test_what_the_page_cannot_show_is_one_line(
    folders: tuple[str, str], options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("spoilt").mkdir()
    for name in ("maps.json", "maps.png", "relations.png"):
        Path("spoilt", name).write_text("{}")
    Path("spoilt", "a.csv").write_text("ablation,setting,proxy,spearman,low,high\na,b,c,0.5,0.4,0.6\n")
    Path("spoilt", "history.csv").write_text("seed,step\n0,1\n")
    Path("spoilt", "best.csv").write_text("truth\n1\n")
    assert report.main([folders[0], *options]) == 2
    assert re.fullmatch(rf"report\.py: error: .*{says}.*\n", capsys.readouterr().err)


def test_the_page_needs_nothing_from_outside(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r'(?:src|href)="(?!data:|#)', text)
    assert "&lt;Runs &amp; proxies&gt;" in text
    assert "<Runs" not in text


def test_an_undefined_number_is_shown_as_such_and_sorted_last(page: Path) -> None:
    assert '<td data-v="">n/a</td>' in page.read_text()


def test_a_page_over_ablations_and_its_pictures(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert ablate.main(["size", *S0, "--proxy", "diswot", "--out", "done"]) == 0
    assert report.main([folders[0], "--ablation", "done", "--figures", "pictures"]) == 0
    assert "Ablation size: s0 on cifar100, distilled" in Path("report.html").read_text()
    assert {path.suffix for path in Path("pictures").iterdir()} == {".png", ".pdf"}
    assert report.main([folders[0], "--ablation", "pictures"]) == 2
    assert "no CSV of analysis/ablate.py" in capsys.readouterr().err


def test_a_page_over_a_search(folders: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    found = ["--space", "s0", "--dataset", "cifar100", "--target", "distilled", "--proxy", "params", "--budget", "8"]
    assert evolve.main([*found, *TINY, "--strategy", "random", "--out", "found"]) == 0
    alone = copied(folders[0], "alone")
    for name in ("ranking.csv", "scores.csv"):  # one proxy: nothing to compare
        rows = pd.read_csv(alone / name)
        rows[rows["proxy"] == "naswot"].to_csv(alone / name, index=False)
    assert report.main(["alone", "--search", "found"]) == 0
    text = Path("report.html").read_text()
    assert base64.b64encode(Path("found/best.csv").read_bytes()).decode() in text
    assert text.count("<img") == 4
    assert report.main(["alone", "--search", "alone"]) == 2
    assert "no history.csv" in capsys.readouterr().err


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_in_a_browser_tables_sort_pictures_load_and_a_phone_shows_all(dark: bool, page: Path, tmp_path: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("needs Chromium (Debian: apt-get install chromium)")
    probe = """<script>
    if (window === window.top) {
      const phone = document.createElement("iframe");
      phone.width = 390;
      phone.srcdoc = document.documentElement.outerHTML;
      document.body.append(phone);
      const found = {}, rows = document.querySelector("table").tBodies[0].rows;
      const column = () => [...rows].map(row => row.cells[1].dataset.v);
      const button = document.querySelectorAll("table th button")[1];
      button.click(); found.down = column(); button.click(); found.up = column();
      found.sorted = button.closest("th").getAttribute("aria-sort");
      window.addEventListener("load", () => {
        found.pictures = [...document.images].map(image => image.naturalWidth);
        found.paper = getComputedStyle(document.body).backgroundColor;
        found.phone = phone.contentDocument.documentElement.scrollWidth;
        document.title = "found" + JSON.stringify(found);
      });
    }
    </script></body>"""
    shown = tmp_path / "shown.html"
    shown.write_text(page.read_text().replace("</body>", probe))
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
    command += ["--disable-sync", f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--dump-dom"]
    command += [shown.as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    title = re.search(r"<title>found(.*?)</title>", dumped)
    assert title is not None
    found = json.loads(title[1])
    down = [float(value) for value in found["down"]]
    assert down == sorted(down, reverse=True)
    assert [float(value) for value in found["up"]] == sorted(down)
    assert found["sorted"] == "ascending"
    assert len(found["pictures"]) == page.read_text().count("<img ") > 0
    assert 300 < found["phone"] <= 390
    assert (min(int(part) for part in re.findall(r"\d+", found["paper"])) < 128) == dark
    assert min(found["pictures"]) > 300
