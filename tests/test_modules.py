"""Networks of a user's own as candidates: from Python and from a file, untouched, and refused in one line."""

from __future__ import annotations

import copy
import math
import pickle
import random
import re
from collections.abc import Callable
from pathlib import Path

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

import diswot_bench as db
from benchmarks import rank, spaces
from benchmarks.conditions.drawing import Drawing
from benchmarks.scoring.store import Score, Store
from benchmarks.spaces import find
from benchmarks.spaces.modules import Listed, forked

K = 5
IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 4, 2])
DATA = "own:5x8"

NETS = """
from torch import nn


def small(width=4):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(width, 5),
    )


NETWORKS = {"small": small, "wide-8": lambda: small(8)}
"""


def small(width: int = 4) -> nn.Module:
    body = [nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, K))


def score(networks: object, **options: object) -> pd.DataFrame:
    usual = {"dataset": DATA, "teacher": "resnet20", "proxies": "grad_norm", "progress": False}
    return db.score(networks, IMAGES, LABELS, **(usual | options))  # type: ignore[arg-type]


def grad_norm(module: nn.Module) -> float:
    """By plain autograd on a copy: batch statistics, the norms of the kernels' gradients."""
    other = copy.deepcopy(module).double().train()
    loss = cross_entropy(other(IMAGES.double()), LABELS)
    kernels = [one for one in other.parameters() if one.ndim > 1]
    return float(sum(gradient.norm() for gradient in torch.autograd.grad(loss, kernels)))


def test_modules_are_scored_as_they_are_and_left_untouched() -> None:
    nets = {"a": small(), "b": small(8).train()}
    before = {name: copy.deepcopy(net.state_dict()) for name, net in nets.items()}
    teacher = small(6)
    state = torch.get_rng_state()
    scores = score({**nets, "made": small}, proxies="grad_norm,params,diswot", teacher=teacher)
    assert torch.equal(torch.get_rng_state(), state)
    for name, net in nets.items():
        for key, value in net.state_dict().items():
            assert torch.equal(value, before[name][key])
        assert net.training
        assert not any(one.grad is not None for one in net.parameters())
        assert not net._forward_hooks
        found = scores.query("arch == @name and proxy == 'grad_norm'")["score"].item()
        assert_close(found, grad_norm(net), rtol=1e-4, atol=0)
    counted = scores[scores["proxy"] == "params"]
    assert (counted["score"] == counted["params"]).all()
    assert list(counted["arch"]) == ["a", "b", "made"]
    assert scores["status"].eq("ok").all()


def test_running_statistics_are_used_on_wish() -> None:
    net = small()
    with torch.no_grad():
        net[1].running_var.fill_(9.0)
    other = score(net, running=True)["score"].item()
    assert score(net)["score"].item() != other
    net.eval()
    exact = copy.deepcopy(net).double()
    kernels = [one for one in exact.parameters() if one.ndim > 1]
    gradients = torch.autograd.grad(cross_entropy(exact(IMAGES.double()), LABELS), kernels)
    assert_close(other, float(sum(one.norm() for one in gradients)), rtol=1e-4, atol=0)


def test_weights_are_drawn_on_wish() -> None:
    network = Listed({"a": small}).network(["a"], K, IMAGES)
    drawn, again, other = (Drawing(seed).candidates(network, ["a"]) for seed in (0, 0, 1))
    for layer, kernel in drawn.kernels.items():
        assert torch.equal(kernel, again.kernels[layer])
        assert not torch.equal(kernel, other.kernels[layer])
        assert torch.equal(kernel[0], Drawing(0)._one(layer, "", "weight"))
    assert not drawn.bias.any()
    independent = Drawing(0, "independent")
    one, two = (independent.candidates(network, [name]) for name in ("a", "b"))
    assert all(not torch.equal(one.kernels[layer], two.kernels[layer]) for layer in one.kernels)
    made = Drawing(0, init="default").candidates(network, ["a"])
    bound = (3 * 9) ** -0.5  # of PyTorch's own initialisation, convolution and bias alike
    first = next(iter(made.kernels.values()))
    assert bound / 2 < first.abs().max() <= bound
    assert all(value.any() for name, value in made.others.items() if name == "0.bias")


class Projected(nn.Module):
    """A network behind random colours, which are no parameter, and a random scale, a plain tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.scale = small(), torch.rand(1)
        self.register_buffer("colours", torch.randn(3, 3))

    def forward(self, x: Tensor) -> Tensor:
        given: Tensor = self.scale * self.net(torch.einsum("nchw,cd->ndhw", x, self.colours))
        return given


def test_what_a_constructor_draws_beside_weights_follows_the_seed_too() -> None:
    networks = [Listed({"a": Projected}).network(["a"], K, IMAGES) for _ in range(3)]
    drawn = [network(IMAGES, network.fresh(seed)).logits[0] for network, seed in zip(networks, (1, 1, 2), strict=True)]
    assert_close(drawn[0], forked(Projected, 1)(IMAGES).detach())
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_module_at_hand_has_no_constructor() -> None:
    with pytest.raises(ValueError, match=re.escape("give {name: constructor}")):
        score(small(), init="default")
    assert score(small(), init="kaiming")["score"].gt(0).all()


class Tuple(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = small()

    def forward(self, x: Tensor) -> object:
        return self.net(x), x


class Then(nn.Module):
    """A network, and what is done with its logits."""

    def __init__(self, done: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.done = small(), done

    def forward(self, x: Tensor) -> Tensor:
        return self.done(self.net(x))


def broken() -> nn.Module:
    raise RuntimeError("no such width")


@pytest.mark.parametrize(
    ("networks", "options", "says"),
    [
        (Tuple(), {}, "makes a tuple of 2; logits [N, K] are wanted"),
        ({"x": broken}, {}, "modules x: can't be built (RuntimeError: no such width; "),
        (small(), {"dataset": "own:7x8"}, "gives 5 classes, and there are 7"),
        (small(), {"features": "nix"}, "features"),
        (small(), {"feature": "1"}, "no option is called 'feature'"),
        (small().double(), {}, "float64, and runs on torch.float32; .to(torch.float32)"),
        (Then(lambda y: y.half()), {}, "makes logits of torch.float16; the same is wanted"),
        (Then(lambda y: y * math.nan), {}, "logits are NaN"),
        (Then(lambda y: y + 1e-6 * torch.rand(1)), {}, "draws random numbers in evaluation mode"),
        (Then(lambda y: y + 1e-6 * random.random()), {}, "draws random numbers in evaluation mode"),
        (Then(lambda y: y + 1e-6 * np.random.rand()), {}, "draws random numbers in evaluation mode"),
        (type("OptimizedModule", (Tuple,), {})(), {}, "a compiled module hides its functions"),
        (Then(lambda y: y.softmax(1)), {}, "gives probabilities (rows that sum to 1), not logits"),
        (
            small(),
            {"head": "0"},
            "head='0': is no classifier of the network: it gives 4 channels, and there are 5 logits",
        ),
        (nn.DataParallel(small()), {}, "score the one inside, its .module"),
        ({"x": lambda: None}, {}, "modules x: its constructor gives a NoneType, not a module"),
        ({}, {}, "holds no network"),
        ([small()], {}, "networks: a list; a module, a dict of modules or constructors, or a space"),
        ({"a": 3}, {}, "'a' is no text that names a module or its constructor"),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(K)), {}, "lazy"),
        (db.space("s0"), {"head": "fc"}, "head is for modules that are handed over"),
        (small(), {"teacher": Tuple()}, "teacher teacher: "),
        (small(), {"archs": ["b"]}, "'b' is no network of modules; there are: Sequential"),
    ],
)
def test_bad_input_is_one_line(networks: object, options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        score(networks, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("classes", [K - 2, K + 2])
def test_as_many_classes_are_wanted_where_no_head_is_found(classes: int) -> None:
    wide = nn.Sequential(nn.Conv2d(3, 9, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), Then(lambda y: y[:, :classes]))
    wide[-1].net = nn.Identity()
    found = score({"wide": wide, "small": small()}).set_index("arch")
    assert found["status"].to_dict() == {"wide": "undefined", "small": "ok"}
    assert f"modules wide: gives {classes} classes, and there are {K}" in found.loc["wide", "reason"]


def test_what_a_network_lacks_is_said() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, K))
    found = score(plain, proxies="zen,params").set_index("proxy")
    assert found.loc["zen", "status"] == "undefined"
    assert "no batch normalisation" in found.loc["zen", "reason"]
    assert found.loc["params", "reason"] == ""


class Beside(nn.Module):
    """A network with weights that are no layer's: of a product, by a transpose of them, and of an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.rnn, self.fc = nn.Conv2d(3, 4, 3), nn.LSTM(4, 6, batch_first=True), nn.Linear(4, K)
        self.mix = nn.Parameter(torch.randn(4, 6))
        self.shift = nn.Parameter(torch.randn(1, 36, 4))  # no weight: it is added

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.conv(x).relu().flatten(2).mT + self.shift
        given: Tensor = self.fc((self.rnn(tokens)[0] @ self.mix.T).mean(1))
        return given


BY_WEIGHT = "grad_norm,snip,plain,grasp,synflow,logsynflow,fisher,gradsign,zico,ntk_trace,ntk_trace_released"
BY_WEIGHT += ",ntk_condition,vkdnw,l2_norm"


def test_scores_by_weights_leave_none_out_unsaid() -> None:
    found = score(Beside(), proxies=f"{BY_WEIGHT},jacob_cov,params").set_index("proxy")
    assert found.loc[BY_WEIGHT.split(","), "status"].eq("undefined").all()
    assert found["reason"].iloc[0].endswith("would leave out rnn.weight_ih_l0, rnn.weight_hh_l0, mix")
    assert found.loc[["jacob_cov", "params"], "status"].eq("ok").all()


def test_a_classifier_of_zeros_has_no_class_maps() -> None:
    net = small()
    nn.init.zeros_(net[-1].weight)
    found = score(net, proxies="diswot,diswot_relation").set_index("proxy")
    assert found["status"].to_dict() == {"diswot": "undefined", "diswot_relation": "ok"}
    assert "all 0" in found.loc["diswot", "reason"]
    assert score(net, proxies="diswot", init="kaiming")["status"].eq("ok").all()


def test_a_reason_is_kept(tmp_path: Path) -> None:
    row = Score("modules", "a", "zen", 0, float("nan"), "undefined", 0.0, "it has no batch normalisation: none")
    with Store(tmp_path / "store.sqlite") as store:
        key = store.conditions({})
        store.add(key, [row])
        assert [one._replace(score=0.0) for one in store.scores(key, "modules", ["zen"], 0)] == [
            row._replace(score=0.0)
        ]


def test_a_look_says_what_was_found() -> None:
    found = db.look(small(), resolution=8)
    assert found["head"] == "5.weight"
    assert found["params"] == sum(one.numel() for one in small().parameters())
    assert found["macs"] == 64 * 27 * 4 + 4 * K + K
    assert "lacks block" in found.index


def test_a_file_of_networks_is_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(NETS)
    Path("mine.csv").write_text("arch,accuracy\nsmall,61\nwide-8,67\n")
    arguments = ["--space", "nets.py:NETWORKS", "--dataset", DATA, "--truth", "mine.csv", "--batch-size", "4"]
    arguments += ["--proxy", "synflow", "--baselines", "params", "--teacher", "resnet20", "--out", "out"]
    assert rank.main(arguments) == 0
    written = pd.read_csv("out/scores.csv")
    assert written.query("proxy == 'params'").set_index("arch")["score"].to_dict() == {"small": 145, "wide-8": 285}
    assert written["status"].eq("ok").all()
    space = spaces.find("nets.py:NETWORKS")
    assert [space.index(space.parse(text)) for text in ("wide-8", "0")] == [1, 0]


@pytest.mark.parametrize("make", [lambda: {"a": small}, lambda: {"a": small()}])
def test_grey_images_are_taken(make: Callable[[], dict[str, object]]) -> None:
    grey = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, K))
    found = db.score(grey, IMAGES[:, :1], LABELS, dataset=DATA, proxies="diswot", teacher="resnet20", progress=False)
    assert found["status"].eq("ok").all()


def test_a_store_tells_networks_of_one_name_apart(tmp_path: Path) -> None:
    kept = {"store": tmp_path / "kept.sqlite", "proxies": "grad_norm,diswot_relation"}
    one, other = small(), small(8)
    first, second, again = (score({"a": net}, **kept)["score"].tolist() for net in (one, other, one))
    assert first == again
    assert first[0] != second[0]
    with torch.no_grad():
        one[0].weight.mul_(2.0)
    assert score({"a": one}, **kept)["score"].tolist()[0] != first[0]
    taught = [score({"a": other}, teacher=net, **kept)["score"].tolist()[1] for net in (small(6), small(7))]
    assert taught[0] != taught[1]


def test_a_module_is_not_built_once_more_to_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    network = Listed.network
    monkeypatch.setattr(
        Listed, "network", lambda self, archs, *rest: looked.append(*archs) or network(self, archs, *rest)
    )
    table = score({"own": small, "wide": lambda: small(8)}, proxies="grad_norm,params")
    assert looked == ["own", "wide"]
    sizes = table.drop_duplicates("arch").set_index("arch")
    for name, made in (("own", small()), ("wide", small(8))):
        assert sizes.loc[name, "params"] == sum(one.numel() for one in made.parameters())
        assert sizes.loc[name, "macs"] == 8 * 8 * 27 * made[0].out_channels + (made[0].out_channels + 1) * K
    assert list(dict.fromkeys(table["proxy"])) == ["grad_norm", "params"]


def test_a_constructor_in_a_worker_names_its_file_and_line(tmp_path: Path) -> None:
    text = "from benchmarks.spaces import ModuleSpace\nclass Own(ModuleSpace):\n    name, choices = 'own', ((1, 2),)\n"
    (tmp_path / "own.py").write_text(f"{text}    def module(self, *_):\n        raise KeyError('none')\n")
    sent = pickle.loads(cloudpickle.dumps(find(f"{tmp_path / 'own.py'}:Own")))
    with pytest.raises(ValueError, match=rf"own 1: can't be built \(KeyError: 'none'; {tmp_path}/own.py, line 5\)"):
        sent.made("1", 10, 8, 0)


def test_a_space_that_can_not_be_made_is_one_line(tmp_path: Path) -> None:
    text = "from benchmarks.spaces.resnet import S0\nclass Own(S0):\n    name = 'own'\n"
    (tmp_path / "own.py").write_text(f"{text}    def __init__(self):\n        raise KeyError('none')\n")
    with pytest.raises(ValueError, match=r"--space .*own.py:Own: can't be made \(KeyError: 'none'\)"):
        find(f"{tmp_path / 'own.py'}:Own")
