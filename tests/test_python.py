"""From Python: what `diswot_bench` gives equals what the command writes, and bad input is one line."""

from __future__ import annotations

import math
import os
import pickle
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import diswot_bench as db
from benchmarks import rank, spaces, truth
from benchmarks.conditions import batches
from benchmarks.ranking.called import NEEDED
from tests.cases import MIXED

OPTIONS = {"proxies": "diswot,params,vote(diswot,params)", "sample": 6, "batch_size": 4, "teacher": "resnet20"}


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    return db.score(db.space("nasbench201"), **OPTIONS, progress=False)


def test_scores_and_ranking_are_those_of_the_command(scores: pd.DataFrame, tmp_path: Path) -> None:
    arguments = ["--proxy", OPTIONS["proxies"], "--baselines", "", "--sample", "6", "--batch-size", "4"]
    assert rank.main([*arguments, "--teacher", "resnet20", "--device", "cpu", "--out", str(tmp_path)]) == 0
    written = pd.read_csv(tmp_path / "scores.csv", dtype={"reason": scores["reason"].dtype}).fillna({"reason": ""})
    same = [column for column in written.columns if column in scores.columns]
    assert same == ["space", "arch", "index", "proxy", "seed", "score", "status", "reason"]
    by = ["proxy", "arch"]
    pd.testing.assert_frame_equal(
        scores[same].sort_values(by, ignore_index=True), written[same].sort_values(by, ignore_index=True)
    )
    table = db.rank(scores)
    expected = pd.read_csv(tmp_path / "ranking.csv", na_values=["n/a"]).set_index("proxy")
    for column, name in (("spearman", "spearman"), ("low", "spearman_low"), ("given size", "given_size")):
        np.testing.assert_allclose(table[column], expected[name])
    assert list(table.index) == list(expected.index)
    truth = written.drop_duplicates("arch").set_index("arch")["truth"]
    pd.testing.assert_frame_equal(db.rank(scores, truth), table)


def test_a_ranking_prints_whole(scores: pd.DataFrame) -> None:
    text = repr(db.rank(scores))
    assert text.splitlines()[0].split()[:4] == ["spearman", "low", "high", "kendall"]
    assert "..." not in text
    assert "n/a" in text.splitlines()[2 + list(db.rank(scores).index).index("params")]


def test_images_at_hand_are_taken_as_they_are() -> None:
    images, labels = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)), [0, 1, 2, 1]
    once, again = (
        db.score(db.space("nasbench201"), images, labels, archs=MIXED[:2], seed=3, proxies="grad_norm", progress=False)
        for _ in range(2)
    )
    other = db.score(db.space("nasbench201"), 2 * images, labels, archs=MIXED[:2], proxies="grad_norm", progress=False)
    pd.testing.assert_frame_equal(once.drop(columns="seconds"), again.drop(columns="seconds"))
    assert (once["score"] != other["score"]).all()
    assert list(once["arch"]) == MIXED[:2]
    assert once["params"].gt(0).all()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"images": torch.zeros(4, 3, 8, 8, dtype=torch.uint8)}, "images are uint8 [4, 3, 8, 8]; floats [N, C, H, W]"),
        ({"images": torch.zeros(4, 1, 8, 8)}, "[N, 3, 8, 8] is expected"),
        ({"images": torch.full((4, 3, 8, 8), math.nan)}, "images hold NaN"),
        ({"images": torch.zeros(1, 3, 8, 8), "labels": [0]}, "2 is the least"),
        ({"labels": None}, "images come with labels"),
        ({"labels": [0, 1]}, "labels are int64 [2]; 4 integers are expected"),
        ({"labels": [0.0, 1, 2, 3]}, "labels are float32 [4]; 4 integers are expected"),
        ({"labels": [0, 1, 2, -1]}, "labels begin at -1"),
        ({"labels": [0, 1, 2, 300], "dataset": "own:10x8"}, "labels run to 300; 0 to 9 is allowed"),
        ({"proxies": "nix"}, "no proxy is called 'nix'"),
        ({"proxies": ""}, "names no proxy"),
        ({"archs": [15625]}, "outside 0..15624"),
        ({"archs": [3, "3"]}, "stands there twice"),
        ({"archs": []}, "names no candidate"),
        ({"archs": None, "sample": 0}, "sample=0: 1 to 15625, auto or all"),
        ({"init": "xavier"}, "init='xavier': there are kaiming, normal, default"),
        ({"draw": "own"}, "draw='own': there are independent, common, shared"),
        ({"teacher": "resnet1"}, "no teacher is called 'resnet1'"),
        ({"dataset": "own:10"}, "or your own as NAME:CLASSESxRESOLUTION"),
    ],
)
def test_bad_input_is_one_line(changed: dict[str, object], says: str) -> None:
    given = {"images": torch.zeros(4, 3, 8, 8), "labels": [0, 1, 2, 3], "archs": [3], "teacher": "resnet20"}
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        db.score(db.space("nasbench201"), **(given | changed), progress=False)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: (s.drop(columns="status"), None), "no column status"),
        (lambda s: (s, {"a": 1.0}), "accuracy: none of"),
        (lambda s: (s, dict.fromkeys(s["arch"], math.nan)), "is no number"),
        (lambda s: (pd.concat([s, s]), None), "two rows of a candidate"),
        (lambda s: (s, s.set_index("arch")["score"]), "stands there twice"),
        (lambda s: (s.iloc[1:], None), "lacks rows of some candidates"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(change: object, says: str, scores: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=says):
        db.rank(*change(scores))  # type: ignore[operator]


def test_failed_scores_rank_last() -> None:
    table = pd.DataFrame({"space": "mine", "arch": list("abcd"), "proxy": "p", "seed": 0})
    table["score"], table["status"] = [4.0, 3.0, 2.0, math.nan], ["ok"] * 3 + ["nan"]
    found = db.rank(table, {"a": 4, "b": 3, "c": 2, "d": 1}).loc["p"]
    assert found["spearman"] == 1
    assert found["failed"] == 1
    assert math.isnan(found["given size"])


def test_proxies_are_listed() -> None:
    assert {"diswot", "params", "az_nas"} <= set(db.proxies().index)


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(AttributeError, match="it has: distill, leaderboard, look, proxies, rank, "):
        _ = db.scroe


def test_a_users_own_module_of_a_rooms_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "benchmarks", type(sys)("benchmarks"))
    monkeypatch.delitem(vars(db), "rank", raising=False)
    with pytest.raises(ImportError, match="'benchmarks' is imported already"):
        _ = db.rank


@pytest.mark.parametrize(("name", "expected"), [("pets:37x64", (37, 64)), ("a.b-c:2x1", (2, 1))])
def test_a_data_set_of_ones_own_is_named_by_classes_and_size(name: str, expected: tuple[int, int]) -> None:
    assert batches.find_dataset(name) == expected


@pytest.mark.parametrize("name", ["pets:1x64", "pets:37x0", "pets:37x64x3", ":37x64", "pets:37", "pets:-3x8"])
def test_a_data_set_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="data set"):
        batches.find_dataset(name)


class Odd(torch.nn.Sequential):
    """A network that keeps its last output, and draws numbers of every kind where it is told to."""

    drawing = False

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.last = super().forward(images)
        if self.drawing:
            random.random(), np.random.rand(), torch.rand(1)
        return self.last


def odd() -> Odd:
    return Odd(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 3),
    )


IMAGES, LABELS = torch.linspace(-1, 1, 6 * 3 * 8 * 8).reshape(6, 3, 8, 8), [0, 1, 2, 0, 1, 2]


def test_a_table_of_scores_is_an_ordinary_one() -> None:
    """pandas copies what hangs on a table; networks are neither copied nor pickled, whatever they hold."""
    net = odd()
    scores = db.score({"a": net, "b": odd}, IMAGES, LABELS, proxies=["params", "grad_norm"], progress=False)
    net(IMAGES)
    assert list(scores[["arch", "proxy"]].drop_duplicates()["proxy"].unique()) == ["params", "grad_norm"]
    with pytest.raises(ValueError, match="handed over"):
        db.write_scores(scores.copy(), "t.npz")
    with pytest.raises(ValueError, match="whole"):
        db.write_scores(pickle.loads(pickle.dumps(scores)), "t.npz")


def test_random_states_are_as_they_were() -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    net = odd()
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    db.score({"a": net}, IMAGES, LABELS, proxies="diswot,params", progress=True)
    net.drawing = True
    for refused in (lambda: db.look(net), lambda: db.score({"a": net}, IMAGES, LABELS, progress=False)):
        with pytest.raises(ValueError, match="draws random numbers"):
            refused()
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])


def test_networks_of_ones_own_are_ranked_by_a_file(tmp_path: Path) -> None:
    scores = db.score(dict.fromkeys("abc", odd), IMAGES, LABELS, proxies="grad_norm", progress=False)
    (tmp_path / "mine.csv").write_text("arch,accuracy\na,70\nb,71\nc,72\n")
    pd.testing.assert_frame_equal(
        db.rank(scores, truth=str(tmp_path / "mine.csv")), db.rank(scores, {"a": 70, "b": 71, "c": 72})
    )
    with pytest.raises(ValueError, match=r"no table knows networks of yours: accuracy="):
        db.rank(scores)


@pytest.mark.parametrize(
    ("accuracy", "says"),
    [
        ([71, 69], "accuracy: a list; percents by name"),
        ({"a": 0.7, "b": 0.8}, "are these fractions"),
        ({"a": 171, "b": 80}, "accuracy of a: 171 is no number of percent, 0 to 100"),
        ({"a": "71%", "b": 80}, "accuracy of a: '71%' is no number of percent"),
        ({"a": 71.0, "b": float("nan")}, "accuracy of b: nan is no number of percent"),
        ({"a": float("inf"), "b": 80}, "accuracy of a: inf is no number of percent"),
        (pd.Series({"a": -np.inf, "b": 80.0}), "accuracy of a: -inf is no number of percent"),
        ({"a": 10**400, "b": 80}, "is no number of percent"),
        ({"a": None, "b": 80}, "accuracy of a: None is no number of percent"),
    ],
)
def test_accuracies_that_are_none_are_refused(accuracy: object, says: str) -> None:
    rows = [("modules", arch, "mine", 0, 1.0, "ok") for arch in "ab"]
    scores = pd.DataFrame(rows, columns=["space", "arch", "proxy", "seed", "score", "status"])
    with pytest.raises(ValueError, match=re.escape(says)):
        db.rank(scores, accuracy)


def test_small_gains_of_a_table_are_no_fractions_and_who_is_not_scored_needs_no_accuracy() -> None:
    gains = truth.load("published", spaces.find("s0"), "cifar100", "gain").accuracy
    few = sorted(gains, key=gains.__getitem__)[:3]
    assert max(gains[arch] for arch in few) <= 1
    rows = [("s0", arch, "mine", 0, float(place), "ok") for place, arch in enumerate(few)]
    scores = pd.DataFrame(rows, columns=["space", "arch", "proxy", "seed", "score", "status"])
    assert db.rank(scores, truth="published", dataset="cifar100", target="gain")["spearman"].item() == 1.0
    known = pd.Series({**dict(zip(few, (70.0, 71.0, 72.0), strict=True)), "777": np.nan})
    assert db.rank(scores, known)["spearman"].item() == 1.0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"proxies": len}, "a function of yours is 'path/to/file.py:name'"),
        ({"features": torch.nn.ReLU()}, "a submodule's name is expected"),
        ({"batchsize": 3}, "did you mean batch_size?"),
    ],
)
def test_options_that_are_none_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        db.score({"a": odd()}, IMAGES, LABELS, progress=False, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epochs": 0}, "epochs=0: at least 1"),
        ({"data": (IMAGES, LABELS)}, "data: ((images, labels), (images, labels))"),
    ],
)
def test_what_can_not_be_trained_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        db.distill(odd(), method="ce", progress=False, **options)


class Small(torch.nn.Module):
    """Two maps, of which `features` may name either."""

    def __init__(self, width: int = 4, act: Callable[[Tensor], Tensor] = torch.relu) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, width, 3, padding=1), torch.nn.Conv2d(width, width, 3, padding=1)
        self.head, self.act = torch.nn.Linear(width, 3), act

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.act(self.second(self.act(self.first(images)))).mean((2, 3)))


class Squeezing(Small):
    """Of one image alone its forward fails."""

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.act(self.first(images)).mean((2, 3), keepdim=True).squeeze().flatten(1))


def small_scores(networks: dict[str, Any], **given: Any) -> pd.DataFrame:
    return db.score(networks, batch_size=4, dataset="own:3x8", progress=False, teacher="resnet20", **given)


@pytest.mark.parametrize("written", ["images", "teacher.logits", "weights.bias", "weights.others['first.bias']"])
def test_a_proxy_of_ones_own_that_writes_in_place_is_refused_and_costs_nothing(written: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        f"def mine(probe):\n    probe.{written}.mul_(2)\n    return probe.logits.sum((1, 2))"
    )
    torch.manual_seed(0)
    module, images = Small(), torch.randn(4, 3, 8, 8)
    before, labels = [images.clone(), *(one.detach().clone() for one in module.parameters())], [0, 1, 2, 1]
    with pytest.raises(ValueError, match=r"mine.py:mine: writes to its Probe's .* in place.*take a copy"):
        db.score(
            {"module": module}, images, labels, proxies=f"{tmp_path}/mine.py:mine,params,diswot", progress=False,
            store=tmp_path / "s.sqlite", teacher=module,
        )  # fmt: skip
    assert all(map(torch.equal, before, [images, *module.parameters()]))
    kept, expected = (
        db.score({"module": module}, images, labels, proxies="diswot", progress=False, store=store, teacher=module)
        for store in (tmp_path / "s.sqlite", None)
    )
    assert kept["score"].item() == expected["score"].item()


def test_trained_normalisations_of_ones_own_are_left_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "def mine(probe):\n    for state in probe.weights.norms.values():\n        state.mean.add_(5)\n"
        "        state.scale.mul_(3)\n    return probe.logits.sum((1, 2))"
    )
    module = Small(act=torch.nn.Sequential(torch.nn.BatchNorm2d(4), torch.nn.ReLU()))
    with pytest.raises(ValueError, match="writes to its Probe's weights in place"):
        small_scores({"module": module}, proxies=f"{tmp_path}/mine.py:mine", running=True)
    assert not module.act[0].running_mean.any()
    assert torch.equal(module.act[0].weight, torch.ones(4))


def test_networks_are_scored_under_inference_mode() -> None:
    made = {"one": Small()}
    expected = small_scores(made, proxies="naswot,l2_norm")["score"].tolist()
    with torch.inference_mode():
        assert small_scores(made, proxies="naswot,l2_norm")["score"].tolist() == expected


def test_archs_may_be_anything_that_is_gone_through() -> None:
    table = db.score(db.space("s0"), archs=(str(i) for i in range(2)), proxies="params", progress=False)
    assert len(table) == 2


def test_a_store_keeps_apart_what_differs_in_named_submodules(tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = {"one": Small()}
    for store in (None, tmp_path / "s.sqlite"):
        first, second = (
            small_scores(made, proxies="diswot_relation", features=name, store=store)["score"].item()
            for name in ("first", "second")
        )
        assert first != second


OWN_NETWORKS = """
def made():
    return [WIDTH]
"""
USING = "import own_networks\ndef constructor():\n    return own_networks.made()\nprint(fingerprint(constructor, 'x'))"


def fingerprint_of(text: str, folder: Path, before: str = "") -> str:
    """Of a constructor in a script, which takes from a module with this text; in a process of its own."""
    (folder / "own_networks.py").write_text(text)
    script = f"{before}from benchmarks.scoring.fingerprint import fingerprint\n{USING}"
    paths = os.pathsep.join([str(folder), str(Path(__file__).parent.parent)])
    done = subprocess.run([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": paths}, capture_output=True)
    return done.stdout.decode()


def test_networks_are_told_apart_by_the_code_of_modules_that_they_take_from(tmp_path: Path) -> None:
    first = fingerprint_of(OWN_NETWORKS.replace("WIDTH", "4"), tmp_path)
    assert re.fullmatch("[0-9a-f]{12}\n", first)
    assert fingerprint_of("# a remark\n" + OWN_NETWORKS.replace("WIDTH", "4"), tmp_path, "# another\n\n") == first
    assert fingerprint_of(OWN_NETWORKS.replace("WIDTH", "5"), tmp_path) != first


def test_a_network_that_fails_on_one_image_alone_costs_the_others_nothing() -> None:
    table = small_scores({"fine": Small, "squeezing": Squeezing}, proxies="params,meco", init="default")
    status = table.set_index(["arch", "proxy"])["status"]
    assert status["fine", "meco"] == status["squeezing", "params"] == "ok"
    assert status["squeezing", "meco"] == "undefined"


def test_a_teacher_that_is_handed_over_sees_what_the_candidates_see() -> None:
    seen = []

    class Watched(Small):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(tuple(images.shape[-2:]))
            return super().forward(images[..., ::8, ::8])

    given = {"proxies": "diswot_relation", "dataset": "flowers", "batch_size": 2, "sample": 1, "progress": False}
    teacher = Watched()
    teacher.head = torch.nn.Linear(4, 102)
    db.score(db.space("pit"), teacher=teacher, **given)
    assert set(seen) == {(224, 224)}


def test_a_trained_teacher_that_is_handed_over_is_run_by_its_running_statistics() -> None:
    """Beside a space, too: as one that holds in place of its normalisation the scales and shifts that these give."""
    torch.manual_seed(0)
    trained = Small(act=torch.nn.Sequential(torch.nn.BatchNorm2d(4), torch.nn.ReLU()))
    norm = trained.act[0]
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 3)
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach()[:, None, None]
    shift = -norm.running_mean[:, None, None] * scale
    folded = Small(act=lambda x: torch.relu(x * scale + shift))
    folded.load_state_dict(trained.state_dict(), strict=False)

    def scored(teacher: torch.nn.Module, *, running: bool) -> list[float]:
        options = {"archs": MIXED[:2], "batch_size": 4, "dataset": "own:3x8", "proxies": "diswot_relation"}
        table = db.score(db.space("nasbench201"), teacher=teacher, running=running, progress=False, **options)
        return table["score"].tolist()

    assert scored(trained, running=True) == pytest.approx(scored(folded, running=False), rel=1e-5)
    assert scored(trained, running=False) != pytest.approx(scored(folded, running=False), rel=1e-2)


def test_modules_are_scored_in_bfloat16_too() -> None:
    torch.manual_seed(0)
    made = {"one": Small()}
    half, single = (
        small_scores(made, proxies="diswot_relation,params", precision=precision) for precision in ("bf16", "float32")
    )
    assert list(half["status"]) == ["ok", "ok"]
    assert half["score"].tolist() == pytest.approx(single["score"].tolist(), rel=0.05)


def test_where_a_size_is_unknown_none_is_held_fixed(scores: pd.DataFrame) -> None:
    lacking = scores.assign(params=scores["params"].where(scores["arch"] != scores["arch"][0]))
    accuracy = {arch: 50.0 + number for number, arch in enumerate(scores["arch"].unique())}
    assert db.rank(lacking, accuracy)["given size"].isna().all()


def test_seeds_are_checked_as_for_the_command() -> None:
    for given, said in (({"seeds": 0}, "--seeds 0: 1 is the least"), ({"seed": -1}, "--seed -1: 0 is the least")):
        with pytest.raises(ValueError, match=re.escape(said)):
            small_scores({"one": Small()}, proxies="params", **given)


def test_scores_of_a_space_of_ones_own_are_ranked_and_read_again(tmp_path: Path) -> None:
    text = "from benchmarks.spaces.resnet import S0\nclass Own(S0):\n    name, version = 'own', ''\n"
    (tmp_path / "own.py").write_text(text)
    (tmp_path / "mine.csv").write_text("arch,accuracy\n111,60\n113,61\n133,62\n")
    space, accuracy = db.space(f"{tmp_path / 'own.py'}:Own"), {"111": 60, "113": 61, "133": 62}
    scores = db.score(space, archs=list(accuracy), proxies="params", batch_size=2, progress=False)
    expected = db.rank(scores, accuracy)
    pd.testing.assert_frame_equal(db.rank(scores, truth=tmp_path / "mine.csv"), expected)
    scores.to_csv(tmp_path / "scores.csv", index=False)
    again = pd.read_csv(tmp_path / "scores.csv")
    assert db.rank(again, accuracy)["spearman"].tolist() == expected["spearman"].tolist() == [1.0]
    with pytest.raises(ValueError, match="nobody knows the space 'own' of these scores: accuracy="):
        db.rank(again, truth=str(tmp_path / "mine.csv"))


@pytest.mark.parametrize(
    ("scores", "truth", "said"),
    [
        ([1], "auto", "scores: a list; what diswot_bench.score gives"),
        (pd.DataFrame(columns=["space", "arch", "proxy", "seed", "score", "status"]), "auto", "scores: no rows"),
        (pd.DataFrame([("s0", "111", "p", 0, 1.0, "ok")], columns=NEEDED), {"111": 60}, "truth: a dict; .*accuracy="),
    ],
)
def test_what_can_not_be_ranked_is_a_line(scores: Any, truth: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        db.rank(scores, truth=truth)


class Sized:
    """A constructor that counts: in the class, which is no part of what a network is known by."""

    made: ClassVar[list[int]] = []

    def __init__(self, width: int) -> None:
        self.width = width

    def __call__(self) -> torch.nn.Module:
        Sized.made.append(self.width)
        return Small(self.width)


def test_a_network_that_is_added_is_the_only_one_scored(tmp_path: Path) -> None:
    def scored(**widths: int) -> set[int]:
        Sized.made.clear()
        networks = {name: Sized(width) for name, width in widths.items()}
        found = small_scores(networks, proxies="params", store=tmp_path / "s.sqlite")["score"].tolist()
        assert found == [sum(one.numel() for one in Small(width).parameters()) for width in widths.values()]
        return set(Sized.made)

    assert scored(a=2, b=3) == {2, 3}
    assert scored(a=2, b=3, c=4) == {4}
    assert scored(c=4, a=5) == {5}
    assert scored(b=3, a=2) == set()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"archs": "111"}, "archs: '111' is no list; codes or indices are expected, such as ['111']"),
        ({"archs": 5}, "archs: 5 is no list"),
        ({"archs": ["111", 1.5]}, "archs: 1.5 is no code and no index"),
        ({"sample": "few"}, "sample=few: 1 to 64, auto or all"),
    ],
)
def test_candidates_that_are_named_wrongly_are_a_line(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        db.score(db.space("s0"), proxies="params", batch_size=2, progress=False, **asked)
