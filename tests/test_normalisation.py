"""The normalisation of a network's inputs travels with its weights, and a teacher brings its own."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from benchmarks.conditions import chosen
from benchmarks.scoring.jobs import Conditions
from search import distill
from search.distillation import normalisation, teaching
from search.distillation.data import Data
from search.distillation.loop import accuracy
from search.distillation.normalisation import IMAGENET, Normalisation
from tests.cases import small_data, small_model

DOCS = Path(__file__).parent.parent / "docs" / "distillation.md"
QUICK = ["--data", "some.npz", "--batch-size", "6", "--device", "cpu", "--out", "out", "--workers", "1"]


@pytest.fixture
def _images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images whose channels differ in mean and deviation, brighter by label."""
    monkeypatch.chdir(tmp_path)
    random, arrays = np.random.default_rng(0), {}
    for part, count in (("train", 24), ("test", 16)):
        labels = np.arange(count) % 4
        noise = random.integers(0, 60, (count, 3, 8, 8)) * np.array([1, 2, 3])[:, None, None] // 2
        arrays |= {
            f"{part}_labels": labels,
            f"{part}_images": (noise + 40 * labels[:, None, None, None]).astype(np.uint8),
        }
    np.savez("some.npz", **arrays)


@pytest.mark.usefixtures("_images")
def test_the_pages_lines_load_a_student_and_reach_its_accuracy() -> None:
    """The code block of docs/distillation.md, as it stands there, in plain PyTorch."""
    assert distill.main([*QUICK, "--student", "s0:111", "--method", "ce", "--epochs", "6"]) == 0
    (block,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    with np.load("some.npz") as found:
        images, labels = (torch.from_numpy(found[f"test_{part}"]) for part in ("images", "labels"))
    block = block.replace("runs/distill_digits/", "out/").replace("classes=10", "classes=4")
    known: dict[str, torch.Tensor] = {"images": images}
    exec(block, known)
    right = 100 * (known["logits"].argmax(1) == labels).double().mean().item()
    outcome = json.loads(Path("out/s0-111_ce_seed0/outcome.json").read_text())
    assert right == outcome["history"][-1]["test_accuracy"] > 50


@pytest.mark.usefixtures("_images")
def test_mean_and_deviation_stand_in_the_run_in_its_outcome_and_beside_its_weights() -> None:
    assert distill.main([*QUICK, "--student", "s0:111", "--method", "ce", "--epochs", "1"]) == 0
    with np.load("some.npz") as found:
        pixels = found["train_images"] / 255
    run, outcome, beside = (
        json.loads(Path("out", *names).read_text())
        for names in (["run.json"], ["s0-111_ce_seed0", "outcome.json"], ["s0-111_ce_seed0", "weights.json"])
    )
    for found in (run["normalisation"], outcome["normalisation"], beside):
        np.testing.assert_allclose(found["mean"], pixels.mean((0, 2, 3)), rtol=1e-6)
        np.testing.assert_allclose(found["std"], pixels.std((0, 2, 3)), rtol=1e-6)
    assert (beside["network"], beside["classes"], beside["resolution"]) == ("s0:111", 4, 8)


@pytest.mark.usefixtures("_images")
def test_a_teacher_brings_its_normalisation_and_its_accuracy_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Taught by the same weights under another normalisation it is another teacher, and worse."""
    assert distill.main([*QUICK, "--train-teacher", "resnet21", "--epochs", "6"]) == 2  # no network
    assert distill.main([*QUICK, "--train-teacher", "resnet20", "--epochs", "8"]) == 0
    weights = "out/resnet20_ce_seed0/weights.pt"
    reached = json.loads(Path("out/resnet20_ce_seed0/outcome.json").read_text())["history"][-1]["test_accuracy"]
    taught = [*QUICK, "--teacher-weights", weights, "--student", "s0:111", "--method", "kd", "--epochs", "1"]
    capsys.readouterr()
    assert distill.main([*taught, "--out", "own"]) == 0
    assert f"teacher resnet20: {reached:.2f} % of 16 test images" in capsys.readouterr().out
    assert distill.main([*taught, "--out", "own", "--teacher-normalisation", "imagenet"]) == 2
    assert "teacher's inputs 0.485,0.456,0.406/0.229,0.224,0.225" in capsys.readouterr().err
    assert distill.main([*taught, "--out", "other", "--teacher-normalisation", "40/0.01"]) == 0
    said = capsys.readouterr()
    assert "normalised by 40,40,40/0.01,0.01,0.01" in said.out
    assert re.search("on [0-9.]+ % of 16 test images, which is not told from guessing among 4 classes: ", said.err)
    assert "or too few images?" in said.err


def retouched(data: Data, wanted: Normalisation) -> torch.Tensor:
    parts = normalisation.retouch(data.normalisation, wanted, torch.device("cpu"))
    assert parts is not None
    return data.normalised(data.test.images) * parts[0] + parts[1]


def test_what_is_retouched_is_what_torchvision_would_have_made() -> None:
    from torchvision.transforms.functional import normalize

    data = small_data()
    expected = normalize(data.test.images / 255, *IMAGENET)
    assert_close(retouched(data, IMAGENET), expected, rtol=1e-5, atol=1e-5)
    assert normalisation.retouch(data.normalisation, data.normalisation, torch.device("cpu")) is None


def test_a_teachers_inputs_come_from_the_option_the_file_beside_its_weights_or_the_data(tmp_path: Path) -> None:
    data, model = small_data(), small_model("resnet20", 0)
    torch.save(model.state_dict(), tmp_path / "weights.pt")

    def loaded(given: Normalisation | None = None) -> teaching.Teacher:
        return teaching.load_teacher("resnet20", tmp_path / "weights.pt", data, "float32", given)

    assert loaded().normalisation == data.normalisation
    assert loaded().model.retouch is None, "nothing is done to images that are right as they are"
    assert loaded().accuracy == accuracy(model, data, data.test)
    (tmp_path / "weights.json").write_text(json.dumps({"mean": [0.5] * 3, "std": [0.25] * 3}))
    assert loaded().normalisation == Normalisation((0.5,) * 3, (0.25,) * 3)
    assert loaded(IMAGENET).normalisation == IMAGENET
    images = data.normalised(data.test.images)
    with torch.no_grad():
        shown, expected = loaded(IMAGENET).model.look(images).logits, model.look(retouched(data, IMAGENET)).logits
    assert torch.equal(shown, expected)


def test_published_weights_bring_what_torchvision_says_of_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    known = chosen.file_of("mobilenet_v3_small")
    assert known.is_relative_to(tmp_path)
    named = Conditions("imagenet", teacher="torchvision:mobilenet_v3_small", teacher_weights=known)
    assert named.teacher_inputs == IMAGENET
    assert replace(named, teacher="torchvision:resnet18").teacher_inputs is None
    assert replace(named, teacher_weights=tmp_path / "own.pt").teacher_inputs is None


@pytest.mark.parametrize(
    "content", ["", "[]", "[" * 100_000, '{"mean": 1}', '{"mean": [1], "std": [1]}', '{"mean": "abc"}']
)
def test_what_is_no_normalisation_beside_weights_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "weights.json").write_text(content)
    with pytest.raises(ValueError, match=r"weights\.json: no mean and std of three channels"):
        normalisation.read(tmp_path / "weights.json")


def test_normalisations_by_name_and_by_numbers() -> None:
    assert normalisation.parse("imagenet") == IMAGENET
    assert normalisation.parse("0.5/0.25") == Normalisation((0.5,) * 3, (0.25,) * 3)
    assert normalisation.parse("0.1,0.2,0.3/1,2,3") == Normalisation((0.1, 0.2, 0.3), (1, 2, 3))
    for text in ("", "cifar", "0.5", "0.5/0", "0.5/-1", "1,2/1", "nan/1", "1/2/3", "1,2,3,4/1"):
        with pytest.raises(ValueError, match=r"--teacher-normalisation .*: imagenet, or MEAN/STD"):
            normalisation.parse(text)


@pytest.mark.parametrize(("right", "guesses"), [(10.0, True), (14.0, True), (15.0, False), (0.0, True)])
def test_a_teacher_guesses_within_three_standard_errors_of_chance(right: float, guesses: bool) -> None:
    """Ten classes and 360 images: a standard error of 1.58 points."""
    data = small_data()
    test = data.test._replace(labels=torch.zeros(360, dtype=torch.int64))
    ten = Data("ten", 10, data.train, test, data.mean, data.deviation, True)
    teacher = teaching.Teacher("resnet20", small_model("resnet20", 0), right, "", data.normalisation)
    assert teacher.guesses(ten) == guesses
