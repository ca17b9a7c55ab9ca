"""Named teachers, and trained weights that load safely or not at all."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from benchmarks.conditions import teachers
from benchmarks.conditions.drawing import Drawing
from benchmarks.output.options import ScoringOptions
from benchmarks.scoring.asked import scoring_job
from benchmarks.scoring.worker import SeedRun
from benchmarks.spaces.cells import parse_cell
from benchmarks.timing.plain import PlainCellNetwork, PlainResNet
from proxies import select
from tests.cases import SPACE, batch

CPU = torch.device("cpu")


def trained(name: str) -> tuple[nn.Module, torch.Tensor]:
    """A plain network with running statistics, scales and shifts of its own, in evaluation mode."""
    torch.manual_seed(0)
    if name == "nasbench201-best":
        network: nn.Module = PlainCellNetwork(parse_cell(SPACE.arch(13714)), 10)
    else:
        depth = teachers.RESNET_DEPTHS[name]
        network = PlainResNet((depth, depth, depth), 10)
    images = batch(dtype=torch.float32)[0]
    network(images)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias)
    return network.eval(), images


@pytest.mark.parametrize("name", teachers.TEACHERS)
def test_every_teacher_builds_for_every_data_set(name: str) -> None:
    for dataset, classes, size in (("cifar10", 10, 32), ("cifar100", 100, 32), ("ImageNet16-120", 120, 16)):
        stack = teachers.build(name, dataset, classes, size)
        assert stack.candidates == 1
        assert stack.head.shape == (classes, 512 if name in teachers.IMAGENET_DEPTHS else 64)


def test_resnets_have_their_depth() -> None:
    """conv + fc layers on the main path: 6n + 2."""
    for name, depth in teachers.RESNET_DEPTHS.items():
        layers = teachers.build(name, "cifar10", 10, 32).layers
        main = [one for one in layers if not one.is_norm and "shortcut" not in one.role]
        assert len(main) == 6 * depth + 2 == int(name.removeprefix("resnet"))


def test_resnet56_has_the_published_size() -> None:
    """RepDistiller's resnet56 on CIFAR-100: .86 M; PROXIES' S0 formula at (9, 9, 9): 861,620."""
    layers = teachers.build("resnet56", "cifar100", 100, 32).layers
    assert sum(layer.parameters for layer in layers) == 83_892 + 8 * (4_672 + 18_560 + 73_984)


@pytest.mark.parametrize("name", ["resnet20", "nasbench201-best"])
@pytest.mark.parametrize("wrapped", ["", "model", "state_dict", "module."])
def test_trained_weights_compute_what_the_plain_network_computes(tmp_path: Path, name: str, wrapped: str) -> None:
    network, images = trained(name)
    state: dict[str, object] = dict(network.state_dict())
    if wrapped == "module.":
        state = {f"module.{key}": value for key, value in state.items()}
    elif wrapped:
        state = {wrapped: state}
    torch.save(state, tmp_path / "teacher.pth")
    stack = teachers.build(name, "cifar10", 10, 8)
    loaded = teachers.weights(stack, Drawing(0), tmp_path / "teacher.pth")
    with torch.no_grad():
        outputs = stack(images, loaded)
        assert_close(outputs.logits[0], network(images), rtol=1e-4, atol=1e-5)
        assert_close(outputs.features[0], network.features(images), rtol=1e-4, atol=1e-5)  # type: ignore[operator]


def left_by(code: str, network: nn.Module) -> dict[str, object]:
    """What training code saves of a network, beside its options, optimiser and schedule."""
    state, options = network.state_dict(), Namespace(model="resnet20", lr_decay_epochs=[150, 180, 210], nce_t=0.07)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [100, 150])
    beside = {"optimizer": optimizer.state_dict(), "lr_scheduler": schedule.state_dict()}
    distiller = {f"module.student.{key}": value for key, value in state.items()}
    distiller |= {f"module.teacher.{key}": value + 1 for key, value in state.items()}
    distiller |= {"module.conv_reg.conv.weight": torch.zeros(3, 3)}
    return {
        "RepDistiller, last": {"opt": options, "model": state, **beside},
        "RepDistiller, epoch": {"epoch": 240, "model": state, "accuracy": torch.tensor(72.3), **beside},
        "torchdistill": {"model": state, "best_value": 72.3, "args": options, **beside},
        "mdistiller": {"epoch": 240, "model": distiller, "best_acc": np.float64(72.3), **beside},
        "mdistiller, student": {"model": state},
    }[code]  # type: ignore[return-value]


LAYOUTS = ["RepDistiller, last", "RepDistiller, epoch", "torchdistill", "mdistiller", "mdistiller, student"]


@pytest.mark.parametrize("zipped", [True, False], ids=["today's format", "the one before 1.6"])
@pytest.mark.parametrize("code", LAYOUTS)
def test_what_training_code_leaves_is_read_and_its_options_are_not_built(
    tmp_path: Path, code: str, zipped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, images = trained("resnet20")
    path = tmp_path / "resnet20_last.pth"
    torch.save(left_by(code, network), path, _use_new_zipfile_serialization=zipped)
    monkeypatch.setattr("argparse.Namespace", None)  # whoever built one would fail
    stack = teachers.build("resnet20", "cifar10", 10, 8)
    with torch.no_grad():
        logits = stack(images, teachers.load(stack, path, CPU)).logits[0]
        assert_close(logits, network(images), rtol=1e-4, atol=1e-5)


def test_other_objects_are_refused_by_name_with_what_to_do(tmp_path: Path) -> None:
    network, _ = trained("resnet20")
    stack = teachers.build("resnet20", "cifar10", 10, 8)
    for content, name in (
        (network, r"benchmarks\.timing\.plain\.PlainResNet"),
        ({"model": network.state_dict(), "opt": Namespace(folder=tmp_path)}, r"pathlib[\w.]*\.PosixPath"),
    ):
        torch.save(content, tmp_path / "teacher.pth")
        with pytest.raises(ValueError, match=rf"it holds a {name}, .* torch\.save\(model\.state_dict\(\), FILE\)"):
            teachers.load(stack, tmp_path / "teacher.pth", CPU)


class Runs:
    """Pickles to a call of `touch`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_a_file_that_would_run_code_does_not(tmp_path: Path) -> None:
    torch.save({"conv1.weight": Runs(tmp_path / "ran")}, tmp_path / "hostile.pth")
    with pytest.raises(ValueError, match="not a state dict that loads safely"):
        teachers.load(teachers.build("resnet20", "cifar10", 10, 32), tmp_path / "hostile.pth", CPU)
    assert not (tmp_path / "ran").exists()


def test_weights_that_do_not_fit_name_the_first_that_does_not(tmp_path: Path) -> None:
    state = PlainResNet((3, 3, 3), 100).state_dict()
    torch.save(state, tmp_path / "c100.pth")
    torch.save({**state, "layer1.0.conv1.weight": torch.zeros(1)}, tmp_path / "shape.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "text.pth").write_text("hello")
    stack = teachers.build("resnet20", "cifar10", 10, 32)
    for name, message in (
        ("c100", r"fc\.weight has shape \(100, 64\), \(10, 64\) is expected \(classes x channels\)"),
        ("shape", r"layer1\.0\.conv1\.weight has shape \(1,\)"),
        ("list", "holds a list"),
        ("text", "loads safely .a damaged pickle"),
        ("none", "No such file"),
    ):
        with pytest.raises(ValueError, match=message):
            teachers.load(stack, tmp_path / f"{name}.pth", CPU)
    with pytest.raises(ValueError, match=r"no tensor called 'layer1\.3\.conv1\.weight'"):
        teachers.load(teachers.build("resnet32", "cifar100", 100, 32), tmp_path / "c100.pth", CPU)


def test_entries_without_a_place_are_refused(tmp_path: Path) -> None:
    torch.save(PlainResNet((5, 5, 5), 10).state_dict(), tmp_path / "resnet32.pth")
    with pytest.raises(ValueError, match=r"layer1\.3\.conv1\.weight has no place in this teacher"):
        teachers.load(teachers.build("resnet20", "cifar10", 10, 32), tmp_path / "resnet32.pth", CPU)


@pytest.mark.parametrize("spoil", ["nan", "negative", "complex", "meta", "sparse", "whole"])
def test_values_that_no_training_leaves_are_refused(tmp_path: Path, spoil: str) -> None:
    state = PlainResNet((3, 3, 3), 10).state_dict()
    key = "bn1.running_var" if spoil == "negative" else "conv1.weight"
    changes = {
        "nan": lambda w: w * torch.nan,
        "negative": lambda w: -w,
        "complex": lambda w: w.to(torch.complex64),
        "meta": lambda w: w.to("meta"),
        "sparse": lambda w: w.to_sparse(),
        "whole": lambda w: w.int(),
    }
    torch.save({**state, key: changes[spoil](state[key])}, tmp_path / "spoilt.pth")
    with pytest.raises(ValueError, match="teacher weights"):
        teachers.load(teachers.build("resnet20", "cifar10", 10, 32), tmp_path / "spoilt.pth", CPU)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    """Two hundred files with a byte changed or the end cut off: refused in one way, or loaded."""
    torch.save(PlainResNet((3, 3, 3), 10).state_dict(), tmp_path / "sound.pth")
    sound = (tmp_path / "sound.pth").read_bytes()
    stack = teachers.build("resnet20", "cifar10", 10, 32)
    random = np.random.default_rng(0)
    for _ in range(200):
        content = bytearray(sound[: 12_000 if random.random() < 0.1 else None])
        content[int(random.integers(12_000))] = int(random.integers(256))
        (tmp_path / "damaged.pth").write_bytes(content)
        try:
            teachers.load(stack, tmp_path / "damaged.pth", CPU)
        except ValueError as error:
            assert str(tmp_path) in str(error)  # noqa: PT017, what is loaded is fine too


def test_unknown_teachers_are_refused() -> None:
    with pytest.raises(ValueError, match="resnet34, nasbench201-best"):
        teachers.build("resnet57", "cifar10", 10, 32)


def test_trained_weights_bring_the_input_normalisation_that_stands_beside_them(tmp_path: Path) -> None:
    """Shown pixels as it knows them; noise is none, and no file beside the weights leaves the images as they are."""
    network, _ = trained("resnet20")
    torch.save(network.state_dict(), tmp_path / "model.pt")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "some.npz", images=pixels, labels=np.arange(4))

    def seen(batch: str) -> tuple[SeedRun, dict[str, object]]:
        weights = str(tmp_path / "model.pt")
        options = ScoringOptions(
            batch=batch, dataset="own:10x8", batch_size=4, teacher="resnet20", teacher_weights=weights, device="cpu"
        )
        job = scoring_job(options, SPACE, [SPACE.arch(0)], select("diswot"), range(1))
        return SeedRun(job, 0), job.conditions.content(job.source.batch(4, 0))

    some = str(tmp_path / "some.npz")
    plain, key = seen(some)
    assert torch.equal(plain.teacher.images, plain.images)
    own = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
    (tmp_path / "model.json").write_text(json.dumps(own))
    shown, other = seen(some)
    mean, std = (torch.tensor(own[part])[:, None, None] for part in ("mean", "std"))
    expected = (torch.from_numpy(pixels[shown.labels.numpy()]).float() / 255 - mean) / std  # labels count the images
    assert_close(shown.teacher.images, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(shown.images, plain.images)
    assert shown.job.told().endswith("; teacher's inputs 0.5,0.4,0.3/0.2,0.3,0.4")
    assert key != other
    noise, _ = seen("noise")
    assert torch.equal(noise.teacher.images, noise.images)
    assert "inputs" not in noise.job.told()
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ValueError, match=r"model.json: no mean and std of three channels"):
        seen(some)
