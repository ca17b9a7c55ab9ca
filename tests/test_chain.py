"""Who is trained before the students: a teacher with a new head, torchvision's weights, assistants between."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torchvision import models

from search import distill
from search.distillation import images, normalisation, students, teaching
from search.distillation.modules import Net
from search.distillation.normalisation import IMAGENET
from search.distillation.runs import Conditions
from search.distillation.teaching import Start
from tests.cases import TRAIN_QUICKLY as QUICK
from tests.cases import small_data, small_model

PUBLISHED = "torchvision:squeezenet1_1"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    arrays = {f"{part}_images": random.integers(0, 256, (12, 3, 8, 8), dtype=np.uint8) for part in ("train", "test")}
    np.savez("some.npz", **arrays, train_labels=np.arange(12) % 3, test_labels=np.arange(12) % 3)


def run(*arguments: str) -> int:
    return distill.main([*QUICK, "--student", "s0:111", "--method", "kd", *arguments])


def test_a_teacher_of_other_classes_gets_a_head_and_is_trained_on(capsys: pytest.CaptureFixture[str]) -> None:
    """A searched candidate; the rate is a tenth of the recipe's."""
    name = "s0:333"
    torch.save(small_model(name, 1, classes=7).state_dict(), "seven.pt")
    taught = ["--teacher", name, "--teacher-weights", "seven.pt"]
    assert run(*taught) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "these weights are of 7 classes: --finetune-teacher EPOCHS gives it a head for these images" in said
    assert run(*taught, "--finetune-teacher", "2") == 0
    assert f"teacher {name}: " in capsys.readouterr().out
    (folder,) = Path("out/teacher").iterdir()
    history = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["learning_rate"] for row in history] == pytest.approx([0.005, 0.005])
    assert torch.load(folder / "weights.pt", weights_only=True)["fc.weight"].shape[0] == 3
    assert "begins with" in json.loads((folder / "outcome.json").read_text())["settings"]
    assert pd.read_csv("out/runs.csv")["status"].tolist() == ["done"]
    assert run(*taught, "--finetune-teacher", "2", "--done") == 0


def test_a_network_begins_with_all_but_the_head_of_trained_weights() -> None:
    data, trained = small_data(), small_model("s0:333", 1, classes=7)
    torch.save(trained.state_dict(), "seven.pt")
    fresh = small_model("s0:333", 0)
    before = {key: value.clone() for key, value in fresh.state_dict().items()}
    start = Start(Path("seven.pt"), False, IMAGENET, 4)
    teaching.begin(fresh, students.find("s0:333"), start, data)
    for key, value in fresh.state_dict().items():
        assert torch.equal(value, before[key] if key.startswith("fc.") else trained.state_dict()[key]), key
    assert fresh.resolution == 4
    assert torch.equal(fresh.retouch[0], normalisation.retouch(data.normalisation, IMAGENET, data.device)[0])  # type: ignore[index]
    torch.save(small_model("s0:111", 1, classes=7).state_dict(), "other.pt")
    with pytest.raises(ValueError, match="no tensor called"):
        teaching.begin(fresh, students.find("s0:333"), Start(Path("other.pt"), False, None), data)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Callable[[], nn.Module]:
    """The smallest network of torchvision with weights of our own in the file that its own would lie in."""
    monkeypatch.setenv("TORCH_HOME", str(Path().absolute()))
    made = models.squeezenet1_1()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.uniform_(-0.1, 0.1)
    folder = Path("hub/checkpoints")
    folder.mkdir(parents=True)
    torch.save(made.state_dict(), folder / "made.pth")
    begins = hashlib.sha256((folder / "made.pth").read_bytes()).hexdigest()[:8]
    (folder / "made.pth").rename(folder / f"squeezenet1_1-{begins}.pth")
    weights: Any = models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    changed = weights.value.__class__(
        f"https://nowhere/squeezenet1_1-{begins}.pth", *list(vars(weights.value).values())[1:]
    )
    monkeypatch.setattr(weights, "_value_", changed)
    return lambda: made


def test_published_weights_teach_after_a_new_head(
    kept: Callable[[], nn.Module], capsys: pytest.CaptureFixture[str]
) -> None:
    taught = ["--teacher", PUBLISHED, "--teacher-weights", "torchvision", "--teacher-resolution", "32"]
    assert run(*taught) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"the teacher {PUBLISHED} knows 1000 classes, and the images are of 3; --finetune-teacher EPOCHS" in said
    assert run(*taught, "--finetune-teacher", "1") == 0
    (weights,) = Path("out/teacher").glob("*/weights.json")
    about = json.loads(weights.read_text())
    assert (about["mean"], about["resolution"], about["classes"]) == (list(IMAGENET.mean), 32, 3)


def test_a_published_network_begins_as_it_is_published(kept: Callable[[], nn.Module]) -> None:
    data, student = small_data(), students.find(PUBLISHED)
    path, is_published, inputs = teaching.weights_of(PUBLISHED, "torchvision", None, download=False)
    assert is_published
    assert inputs == IMAGENET
    made = student.network("small", 3, 32)
    assert isinstance(made, Net)
    teaching.begin(made, student, Start(path, True, inputs, 32), data)
    expected = kept().state_dict()
    same = {key for key, value in made.state_dict().items() if torch.equal(value, expected[key][: len(value)])}
    assert set(expected) - same == {"classifier.1.weight", "classifier.1.bias"}


def test_an_assistant_is_taught_and_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    """Two of them: each run says by whom it was taught."""
    assert run("--teacher", "resnet20", "--assistant", "s0:333 s0:131", "--method", "ce kd") == 0
    said = capsys.readouterr().out
    teachers = [f"  teacher {name}: " for name in ("resnet20", "s0:333", "s0:131")]
    assert sorted(teachers, key=said.index) == teachers
    files = [*Path("out/assistant").glob("*/outcome.json"), *Path("out").glob("*_kd_*/outcome.json")]
    settings = [json.loads(file.read_text())["settings"] for file in files]
    taught = {one["student"]: one["teacher"].split()[0] for one in settings}
    assert taught == {"s0:333": "resnet20", "s0:131": "s0:333", "s0:111": "s0:131"}
    assert run("--teacher", "resnet20", "--assistant", "s0:333 s0:131", "--method", "ce kd", "--done") == 0
    assert "  2 of 2 runs are done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--finetune-teacher", "2"], "--finetune-teacher is of --teacher-weights, which is missing"),
        (["--teacher-weights", "torchvision"], "published weights are for --teacher torchvision:NAME"),
        (["--teacher", PUBLISHED, "--teacher-weights", "torchvision"], "add --download to fetch them"),
        (["--teacher-weights", "none.pt", "--finetune-teacher", "1"], "teacher weights none.pt: No such file"),
        (["--assistant", "s0:333", "--stages", "1=1"], "--assistant s0:333: needs a method"),
        (["--assistant", "s0:333", "--method", "ce"], "--assistant s0:333: needs a method"),
        (["--assistant", "resnet19"], "no assistant is called 'resnet19'"),
    ],
)
def test_bad_input_is_a_line(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(Path().absolute()))
    assert run(*arguments) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_what_is_trained_on_sees_images_of_its_own_size() -> None:
    data = images.load("some.npz", torch.device("cpu"), data_dir=None, download=False, resolution=None)
    start = Start(Path("x.pt"), False, None, 16)
    assert Conditions(data, None, None, Path(), start=start).size == 16  # type: ignore[arg-type]
    assert Conditions(data, None, None, Path()).size == 8  # type: ignore[arg-type]
