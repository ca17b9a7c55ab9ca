"""benchmarks/speed.py --gpu on a CPU: every step in small, what fails and what there is no time for."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import rank, speed
from benchmarks.spaces.cells import parse_cell
from benchmarks.timing import gpu_run, gpu_steps, gpu_ways
from benchmarks.timing.measuring import prepare
from benchmarks.timing.options import SpeedOptions
from benchmarks.timing.tasks import stack_task
from tests.cases import SPACE

RUN = subprocess.run
FEW = ["--gpu", "--device", "cpu", "--cells", "2", "--batch-size", "4", "--repeats", "1"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def in_this_process(command: list[str], **others: Any) -> Any:
    """What rank.py would do in a process of its own, which takes seconds to start; other commands as they are."""
    if Path(command[1]).name != "rank.py":
        return RUN(command, **others)
    if rank.main(command[2:]):
        raise subprocess.CalledProcessError(2, command, stderr="no")
    return None


def read(name: str, folder: str = "runs/gpu") -> dict[str, Any]:
    (path,) = Path(folder).glob(f"*-{name}.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_all_steps_are_walked_through_and_leave_their_figures(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.timing.gpu_run.subprocess.run", in_this_process)
    assert speed.main([*FEW, "--proxy", "diswot_relation,synflow"]) == 0
    printed = capsys.readouterr().out
    assert "everything that needs a GPU" in printed
    found = [json.loads(path.read_text()) for path in sorted(Path("runs/gpu").glob("*.json"))]
    assert [one["status"] for one in found] == ["done"] * 10, printed
    assert {"versions", "commit", "machine"} <= set(found[0])
    tau = read("agreement")["tau_b"]
    assert set(tau) == {"diswot_relation", "synflow"}
    assert min(tau.values()) == 1
    assert set(read("stacks")["naswot"]) == {"1", "2"}
    assert read("stacks")["synflow"]["2"]["share"] == 0, "no pass over the batch, no floor"
    ways = read("ways")
    assert {name for name in gpu_ways.WAYS if ways[name]["least_tau_b"] == 1} >= {"plain convolutions", "cells alike"}
    assert read("profile")["operations"] > 1e6
    assert 0.5 < sum(read("profile")["shares"].values()) <= 1
    assert read("space-diswot")["candidates"] == 2
    assert set(read("training")["seconds_per_step"]) == {"1", "2"}


def test_operations_counted_are_those_of_the_layers() -> None:
    options = SpeedOptions(cells=2, batch_size=4, device="cpu", proxy="params", repeats=1)
    bench = gpu_steps.Bench(prepare(options), 1)
    figures = gpu_steps.profiled(bench)[1]
    counted = figures["operations"]
    stack = SPACE.build(bench.archs(2), 10, 32)
    assert isinstance(counted, int)
    layers = sum(2 * 4 * len(layer.members) * layer.macs for layer in stack.layers)
    assert 0.3 * layers < counted < 2 * layers, "dead edges are not run, and pooling on a CPU is a convolution"


def test_a_step_that_fails_is_told_and_one_without_time_is_not_begun(tmp_path: Path) -> None:
    def fails() -> gpu_steps.Finding:
        raise torch.OutOfMemoryError("no room\nfor it")

    def never() -> gpu_steps.Finding:
        raise AssertionError

    failed = gpu_run.perform(gpu_run.Step("a", 1, fails), 2, tmp_path, 1)
    assert (failed.status, failed.text) == ("failed", "OutOfMemoryError: no room for it")
    assert gpu_run.perform(gpu_run.Step("b c", 60, never), 59, tmp_path, 2).status == "skipped"
    assert read("a", str(tmp_path))["status"] == "failed"
    assert read("b-c", str(tmp_path))["text"] == "needs about 60 s, 59 are left"


def test_minutes_bound_it_and_a_command_that_fails_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert speed.main([*FEW, "--minutes", "0.05"]) == 0
    assert read("machine")["status"] == read("training")["status"] == "skipped"
    assert speed.main([*FEW, "--minutes", "0"]) == 2
    assert "--minutes 0.0: above 0" in capsys.readouterr().err
    assert speed.main([*FEW, "--train"]) == 2


def test_candidates_are_asked_for_by_number_and_each_once() -> None:
    bench = gpu_steps.Bench(prepare(SpeedOptions(cells=3, proxy="params", device="cpu")), 1)
    assert bench.archs(2) == list(bench.job.archs[:2])
    assert len(set(bench.archs(40))) == 40
    assert bench.archs(40)[:3] == list(bench.job.archs)


def test_cells_that_are_alike_share_most_operations() -> None:
    cells = [parse_cell(arch) for arch in gpu_ways.alike(SPACE, 25)]
    assert len(set(cells)) == 25
    assert max(len({cell[edge] for cell in cells}) for edge in range(4)) <= 2


def test_plain_convolutions_are_those_of_the_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = gpu_steps.Bench(prepare(SpeedOptions(cells=2, batch_size=4, proxy="params", device="cpu")), 1)
    seen: list[bool] = []
    monkeypatch.setattr("benchmarks.spaces.stack.is_one", lambda kernels: bool(seen.append(True)))
    stack_task(gpu_ways.Plain(bench.job, 0), bench.archs(2), gpu_steps.chosen("diswot"))
    assert seen
    del seen[:]
    stack_task(gpu_steps.SeedRun(bench.job, 0), bench.archs(2), gpu_steps.chosen("diswot"))
    assert not seen
