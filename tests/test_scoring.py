"""The scoring loop: what is stored is not scored again, failures have a status, stacks change nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.conditions.batches import Dataset, Source
from benchmarks.conditions.drawing import Mode
from benchmarks.scoring.jobs import Conditions, Job, code_digest, find_device
from benchmarks.scoring.scorer import score
from benchmarks.scoring.store import Store
from benchmarks.scoring.worker import SeedRun
from proxies import Proxy, registered, select
from proxies.probing.probe import Probe
from tests.cases import DEAD, MIXED, SPACE


def job(archs: list[str] = MIXED[:4], proxies: list[Proxy] | None = None, **options: object) -> Job:
    return Job(
        space=SPACE,
        archs=archs,
        proxies=proxies or select("diswot,synflow,params"),
        seeds=options.pop("seeds", [0]),  # type: ignore[arg-type]
        source=Source("noise", Dataset(10, 16)),
        conditions=Conditions("cifar10", 4, options.pop("draw", "shared"), teacher="resnet20"),  # type: ignore[arg-type]
        **options,  # type: ignore[arg-type]
    )


class Counted:
    """A proxy that counts the candidates it has seen, and can be told to fail."""

    def __init__(self, value: float = 1.0, error: Exception | None = None, above: int = 0, when: str = "") -> None:
        self.seen = 0
        self.value, self.error, self.above, self.when = value, error, above, when
        self.proxy = Proxy("counted", self, "a test")

    def __call__(self, probe: Probe) -> Tensor:
        operations = {layer.operation for layer in probe.network.layers}
        if self.error and probe.network.candidates > self.above and (not self.when or self.when in operations):
            raise self.error
        self.seen += probe.network.candidates
        return torch.full((probe.network.candidates,), self.value)


def scored(this: Job, folder: Path) -> list[tuple[str, str, int, float, str]]:
    with Store(folder / "store.sqlite") as store:
        return [(row.proxy, row.arch, row.seed, row.score, row.status) for row in score(this, store)]


def test_rows_come_in_the_jobs_order_by_seed_proxy_and_candidate(tmp_path: Path) -> None:
    rows = scored(job(seeds=[3, 4]), tmp_path)
    expected = [(p, a, s) for s in (3, 4) for p in ("diswot", "synflow", "params") for a in MIXED[:4]]
    assert [(proxy, arch, seed) for proxy, arch, seed, _, _ in rows] == expected
    assert all(status == "ok" for *_, status in rows)


def test_a_second_run_scores_nothing_and_returns_the_same(tmp_path: Path) -> None:
    counted = Counted()
    first = scored(job(proxies=[counted.proxy]), tmp_path)
    assert counted.seen == 4
    assert scored(job(proxies=[counted.proxy]), tmp_path) == first
    assert counted.seen == 4
    scored(job(MIXED[2:6], proxies=[counted.proxy]), tmp_path)
    assert counted.seen == 6


def test_progress_counts_every_candidate_once_a_seed(tmp_path: Path) -> None:
    for _ in range(2):
        with Store(tmp_path / "store.sqlite") as store:
            steps: list[int] = []
            score(job(seeds=[0, 1], stack=3), store, steps.append)
            assert sum(steps) == 8


def test_an_interrupted_run_keeps_what_it_has(tmp_path: Path) -> None:
    unbroken = scored(job(), tmp_path / "unbroken")

    steps: list[int] = []

    def stop(step: int) -> None:
        steps.append(step)
        if len(steps) == 3:
            raise KeyboardInterrupt

    with Store(tmp_path / "broken.sqlite") as store, pytest.raises(KeyboardInterrupt):
        score(job(), store, stop)
    with Store(tmp_path / "broken.sqlite") as store:
        resumed = score(job(), store)
    assert [(row.proxy, row.arch, row.seed, row.score, row.status) for row in resumed] == unbroken


@pytest.mark.parametrize("stack", [1, 2, 3, 11])
def test_scores_do_not_depend_on_the_stack(tmp_path: Path, stack: int) -> None:
    archs = MIXED + DEAD
    alone = scored(job(archs, stack=1), tmp_path / "alone")
    stacked = scored(job(archs, stack=stack), tmp_path / "stacked")
    assert [row[:3] for row in alone] == [row[:3] for row in stacked]
    np.testing.assert_allclose([row[3] for row in stacked], [row[3] for row in alone], rtol=2e-5, atol=1e-6)


def test_teacher_and_batch_follow_the_seed_and_conditions_keep_apart(tmp_path: Path) -> None:
    rows = scored(job(seeds=[0, 1]), tmp_path)
    assert rows[0][3] != rows[12][3]
    other = job()
    object.__setattr__(other, "conditions", Conditions("cifar10", batch_size=4, teacher="resnet20", draw="common"))
    assert scored(other, tmp_path)[0][3] != rows[0][3]


@pytest.mark.parametrize(("value", "status"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "inf"), (1.0, "ok")])
def test_numbers_that_are_none_keep_their_value_and_have_a_status(tmp_path: Path, value: float, status: str) -> None:
    for _ in range(2):
        rows = scored(job(proxies=[Counted(value).proxy]), tmp_path)
        assert {row[4] for row in rows} == {status}
        np.testing.assert_equal([row[3] for row in rows], [value] * 4)


def test_zero_has_no_sign(tmp_path: Path) -> None:
    """SQLite would not keep it, and the table of a resumed run would differ in it."""
    for _ in range(2):
        rows = scored(job(proxies=[Counted(-0.0).proxy]), tmp_path)
        assert [math.copysign(1, row[3]) for row in rows] == [1.0] * 4


def test_out_of_memory_makes_stacks_smaller_and_changes_nothing(tmp_path: Path) -> None:
    tight = Counted(error=torch.OutOfMemoryError("full"), above=2)
    rows = scored(job(MIXED, proxies=[tight.proxy], stack=8), tmp_path)
    assert [row[4] for row in rows] == ["ok"] * 8
    assert tight.seen == 8


def test_out_of_memory_while_building_ends_and_is_tried_again_another_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("full")

    with monkeypatch.context() as patch:
        patch.setattr(SeedRun, "probe", full)
        assert {row[4] for row in scored(job(stack=3), tmp_path)} == {"oom"}
    assert {row[4] for row in scored(job(stack=3), tmp_path)} == {"ok"}


def test_out_of_memory_alone_is_a_status_of_that_proxy_only(tmp_path: Path) -> None:
    full = Counted(error=torch.OutOfMemoryError("full"))
    rows = scored(job(proxies=[full.proxy, *select("params")], stack=4), tmp_path)
    assert [row[4] for row in rows] == ["oom"] * 4 + ["ok"] * 4
    assert all(math.isnan(row[3]) for row in rows[:4])


@pytest.mark.parametrize("error", [torch.linalg.LinAlgError("no"), RuntimeError("shapes differ")])
def test_what_torch_refuses_is_the_status_of_that_candidate_only(tmp_path: Path, error: RuntimeError) -> None:
    failing = Counted(error=error, when="nor_conv_3x3")
    archs = [MIXED[0], MIXED[4], MIXED[6]]
    with Store(tmp_path / "store.sqlite") as store:
        rows = score(job(archs, proxies=[failing.proxy], stack=3), store)
    assert [row.status for row in rows] == ["error", "ok", "ok"]
    assert rows[0].reason.endswith(f"Error: {error}")


def test_bugs_are_not_swallowed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        scored(job(proxies=[Counted(error=ZeroDivisionError()).proxy]), tmp_path)


def test_the_second_candidate_needs_one_forward_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which passes the proxies ask for is learned from the first candidate."""
    calls: list[str] = []
    build = type(SPACE).build

    def watched(self: object, archs: list[str], classes: int, resolution: int) -> object:
        stack = build(self, archs, classes, resolution)  # type: ignore[arg-type]
        body = stack.body
        stack.body = lambda images, run: calls.append(archs[0]) or body(images, run)  # type: ignore[method-assign,func-returns-value]
        return stack

    monkeypatch.setattr(type(SPACE), "build", watched)
    scored(job(MIXED[:3], proxies=select("diswot,grad_norm")), tmp_path)
    assert [calls.count(arch) for arch in MIXED[:3]] == [2, 1, 1]


def test_devices() -> None:
    assert find_device("cpu").type == "cpu"
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("gpu", "cuda:x", "cuda:99"):
        with pytest.raises(ValueError, match=name):
            find_device(name)


def test_the_devices_of_other_machines_are_theirs() -> None:
    assert find_device("cuda", elsewhere=True).type == "cuda"
    assert find_device("cpu", elsewhere=True).type == "cpu"
    with pytest.raises(ValueError, match="Ray chooses"):
        find_device("cuda:1", elsewhere=True)


def test_the_code_digest_follows_the_source() -> None:
    assert len(code_digest()) == 16


@pytest.mark.parametrize("index", [14, 19])
def test_cells_alike_have_the_same_scores_by_every_proxy_that_says_so(index: int, tmp_path: Path) -> None:
    """Each scored on its own: one has convolutions on edges that lead nowhere, the other none there."""
    proxies = [proxy for proxy in registered() if not proxy.whole]
    arch, found = SPACE.arch(index), []
    for number, one in enumerate((arch, SPACE.effective(arch))):
        rows = scored(job([one], proxies), tmp_path / str(number))
        found.append([(proxy, repr(score), status) for proxy, _, _, score, status in rows])
    assert SPACE.effective(arch) != arch
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("draw", "whole", "seen"), [("shared", False, 3), ("shared", True, 5), ("independent", False, 5)]
)
def test_of_candidates_alike_one_is_scored_for_all(draw: Mode, whole: bool, seen: int, tmp_path: Path) -> None:
    alike = [SPACE.arch(14), SPACE.effective(SPACE.arch(14)), SPACE.arch(19)]
    counted, archs = Counted(), [*alike, *MIXED[:1], SPACE.effective(alike[2])]
    asked = job(archs, [replace(counted.proxy, whole=whole), *select("params")], draw=draw)
    rows = scored(asked, tmp_path)
    assert counted.seen == seen
    assert [arch for _, arch, *_ in rows] == archs * 2
    sizes = [score for proxy, *_, score, _ in rows if proxy == "params"]
    assert sizes == [SPACE.count(arch, 10, 16).params for arch in archs]
    assert scored(asked, tmp_path) == rows
    assert counted.seen == seen, "the store has the rows of all"


def test_what_failed_for_one_failed_for_those_alike_and_is_tried_again(tmp_path: Path) -> None:
    counted = Counted(error=MemoryError("little"))
    archs = [SPACE.arch(14), SPACE.effective(SPACE.arch(14))]
    for _ in range(2):
        rows = scored(job(archs, [replace(counted.proxy, whole=False)]), tmp_path)
        assert [status for *_, status in rows] == ["oom", "oom"]
