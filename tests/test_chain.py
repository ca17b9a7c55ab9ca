"""Who is trained before the students: a teacher with a new head, torchvision's weights, assistants between."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import shutil
import socket
import struct
import threading
from collections import OrderedDict
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torchvision import models

import diswot_bench as db
from search import distill
from search.distillation import images, normalisation, students, teaching
from search.distillation.modules import Net
from search.distillation.normalisation import IMAGENET
from search.distillation.runs import Conditions
from search.distillation.teaching import Start
from tests.cases import TRAIN_QUICKLY as QUICK
from tests.cases import small_data, small_model

PUBLISHED = "torchvision:squeezenet1_1"


def small_module(classes: int) -> nn.Sequential:
    layers = [nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes)]
    return nn.Sequential(*layers)


TWICE = small_module(3)


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


def test_a_constructor_of_ones_own_begins_with_all_but_the_head_too() -> None:
    """Of a module the file's head is left out; anything else that does not fit is still named."""
    trained, path = small_module(7), Path("seven.pt")
    torch.save(trained.state_dict(), path)
    fresh = Net(small_module(3), torch.zeros(1, 3, 8, 8))
    own = copy.deepcopy(fresh.state_dict())
    teaching.begin(fresh, students.find("s0:333"), Start(path, False, None), small_data())
    for key, value in fresh.state_dict().items():
        assert torch.equal(value, own[key] if key.startswith("4.") else trained.state_dict()[key]), key
    torch.save({**trained.state_dict(), "0.bias": torch.zeros(9)}, path)
    with pytest.raises(ValueError, match=r"0.bias has shape \(9,\)"):
        teaching.begin(fresh, students.find("s0:333"), Start(path, False, None), small_data())


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
    serve(f"https://nowhere/squeezenet1_1-{begins}.pth", monkeypatch)
    return lambda: made


class Broken(BaseHTTPRequestHandler):
    """Serves `content` in a way that breaks off."""

    content = bytes(range(256)) * 400
    way = "whole"

    def do_GET(self) -> None:
        """Half of it, but where it is sent as it is or as another file."""
        half = self.content[: len(self.content) // 2]
        self.send_response(404 if self.way == "gone" else 200)
        if self.way == "chunks":
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        if self.way == "chunks":
            self.wfile.write(f"{len(half):x}\r\n".encode() + half)
        elif self.way in ("short", "reset"):
            self.wfile.write(half)
        else:
            self.wfile.write(self.content if self.way == "whole" else self.content[::-1])
        if self.way == "reset":  # what is not read yet is lost, and the other side told so
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_a_download_that_breaks_off_is_a_line_and_the_next_begins_anew(
    kept: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Broken)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder, name = Path("hub/checkpoints"), f"net-{hashlib.sha256(Broken.content).hexdigest()[:8]}.pth"
    shutil.rmtree(folder)
    url = f"http://127.0.0.1:{server.server_port}/{name}"
    serve(url, monkeypatch)
    download = ["--teacher", PUBLISHED, "--teacher-weights", "torchvision", "--download"]
    reasons = {"gone": "404", "short": "its checksum", "chunks": "IncompleteRead", "reset": "", "other": "its checksum"}
    for way, reason in reasons.items():
        monkeypatch.setattr(Broken, "way", way)
        assert run(*download) == 2, reason
        (said,) = capsys.readouterr().err.splitlines()
        assert f"--teacher-weights torchvision: {url} can't be downloaded (" in said
        assert reason in said
        assert not list(folder.iterdir()), "nothing that a later run would take"
    monkeypatch.setattr(Broken, "way", "whole")
    path, *_ = teaching.weights_of(PUBLISHED, "torchvision", None, download=True)
    server.shutdown()
    assert path.read_bytes() == Broken.content
    assert list(folder.iterdir()) == [path.relative_to(Path.cwd())]


def serve(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torchvision publish the small network's weights there."""
    weights: Any = models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    changed = weights.value.__class__(url, *list(vars(weights.value).values())[1:])
    monkeypatch.setattr(weights, "_value_", changed)


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


PYTHON = {"epochs": 1, "batch_size": 6, "device": "cpu", "progress": False}


def test_from_python_the_chain_is_the_commands() -> None:
    """A teacher that is trained on, two assistants and the student: the same weights, all four, to the last bit."""
    torch.save(small_model("s0:333", 1, classes=7).state_dict(), "seven.pt")
    taught = ["--teacher", "s0:333", "--teacher-weights", "seven.pt", "--finetune-teacher", "2"]
    assert run(*taught, "--assistant", "s0:311 s0:131", "--method", "kd,at") == 0
    given = {"teacher_weights": "seven.pt", "finetune_teacher": 2, "assistant": "s0:311 s0:131"}
    found = db.distill("s0:111", "s0:333", "some.npz", "kd,at", out="python", **given, **PYTHON)  # type: ignore[arg-type]
    files = sorted(one.relative_to("out") for one in Path("out").rglob("weights.pt"))
    assert len(files) == 4
    for file in files:
        states = [torch.load(folder / file, weights_only=True) for folder in (Path("out"), Path("python"))]
        assert all(torch.equal(value, states[1][key]) for key, value in states[0].items()), file
    (last,) = Path("out/assistant").glob("s0-131*/outcome.json")
    assert found.teacher == json.loads(last.read_text())["history"][-1]["test_accuracy"]
    pairs = [("s0:311", "s0:333"), ("s0:131", "s0:311"), ("s0:111", "s0:131")]
    for line, (one, other) in zip(found.stages, pairs, strict=True):
        assert line.startswith(f"stages of {one} and of its teacher {other}: ")


def test_from_python_a_module_is_trained_on_and_teaches_a_chain_of_modules() -> None:
    """Seven classes become three by a new head; what is handed over stays as it is; what it learns begins with it."""
    teacher, assistant, student = small_module(7), small_module(3), small_module(3)
    before = copy.deepcopy(teacher.state_dict())
    given = {"finetune_teacher": 1, "assistant": [assistant], "learning_rate": 1e-6, "out": "here"}
    found = db.distill(student, teacher, "some.npz", "kd", **given, **PYTHON)  # type: ignore[arg-type]
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    (weights,) = Path("here/teacher").glob("*/weights.pt")
    state = torch.load(weights, weights_only=True)
    assert state["4.weight"].shape == (3, 6)
    torch.testing.assert_close(state["0.weight"], before["0.weight"], atol=1e-5, rtol=0)
    (row,) = [json.loads(line) for line in weights.with_name("metrics.jsonl").read_text().splitlines()]
    assert row["learning_rate"] == pytest.approx(1e-7)
    settings = [
        json.loads(next(Path("here").glob(f"{one}/outcome.json")).read_text())["settings"]
        for one in ("assistant/*", "given*")
    ]
    assert [one["teacher"].startswith("given:Sequential-") for one in settings] == [True, True]
    assert found.teacher is not None


def test_submodules_that_are_a_students_stages_are_none_of_a_teacher_that_is_trained_first() -> None:
    torch.save(small_model("s0:333", 1).state_dict(), "three.pt")
    given = {"stages": "body=1", "teacher_weights": "three.pt", "finetune_teacher": 1}
    student = nn.Sequential(OrderedDict(body=small_module(3)[:2], end=small_module(3)[2:]))
    found = db.distill(student, "s0:333", "some.npz", "at", **given, **PYTHON)  # type: ignore[arg-type]
    assert "body 6x4x4 = 1 16x8x8" in found.stages[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"finetune_teacher": 0}, "finetune_teacher=0: at least 1 epoch"),
        ({"finetune_teacher": 1, "method": "ce"}, "method='ce' learns from no teacher"),
        ({"finetune_teacher": 1, "teacher": "resnet20"}, "resnet20 is not trained; hand over a trained module"),
        ({"assistant": "s0:333", "method": "ce"}, "assistant s0:333: needs a method that learns from a teacher"),
        ({"assistant": "s0:333", "stages": "1=1"}, "and no stages"),
        ({"assistant": "resnet19"}, "no assistant is called 'resnet19'"),
        ({"assistant": 3}, "assistant: a int; a module, its constructor or a name is expected"),
        ({"assistant": [lambda: small_module(3)] * 2}, "two assistants are called given:<lambda>"),
        ({"assistant": TWICE}, "student and teacher share weights"),
        ({"finetune_teacher": 1, "teacher": nn.Sequential(nn.Conv2d(3, 1, 3, 4), nn.Flatten())}, "a new head"),
    ],
)
def test_from_python_bad_input_is_a_line(change: dict[str, Any], said: str) -> None:
    given = {"student": "s0:111", "teacher": TWICE, "data": "some.npz", "method": "kd", **PYTHON}
    with pytest.raises(ValueError, match=re.escape(said)):
        db.distill(**(given | change))
    assert not list(Path().glob("*/*.pt"))


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
