"""A folder of pictures: streamed as it is held, the same whoever reads it, killed and resumed, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import RandomResizedCrop

import diswot_bench as db
from benchmarks.output import record
from search import distill
from search.distillation import exporting, folders, methods
from search.distillation.augmenting import resized_crops
from search.distillation.data import Batch, Data
from search.distillation.folders import Pictures, random_part
from search.distillation.images import Reading, load
from search.distillation.loop import WEIGHTS, Watch, accuracies, train
from search.distillation.objective import Objective
from search.distillation.recipes import Recipe
from tests.cases import killed_at, small_model

CLASSES = ("apple", "pear", "plum")
QUICK = [
    "--data",
    "fruit",
    "--resolution",
    "8",
    "--epochs",
    "1",
    "--batch-size",
    "4",
    "--device",
    "cpu",
    "--workers",
    "1",
]
QUICK += ["--student", "s0:111", "--method", "ce", "--loaders", "0", "--out", "out"]


@pytest.fixture(autouse=True)
def _fruit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four training and two test pictures a class, of unlike sizes."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for part, count in (("train", 4), ("val", 2)):
        for name in CLASSES:
            folder = Path("fruit", part, name)
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (*random.integers(9, 20, 2), 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")


def opened(stream: str = "yes", loaders: int = 0, *, skip: bool = False) -> Data:
    reading = Reading(stream, skip, loaders)  # type: ignore[arg-type]
    return load("fruit", torch.device("cpu"), data_dir=None, download=False, resolution=8, reading=reading)


def same(one: Iterator[Batch], other: Iterator[Batch]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return len(pairs) > 0 and all(
        torch.equal(a, b) for pair in pairs for a, b in zip(pair[0][:3], pair[1][:3], strict=True)
    )


def test_streamed_images_are_those_that_would_be_held() -> None:
    """To the bit: mean and deviation, batches of two epochs with crops and mirrors, and accuracies."""
    streamed, held = opened(), opened("no")
    assert streamed.streams
    assert not held.streams
    assert len(streamed.train.images) == 0
    assert streamed.normalisation == held.normalisation
    assert (streamed.classes, streamed.names, streamed.resolution) == (3, CLASSES, 8)
    for epoch in (0, 1):
        assert same(streamed.epoch(5, 3, epoch), held.epoch(5, 3, epoch))
    assert torch.equal(streamed.example, held.example)
    model = small_model("s0:111", 0)
    assert accuracies(model, streamed, streamed.test) == accuracies(model, held, held.test)


def test_many_pictures_are_streamed_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not opened("auto").streams
    monkeypatch.setattr("search.distillation.images.HELD_BYTES", 18 * 3 * 64 - 1)
    assert opened("auto").streams


def test_random_parts_are_the_same_whoever_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "CHUNK", 1)  # so that processes do read
    one, many = opened(), opened(loaders=2)
    assert same(one.epoch(4, 0, 0, resized_crops), many.epoch(4, 0, 0, resized_crops))
    assert not same(one.epoch(4, 0, 0, resized_crops), one.epoch(4, 0, 0))
    place = int(next(one.epoch(4, 0, 0)).places[0])
    cuts = [Pictures(one.train_paths, 8, (0, epoch))[place] for epoch in (0, 0, 1)]  # type: ignore[attr-defined]
    assert torch.equal(cuts[0], cuts[1])
    assert not torch.equal(cuts[0], cuts[2])


def test_random_parts_are_drawn_as_torchvisions() -> None:
    """Area and aspect by their means over 2,000 draws; the fallback of a strip by hand."""
    random, width, height = np.random.default_rng(0), 160, 120
    own = np.array([random_part(width, height, random) for _ in range(2000)], dtype=float)
    image = torch.zeros(3, height, width)
    its = np.array([RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(2000)], dtype=float)
    left, top, wide, high = own.T
    assert ((left >= 0) & (top >= 0) & (left + wide <= width) & (top + high <= height)).all()
    for mine, theirs in ((wide * high, its[:, 2] * its[:, 3]), (np.log(wide / high), np.log(its[:, 3] / its[:, 2]))):
        error = np.hypot(mine.std(), theirs.std()) / np.sqrt(2000)
        assert abs(mine.mean() - theirs.mean()) < 5 * error
    assert random_part(100, 3, random)[2:] == (4, 3)


def run(data: Data, folder: str) -> None:
    student, recipe = small_model("s0:111", 0), Recipe(epochs=2, batch_size=4, crop="resized", mixup=0.5)
    Path(folder).mkdir(exist_ok=True)
    train(student, Objective(methods.parse("ce"), student, None, data, 0), data, recipe, Path(folder), {}, Watch())


def test_a_killed_run_over_a_streamed_folder_ends_like_an_unbroken_one() -> None:
    """Killed in the second epoch."""
    run(opened(), "unbroken")
    with killed_at(5), pytest.raises(KeyboardInterrupt):
        run(opened(), "broken")
    run(opened(), "broken")
    one, other = (torch.load(Path(name, WEIGHTS), weights_only=True) for name in ("unbroken", "broken"))
    assert all(torch.equal(one[key], other[key]) for key in one)


def test_a_process_of_several_reads_its_part_of_each_batch_alone() -> None:
    data = opened()
    whole = list(data.epoch(5, 0, 0, resized_crops))
    parts = [list(data.epoch(5, 0, 0, resized_crops, (turn, 2))) for turn in range(2)]
    for one, *two in zip(whole, *parts, strict=True):
        assert [part.whole for part in two] == [5, 5]
        assert [len(part.labels) for part in two] == [3, 2]
        for field in ("images", "labels", "places"):
            assert torch.equal(torch.cat([getattr(part, field) for part in two]), getattr(one, field))
    assert [one.whole for one in opened("no").epoch(5, 0, 0, None, (1, 2))] == [0, 0], "what is held is all there"


@pytest.mark.parametrize("stream", ["yes", "no"])
def test_a_corrupt_picture_is_named_or_left_out(stream: str) -> None:
    bad = Path("fruit/train/pear/2.png")
    bad.write_bytes(bad.read_bytes()[:60])
    Path("fruit/val/plum/0.png").write_bytes(b"none")
    with pytest.raises(ValueError, match=rf"--data {bad}: .*; --skip-corrupt leaves out what can't be read"):
        list(opened(stream).epoch(4, 0, 0))
    found = opened(stream, skip=True)
    assert found.skipped == (str(bad), "fruit/val/plum/0.png")
    assert (len(found.train.labels), found.test.labels.tolist()) == (11, [0, 0, 1, 1, 2])
    assert torch.equal(found.train.labels, torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2]))


def test_pictures_that_are_left_out_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    Path("fruit/val/plum/0.png").write_bytes(b"none")
    assert distill.main([*QUICK, "--stream", "yes"]) == 2
    assert "error: --data fruit/val/plum/0.png: cannot identify image file" in capsys.readouterr().err
    assert distill.main([*QUICK, "--stream", "yes", "--skip-corrupt"]) == 0
    assert "1 pictures can't be read and are left out, such as fruit/val/plum/0.png" in capsys.readouterr().err
    about = json.loads(Path("out/run.json").read_text())
    assert (about["skipped_images"], about["streamed"]) == (["fruit/val/plum/0.png"], True)
    assert json.loads(next(Path("out").glob("*/outcome.json")).read_text())["skipped_images"] == 1


def refused(change: Any, *arguments: str) -> str:
    change()
    with pytest.raises(ValueError, match="--data") as error:
        opened(*arguments)
    return str(error.value)


def test_classes_that_do_not_fit_are_a_line() -> None:
    assert "val/ has quince, which train/ lacks" in refused(lambda: Path("fruit/val/plum").rename("fruit/val/quince"))
    Path("fruit/val/quince").rename("fruit/val/plum")
    said = refused(lambda: [one.unlink() for one in Path("fruit/val/pear").iterdir()])
    assert "Found no valid file for the classes pear" in said
    Image.new("RGB", (9, 9)).save("fruit/val/pear/0.png")
    for one in Path("fruit/train/pear").iterdir():
        one.write_bytes(b"none")
    with pytest.raises(ValueError, match="no picture of the class pear can be read"):
        opened(skip=True)


def test_classes_that_a_teacher_lacks_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(small_model("s0:111", 0).state_dict(), "weights.pt")
    about = exporting.inputs("s0:111", opened())
    record.write_json(about, Path("weights.json"))
    assert about["names"] == CLASSES
    for part in ("train", "val"):
        Path("fruit", part, "plum").rename(Path("fruit", part, "quince"))
    taught = ["--teacher", "s0:111", "--teacher-weights", "weights.pt", "--method", "kd"]
    assert distill.main([*QUICK, *taught]) == 2
    assert "the teacher s0:111 lacks the class quince; it knows: apple, pear, plum" in capsys.readouterr().err


def test_what_streams_is_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    for option in (["--stream", "yes"], ["--skip-corrupt"]):
        assert distill.main([*QUICK, "--data", "digits", *option]) == 2
        assert "--stream and --skip-corrupt are for a folder with train/ and val/" in capsys.readouterr().err


def test_from_python() -> None:
    options = {"epochs": 1, "batch_size": 4, "device": "cpu", "progress": False, "resolution": 8, "stream": "yes"}
    Path("fruit/train/pear/2.png").write_bytes(b"none")
    found = db.distill("s0:111", None, "fruit", "ce", skip_corrupt=True, **options)  # type: ignore[arg-type]
    assert found.inputs["skipped_images"] == 1
    assert found.inputs["names"] == CLASSES
    assert replace(opened(skip=True), loaders=1).digest == opened(skip=True).digest  # type: ignore[call-arg]
