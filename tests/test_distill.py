"""search/distill.py as a user types it: what it leaves behind, tables for rank.py, going on, and bad input."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from benchmarks import rank
from benchmarks.output import record
from benchmarks.scoring.engines import Lost, Serial
from benchmarks.spaces.resnet import S0
from search import distill, evolve
from search.distillation import protocol, runs
from search.distillation.loop import Outcome, train
from tests.cases import SPACE
from tests.cases import TRAIN_QUICKLY as QUICK


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    images = {
        f"{part}_images": random.integers(0, 256, (n, 3, 8, 8), dtype=np.uint8)
        for part, n in (("train", 12), ("test", 8))
    }
    labels = {f"{part}_labels": np.arange(n) % 10 for part, n in (("train", 12), ("test", 8))}
    np.savez("some.npz", **images, **labels)


def run(*arguments: str) -> int:
    return distill.main([*QUICK, *arguments])


def test_vanilla_and_distilled_are_means_over_the_seeds_that_both_have() -> None:
    done = [
        ("111", "ce", 0, 60),
        ("111", "ce", 1, 70),
        ("111", "kd", 0, 62),
        ("113", "ce", 0, 50),
        ("113", "kd", 1, 51),
    ]
    rows = pd.DataFrame(done, columns=["arch", "method", "seed", "last"])
    table = runs.truth_table(rows.assign(space="s0", status="done", found_by="", params=1))
    assert table["arch"].tolist() == ["111"], "113 has no seed in common"
    assert table.loc[0, ["vanilla", "distilled", "ce", "kd"]].tolist() == [60, 62, 65, 62]
    assert runs.truth_table(rows.assign(space="s0", status="lost", found_by="", params=1)).empty


@pytest.mark.pictures
def test_a_table_of_students_methods_and_seeds_is_read_by_rank(capsys: pytest.CaptureFixture[str]) -> None:
    students = "nasbench201:8 nasbench201:1462 nasbench201:77"
    arguments = ["--student", students, "--method", "ce kd:0.9,diswot", "--seeds", "2", "--table", "cells.csv"]
    assert run(*arguments) == 0
    printed = capsys.readouterr().out
    assert "teacher" in printed
    assert "±" in printed
    rows, table = pd.read_csv("out/runs.csv"), pd.read_csv("cells.csv")
    assert len(rows) == 3 * 2 * 2
    assert set(rows["status"]) == {"done"}
    assert list(table.columns[:4]) == ["space", "arch", "vanilla", "distilled"]
    assert list(table["arch"]) == [SPACE.arch(index) for index in (8, 1462, 77)]
    own = rows[rows["arch"] == SPACE.arch(8)]
    assert table["vanilla"][0] == pytest.approx(own.loc[own["method"] == "ce", "last"].mean())
    assert table["kd:0.9,diswot sd"][0] == pytest.approx(own.loc[own["method"] != "ce", "last"].std())
    assert all(Path("out", f"curves.{kind}").stat().st_size > 1000 for kind in ("png", "pdf"))
    conditions = json.loads(Path("out/run.json").read_text())
    assert conditions["options"]["method"] == "ce kd:0.9,diswot"
    assert {"commit", "versions", "data"} <= set(conditions)
    ranked = ["--truth", "cells.csv", "--sample", "3", "--batch-size", "4", "--baselines", "", "--proxy", "params"]
    for target in ("vanilla", "distilled", "gain"):
        assert rank.main([*ranked, "--target", target]) == 0


def test_parameters_of_methods_are_given_and_stated_in_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    both = "dkd(beta=2,warmup=1),rkd(angle=5, distance=2)"
    assert run("--student", "s0:111 s0:333", "--method", f"ce kd(T=2):0.5 {both}") == 0
    rows = pd.read_csv("out/runs.csv")
    losses = {
        "ce": "ce:1",
        "kd(T=2):0.5": "ce:0.5,kd(T=2):0.5",
        both: "ce:1,dkd(alpha=1,beta=2,T=4,warmup=1):1,rkd(distance=2,angle=5):1",
    }
    assert dict(zip(rows["method"], rows["loss"], strict=True)) == losses
    assert len(rows) == 6
    assert f"kd(T=2):0.5: {losses['kd(T=2):0.5']}" in capsys.readouterr().out
    weights = [Path("out", name, "weights.pt").read_bytes() for name in rows["folder"]]
    assert len(set(weights)) == 6, "each parameter tells"


def test_what_is_usual_for_a_pair_is_stated() -> None:
    assert run("--teacher", "resnet56", "--student", "resnet20 s0:111", "--method", "dkd") == 0
    losses = pd.read_csv("out/runs.csv").set_index("student")["loss"]
    assert "beta=2" in losses["resnet20"]
    assert "beta=8" in losses["s0:111"]


def test_what_is_done_is_not_done_again_and_more_can_be_added(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("--student", "s0:111", "--method", "ce") == 0
    trained: list[str] = []

    def watched(*arguments: Any) -> Outcome:
        trained.append(arguments[4].name)
        return train(*arguments)

    monkeypatch.setattr("search.distillation.runs.train", watched)
    assert run("--student", "s0:111", "--method", "ce sp") == 0
    assert trained == ["resnet20_ce_seed0", "s0-111_sp_seed0"]


def test_a_sweep_gives_the_same_bytes_whoever_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    """In processes; that Ray does with any task what these do, tests/test_engines.py shows."""
    arguments = ["--student", "s0:111", "--method", "ce sp", "--seeds", "2"]
    assert run(*arguments) == 0
    monkeypatch.setattr("search.distillation.runs.train", None)  # nothing is trained in this process
    assert run(*arguments, "--out", "far", "--workers", "2") == 0
    for name in ("runs.csv", "table.csv", "s0-111_sp_seed1/weights.pt", "teacher/resnet20_ce_seed0/weights.pt"):
        assert Path("out", name).read_bytes() == Path("far", name).read_bytes(), name


def test_a_run_whose_processes_die_is_lost_and_the_others_are_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Deadly(Serial):
        def map(self, work: Callable[[int], Any], tasks: Sequence[int]) -> Iterator[tuple[int, Any]]:
            yield from super().map(work, tasks[1:])
            yield tasks[0], Lost("for a test")

    monkeypatch.setattr("benchmarks.scoring.engines.open_engine", lambda *_, **__: Deadly())
    assert run("--student", "s0:111 s0:131", "--method", "ce") == 2
    said = capsys.readouterr().err
    assert "1 of 2 runs lost (s0-111_ce_seed0): the same command tries them again" in said
    assert list(pd.read_csv("out/runs.csv")["status"]) == ["lost", "done"]
    assert pd.read_csv("out/table.csv")["arch"].tolist() == [131]


def test_a_teacher_trained_here_is_loaded_by_distill_and_by_rank() -> None:
    assert run("--train-teacher", "resnet20") == 0
    weights = "out/resnet20_ce_seed0/weights.pt"
    taught = ["--teacher-weights", weights, "--student", "s0:111", "--method", "kd", "--out", "taught"]
    assert run(*taught) == 0
    assert not Path("taught/teacher").exists()
    assert "distilled" in pd.read_csv("taught/table.csv")
    ranked = ["--teacher", "resnet20", "--teacher-weights", weights, "--sample", "2", "--batch-size", "4"]
    assert rank.main([*ranked, "--baselines", "", "--out", "ranked"]) == 0


def test_cross_entropy_of_any_weight_needs_no_teacher() -> None:
    assert run("--student", "s0:111", "--method", "ce:0.5") == 0
    assert not Path("out/teacher").exists()


def test_a_diverged_run_is_one_line_and_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--student", "s0:111", "--method", "ce kd:1e39") == 2
    error = capsys.readouterr().err
    assert "1 of 2 runs diverged (s0-111_kd-1e39_seed0" in error
    assert "Traceback" not in error
    rows = pd.read_csv("out/runs.csv")
    assert list(rows["status"]) == ["done", "diverged"]
    assert rows["last"].isna().tolist() == [False, True]
    assert json.loads(Path(f"out/{rows['folder'][1]}/outcome.json").read_text())["status"] == "diverged"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--method", "kdd"], "no method is called 'kdd'; there are: ce, diswot, kd"),
        (["--method", ""], "one at least is needed"),
        (["--method", "ce kd(temperature=2)"], "--method kd(temperature=2): kd has these parameters, each once: T=4"),
        (["--method", "kd(T=2"], "write a method as NAME"),
        (["--teacher-normalisation", "imagenet"], "--teacher-normalisation is of --teacher-weights, which is missing"),
        (["--teacher-normalisation", "x", "--teacher-weights", "x.pt"], "--teacher-normalisation x: imagenet, or MEAN"),
        (["--teacher", "vgg"], "no teacher is called 'vgg'"),
        (["--student", "s0:999"], "no candidate of s0"),
        (["--data", "nowhere"], "--data nowhere: no such data set"),
        (["--data", "cifar10", "--data-dir", "nowhere"], "--data cifar10: not found in nowhere"),
        (["--epochs", "-1"], "--epochs -1: 1 is the least"),
        (["--epochs", "0"], "--epochs 0: 1 is the least"),
        (["--device", "cuda:99"], "CUDA devices"),
        (["--teacher-weights", "nowhere.pt"], "teacher weights nowhere.pt"),
        (["--teacher-weights", "nowhere.pt", "--method", "ce"], "nowhere.pt: nothing here learns from a teacher"),
        (["--sample-best", "3"], "--sample-best: a part of --sample, which is missing"),
        (["--student", "deep.json"], "--student deep.json: no JSON file"),
        (["--gpus-per-task", ".5"], "--gpus-per-task is of a Ray cluster: it goes with --engine ray"),
        (["--engine", "ray", "--address", "auto", "--workers", "2"], "it goes without --address"),
        (["--student", "resnet18", "--method", "kdsvd"], "the student has [64, 128, 512], the teacher [16, 32, 64]"),
        (["--learning-rate", "100"], "--learning-rate 100.0: at least 0, less than 100"),
        (["--ema", "1"], "--ema 1.0: at least 0, less than 1"),
        (["--sample", "10"], "--sample 10 with 20 best"),
        (["--seeds", "0"], "--seeds 0: 1 is the least"),
        (["--table", "some.npz/table.csv"], "--table some.npz/table.csv: can't be written"),
        (["--table", "."], "--table .: is a folder"),
        (["--student", "nowhere.csv"], "--student nowhere.csv: No such file"),
    ],
)
def test_bad_input_is_one_line_and_trains_nothing(
    capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    Path("deep.json").write_text("[" * 100_000)
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(Path().glob("out/*/metrics.jsonl"))


def test_weights_for_another_network_or_other_classes_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--train-teacher", "resnet20") == 0
    assert distill.main(["--teacher-weights", "out/resnet20_ce_seed0/weights.pt", *QUICK, "--teacher", "resnet32"]) == 2
    assert "no tensor called 'layer1.3.conv1.weight'" in capsys.readouterr().err
    with np.load("some.npz") as found:
        arrays = dict(found)
    arrays |= {f"{part}_labels": arrays[f"{part}_labels"] % 3 for part in ("train", "test")}
    np.savez("three.npz", **arrays)
    taught = [*QUICK, "--teacher-weights", "out/resnet20_ce_seed0/weights.pt", "--data", "three.npz"]
    assert distill.main(taught) == 2
    error = capsys.readouterr().err
    assert "fc.weight has shape (10, 64), (3, 64) is expected (classes x channels)" in error
    assert error.count("\n") == 1


def test_the_winners_of_searches_are_distilled_each_once_and_named_by_who_found_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    searched = ["--space", "s0", "--proxy", "params,macs", "--budget", "4", "--population", "4", "--tournament", "2"]
    few = ["--top", "1", "--max-params", "200000", "--workers", "1", "--out", "found"]
    assert evolve.main([*searched, *few]) == 0
    best = pd.read_csv("found/best.csv", dtype=str)
    capsys.readouterr()
    assert run("--student", "found/best.csv s0:311", "--method", "ce") == 0
    printed = capsys.readouterr().out
    assert "found by" in printed
    table = pd.read_csv("out/table.csv", dtype={"arch": str}).set_index("arch")
    assert set(table.index) == {*best["arch"], "311"}
    own = best[best["arch"] == best["arch"][0]]
    assert table["found_by"][best["arch"][0]] == ", ".join(own["strategy"] + " " + own["proxy"])
    assert pd.isna(table["found_by"]["311"]) or "311" in set(best["arch"])
    assert table["params"]["311"] == S0().count("311", 10, 8).params


def test_another_run_in_the_same_folder_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--student", "s0:111", "--method", "ce") == 0
    assert run("--student", "s0:111", "--method", "ce", "--epochs", "2") == 2
    assert "holds a run with epochs 1, not epochs 2" in capsys.readouterr().err


def test_two_commands_do_not_train_in_one_folder(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--student", "s0:111", "--method", "ce", "--out", "o"]
    assert run(*asked) == 0
    with FileLock(Path("o") / record.LOCK):
        assert run(*asked) == 2
        assert "--out o: another process is training" in capsys.readouterr().err
        assert run(*asked, "--done") == 0
    assert run(*asked) == 0


def test_methods_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert distill.main(["--list"]) == 0
    said = capsys.readouterr().out
    assert "Tian et al., ICLR 2020" in said
    assert "alpha=1, beta=8, T=4, warmup=20" in said


def test_the_sample_of_the_protocol_is_stratified_and_seeded() -> None:
    from benchmarks.truth.embedded import retrained

    cells = protocol.stratified(40, 0)
    assert cells == protocol.stratified(40, 0)
    assert len(set(cells)) == 40
    accuracy = retrained().accuracy
    assert sorted(accuracy[cell] for cell in cells[:20]) == sorted(sorted(accuracy.values())[-20:])
    assert not any(SPACE.connected(cell) for cell in cells[20:25])
    sizes = [SPACE.count(cell, 10, 32).params for cell in cells[25:]]
    assert sizes == sorted(sizes)
    assert protocol.stratified(40, 1)[25:] != cells[25:]


def test_names_of_folders_are_short_and_differ() -> None:
    assert runs.folder_name("s0:111_ce_seed0") == "s0-111_ce_seed0"
    cells = [runs.folder_name(f"nasbench201:{SPACE.arch(index)}_ce_seed0") for index in range(50)]
    assert len(set(cells)) == 50
    assert max(map(len, cells)) <= 70
    assert runs.folder_name("a+b") != runs.folder_name("a-b")


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "[" * 100_000,
        '{"settings": 5, "status": "lost", "history": []}',
        '{"settings": {}, "status": "done", "history": 5}',
        '{"settings": {}, "status": "done", "history": [{"seconds": 1}]}',
        '{"settings": {}, "status": "done", "history": [{"seconds": "x", "test_accuracy": 5}]}',
    ],
)
def test_a_damaged_outcome_counts_as_none(text: str) -> None:
    Path("outcome.json").write_text(text)
    assert runs.finished(Path(), {}) is None


def test_a_list_of_trainings_gives_each_student_its_seeds_and_what_is_done_of_it_makes_tables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("list.csv").write_text("space,arch,training_seed\ns0,111,0\ns0,131,0\ns0,111,1\n")
    asked = ["--student", "list.csv", "--method", "ce kd", "--table", "made/table.csv"]
    assert run(*asked, "--done") == 2
    assert "--done: the teacher is not trained" in capsys.readouterr().err
    trained: list[str] = []

    def watched(*arguments: Any) -> Outcome:
        trained.append(arguments[4].name)
        if len(trained) == 5:  # the teacher, ce and kd of the first student, ce of the second
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr("search.distillation.runs.train", watched)
    assert run(*asked) == 130
    names = ["resnet20_ce_seed0", *(f"s0-{arch}_{way}_seed0" for arch in (111, 131) for way in ("ce", "kd"))]
    assert trained == names
    assert run(*asked, "--done") == 0
    assert "3 of 6 runs are done" in capsys.readouterr().out
    assert pd.read_csv("made/table.csv")["arch"].tolist() == [111], "both accuracies are there"
    protocol = json.loads(Path("made/table.json").read_text())
    assert protocol["summary"].startswith("1 of 2 students, 12 images of 8x8 of some.npz, 1 epochs, 0 with several")
    assert (protocol["runs"], protocol["runs_planned"]) == (3, 6)
    assert run(*asked) == 0
    assert trained[5:] == ["s0-131_kd_seed0", "s0-111_ce_seed1", "s0-111_kd_seed1"]
    table = pd.read_csv("made/table.csv", na_values=["n/a"]).set_index("arch")
    assert table["kd"][111] == pytest.approx(table[["kd seed 0", "kd seed 1"]].mean(axis=1)[111])
    assert table["kd seed 1"].isna().tolist() == [False, True]
    Path("list.csv").write_text("space,arch,training_seed\ns0,111,-1\n")
    assert run(*asked) == 2
    assert "--student list.csv, row 1: training_seed '-1' is no whole number" in capsys.readouterr().err
