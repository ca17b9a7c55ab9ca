"""Score tables: what is written is read back, stands in place of scoring, and what is no sound table is refused."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sqlite3
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import diswot_bench as db
import proxies
from analysis.rows.ties import ROUNDING, Levels, to_be_ranked
from benchmarks import data, rank, spaces, truth
from benchmarks.conditions import batches
from benchmarks.conditions.batches import Batch
from benchmarks.scoretables import archive, exporting, joining, recalling
from benchmarks.scoretables.anew import job_like
from benchmarks.scoretables.table import ABSENT, Column, ScoreTable, conditions_of, made_here
from benchmarks.scoring.jobs import Conditions, Job
from benchmarks.scoring.scorer import Scorer
from benchmarks.scoring.store import STATUSES, Score, Store
from search import evolve, tabular
from search.evolution import charted, tabular_run
from search.evolution.options import TabularOptions
from tests.cases import ON_S0

S0 = spaces.find("s0")
SCORED = [*ON_S0, "--device", "cpu"]
NAMES = "synflow,params,l2_norm"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 6 candidates and 3 proxies, and the tables of its store and of its folder."""
    made = tmp_path_factory.mktemp("run")
    asked = ["--proxy", NAMES, "--baselines", "", "--sample", "6", "--out", str(made)]
    assert rank.main([*SCORED, *asked]) == 0
    assert data.main(["export", str(made / "store.sqlite"), "--into", str(made / "store.npz")]) == 0
    assert data.main(["export", str(made), "--into", str(made / "run.npz")]) == 0
    return made


def job_of(names: str = NAMES) -> Job:
    """What the run's conditions are."""
    source = batches.open_source("noise", "cifar100")
    chosen = [one for one in proxies.select(names) if isinstance(one, proxies.Proxy)]
    return Job(S0, [], chosen, [0], source, Conditions("cifar100", batch_size=2, teacher="resnet20"))


def made_up(names: str = NAMES, held: int = 64, seed: int = 0) -> ScoreTable:
    """Scores that nobody computed, some of them failed, others tied."""
    job, random = job_of(names), np.random.default_rng(seed)
    columns = {}
    for proxy in job.proxies:
        scores = np.round(random.standard_normal((1, held)), 1)
        status = np.where(random.random((1, held)) < 0.1, STATUSES.index("nan"), 0).astype(np.uint8)
        scores[status > 0] = np.nan
        columns[proxy.key] = Column(scores, status, np.zeros(scores.shape, np.uint32), np.ones(1), made_here(job))
    head = ("s0", "", 64, conditions_of(job), "noise", {0: job.source.batch(2, 0).digest})
    return ScoreTable(*head, np.arange(held), columns)


def refused(capsys: pytest.CaptureFixture[str], code: int) -> str:
    """The one line that a command says of bad input."""
    assert code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1
    return lines[0]


def test_a_table_holds_what_the_run_scored(folder: Path) -> None:
    written = (
        pd.read_csv(folder / "scores.csv").query("proxy != 'vanilla accuracy'").set_index(["proxy", "arch"])["score"]
    )
    for name in ("store.npz", "run.npz"):
        table = archive.read(folder / name)
        found = {(row.proxy, int(row.arch)): row.score for row in table.rows(S0)}
        assert found == written.to_dict()
        assert {column.made.code for column in table.columns.values()} == {made_here(job_of()).code}
        assert table.source == "noise"
        assert not recalling.differences(table, job_of())


def test_a_table_stands_in_place_of_scoring(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.scoring.scorer.Serial.map", None)  # no network is run
    asked = ["--proxy", NAMES, "--baselines", "", "--sample", "all", "--scores", str(folder / "store.npz")]
    assert rank.main([*SCORED, *asked, "--scores-only", "--workers", "1", "--out", str(tmp_path)]) == 0
    by = ["proxy", "arch"]
    one, other = (pd.read_csv(path / "scores.csv").sort_values(by, ignore_index=True) for path in (folder, tmp_path))
    pd.testing.assert_frame_equal(one, other)
    said = json.loads((tmp_path / "run.json").read_text())["scores"]
    assert said["used"] == 18
    assert said["sha256"] == archive.read(folder / "store.npz").digest


def test_what_a_table_lacks_is_scored_or_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [
        "--proxy",
        "synflow,macs",
        "--baselines",
        "",
        "--scores",
        str(folder / "store.npz"),
        "--out",
        str(tmp_path),
    ]
    text = refused(capsys, rank.main([*SCORED, *asked, "--scores-only"]))
    assert "store.npz lacks macs; it has: l2_norm, params, synflow; seed 0" in text
    assert rank.main([*SCORED, *asked, "--sample", "6"]) == 0
    assert "6 of 12 scores, the others computed here" in " ".join(capsys.readouterr().out.split())


def test_a_table_is_used_under_another_code(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a store is not: scores of another version of the source, which is said."""
    table = archive.read(folder / "store.npz")
    older = {key: replace(one, made=one.made._replace(code="0ld")) for key, one in table.columns.items()}
    archive.write(replace(table, columns=older), tmp_path / "older.npz")
    asked = ["--proxy", NAMES, "--baselines", "", "--sample", "all", "--scores", str(tmp_path / "older.npz")]
    assert rank.main([*SCORED, *asked, "--scores-only", "--out", str(tmp_path)]) == 0
    assert "made by code 0ld, torch" in " ".join(capsys.readouterr().out.split())


def test_candidates_scored_anew_agree_and_a_changed_score_is_found(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert data.main(["check", str(folder / "store.npz"), "--recompute", "5"]) == 0
    table = archive.read(folder / "store.npz")
    table.columns["synflow"].scores[:] *= 1.01
    archive.write(table, tmp_path / "changed.npz")
    text = refused(capsys, data.main(["check", str(tmp_path / "changed.npz"), "--recompute", "5"]))
    assert text.endswith("not sound: synflow") or "synflow" in text


@pytest.mark.parametrize("path", sorted(recalling.SHIPPED.glob("*.npz")), ids=lambda path: path.stem)
def test_what_is_committed_can_be_scored_on_and_read(path: Path) -> None:
    """Also where the space wants images of another size than the data set's, or the teacher is torchvision's."""
    table = archive.read(path)
    space = spaces.find(table.space)
    (first,) = [one for one in proxies.registered() if one.name == next(iter(table.columns))]
    job = job_like(table, space, table.archs(space)[:1], [first])
    found = recalling.Recalled(table, job)
    (row, *_) = found(job.archs, job.seeds)
    scores = db.read_scores(path)
    own = scores[scores["arch"].eq(job.archs[0]) & scores["proxy"].eq(first.name)]
    assert own["score"].tolist() == [row.score]


@pytest.mark.parametrize("name", ["nasbench201-cifar10", "nasbench201-cifar10-independent"])
def test_five_cells_of_the_whole_space_are_scored_alike_here(name: str) -> None:
    path = recalling.SHIPPED / f"{name}.npz"
    assert len(archive.read(path).index) == 15_625
    assert data.main(["check", str(path), "--recompute", "5"]) == 0


def test_the_whole_space_is_answered_from_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.scoring.scorer.Serial.map", None)  # no network is run
    asked = ["--sample", "all", "--proxy", "diswot,synflow", "--baselines", "params", "--workers", "1"]
    assert rank.main([*asked, "--truth", "none", "--device", "cpu", "--out", str(tmp_path)]) == 0
    assert "which comes with the project; --anew scores instead" in " ".join(capsys.readouterr().out.split())
    scores = pd.read_csv(tmp_path / "scores.csv").pivot(index="arch", columns="proxy", values="score")
    known = truth.load("retrained", spaces.find("nasbench201"), "cifar10", "vanilla").accuracy
    found = scores.corrwith(pd.Series(known), method="spearman").round(3).to_dict()
    assert found == {"diswot": 0.507, "synflow": 0.767, "params": 0.744}, "docs/validation.md, Whole space"


def test_a_damaged_table_of_the_project_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.checking.doctor.tables", lambda: [])
    monkeypatch.setattr("benchmarks.checking.scores.SHIPPED", tmp_path)
    archive.write(made_up(), tmp_path / "sound.npz")
    assert data.main(["check"]) == 0
    (tmp_path / "torn.npz").write_bytes((tmp_path / "sound.npz").read_bytes()[:-30])
    assert "not sound: " in refused(capsys, data.main(["check"]))


@pytest.mark.parametrize("kind", ["auto", "float64", "float32"])
def test_what_is_written_is_read_back(kind: archive.Kind, tmp_path: Path) -> None:
    table = made_up()
    table.columns["params"].status[0, 5] = ABSENT
    digest = archive.write(table, tmp_path / "a.npz", kind)
    assert archive.write(table, tmp_path / "b.npz", kind) == digest
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    found = archive.read(tmp_path / "a.npz")
    assert found.digest == digest
    assert found.absent == 1
    for key, column in table.columns.items():
        exact = column.scores if kind != "float32" else column.scores.astype(np.float32).astype(float)
        np.testing.assert_array_equal(found.columns[key].scores, exact)
        np.testing.assert_array_equal(found.columns[key].status, column.status)


def test_a_run_of_several_seeds_is_exported_and_read(tmp_path: Path) -> None:
    out, table = tmp_path / "run", tmp_path / "a.npz"
    asked = [*SCORED, "--proxy", "l2_norm,synflow", "--baselines", "", "--sample", "4", "--seeds", "3"]
    assert rank.main([*asked, "--out", str(out)]) == 0
    assert data.main(["export", str(out), "--into", str(table)]) == 0
    found = {(row.proxy, row.seed, int(row.arch)): row.score for row in archive.read(table).rows(S0)}
    expected = pd.read_csv(out / "scores.csv").query("proxy != 'vanilla accuracy'")
    assert found == expected.set_index(["proxy", "seed", "arch"])["score"].to_dict()
    assert len(found) == 24
    again = ["--scores", str(table), "--scores-only", "--out", str(tmp_path / "again")]
    assert rank.main([*asked, *again]) == 0
    by = ["proxy", "seed", "arch"]
    one, other = (pd.read_csv(folder / "scores.csv").sort_values(by) for folder in (out, tmp_path / "again"))
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))


def test_a_score_too_large_for_float32_is_refused_there(tmp_path: Path) -> None:
    table = made_up()
    table.columns["synflow"].scores[:] = 1e60
    table.columns["synflow"].status[:] = 0
    archive.write(table, tmp_path / "a.npz")
    assert archive.read(tmp_path / "a.npz").columns["synflow"].scores[0, 0] == 1e60
    with pytest.raises(ValueError, match="synflow: its scores do not fit into float32"):
        archive.write(table, tmp_path / "b.npz", "float32")


def changed(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """An archive with parts changed."""
    with zipfile.ZipFile(path) as archived:
        parts = {name: archived.read(name) for name in archived.namelist()}
    change(parts)
    with zipfile.ZipFile(path, "w") as archived:
        for name, content in parts.items():
            archived.writestr(name, content)


def huge(parts: dict[str, bytes]) -> None:
    """A score's head that promises 256 GB in an archive of 3 KB."""
    parts["score_000.npy"] = parts["score_000.npy"].replace(b"(1, 64), }" + b" " * 9, b"(1, 64000000000), }")


def pickled(parts: dict[str, bytes]) -> None:
    made = io.BytesIO()
    np.save(made, np.array([{}], dtype=object), allow_pickle=True)
    parts["score_000.npy"] = made.getvalue()


def older(parts: dict[str, bytes]) -> None:
    """A header of another version, with a digest that is right."""
    loaded = {name.removesuffix(".npy"): np.load(io.BytesIO(content)) for name, content in parts.items()}
    del loaded["digest"]
    text = loaded["header"].tobytes().replace(b'"version": 1', b'"version": 9')
    loaded["header"] = np.frombuffer(text, dtype=np.uint8)
    loaded["digest"] = np.frombuffer(bytes.fromhex(archive._digest(loaded)), dtype=np.uint8)
    for name, array in loaded.items():
        made = io.BytesIO()
        np.save(made, array)
        parts[f"{name}.npy"] = made.getvalue()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda parts: parts.pop("digest.npy"), "it has no digest"),
        (lambda parts: parts.update({"evil.pkl": b"x"}), "it holds 'evil.pkl'"),
        (lambda parts: parts.update({"status_000.npy": parts["status_001.npy"]}), "not what its digest says"),
        (lambda parts: parts.update({"header.npy": parts["index.npy"]}), "header.npy holds int64"),
        (lambda parts: parts.update({"index.npy": parts["index.npy"][:-1]}), "not of the size that it says"),
        (huge, "score_000.npy is not of the size that it says"),
        (pickled, "score_000.npy holds object"),
        (older, "of version 9; this program reads 1"),
    ],
)
def test_a_table_that_another_hand_changed_is_refused(
    change: Callable[[dict[str, bytes]], None], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.npz"
    archive.write(made_up(), path)
    changed(path, change)
    with pytest.raises(ValueError, match=re.escape(says)):
        archive.read(path)
    assert says in refused(capsys, rank.main([*SCORED, "--proxy", "synflow", "--scores", str(path)]))


def retold(path: Path, tell: Callable[[dict[str, Any]], object]) -> None:
    """A table with another header, and a digest that is right."""
    with np.load(path) as held:
        parts = {name: held[name] for name in held.files if name != "digest"}
    header = json.loads(parts["header"].tobytes())
    tell(header)
    parts["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    digest = np.frombuffer(bytes.fromhex(archive._digest(parts)), dtype=np.uint8)
    np.savez_compressed(path, allow_pickle=False, **parts, digest=digest)


@pytest.mark.parametrize(
    "tell",
    [
        lambda header: header["conditions"].pop("dataset"),
        lambda header: header["conditions"].update(dataset=7),
        lambda header: header["conditions"].update(batch_size="2"),
        lambda header: header["conditions"].update(teacher=["resnet20"]),
        lambda header: header["conditions"].update({"a\nline": "x"}),
        lambda header: header.update(source="\x1b[2J"),
        lambda header: header["proxies"][0].update(seconds=[[1, 2]]),
        lambda header: header["proxies"][0].update(seconds=["1"]),
        lambda header: header["proxies"][0].update(code="\ud800"),
    ],
)
def test_a_header_of_other_kinds_or_with_signs_for_a_terminal_is_refused(
    tell: Callable[[dict[str, Any]], object], tmp_path: Path
) -> None:
    archive.write(made_up(), tmp_path / "a.npz")
    retold(tmp_path / "a.npz", tell)
    with pytest.raises(ValueError, match="its header is not what this program writes"):
        archive.read(tmp_path / "a.npz")


def test_a_reason_is_one_line_that_commands_no_terminal(tmp_path: Path) -> None:
    archive.write(replace(made_up(), reasons=["", "\x1b[31mfailed\n==> ok"]), tmp_path / "a.npz")
    assert archive.read(tmp_path / "a.npz").reasons == ["", "\\x1b[31mfailed ==> ok"]


def test_a_table_runs_no_code_and_downloads_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\ndef Net(): pass\n")
    for told, says in (
        ({"teacher": f"{tmp_path}/evil.py:Net"}, "a file of code; none is run"),
        ({"download": "yes"}, "a condition that this program does not know, 'download'"),
        ({"teacher_weights": "0" * 64}, "scored under a trained teacher"),
    ):
        archive.write(replace(made_up(), conditions=conditions_of(job_of()) | told), tmp_path / "a.npz")
        assert says in refused(capsys, data.main(["check", str(tmp_path / "a.npz"), "--recompute", "1"]))
    assert not (tmp_path / "ran").exists()


@given(cut=st.integers(0, 2000), at=st.integers(0, 2000), byte=st.integers(0, 255))
def test_damaged_bytes_are_one_error_or_the_table(
    cut: int, at: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "a.npz"
    table = made_up()
    archive.write(table, path)
    content = bytearray(path.read_bytes())
    content[at % len(content)] = byte
    path.write_bytes(content[: len(content) - cut % 7])
    with contextlib.suppress(ValueError):  # anything else is a fault of the reader
        found = archive.read(path)
        np.testing.assert_array_equal(found.columns["synflow"].scores, table.columns["synflow"].scores)


def test_a_table_of_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.npz"
    archive.write(made_up(), path)
    asked = ["--proxy", "synflow", "--baselines", "", "--scores", str(path), "--out", str(tmp_path / "out")]
    text = refused(capsys, rank.main([*SCORED, *asked, "--draw", "independent"]))
    assert "scored under other conditions: draw shared (asked for: independent)" in text
    assert "of the space s0, not of nasbench201" in refused(capsys, rank.main([*asked, "--device", "cpu"]))
    assert "of which table" in refused(capsys, rank.main([*SCORED, "--scores-only"]))
    assert "leave out one" in refused(capsys, rank.main([*SCORED, *asked, "--anew"]))
    for other in (tmp_path, Path(__file__)):  # a folder, and no archive
        assert "data.py export makes" in refused(capsys, rank.main([*SCORED, "--scores", str(other)]))


def test_tables_are_joined_and_two_that_disagree_are_refused(tmp_path: Path) -> None:
    whole = made_up()
    first = whole.of(["synflow", "params"])
    other = whole.of(["params", "l2_norm"])
    both = joining.joined([first, other])
    assert set(both.columns) == {"synflow", "params", "l2_norm"}
    named = joining.joined([replace(first, where="a.npz", digest="12" * 32), replace(other, where="b.npz")])
    assert named.name == "a.npz (sha256 121212121212) and b.npz"
    np.testing.assert_array_equal(both.columns["l2_norm"].scores, whole.columns["l2_norm"].scores)
    twisted = replace(
        other, columns={"params": replace(other.columns["params"], scores=other.columns["params"].scores + 1)}
    )
    with pytest.raises(ValueError, match="disagree: of params's scores that both have"):
        joining.joined([first, twisted])
    with pytest.raises(ValueError, match=r"they differ in draw \(shared and common\)"):
        joining.joined([first, replace(other, conditions={**other.conditions, "draw": "common"})])
    with pytest.raises(ValueError, match=r"they differ in size of the space \(64 and 65\)"):
        joining.joined([first, replace(other, size=65)])
    images = replace(other, source="unknown", batches={1: "of images"})
    with pytest.raises(ValueError, match=r"they differ in batch \(noise and unknown\)"):
        joining.joined([first, images])
    assert joining.joined([replace(images, source="a.npz", batches={2: "more"}), images]).seeds == [1, 2]


def stored(path: Path, batch: Batch, score: float, seed: int = 0) -> None:
    """A score of a candidate on a batch, put into a store."""
    with Store(path) as store:
        row = Score("s0", "777", "synflow", seed, score, "ok", 0.1)
        store.add(store.conditions(job_of().conditions.content(batch)), [row])


def test_scores_on_noise_and_on_images_of_one_store_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, into = tmp_path / "store.sqlite", tmp_path / "a.npz"
    noise = job_of().source.batch(2, 0)
    stored(path, noise, 1.0)
    stored(path, Batch(noise.images + 1, noise.labels), 2.0)
    asked = ["export", str(path), "--into", str(into)]
    assert "choose by --where batch=noise or images" in refused(capsys, data.main(asked))
    for kind, score in (("noise", 1.0), ("images", 2.0)):
        assert data.main([*asked, "--where", f"batch={kind}"]) == 0
        assert [row.score for row in archive.read(into).rows(S0)] == [score]
    stored(path, Batch(noise.images + 2, noise.labels), 3.0)
    assert "several batches of images" in refused(capsys, data.main([*asked, "--where", "batch=images"]))


def test_a_run_that_took_its_scores_from_a_table_says_who_made_them(tmp_path: Path) -> None:
    table = made_up()
    older = {key: replace(one, made=one.made._replace(code="0ld")) for key, one in table.columns.items()}
    archive.write(replace(table, columns=older), tmp_path / "older.npz")
    asked = ["--proxy", "synflow,macs", "--baselines", "", "--sample", "6", "--scores", str(tmp_path / "older.npz")]
    assert rank.main([*SCORED, *asked, "--truth", "none", "--out", str(tmp_path / "run")]) == 0
    assert data.main(["export", str(tmp_path / "run"), "--into", str(tmp_path / "again.npz")]) == 0
    found = archive.read(tmp_path / "again.npz").columns
    assert {key: one.made.code for key, one in found.items()} == {"synflow": "0ld", "macs": made_here(job_of()).code}


def test_what_a_folder_lacks_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text("def one(probe):\n    return probe.logits[:, 0, 0]\n")
    own = ["--proxy", f"{tmp_path}/mine.py:one", "--baselines", "", "--sample", "2", "--out", str(tmp_path)]
    assert rank.main([*SCORED, *own]) == 0
    asked = ["export", str(tmp_path), "--into", str(tmp_path / "a.npz")]
    assert "functions of yours alone; export the store" in refused(capsys, data.main(asked))
    lines = (tmp_path / "scores.csv").read_text().replace("mine.py:one", "params").splitlines()
    (tmp_path / "scores.csv").write_text("\n".join([*lines[:2], lines[1]]))
    assert "scores.csv: a row stands there twice" in refused(capsys, data.main(asked))
    (tmp_path / "scores.csv").write_text("arch,proxy\n")
    assert "not a run of rank.py that can be read (KeyError" in refused(capsys, data.main(asked))
    assert data.main(["export", str(tmp_path / "store.sqlite"), "--into", str(tmp_path / "a.npz")]) == 0
    (tmp_path / "mine.py").write_text("def one(probe):\n    return probe.logits[:, 0, 1]\n")
    text = refused(capsys, rank.main([*SCORED, *own, "--scores", str(tmp_path / "a.npz"), "--scores-only"]))
    assert "lacks mine.py:one as the file is now; it has: mine.py:one@" in text


def test_of_a_run_whose_scores_are_those_of_others_the_store_is_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--proxy", "params", "--baselines", "", "--sample", "2", "--unique", "--out", str(tmp_path)]
    assert rank.main([*SCORED, *asked]) == 0
    for source, code in ((tmp_path, 2), (tmp_path / "store.sqlite", 0)):
        assert data.main(["export", str(source), "--into", str(tmp_path / "a.npz")]) == code
    assert "--unique gave its candidates scores of others; export the store" in capsys.readouterr().err


def test_two_versions_of_a_proxy_of_ones_own_are_not_mixed(tmp_path: Path) -> None:
    asked = ["--proxy", f"{tmp_path}/mine.py:one", "--baselines", "", "--out", str(tmp_path)]
    for place, sample in enumerate(("3", "5")):
        (tmp_path / "mine.py").write_text(f"def one(probe):\n    return probe.logits[:, 0, {place}]\n")
        assert rank.main([*SCORED, *asked, "--sample", sample]) == 0
    assert data.main(["export", str(tmp_path / "store.sqlite"), "--into", str(tmp_path / "a.npz")]) == 0
    scores = db.read_scores(tmp_path / "a.npz")
    assert not scores.duplicated(["proxy", "arch", "seed"]).any()
    assert sorted(scores.groupby("proxy").size()) == [3, 5]
    assert all(name.startswith("mine.py:one@") for name in scores["proxy"])
    few = scores[scores["proxy"].eq(scores["proxy"].iloc[0])]
    db.write_scores(few, tmp_path / "one.npz")
    assert set(db.read_scores(tmp_path / "one.npz")["proxy"]) == {"mine.py:one"}


def test_a_store_gets_nothing_of_a_table(tmp_path: Path) -> None:
    """Of two cells that compute the same the table has one: the other's score is the table's too."""
    space = spaces.find("nasbench201")
    first = "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"
    other = first.replace("+|none~0|none~1|", "+|none~0|skip_connect~1|", 1)
    assert space.effective(first) == space.effective(other)
    source = batches.open_source("noise", "cifar10")
    (synflow,) = (one for one in proxies.registered() if one.name == "synflow")
    job = Job(space, [first, other], [synflow], [0], source, Conditions("cifar10", batch_size=2))

    class Known:
        only = False

        def __call__(self, archs: Sequence[str], seeds: Sequence[int]) -> list[Score]:
            return [Score(space.name, arch, "synflow", 0, 5.0, "ok", 0.1) for arch in archs if arch == first]

        def lacks(self, *_: object) -> ValueError:
            raise AssertionError

    with Store(tmp_path / "store.sqlite") as store:
        rows = Scorer(job, store, known=Known()).rows([first, other])
        assert [row.score for row in rows] == [5.0, 5.0]
        assert not list(
            store.scores(store.conditions(job.conditions.content(source.batch(2, 0))), space.name, ["synflow"], 0)
        )


def test_what_is_written_while_a_store_is_exported_is_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores and failures are asked for one after the other: what fails in between was in the second alone."""
    path, parts = tmp_path / "s.sqlite", exporting._part
    asked = ["--sample", "6", "--proxy", "params", "--baselines", "", "--store", str(path), "--out", str(tmp_path)]
    assert rank.main([*SCORED, *asked]) == 0

    def between(connection: sqlite3.Connection, key: tuple[str, str, str, int], places: Any) -> Any:
        def execute(*asked: Any) -> sqlite3.Cursor:
            found = connection.execute(*asked)
            with Store(path) as store:
                other = next(arch for arch in map(S0.arch, range(64)) if arch not in places.of)
                store.add(key[0], [Score("s0", other, key[2], key[3], float("nan"), "nan", 0.1)])
            return found

        return parts(mock.Mock(execute=execute), key, places)

    monkeypatch.setattr(exporting, "_part", between)
    assert len(exporting.from_store(path, {}).index) == 6


def test_some_candidates_are_usable_and_how_many_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive.write(made_up(held=30), tmp_path / "a.npz")
    asked = ["--proxy", "synflow", "--baselines", "", "--sample", "all", "--scores", str(tmp_path / "a.npz")]
    assert rank.main([*SCORED, *asked, "--scores-only", "--out", str(tmp_path)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "30 of 64 candidates of s0" in text
    assert "30 of 64 candidates, made by" in text


def test_the_whole_space_is_answered_from_what_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.write(made_up(), tmp_path / "s0-test.npz")
    monkeypatch.setattr(recalling.shipped, "__defaults__", (tmp_path,))
    asked = [*SCORED, "--proxy", "params", "--baselines", "", "--sample", "all", "--out", str(tmp_path / "out")]
    assert rank.main(asked) == 0
    assert "which comes with the project; --anew scores instead" in " ".join(capsys.readouterr().out.split())
    found = pd.read_csv(tmp_path / "out" / "scores.csv")["score"].sum()
    assert rank.main([*asked, "--anew"]) == 0
    assert "comes with the project" not in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "out" / "scores.csv")["score"].sum() != found


def test_baselines_beside_a_table_of_ones_own_are_those_that_are_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archive.write(made_up("synflow,l2_norm"), tmp_path / "mine.npz")
    archive.write(made_up("synflow,params", seed=1), tmp_path / "s0-test.npz")
    monkeypatch.setattr(recalling.shipped, "__defaults__", (tmp_path,))
    monkeypatch.setattr("benchmarks.scoring.scorer.Serial.map", None)  # no network is run
    asked = [*SCORED, "--proxy", "synflow", "--baselines", "params", "--sample", "all", "--workers", "1"]
    assert rank.main([*asked, "--scores", str(tmp_path / "mine.npz"), "--out", str(tmp_path / "out")]) == 0
    assert "mine.npz (sha256" in (text := " ".join(capsys.readouterr().out.split()))
    assert "s0-test.npz (sha256" in text
    scores = pd.read_csv(tmp_path / "out" / "scores.csv", na_values=["n/a"]).pivot(columns="proxy", index="index")
    for name, path in (("synflow", "mine.npz"), ("params", "s0-test.npz")):
        expected = archive.read(tmp_path / path).columns[name].scores[0]
        np.testing.assert_array_equal(scores["score"][name], expected)


def test_from_python(folder: Path, tmp_path: Path) -> None:
    scores = db.read_scores(folder / "store.npz")
    assert len(scores) == 18
    assert set(db.rank(scores, truth="published", dataset="cifar100", target="distilled").index) == set(
        NAMES.split(",")
    )
    assert db.write_scores(scores, tmp_path / "again.npz") == archive.read(folder / "store.npz").digest
    few = scores[scores["proxy"].eq("params") & scores["arch"].isin(scores["arch"].iloc[:2])]
    db.write_scores(few, tmp_path / "few.npz")
    found = db.read_scores(tmp_path / "few.npz")[["arch", "proxy", "score"]]
    pd.testing.assert_frame_equal(found, few[["arch", "proxy", "score"]].reset_index(drop=True))
    assert len(archive.read(tmp_path / "few.npz").index) == 2
    with pytest.raises(ValueError, match="scores of params: not what score or read_scores gave"):
        db.write_scores(few.assign(score=1.0), tmp_path / "no.npz")
    fresh = db.score(S0, archs=[1, 2], proxies="params", dataset="cifar100", batch_size=2, progress=False)
    db.write_scores(fresh, tmp_path / "own.npz")
    pd.testing.assert_frame_equal(db.read_scores(tmp_path / "own.npz")[["arch", "score"]], fresh[["arch", "score"]])
    db.write_scores(fresh[fresh["arch"].eq(fresh["arch"][0])], tmp_path / "one.npz")
    assert len(archive.read(tmp_path / "one.npz").index) == 1
    for changed in (fresh.assign(score=1.0), fresh.assign(proxy="macs"), pd.concat([fresh, fresh.assign(seed=1)])):
        changed.attrs = fresh.attrs
        with pytest.raises(
            ValueError, match=r"^scores: not what score or read_scores gave; rows .* left out, not changed"
        ):
            db.write_scores(changed, tmp_path / "no.npz")
    with pytest.raises(ValueError, match=r"what diswot_bench.score or read_scores gave is expected, whole"):
        db.write_scores(pd.DataFrame({"a": [1]}), tmp_path / "no.npz")


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-9, 9)), min_size=1, max_size=25), st.floats(0.5, 9))
def test_levels_one_by_one_are_those_of_all_together(steps: list[tuple[int, int]], base: float) -> None:
    levels, values = Levels(), [base * whole * (1 + fine * ROUNDING / 2) for whole, fine in steps]
    for number, value in enumerate(values):
        ok = np.array([one != 0 for one in values[: number + 1]])
        levels.add(str(number), value, bool(ok[-1]))
        expected = to_be_ranked(np.array(values[: number + 1]), ok)
        assert [levels.level[str(place)] for place in range(number + 1)] == expected.tolist()


@given(
    st.lists(st.tuples(st.integers(-4, 4), st.integers(-2, 2)), min_size=1, max_size=12),
    st.sampled_from([1.5, 2.0**24, 1.0]),
    st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_a_standing_known_beforehand_ranks_as_levels_do_whatever_was_seen(
    steps: list[tuple[int, int]], base: float, seen: list[bool]
) -> None:
    scores = np.array([base * whole * (1 + fine * ROUNDING / 2) if whole else np.nan for whole, fine in steps])
    found = charted.standing(scores)
    if found is not None:
        some = np.array(seen[: len(scores)])
        levels = to_be_ranked(scores[some], ~np.isnan(scores[some]))
        np.testing.assert_array_equal(*(np.unique(one, return_inverse=True)[1] for one in (levels, found[some])))


def test_where_ties_depend_on_what_was_seen_no_standing_is_known() -> None:
    chain = 1.5 * (1 + np.arange(4) * ROUNDING * 0.9)
    assert charted.standing(chain) is None
    assert charted.standing(np.array([3.0, 1.5, np.nan, 1.5])).tolist() == [2, 1, 0, 1]  # type: ignore[union-attr]


@pytest.mark.parametrize("step", [0.1, 0.9 * ROUNDING])
@pytest.mark.pictures
def test_searches_by_a_table_are_those_of_the_command(
    step: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run by run, at each budget: the same winner; also where neighbours are tied in chains."""
    monkeypatch.chdir(tmp_path)
    table = made_up()
    for column in table.columns.values():
        column.scores[:] = 2.5 * (1 + column.scores * 10 * step)
    archive.write(table, tmp_path / "a.npz")
    asked = [
        *SCORED,
        "--scores",
        "a.npz",
        "--scores-only",
        "--proxy",
        "synflow,l2_norm",
        "--seeds",
        "4",
        "--workers",
        "1",
    ]
    asked += ["--strategy", "evolution,aging,local,random", "--population", "8", "--tournament", "4", "--top", "2"]
    asked += ["--max-params", "500k"]
    assert tabular.main([*asked, "--budgets", "10,25", "--out", "table"]) == 0
    found = pd.read_csv("table/winners.csv").set_index(["budget", "strategy", "fitness", "seed"])["arch"]
    for budget in (10, 25):
        assert evolve.main([*asked, "--budget", str(budget), "--same-draw", "--alone", "--out", f"run{budget}"]) == 0
        best = pd.read_csv(f"run{budget}/best.csv").set_index(["strategy", "proxy", "seed"])["arch"]
        assert best.to_dict() == found[budget].drop("params (counted)", level=1).to_dict()
        assert len(best) == 32
    table = pd.read_csv("table/tabular.csv")
    assert table[table["fitness"] == "params (counted)"]["above_params"].eq(0).all()
    assert (tmp_path / "table" / "regret.png").stat().st_size > 5000
    Path("large.csv").write_text("arch,distilled\n777,90\n")  # which the limit leaves out
    assert tabular.main([*asked, "--budgets", "10", "--truth", "large.csv"]) == 2
    assert "--truth large.csv: has the accuracy of none of" in capsys.readouterr().err


def test_what_no_search_can_climb_is_left_out_of_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = made_up()
    table.columns["synflow"].status[:] = STATUSES.index("undefined")
    archive.write(table, tmp_path / "a.npz")
    usual = TabularOptions("cifar100", "s0", batch_size=2, teacher="resnet20", scores=str(tmp_path / "a.npz"))
    made = tabular_run.prepare(replace(usual, proxy="synflow,l2_norm,vote(synflow,l2_norm)"))
    assert list(made.walker.scores) == ["l2_norm", "params (counted)"]
    assert made.left_out == ["synflow", "vote(synflow,l2_norm)"]
    for other, says in (
        ({"proxy": "vote(synflow,l2_norm)"}, "combinations rank what a search has seen"),
        ({"proxy": "synflow"}, "no score of synflow is a number"),
        ({"budget": 9}, "numbers of candidates are --budgets"),
    ):
        with pytest.raises(ValueError, match=says):
            tabular_run.prepare(replace(usual, **other))
