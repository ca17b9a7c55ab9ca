"""Any nn.Module as student and teacher: equal training, what it shows, stages that are paired, bad input."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.testing import assert_close
from torchvision import models

import diswot_bench as db
from benchmarks.output import record
from benchmarks.timing.plain import PlainResNet
from proxies.probing import structure
from search import distill
from search.distillation import exporting, images, methods, pairing, students, teaching
from search.distillation.augmenting import augmented
from search.distillation.called import recipe_of
from search.distillation.data import Batch, Data
from search.distillation.loop import WEIGHTS, Stepper, Watch, accuracy, train
from search.distillation.models import Model, Network, Seen
from search.distillation.modules import Net
from search.distillation.objective import Objective, check_fit
from search.distillation.pairing import Named, matched
from search.distillation.recipes import DIGITS_EPOCHS, RECIPES, Recipe, optimizer_of, usual_epochs
from search.distillation.sight import Sight
from tests.cases import TRAIN_QUICKLY as QUICK
from tests.cases import killed_at, small_data, small_model
from tests.test_training import UNTIMED, double

RECIPE = Recipe(epochs=3, batch_size=12)


class Vit(nn.Module):
    """A small transformer with dropout: four blocks of tokens on a 4x4 grid behind a class token."""

    def __init__(self, classes: int = 3, width: int = 16, depth: int = 4) -> None:
        super().__init__()
        self.vit = models.VisionTransformer(8, 2, depth, 2, width, 32, dropout=0.1, num_classes=classes)

    def forward(self, x: Tensor) -> Tensor:
        given: Tensor = self.vit(x)
        return given


def cnn(classes: int = 3) -> nn.Module:
    """Two maps, 8x8 and 4x4, of plain layers."""
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(8, 12, 3, 2, 1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, classes))


def net(module: nn.Module, **options: object) -> Net:
    dtype = next(module.parameters()).dtype
    return Net(module, torch.zeros(1, 3, 8, 8, dtype=dtype), **options)  # type: ignore[arg-type]


def seeded(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


class Exact(Data):
    """The same images in float64."""

    def normalised(self, images: Tensor) -> Tensor:
        return super().normalised(images).double()


def few_digits() -> Data:
    found = images.load("digits", torch.device("cpu"), data_dir=None, download=False, resolution=8)
    few = {
        name: type(split)(*(part[:64] for part in split))
        for name, split in (("train", found.train), ("test", found.test))
    }
    return Exact(**{**found.__dict__, **few})


def run(
    student: Network,
    teacher: Network | None,
    folder: Path,
    *,
    method: str = "ce",
    recipe: Recipe = RECIPE,
    data: Data | None = None,
):  # type: ignore[no-untyped-def]
    folder.mkdir(exist_ok=True)
    data = data or small_data()
    objective = Objective(methods.parse(method), student, teacher, data, 0, recipe.label_smoothing)
    return train(student, objective, data, recipe, folder, {}, Watch())


@pytest.mark.parametrize("method", ["ce", "kd,at"])
def test_a_plain_module_is_trained_as_the_stack_is(tmp_path: Path, method: str) -> None:
    """s0:111 both ways, digits, three epochs, float64, from the same weights: all of them to 1e-9."""
    data = few_digits()
    start = small_model("s0:111", 0, classes=10).state_dict()
    stack = double(small_model("s0:111", 0, classes=10))
    plain = PlainResNet((1, 1, 1), 10)
    plain.load_state_dict(start, strict=False)
    module = net(plain.double())
    teachers = [double(small_model("s0:111", 1, classes=10)) if method != "ce" else None for _ in range(2)]
    recipe = replace(RECIPE, batch_size=16, ema=0.9)
    ends = [
        run(student, teacher, tmp_path / name, method=method, recipe=recipe, data=data)
        for student, teacher, name in zip((stack, module), teachers, ("stack", "module"), strict=True)
    ]
    for one, other in zip(*(end.history for end in ends), strict=True):
        assert {**one, **UNTIMED} == pytest.approx({**other, **UNTIMED}, abs=1e-6)
    states = [torch.load(tmp_path / name / WEIGHTS, weights_only=True) for name in ("stack", "module")]
    assert set(states[1]) - set(states[0]) == {key for key in states[1] if key.endswith("num_batches_tracked")}
    for key, value in states[0].items():
        assert_close(states[1][key], value, rtol=0, atol=1e-9)
    assert any((states[0][key] - start[key]).abs().max() > 1e-3 for key in start), "something was trained"


def test_what_a_module_shows_is_what_the_stack_shows() -> None:
    stack, plain, noise = double(small_model("s0:111", 0)), PlainResNet((1, 1, 1), 3), torch.randn(5, 3, 8, 8).double()
    plain.load_state_dict(stack.state_dict(), strict=False)
    for training in (False, True):
        one, other = (model.look(noise, training=training, stages=True) for model in (net(plain.double()), stack))
        for own, its in zip((*one.stages, *one[1:]), (*other.stages, *other[1:]), strict=True):
            assert_close(own, its)


def test_in_training_it_runs_as_it_is_and_its_maps_are_those_of_that_run() -> None:
    """Dropout falls, running statistics move, maps lead to the logits of the same pass, and gradients reach them."""
    module, noise = seeded(Vit), torch.randn(4, 3, 8, 8)
    student = net(module)
    shown = student.look(noise, training=True, stages=True)
    assert module.training
    assert [tuple(m.shape) for m in shown.stages] == [(4, 16, 4, 4)] * 4
    assert list(student.levels)[-1].endswith("encoder_layer_3")
    assert not torch.equal(shown.pooled, student.look(noise, training=True).pooled), "dropout"
    assert_close(shown.pooled @ shown.head.mT + module.vit.heads.head.bias, shown.logits)  # type: ignore[union-attr, operator]
    (gradient,) = torch.autograd.grad(shown.stages[0].square().sum(), module.vit.conv_proj.weight)  # type: ignore[union-attr, arg-type]
    assert gradient.abs().sum() > 0
    assert_close(student.look(noise).logits, module.eval()(noise))


@pytest.mark.parametrize(
    "make", [Vit, cnn, lambda: models.squeezenet1_1(num_classes=3)], ids=["vit", "cnn", "squeezenet"]
)
def test_asking_submodules_shows_what_watching_every_call_does(
    make: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step of training both ways, dropout included: all that is shown, and the gradients, to the last bit."""
    side = 8 if make in (Vit, cnn) else 32
    noise, ends = torch.randn(4, 3, side, side), []
    for asks in (True, False):
        module = seeded(make)
        student = Net(module, noise)
        assert student.sight(training=True).asks
        monkeypatch.setattr(Sight, "asks", asks)
        shown: Seen = seeded(lambda: student.look(noise, training=True, stages=True))  # type: ignore[arg-type, assignment, return-value, misc] # noqa: B023
        sum(one.square().sum() for one in (*shown.stages, *shown[1:4])).backward()
        gradients = [one.grad for one in module.parameters()]
        ends.append([*shown.stages, *shown[1:], *gradients])
        assert not any(one._forward_hooks or one._forward_pre_hooks for one in module.modules())
        monkeypatch.undo()
    assert all(torch.equal(*pair) for pair in zip(*ends, strict=True))


def test_a_map_that_is_written_over_is_shown_as_it_was() -> None:
    class Over(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU()) for _ in range(2))
            self.stem, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            maps = []
            for block in self.blocks:
                x = block(x)
                maps.append(x.detach().clone())
                x += 1.0
            self.kept = maps
            return self.head(x.mean((-2, -1)))

    module, noise = seeded(Over), torch.randn(4, 3, 8, 8)
    shown = net(module, named=structure.Named(stages=("blocks.*",))).look(noise, stages=True, training=True)
    for own, kept in zip(shown.stages, module.kept, strict=True):  # type: ignore[arg-type]
        assert_close(own.detach(), kept)


@pytest.mark.parametrize(
    "method", ["kd", "kd_hard", "at,sp,rkd", "lg", "ickd,fitnets", "vid", "crd", "cka,nst", "diswot"]
)
def test_a_transformer_learns_from_a_network_of_maps(tmp_path: Path, method: str) -> None:
    student, teacher = net(seeded(Vit)), small_model("s0:111", 1)
    before = {key: value.clone() for key, value in student.state_dict().items()}
    outcome = run(student, teacher, tmp_path, method=method)
    assert outcome.status == "done"
    assert all(np.isfinite(row["loss"]) for row in outcome.history)
    assert set(outcome.history[0]) >= {"test_accuracy", "loss ce", *(f"loss {name}" for name in methods.parse(method))}
    assert any(not torch.equal(before[key], value) for key, value in student.state_dict().items())


@pytest.mark.parametrize(
    "recipe", [RECIPE, replace(RECIPE, mixup=0.8, cutmix=1.0, erasing=0.5, crop="resized", ema=0.9, optimizer="adamw")]
)
def test_a_killed_run_with_dropout_ends_to_the_last_bit_like_an_unbroken_one(tmp_path: Path, recipe: Recipe) -> None:
    teacher = small_model("s0:111", 1)
    unbroken = run(net(seeded(Vit)), teacher, tmp_path / "unbroken", method="lg", recipe=recipe)
    with killed_at(4), pytest.raises(KeyboardInterrupt):
        run(net(seeded(Vit)), teacher, tmp_path / "broken", method="lg", recipe=recipe)
    torch.rand(7)  # wherever torch's own generator stands
    resumed = run(net(seeded(Vit)), teacher, tmp_path / "broken", method="lg", recipe=recipe)
    one, other = (torch.load(tmp_path / name / WEIGHTS, weights_only=True) for name in ("unbroken", "broken"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert [{**row, **UNTIMED} for row in unbroken.history] == [{**row, **UNTIMED} for row in resumed.history]


def maps(*sizes: int) -> list[Tensor]:
    return [torch.zeros(1, 1, size, size) for size in sizes]


@pytest.mark.parametrize(
    ("student", "teacher", "pairs"),
    [
        ((32, 16, 8), (8, 4, 2), [(0, 0), (1, 1), (2, 2)]),  # equally many: in order
        ((14,) * 12, (32, 16, 8), [(0, 0), (6, 1), (11, 2)]),  # locality guidance's blocks of DeiT-Ti
        ((27, 14, 7), (14,) * 4, [(0, 0), (1, 2), (2, 3)]),
        ((16, 8, 4, 2), (16, 4), [(0, 0), (3, 1)]),  # the last with the last
        ((8, 4, 2), (32, 16, 8, 4, 2), [(0, 2), (1, 3), (2, 4)]),
        ((7,), (14,) * 3, [(0, 2)]),
        ((), (8, 4), []),
    ],
)
def test_stages_are_paired_by_position_and_size(
    student: tuple[int, ...], teacher: tuple[int, ...], pairs: list[tuple[int, int]]
) -> None:
    assert matched(maps(*student), maps(*teacher)) == pairs
    assert matched(maps(*teacher), maps(*student)) == [(other, own) for own, other in pairs]


def test_stages_that_a_user_pairs() -> None:
    named = pairing.parse("blocks.0=1 blocks.6=3")
    assert named == Named(("blocks.0", "blocks.6"), ("1", "3"))
    assert (named.names(named.student), named.names(named.teacher)) == (("blocks.0", "blocks.6"), ())
    shown = [Seen(maps(*sizes), *(torch.zeros(1, 1),) * 4) for sizes in ((8, 4), (8, 4, 2))]
    assert pairing.paired(shown[0], shown[1], named) == [(0, 0), (1, 2)]
    with pytest.raises(ValueError, match="the teacher shows 3 stages, and no number 4"):
        pairing.paired(shown[0], shown[1], pairing.parse("1=4"))
    for wrong in ("1", "1=", "1=2=3", "layer1=1 2=2", "1=1 1=2"):
        with pytest.raises(ValueError, match="--stages"):
            pairing.parse(wrong)


def test_locality_guidance_by_hand() -> None:
    """A projection that is the identity and adds 1 leaves each stage's mean squares, summed; smaller maps grow."""
    (first, second), (other, another) = ([torch.randn(2, 4, s, s) for s in sizes] for sizes in ((4, 4), (8, 2)))
    student, teacher = (Seen(list(m), *(torch.zeros(2, 4),) * 4) for m in ((first, second), (other, another)))
    adapter = methods.Locality(student, teacher, torch.zeros(2), 0)
    for projection in adapter.projections:
        with torch.no_grad():
            projection.weight.copy_(torch.eye(4)[:, :, None, None])  # type: ignore[operator, union-attr]
            projection.bias.fill_(1.0)  # type: ignore[operator, union-attr]
    own, its = (interpolate(m, scale_factor=2, mode="bilinear") for m in (first, another))
    expected = (own + 1 - other).square().mean() + (second + 1 - its).square().mean()
    batch = Batch(torch.zeros(2, 3, 8, 8), torch.zeros(2), torch.arange(2), 0)
    assert_close(adapter(student, teacher, batch), expected)
    assert methods.parse("lg")["lg"].weight == 2.5


def test_hard_labels_are_deits() -> None:
    """Half the labels' cross entropy and half that with what the teacher would say."""
    terms = methods.parse("kd_hard")
    assert {name: term.weight for name, term in terms.items()} == {"ce": 0.5, "kd_hard": 0.5}
    data, student, teacher = small_data(), small_model("s0:111", 0), small_model("s0:111", 1)
    one = next(data.epoch(6, 0, 0))
    with torch.no_grad():
        own, other = student.look(one.images), teacher.look(one.images)
    entropy = nn.functional.cross_entropy
    expected = (entropy(own.logits, one.labels) + entropy(own.logits, other.logits.argmax(1))) / 2
    assert_close(Objective(terms, student, teacher, data, 0)(own, one), expected)


def test_methods_say_why_they_are_undefined_and_which_are_not() -> None:
    data, teacher = small_data(), small_model("s0:111", 1)
    flat = net(nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 3)))
    for method, said in (
        ("at", "compares stages, and the student shows none"),
        ("sp", "compares last map.*no feature map"),
    ):
        with pytest.raises(ValueError, match=rf"{said}.*methods that need none: kd, kd_hard, dkd, dist"):
            Objective(methods.parse(method), flat, teacher, data, 0)
    Objective(methods.parse("kd,rkd"), flat, teacher, data, 0)


def test_networks_that_share_weights_are_refused() -> None:
    module = cnn()
    with pytest.raises(ValueError, match=r"share weights \(0.weight, of 6\).*copy.deepcopy"):
        Objective(methods.parse("kd"), net(module), net(module), small_data(), 0)
    Objective(methods.parse("kd"), net(module), net(copy.deepcopy(module)), small_data(), 0)


def test_a_teacher_sees_images_of_the_size_that_it_knows(tmp_path: Path) -> None:
    data = small_data(resolution=16)
    torch.save(small_model("resnet20", 0).state_dict(), tmp_path / "weights.pt")
    teacher = teaching.load_teacher("resnet20", tmp_path / "weights.pt", data, "float32", resolution=8)
    pixels = data.normalised(data.test.images)
    small = interpolate(pixels, (8, 8), mode="bilinear")  # as rank.py has it, and the source of locality guidance
    assert_close(teacher.model.look(pixels).logits, small_model("resnet20", 0).look(small).logits)
    assert accuracy(teacher.model, data, data.test) == teacher.accuracy


FILE = """
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Dropout(0.1), nn.Linear(8, 4))

NETWORKS = {"small": small, "wrong": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 7))}
"""


@pytest.fixture
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = small_data(classes=4)
    parts = (("train", data.train), ("test", data.test))
    arrays = {f"{name}_images": split.images.numpy() for name, split in parts}
    np.savez("some.npz", **arrays, **{f"{name}_labels": split.labels.numpy() for name, split in parts})
    Path("nets.py").write_text(FILE)


@pytest.mark.usefixtures("_folder")
def test_the_command_trains_any_network(capsys: pytest.CaptureFixture[str]) -> None:
    """A user's own, then torchvision's, taught by it; stages are told."""
    assert distill.main([*QUICK, "--train-teacher", "nets.py:NETWORKS:small"]) == 0
    (weights,) = Path("out").glob("*/weights.pt")
    taught = ["--teacher", "nets.py:NETWORKS:small", "--teacher-weights", str(weights), "--teacher-resolution", "8"]
    arguments = [*QUICK, *taught, "--student", "torchvision:mobilenet_v3_small", "--method", "lg", "--out", "other"]
    assert distill.main([*arguments, "--recipe", "deit", "--warmup", "0"]) == 0
    said = capsys.readouterr().out
    assert (
        "stages of torchvision:mobilenet_v3_small and of its teacher nets.py:NETWORKS:small: features.11 96x1x1 = "
        in said
    )
    row = json.loads(next(Path("other").glob("*/metrics.jsonl")).read_text())
    assert {"loss ce", "loss lg", "images_per_second"} <= set(row)
    (left,) = Path("other").glob("*/weights.pt")
    module = models.mobilenet_v3_small(num_classes=4)
    module.load_state_dict(torch.load(left, weights_only=True))
    settings = json.loads(left.with_name("outcome.json").read_text())["settings"]
    assert (settings["mixup"], settings["init"]) == ("0.8", "its constructor's")


@pytest.mark.usefixtures("_folder")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--student", "torchvision:resnet19"], "torchvision has no classifier called 'resnet19'; did you mean"),
        (["--student", "nets.py:NETWORKS:big"], "'big' is no network of nets.py:NETWORKS; there are: small, wrong"),
        (["--student", "nets.py:NETWORKS:wrong"], "nets.py:NETWORKS:wrong gives 7 classes, and the images are of 4"),
        (["--method", "dkd", "--recipe", "deit"], "dkd reads each image's own label"),
        (["--method", "at", "--stages", "1=9"], "--stages: the teacher shows 3 stages, and no number 9"),
        (["--method", "at", "--stages", "layer1=1"], "its stages are numbers"),
        (["--mixup", "-1"], "--mixup -1.0: at least 0, less than 100"),
        (["--erasing", "1.1"], "--erasing 1.1: a probability, 0 to 1"),
        (["--accumulate", "9"], "--batch-size 6: 1 processes need two images each in 9 parts"),
        (["--teacher-resolution", "2"], "--teacher-resolution 2: 4 is the least"),
    ],
)
def test_bad_input_is_a_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert distill.main([*QUICK, "--method", "kd", *arguments]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("_folder")
def test_a_recipe_that_is_none_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        distill.main([*QUICK, "--recipe", "vit"])
    assert "--recipe vit: there are cifar, imagenet, deit" in capsys.readouterr().err


def test_weights_that_do_not_fit_a_module_are_named(tmp_path: Path) -> None:
    module, path = cnn(), tmp_path / "weights.pt"
    state = module.state_dict()
    wrong = {
        "no tensor called '0.bias'": {key: value for key, value in state.items() if key != "0.bias"},
        "0.weight has shape": {**state, "0.weight": torch.zeros(1)},
        "extra has no place": {**state, "extra": torch.zeros(1)},
        "6.bias holds NaN": {**state, "6.bias": torch.full((3,), torch.nan)},
        "6.bias holds NaN, infinities": {**state, "6.bias": torch.full((3,), 1e300, dtype=torch.float64)},
        "0.weight is no plain tensor of real": {**state, "0.weight": state["0.weight"].to_sparse()},
        "0.bias is no plain tensor of real": {**state, "0.bias": state["0.bias"].int()},
    }
    for said, content in wrong.items():
        torch.save(content, path)
        with pytest.raises(ValueError, match=f"teacher weights .*weights.pt: {said}"):
            teaching.weigh(net(module), path)
    torch.save(state, path)
    other = cnn()
    teaching.weigh(net(other), path)
    assert all(torch.equal(state[key], value) for key, value in other.state_dict().items())


def test_a_module_of_which_nothing_is_trained_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing is trained"):
        net(cnn().requires_grad_(False)).parameters()
    student = cnn()
    student[0].requires_grad_(False)
    assert len(net(student).parameters()) == 4


def test_parts_of_methods_that_a_module_lacks_are_seen() -> None:
    shown = net(cnn()).look(torch.randn(2, 3, 8, 8), stages=True)
    for name in ("at", "sp", "diswot_semantic"):
        check_fit(name, shown, shown)
    assert isinstance(small_model("s0:111", 0), Model)


@pytest.mark.usefixtures("_folder")
def test_an_export_gives_the_same_logits_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    """TorchScript, of a module and of a stack; loaded by torch alone, images normalised as model.json says."""
    arguments = ["--student", "nets.py:NETWORKS:small s0:111", "--method", "ce", "--export", "torchscript"]
    assert distill.main([*QUICK, *arguments]) == 0
    assert "exported: " in capsys.readouterr().out
    files = sorted(Path("out").glob("*/model.pt"))
    assert len(files) == 2
    data = images.load("some.npz", torch.device("cpu"), data_dir=None, download=False, resolution=None)
    for file, made in zip(files, (dict_of("nets.py")["small"](), PlainResNet((1, 1, 1), 4)), strict=True):
        about = json.loads(file.with_name("model.json").read_text())
        mean, std = (torch.tensor(about[part])[:, None, None] for part in ("mean", "std"))
        assert (about["classes"], about["resolution"], about["format"]) == (4, 8, "torchscript")
        made.load_state_dict(torch.load(file.with_name("weights.pt"), weights_only=True))
        loaded = torch.jit.load(str(file))
        with torch.no_grad():
            given = loaded((data.test.images / 255 - mean) / std)
            assert_close(given, made.eval()(data.normalised(data.test.images)), rtol=1e-4, atol=1e-5)


def dict_of(file: str) -> dict[str, Callable[[], nn.Module]]:
    found: dict[str, object] = {}
    exec(Path(file).read_text(), found)
    return found["NETWORKS"]  # type: ignore[return-value]


def test_onnx_gives_the_same_logits_for_any_number_of_images(tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")

    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((-2, -1)) + torch.zeros(len(x), 3)

    module, images = seeded(cnn).eval(), torch.randn(5, 3, 8, 8)
    path = exporting.export(module, "onnx", tmp_path, 8, {})
    (given,) = runtime.InferenceSession(str(path)).run(["logits"], {"images": images.numpy()})
    assert_close(torch.from_numpy(given), module(images).detach(), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="takes the number of images for fixed"):
        exporting.export(Fixed(), "onnx", tmp_path, 8, {})


def test_a_trace_that_gives_other_logits_than_the_network_is_no_export(tmp_path: Path) -> None:
    class Branch(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            pooled = x.mean((-2, -1))
            return -pooled if pooled.mean() > 0.5 else pooled

    class Halves(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            half = len(x) // 2 or 1
            return torch.cat([x[:half].mean((-2, -1)), 2 * x[half:].mean((-2, -1))])

    for wrong in (Branch(), Halves()):
        with pytest.raises(ValueError, match=r"--export torchscript: .*traced, the network gives other logits"):
            exporting.export(wrong, "torchscript", tmp_path, 8, {})
    assert not list(tmp_path.iterdir())
    assert exporting.export(seeded(cnn), "torchscript", tmp_path, 8, {}).exists()

    class Squeezing(nn.Module):  # it can't take one image itself
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((-2, -1)).squeeze()

    assert exporting.export(Squeezing(), "torchscript", tmp_path, 8, {}).exists()


def test_an_exporter_that_cannot_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if torch.jit.is_tracing():
                raise RuntimeError("not this one")
            return x

    with pytest.raises(
        ValueError, match=r"--export torchscript: PyTorch's exporter can't \(RuntimeError: not this one"
    ):
        exporting.export(Refusing(), "torchscript", tmp_path, 8, {})
    monkeypatch.setattr(exporting, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"--export onnx: onnx and onnxscript not installed; pip install .*\[export\]"):
        exporting.check_format("onnx")


def given_data() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    data = small_data()
    return (data.train.images, data.train.labels), (data.test.images, data.test.labels)


def test_from_python_a_trained_module_and_its_history_come_back(tmp_path: Path) -> None:
    """What is handed over stays as it is; the same call again trains nothing; the loop is the command's."""
    student, teacher = seeded(cnn), seeded(Vit, 1)
    before = [copy.deepcopy(one.state_dict()) for one in (student, teacher)]
    options = {"epochs": 2, "batch_size": 12, "device": "cpu", "progress": False}
    found = db.distill(student, teacher, given_data(), "lg,kd:0.5", out=tmp_path, **options)  # type: ignore[arg-type]
    for one, state in zip((student, teacher), before, strict=True):
        assert one.training
        assert all(torch.equal(value, state[key]) for key, value in one.state_dict().items())
    assert type(found.module) is nn.Sequential
    assert not found.module.training
    assert list(found.history["epoch"]) == [1, 2]
    assert {"loss ce", "loss lg", "loss kd"} <= set(found.history)
    data = images.given(*given_data(), torch.device("cpu"), None)
    right = (found.module(data.normalised(data.test.images)).argmax(1) == data.test.labels).double().mean()
    assert found.history["test_accuracy"].iloc[-1] == pytest.approx(100 * right.item())
    assert "encoder_layer_0 16x4x4" in found.stages[0]
    again = db.distill(student, teacher, given_data(), "lg,kd:0.5", out=tmp_path, **options)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(again.history, found.history)
    recipe = replace(RECIPE, epochs=2)
    looped = run(net(copy.deepcopy(student)), None, tmp_path / "loop", recipe=recipe, data=data)
    alone = db.distill(student, None, given_data(), "ce", **options)  # type: ignore[arg-type]
    assert alone.history["loss"].tolist() == pytest.approx([row["loss"] for row in looped.history])
    assert alone.teacher is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"teacher": None}, "method='ce' is training without"),
        ({"teacher": "resnet20"}, "resnet20 is not trained; hand over a trained module, or teacher_weights=FILE"),
        ({"student": 3}, "student: a int; a module, its constructor or a name is expected"),
        ({"recipe": "vit"}, "recipe='vit': there are cifar, imagenet, deit"),
        ({"lr": 3}, "no option is called 'lr'; of a recipe there are: accumulate, "),
        ({"data": ((torch.zeros(2, 3, 8, 8), [0, 1]),) * 2}, "training images are float32"),
        ({"data": ((np.zeros((2, 3, 8, 8), np.uint8), [0.5, 1]),) * 2}, "training labels are float64"),
        ({"method": "dkd", "mixup": 0.2}, "dkd reads each image's own label"),
        ({"batch_size": 0}, "batch_size=0: 2 is the least, 100000 the most"),
        ({"learning_rate": "0.1"}, "learning_rate='0.1': at least 0, less than 100"),
        ({"momentum": float("nan")}, "momentum=nan: at least 0, less than 1"),
        ({"optimizer": "adam"}, "optimizer='adam': there are sgd, adamw"),
        ({"erasing": 1.5}, "erasing=1.5: a probability, 0 to 1"),
        ({"accumulate": 99}, "accumulate=99: two images a part are needed"),
        ({"precision": "fp8"}, "precision='fp8': there are float32, bf16, fp16"),
        ({"stream": True}, "stream=True: there are auto, yes, no"),
    ],
)
def test_from_python_bad_input_is_a_line(change: dict[str, object], said: str) -> None:
    options = {
        "student": cnn(),
        "teacher": cnn(),
        "data": given_data(),
        "epochs": 1,
        "device": "cpu",
        "progress": False,
    }
    with pytest.raises(ValueError, match=re.escape(said)):
        db.distill(**(options | change))  # type: ignore[arg-type]
    shared = cnn()
    with pytest.raises(ValueError, match="student and teacher share weights"):
        db.distill(shared, shared, given_data())


def test_named_recipes_have_their_rates() -> None:
    """PyTorch's own cosine, DeiT's warm-up by hand, and steps at 30, 60, 90; they scale with the epochs."""
    deit, imagenet = RECIPES["deit"], RECIPES["imagenet"]
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=5e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300, 1e-5)
    expected = []
    for _ in range(300):
        expected += scheduler.get_last_lr()
        optimizer.step()
        scheduler.step()
    assert [deit.rate(epoch) for epoch in range(20, 300)] == pytest.approx(expected[20:], rel=1e-6)
    assert [deit.rate(epoch) for epoch in (0, 10)] == pytest.approx([1e-6, 1e-6 + 10 * (5e-4 - 1e-6) / 20])
    assert replace(deit, epochs=30).rate(1) == pytest.approx(1e-6 + (5e-4 - 1e-6) / 2)
    assert [imagenet.rate(epoch) for epoch in (29, 30, 60, 99)] == pytest.approx([0.1, 0.01, 1e-3, 1e-4])


def stepped(recipe: Recipe) -> tuple[nn.Module, Tensor, Batch]:
    """A network of no batch statistics after one step, its gradient's norm, and the batch."""
    data, module = small_data(), seeded(cnn)
    student, batch = net(module), next(small_data().epoch(8, 0, 0))
    objective = Objective(methods.parse("ce"), student, None, data, 0, recipe.label_smoothing)
    optimizer = optimizer_of(recipe, student.parameters(), student.vectors())
    Stepper(student, objective, optimizer, torch.amp.GradScaler(enabled=False), print, recipe=recipe).step(batch)
    norm = torch.stack([one.grad.norm() for one in module.parameters() if one.grad is not None]).norm()
    return module, norm, batch


def test_accumulated_parts_make_the_step_of_the_whole_batch_and_clipping_limits_it() -> None:
    whole, norm, batch = stepped(RECIPE)
    parts, other, _ = stepped(replace(RECIPE, accumulate=4))
    for one, two in zip(whole.parameters(), parts.parameters(), strict=True):
        assert_close(one, two)
    assert_close(norm, other)
    assert norm > 0.05
    assert_close(stepped(replace(RECIPE, clip=0.01))[1], torch.tensor(0.01), rtol=1e-3, atol=0)
    smoothed, entropy = stepped(replace(RECIPE, label_smoothing=0.3))[0], nn.functional.cross_entropy
    plain = seeded(cnn)
    entropy(plain(batch.images), batch.labels, label_smoothing=0.3).backward()
    for one, two in zip(smoothed.parameters(), plain.parameters(), strict=True):
        assert_close(one.grad, two.grad)


@pytest.mark.parametrize("kind", ["module", "stack"])
def test_weight_decay_of_adamw_spares_vectors(kind: str) -> None:
    student = net(cnn()) if kind == "module" else students.find("s0:111").network("given", 3, 8)
    decayed, spared = optimizer_of(RECIPES["deit"], student.parameters(), student.vectors()).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.05, 0.0)
    assert len(decayed["params"]) + len(spared["params"]) == len(student.parameters())
    lead = 1 if kind == "stack" else 0  # the candidates' axis
    assert {one.ndim - lead > 1 for one in decayed["params"]} == {True}
    assert {one.ndim - lead for one in spared["params"]} == {1}


def test_mixed_images_are_mixed_with_their_labels_and_seen_again() -> None:
    """Targets are shares of two classes; by the same step the same images, by another others."""
    batch, recipe = next(small_data().epoch(8, 0, 0)), replace(RECIPE, mixup=0.8, cutmix=1.0)
    first, again, later = (augmented(batch._replace(step=step), recipe, 3) for step in (0, 0, 1))
    assert first.targets is not None
    assert_close(first.targets.sum(1), torch.ones(8))
    assert ((first.targets > 0).sum(1) <= 2).all()
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, later.images)
    share = first.targets.gather(1, batch.labels[:, None]).min()
    mixed = replace(recipe, cutmix=0.0)
    blended = augmented(batch, mixed, 3)
    assert blended.targets is not None
    assert 0 < share <= 1
    share = blended.targets[torch.arange(8), batch.labels][batch.labels != batch.labels.roll(1)][0]
    assert_close(blended.images, share * batch.images + (1 - share) * batch.images.roll(1, 0), rtol=1e-4, atol=1e-5)


def images_and_labels(count: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(count)
    return random.integers(0, 256, (count, 3, 8, 8), dtype=np.uint8), np.arange(count) % 3


def test_constructors_of_one_name_and_other_code_are_trained_apart(tmp_path: Path) -> None:
    def trained_loss(act: type[nn.Module], out: Path) -> list[float]:
        def made() -> nn.Module:
            return nn.Sequential(nn.Conv2d(3, 4, 3), act(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))

        data = images_and_labels(12), images_and_labels(9)
        done = db.distill(made, data=data, method="ce", epochs=1, out=out, progress=False)
        return list(done.history["loss"])

    first, second = trained_loss(nn.ReLU, tmp_path / "one"), trained_loss(nn.Tanh, tmp_path / "one")
    assert first != second == trained_loss(nn.Tanh, tmp_path / "two")
    assert trained_loss(nn.ReLU, tmp_path / "one") == first
    assert len(list((tmp_path / "one").glob("*/outcome.json"))) == 2


def test_a_folder_that_another_trains_in_is_refused(tmp_path: Path) -> None:
    data = images_and_labels(12), images_and_labels(9)
    with record.alone(tmp_path, "training"), pytest.raises(ValueError, match="another process is training there"):
        db.distill(cnn(), data=data, method="ce", epochs=1, out=tmp_path, progress=False)


@pytest.mark.usefixtures("_folder")
def test_a_student_of_other_classes_is_refused_before_others_are_trained(capsys: pytest.CaptureFixture[str]) -> None:
    students = "nets.py:NETWORKS:small nets.py:NETWORKS:wrong"
    assert distill.main([*QUICK, "--student", students, "--method", "ce"]) == 2
    assert "nets.py:NETWORKS:wrong gives 7 classes, and the images are of 4" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not list(Path("out").glob("*/metrics.jsonl"))


OWN_STACK = """
from benchmarks.spaces.resnet import S0, ResNetStack
class Other(ResNetStack): ...
class Own(S0):
    name = "own"
    def build(self, archs, classes, resolution):
        made = super().build(archs, classes, resolution)
        return NotKnown(made)
class NotKnown:
    def __init__(self, made): self.made = made
    def __getattr__(self, name): return getattr(self.made, name)
"""


def test_what_can_not_be_exported_is_not_trained_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN_STACK)
    asked = ["--student", "own.py:Own:111", "--method", "ce", "--epochs", "1", "--export", "torchscript"]
    assert distill.main([*asked, "--workers", "1", "--out", "o"]) == 2
    assert "is a stack of its own kind, of which no ordinary module is known" in capsys.readouterr().err
    assert not list(Path("o").glob("*/metrics.jsonl"))


def test_parts_are_checked_against_the_images_there_are(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (images, labels), (more, others) = images_and_labels(12), images_and_labels(9)
    np.savez(tmp_path / "few.npz", train_images=images, train_labels=labels, test_images=more, test_labels=others)
    asked = ["--data", str(tmp_path / "few.npz"), "--student", "s0:111", "--method", "ce", "--accumulate", "16"]
    assert distill.main([*asked, "--out", str(tmp_path / "o")]) == 2
    assert "--batch-size 12: 1 processes need two images each in 16 parts" in capsys.readouterr().err


def test_digits_are_trained_as_long_from_python_as_by_the_command() -> None:
    assert recipe_of("cifar", {}, usual_epochs("digits", "cifar"), 0).epochs == DIGITS_EPOCHS == 10
    assert recipe_of("cifar", {}, usual_epochs("cifar10", "cifar"), 0).epochs == 240
