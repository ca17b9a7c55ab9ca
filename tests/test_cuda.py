"""On a GPU: the scores and the ranks of the CPU. Everything here skips without one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from benchmarks.checking import golden
from benchmarks.conditions import batches
from benchmarks.conditions.drawing import generator
from benchmarks.scoring.jobs import Conditions, Job
from benchmarks.scoring.scorer import score
from benchmarks.scoring.store import Score, Store
from benchmarks.scoring.worker import Task, Worker
from benchmarks.spaces import find
from proxies import Proxy, select

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
RANKED = "diswot*,grad_norm,snip,synflow,naswot,sp,kd"
CELLS = 60


def job(device: str, chosen: list[Proxy], stack: int | None = None) -> Job:
    space = find("nasbench201")
    return Job(
        space=space,
        archs=space.sample(CELLS, generator("cuda")),
        proxies=chosen,
        seeds=[0],
        source=batches.open_source("noise", "cifar10"),
        conditions=Conditions("cifar10", batch_size=16, teacher="resnet20", device=torch.device(device)),
        stack=stack,
    )


def scored(wanted: Job) -> list[Score]:
    with Store(Path(":memory:")) as store:
        return score(wanted, store)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Half a gigabyte of the device, so that large stacks do not fit."""
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.5 * 2**30 / torch.cuda.get_device_properties(0).total_memory)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


def test_golden_scores_are_those_of_the_cpu() -> None:
    finding = golden.self_test(torch.device("cuda"))
    assert finding.sound, finding.text


def test_ranks_are_those_of_the_cpu() -> None:
    chosen = [proxy for proxy in select(RANKED) if isinstance(proxy, Proxy)]
    here, there = (np.array([row.score for row in scored(job(device, chosen))]) for device in ("cpu", "cuda"))
    for number, proxy in enumerate(chosen):
        own = slice(number * CELLS, (number + 1) * CELLS)
        assert kendalltau(here[own], there[own]).statistic > 0.99, proxy.name


def test_stacks_are_as_large_as_memory_allows_and_change_nothing(little_memory: None) -> None:
    wanted = replace(job("cuda", select("grad_norm")), conditions=replace(job("cuda", []).conditions, batch_size=64))  # type: ignore[arg-type]
    worker = Worker(wanted)  # which keeps TF32 out
    rows = worker(Task(0, tuple(wanted.archs), ("grad_norm",)))
    assert worker._run is not None
    assert worker._run.fits is not None
    assert 1 <= worker._run.fits < CELLS
    alone = scored(replace(wanted, stack=1))
    # as far as float32 goes (docs/validation.md, Rounding): a cell's grad_norm is off by up to 1.6e-3 of it
    np.testing.assert_allclose([row.score for row in rows], [row.score for row in alone], rtol=4e-3)


def test_too_large_a_stack_is_halved(little_memory: None) -> None:
    rows = scored(job("cuda", select("meco"), stack=CELLS))  # type: ignore[arg-type]
    assert {row.status for row in rows} == {"ok"}
