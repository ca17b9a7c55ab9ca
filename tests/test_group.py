"""Several processes that train one student: they take the steps that one process takes on the parts of a batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from search import distill
from search.distillation.group import Launched
from search.distillation.loop import Stepper, part
from tests.cases import small_data

ROOT = Path(__file__).parent.parent
ARGUMENTS = ["--data", "some.npz", "--student", "s0:111", "--method", "ce", "--epochs", "2", "--batch-size", "6"]
ARGUMENTS += ["--device", "cpu"]


@pytest.fixture(autouse=True)
def _images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    images = {f"{part}_images": random.integers(0, 256, (12, 3, 8, 8), dtype=np.uint8) for part in ("train", "test")}
    np.savez("some.npz", **images, train_labels=np.arange(12) // 4, test_labels=np.arange(12) // 4)


def folder() -> None:
    """The same images as pictures in folders by class."""
    held = np.load("some.npz")
    for half, name in (("train", "train"), ("test", "val")):
        for number, (pixels, label) in enumerate(zip(held[f"{half}_images"], held[f"{half}_labels"], strict=True)):
            there = Path("some", name, str(label))
            there.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.transpose(1, 2, 0)).save(there / f"{number:02}.png")


TWICE = "import sys; from search import distill; sys.exit(any(distill.main(one.split()) for one in sys.argv[1:]))"


def launched(*commands: list[str]) -> list[str]:
    """Run commands in two processes, with the environment that `accelerate launch` gives them; what they said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {**os.environ, "PYTHONPATH": str(ROOT), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-c", TWICE, *map(" ".join, commands)]
    started = [
        subprocess.Popen(
            command, env={**common, "RANK": rank, "LOCAL_RANK": rank}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        for rank in ("0", "1")
    ]
    return [process.communicate(timeout=300)[0].decode() for process in started]


def test_two_processes_take_the_steps_of_one_with_the_batch_in_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With images that are held, and with a folder that is streamed, whose pictures each reads for its part alone."""
    pytest.importorskip("accelerate")
    folder()
    streamed = [*ARGUMENTS, "--data", "some", "--stream", "yes", "--resolution", "8"]
    said = launched([*ARGUMENTS, "--out", "two"], [*streamed, "--out", "two-streamed"])
    assert said[0].count("batch 6 over 2 processes") == 2
    assert said[1].count("\n") == 0, "one of them prints"
    start = Stepper.__init__

    def halved(stepper: Stepper, *arguments: object) -> None:
        start(stepper, *arguments)  # type: ignore[arg-type]
        stepper.parts = 2

    monkeypatch.setattr(Stepper, "__init__", halved)
    assert distill.main([*ARGUMENTS, "--out", "one", "--workers", "1"]) == 0
    one, *others = (
        torch.load(f"{out}/s0-111_ce_seed0/weights.pt", weights_only=True) for out in ("one", "two", "two-streamed")
    )
    for key, value in one.items():
        if "running" not in key:  # moved once a step by the mean of two, or twice
            for two in others:
                assert_close(two[key], value)
    assert pd.read_csv("two/runs.csv")["status"].tolist() == ["done"]


def test_parts_make_up_a_batch() -> None:
    batch = next(small_data().epoch(8, 0, 0))
    for count in (1, 2, 3, 5):
        parts = [part(batch, number, count) for number in range(count)]
        assert torch.equal(torch.cat([one.places for one in parts]), batch.places)
        assert max(len(one.labels) for one in parts) - min(len(one.labels) for one in parts) <= 1


def test_launched_processes_need_accelerate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert distill.main([*ARGUMENTS, "--out", "two"]) == 2
    assert "that takes Accelerate" in capsys.readouterr().err


def test_a_network_without_batch_normalisation_has_nothing_to_average() -> None:
    """As a transformer, whose processes share gradients alone; it ended with torch.cat() of no tensors."""
    Launched.average(object.__new__(Launched), [])
