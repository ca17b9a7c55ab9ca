"""torchvision's networks as a space, and any network as a teacher: sizes, families, recorded accuracies, runs."""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn
from torchvision import models

import diswot_bench as db
from analysis.stats import ranking
from benchmarks import rank, truth
from benchmarks.conditions.chosen import find as find_teacher
from benchmarks.conditions.chosen import published
from benchmarks.conditions.drawing import Drawing
from benchmarks.output.options import RankingOptions
from benchmarks.ranking.rank_run import prepare
from benchmarks.spaces import find
from benchmarks.spaces.space import counted
from benchmarks.spaces.zoo import names

ZOO = find("torchvision")


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "mobilenet_v3_small", "googlenet", "squeezenet1_1", "vit_b_32"])
def test_sizes_are_torchvisions_own_and_those_of_the_layers(name: str) -> None:
    size = ZOO.count(name, 1000, 224)
    meta = models.get_model_weights(name)["IMAGENET1K_V1"].meta
    assert size.params == meta["num_params"]
    assert round((size.macs - 1000) / 1e9, 3) == meta["_ops"]
    few = 64 if name != "vit_b_32" else 32
    assert counted(ZOO.network([name], 7, torch.zeros(2, 3, few, few))) == ZOO.count(name, 7, few)


def test_building_leaves_the_random_state_alone() -> None:
    state = torch.get_rng_state()
    ZOO.count("resnet18", 10, 32)
    assert torch.equal(torch.get_rng_state(), state)


def test_families_are_the_files_of_torchvision() -> None:
    families = [ZOO.family(name) for name in names()]
    assert len(set(families)) == 17
    assert ZOO.family("resnext50_32x4d") == ZOO.family("wide_resnet50_2") == "resnet"
    assert find("s0").family("777") == ""


def test_the_truth_is_what_torchvision_records() -> None:
    first = truth.load("auto", ZOO, "imagenet", "vanilla")
    assert len(names()) == 80
    assert set(names()) - first.accuracy.keys() == {"regnet_y_128gf", "vit_h_14"}
    assert first.accuracy["resnet50"] == 76.13  # He et al.'s recipe; the second weights have 80.858
    assert first.accuracy["efficientnet_b7"] == 84.122
    second = truth.load("torchvision:V2", ZOO, "imagenet", "vanilla")
    assert second.accuracy["resnet50"] == 80.858
    assert "resnet18" not in second.accuracy
    assert "recipes differ between families" in first.remark


def test_a_name_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"torchvision has no classifier called 'resnet51'; did you mean"):
        ZOO.parse("resnet51")
    with pytest.raises(ValueError, match=r"maxvit_t: not for 100x100 images"):
        ZOO.count("maxvit_t", 10, 100)


def test_kendall_within_is_scipys_in_one_group_and_blind_between_groups() -> None:
    random = np.random.default_rng(0)
    x, y = random.integers(0, 6, 30).astype(float), random.normal(size=30)
    assert ranking.kendall_within(x, y, ["a"] * 30) == (pytest.approx(stats.kendalltau(x, y).statistic), 435)
    # within a: one pair of three reversed; b: one pair in order; between them all is reversed, and does not count
    x, y = np.array([1.0, 2.0, 3.0, 9.0, 10.0]), np.array([22.0, 21.0, 23.0, 1.0, 2.0])
    assert ranking.kendall_within(x, y, list("aaabb")) == (pytest.approx(2 / 4), 4)
    assert math.isnan(ranking.kendall_within(x, y, list("abcde"))[0])


def test_the_limit_holds_for_samples_and_lists(tmp_path: Path) -> None:
    options = RankingOptions(space="s0", dataset="cifar100", proxy="params", batch_size=2, max_params="300k")
    archs = prepare(options)[0].archs
    space = find("s0")
    every = [space.arch(index) for index in range(len(space))]
    assert set(archs) == {arch for arch in every if space.count(arch, 100, 32).params <= 300_000}
    assert 0 < len(archs) < len(every)
    (tmp_path / "few.txt").write_text("111\n777\n")
    options.archs = str(tmp_path / "few.txt")
    assert prepare(options)[0].archs == ["111"]
    options.max_params = "1k"
    with pytest.raises(ValueError, match="no candidate is as small"):
        prepare(options)
    options.archs = None
    with pytest.raises(ValueError, match="no candidate of s0 is as small"):
        prepare(options)


def test_a_run_ranks_within_families_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "few.txt").write_text("squeezenet1_1\nsqueezenet1_0\nshufflenet_v2_x0_5\nvgg19\n")
    options = ["--proxy", "params", "--baselines", "macs", "--batch-size", "2", "--workers", "1", "--device", "cpu"]
    options += ["--archs", str(tmp_path / "few.txt"), "--max-params", "100M", "--out", str(tmp_path / "out")]
    assert rank.main(["--space", "torchvision", "--dataset", "imagenet", "--teacher", "resnet18", *options]) == 0
    told = capsys.readouterr().out
    assert "within families (kendall over the 1 pairs of one family): params -1.000, macs -1.000" in told
    assert "recipes differ between families" in told
    scores = pd.read_csv(tmp_path / "out" / "scores.csv")
    assert dict(zip(scores["arch"], scores["family"], strict=True)) == {
        "squeezenet1_1": "squeezenet", "squeezenet1_0": "squeezenet", "shufflenet_v2_x0_5": "shufflenetv2",
    }  # fmt: skip


TEACHERS = """
from torch import nn


def net():
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.BatchNorm2d(6),
                         nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))


NUMBER = 3
"""


def scored(**options: object) -> float:
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    usual = {"archs": ["111"], "proxies": "diswot", "dataset": "own:5x16", "progress": False, "device": "cpu"}
    found = db.score(db.space("s0"), images, torch.tensor([0, 1, 4, 2]), **(usual | options))  # type: ignore[arg-type]
    assert found["status"].item() == "ok"
    return float(found["score"].item())


def test_a_teacher_is_any_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(TEACHERS)
    names = ["resnet20", "s0:333", "torchvision:shufflenet_v2_x0_5", "nets.py:net"]
    found = {name: scored(teacher=name) for name in names}
    assert len(set(found.values())) == 3
    assert found["resnet20"] == found["s0:333"], "the same network, and the same draw"


def test_trained_weights_of_a_module_bring_their_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(TEACHERS)
    scope: dict[str, Any] = {}
    exec(TEACHERS, scope)
    net = scope["net"]()
    net[1].running_var.fill_(3.0)
    torch.save(net.state_dict(), "net.pth")
    by_file = scored(teacher="nets.py:net", teacher_weights="net.pth")
    drawn = scored(teacher="nets.py:net")
    network = find_teacher("nets.py:net")
    assert network is not None
    made = network.network(5, torch.zeros(2, 3, 16, 16))
    weights = network.weights(made, Drawing(0), Path("net.pth"))
    assert all(torch.equal(kernel[0], net.state_dict()[layer.role]) for layer, kernel in weights.kernels.items())
    assert {float(norm.variance[0, 0]) for norm in weights.norms.values()} == {1.0, 3.0}
    assert by_file != drawn


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"teacher": "resnet21"}, "no teacher is called 'resnet21'; there are: resnet20"),
        ({"teacher": "s0:358"}, "--teacher s0:358: '358' is no candidate of s0"),
        ({"teacher": "s9:3"}, "no teacher is called 's9:3'"),
        ({"teacher": "nets.py:none"}, "--teacher nets.py:none: the file has no 'none'"),
        ({"teacher": "nets.py:NUMBER"}, "no module, and no class or function that makes one"),
        ({"teacher": "nets.py:net", "dataset": "own:7x16", "teacher_weights": "net.pth"}, "gives 5 classes"),
        ({"teacher": "nets.py:net", "teacher_weights": "bad.pth"}, "bad.pth: no tensor called '0.weight'"),
        ({"teacher": "nets.py:net", "teacher_weights": "shape.pth"}, "shape.pth: 8.bias has shape (9,), (5,) is"),
        ({"teacher": "nets.py:net", "teacher_weights": "more.pth"}, "more.pth: more has no place in this teacher (1 "),
        ({"teacher": "torchvision:resnet18", "teacher_weights": "bad.pth"}, "bad.pth: no tensor called 'conv1.weight'"),
        ({"teacher": "torchvision:resnet18", "teacher_weights": "torchvision"}, "add --download to fetch them"),
        ({"teacher": "s0:333", "teacher_weights": "torchvision"}, "are for --teacher torchvision:NAME"),
        ({"teacher": nn.Linear(3, 5), "teacher_weights": "bad.pth"}, "teacher_weights is for a teacher by name"),
    ],
)
def test_a_teacher_that_can_not_be_had_is_one_line(
    options: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    Path("nets.py").write_text(TEACHERS)
    scope: dict[str, Any] = {}
    exec(TEACHERS, scope)
    state = scope["net"]().state_dict()
    torch.save(state, "net.pth")
    torch.save({"weight": torch.zeros(3)}, "bad.pth")
    torch.save(state | {"8.bias": torch.zeros(9)}, "shape.pth")
    torch.save(state | {"more": torch.zeros(9)}, "more.pth")
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        scored(**options)
    assert "\n" not in str(error.value)


def test_published_weights_are_taken_where_their_checksum_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    name = models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    torch.save(models.shufflenet_v2_x0_5().state_dict(), folder / name)
    teacher = find_teacher("torchvision:shufflenet_v2_x0_5")
    with pytest.raises(ValueError, match="is damaged"):
        published(teacher, download=False)
    (tmp_path / name).write_bytes((folder / name).read_bytes())
    monkeypatch.setattr(hashlib, "file_digest", lambda *_: SimpleNamespace(hexdigest=lambda: name.split("-")[1]))
    trained, path = published(teacher, download=False)
    assert path == folder / name
    network = trained.network(1000, torch.zeros(2, 3, 64, 64))
    weights = trained.weights(network, Drawing(0), path)
    state = torch.load(path)
    assert all(torch.equal(kernel[0], state[layer.role]) for layer, kernel in weights.kernels.items())
    assert weights.norms
    with pytest.raises(ValueError, match="its published weights are of 1000 classes, not of 10"):
        trained.network(10, torch.zeros(2, 3, 64, 64))


class Greedy(nn.Module):
    """Wants more memory than there is, by what torch's own allocator says."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5))
        self.runs = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        return self.net(x) if self.runs < 3 else torch.empty(2**50)


def test_too_little_memory_is_oom_on_a_cpu_too() -> None:
    images = torch.zeros(2, 3, 16, 16)
    networks = {"greedy": Greedy(), "modest": Greedy().net}
    options = {"dataset": "own:5x16", "proxies": "grad_norm,params", "teacher": "resnet20", "progress": False}
    found = db.score(networks, images, torch.tensor([0, 1]), device="cpu", **options)  # type: ignore[arg-type]
    status = found.set_index(["arch", "proxy"])["status"]
    assert status["greedy", "grad_norm"] == "oom"
    assert status["greedy", "params"] == status["modest", "grad_norm"] == "ok"


def test_a_network_without_a_single_map_is_scored() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5))
    options = {"dataset": "own:5x16", "proxies": "grad_norm,params,diswot", "teacher": "resnet20", "progress": False}
    found = db.score(net, torch.zeros(2, 3, 16, 16), torch.tensor([0, 1]), **options)  # type: ignore[arg-type]
    assert found.set_index("proxy")["status"].to_dict() == {"grad_norm": "ok", "params": "ok", "diswot": "undefined"}


def test_a_network_that_does_not_run_ends_no_run_of_others() -> None:
    images, labels = torch.zeros(2, 3, 16, 16), torch.tensor([0, 1])
    usual = {"dataset": "own:5x16", "proxies": "params", "teacher": "resnet20", "progress": False}
    found = db.score(ZOO, images, labels, archs=["alexnet", "resnet18"], **usual)  # type: ignore[arg-type]
    rows = found.set_index("arch")
    assert rows["status"].to_dict() == {"alexnet": "undefined", "resnet18": "ok"}
    assert "alexnet: the network does not run on images" in rows.loc["alexnet", "reason"]
    with pytest.raises(ValueError, match="the network does not run on images"):
        db.score(ZOO, images, labels, archs=["alexnet"], **usual)  # type: ignore[arg-type]
