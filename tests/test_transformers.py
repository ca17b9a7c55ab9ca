"""Vision transformers as candidates: networks, sizes, tables, what is refused, and every proxy on small ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.testing import assert_close

import diswot_bench as db
import proxies
from analysis.validation import controls
from benchmarks import spaces, truth
from benchmarks.conditions import teachers
from benchmarks.conditions.batches import Source, find_dataset, open_source, scaled
from benchmarks.conditions.drawing import Drawing
from benchmarks.output.options import ScoringOptions
from benchmarks.ranking import summary
from benchmarks.scoretables import archive, recalling
from benchmarks.scoring.asked import teacher_resolution
from benchmarks.spaces.autoformer import AutoFormer
from benchmarks.spaces.modules import Made, forked
from benchmarks.spaces.pit import PiT
from benchmarks.spaces.space import counted
from benchmarks.spaces.transformers import Attention, Flat, Pooled, Shape
from benchmarks.timing.plain import PlainResNet, plain_state, with_weights
from proxies import Proxy, attention
from proxies.probing.probe import Probe
from search import evolve
from tests import reference
from tests.cases import batch, teacher_of

FLAT, PIT = AutoFormer(), PiT()
DATASETS = ("cifar100", "flowers", "chaoyang")
FIRST = "192-4x3.5-4x4.0-3x3.5-4x4.0-3x3.5-3x3.5-4x4.0-4x3.5-3x4.0-3x4.0-3x4.0-4x3.5"

SECOND = "4.0 3.5 3.5 4.0 4.0 4.0 4.0 3.5 3.5 3.5 3.5 3.5 4.0 4.0"  # heads do not count


class Small32(AutoFormer):
    """AutoFormer for small images."""

    name, resolution, patch = "small", 32, 4


@pytest.mark.parametrize(
    ("space", "arch", "params"),
    [
        (FLAT, FIRST, 5_321_956),
        (FLAT, "240-" + "-".join(f"3x{ratio}" for ratio in SECOND.split()), 9_573_100),
        (PIT, "16-6-2-8-4-2.4.4", 893_828),
        (PIT, "32-4-1-6-6-2.8.8", 9_736_804),
    ],
)
def test_parameters_are_those_of_the_source(space: spaces.Space, arch: str, params: int) -> None:
    """Figures of the networks that the accuracies are of, at 100 classes."""
    assert space.count(arch, 100, 224).params == params


class SmallPiT(PiT):
    """PiT for small images."""

    name, resolution, patch = "smallpit", 32, 4


@pytest.mark.parametrize("space", [Small32(), SmallPiT()], ids=["autoformer", "pit"])
def test_sizes_in_closed_form_are_those_of_the_networks_layers(space: spaces.ModuleSpace) -> None:
    for arch in (space.arch(0), space.arch(17)):
        side = space.resolution or 0
        network = space.network([arch], 7, torch.zeros(2, 3, side, side))
        assert counted(network) == space.count(arch, 7, side)
        assert sum(one.numel() for one in network.module.parameters()) == space.count(arch, 7, side).params


@pytest.mark.parametrize(
    ("space", "text", "message"),
    [
        (FLAT, FIRST.replace("192", "200"), "width 200; 192, 216, 240 are allowed"),
        (FLAT, FIRST.rpartition("-")[0], "11 blocks; 12, 13, 14 are allowed"),
        (FLAT, FIRST.replace("4x3.5", "5x3.5", 1), "5 heads in block 1; 3, 4 are allowed"),
        (FLAT, FIRST.replace("3x3.5", "3x2.0", 1), "ratio 2 in block 3; 3.5, 4.0 are allowed"),
        (PIT, "20-6-2-8-4-2.4.4", "base 20; 16, 24, 32, 40 are allowed"),
        (PIT, "16-6-2-5-4-2.4.4", "depth of stage 2 5; 4, 6, 8 are allowed"),
        (PIT, "16-6-2-8-4-4.2.4", "no stage may be narrower than the one before"),
        (FLAT, "1056964608", "index 1056964608 is outside 0..1056964607"),
    ],
)
def test_what_is_no_candidate_says_which_number_and_what_is_allowed(
    space: spaces.Space, text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        space.parse(text)


def test_images_and_heads_that_do_not_fit_are_refused() -> None:
    for space in (FLAT, PIT):
        assert find_dataset("cifar100", space) == (100, 224)
        assert find_dataset("own:5x64", space) == (5, 64)
        with pytest.raises(ValueError, match="has to be a multiple of 16"):
            find_dataset("own:5x60", space)
    assert find_dataset("cifar100", Small32()) == (100, 32)
    assert find_dataset("cifar100") == (100, 32)
    with pytest.raises(ValueError, match="5 heads do not divide a width of 192"):
        Attention(192, 5)


def test_a_teacher_for_small_images_sees_them_scaled() -> None:
    assert teacher_resolution(ScoringOptions(), FLAT) == 32
    assert teacher_resolution(ScoringOptions(teacher="resnet18"), FLAT) is None
    assert teacher_resolution(ScoringOptions(teacher_resolution=64), FLAT) == 64
    assert teacher_resolution(ScoringOptions(), spaces.find("s0")) is None
    for wrong in (7, 4096):
        with pytest.raises(ValueError, match=f"--teacher-resolution {wrong}: 8 is the least, 2048 the most"):
            teacher_resolution(ScoringOptions(teacher_resolution=wrong), FLAT)
    ramp = torch.arange(8.0).repeat(1, 1, 8, 1)
    assert_close(scaled(ramp, 4)[0, 0, 0], torch.tensor([0.5, 2.5, 4.5, 6.5]))  # means of two neighbours
    assert scaled(ramp, 8) is ramp


def test_nothing_before_the_classifier_depends_on_the_number_of_classes() -> None:
    blocks = [Shape(2, 2.0), Shape(3, 3.5)]
    makers = [
        lambda classes: Flat(24, blocks, classes, 32, 8),
        lambda classes: Pooled([8, 16], [[Shape(2, 2)], [Shape(4, 2)]], classes, 32, 8),
    ]
    for make in makers:
        few, many = (forked(partial(make, classes), 0).state_dict() for classes in (4, 102))
        assert all(torch.equal(value, many[name]) for name, value in few.items() if not name.startswith("head"))


def test_autoformer_is_drawn_as_its_constructor_does() -> None:
    network = Flat(192, [Shape(3, 4.0)] * 2, 10, 32, 4)
    for name, value in network.named_parameters():
        if name.endswith("bias") and not name.startswith("patches"):
            assert not value.any()
        elif value.ndim > 1 and not name.startswith("patches"):
            assert_close(value.std().item(), 0.02, rtol=0.1, atol=0)
    assert network.patches.weight.abs().max() <= (3 * 16) ** -0.5  # PyTorch's own


def correlation(space: spaces.Space, dataset: str, target: str, leave: bool = False) -> float:
    table = truth.load("vitbench", space, dataset, target)
    archs = [arch for arch in table.accuracy if not (leave and arch in table.outliers)]
    params = [space.count(arch, find_dataset(dataset).classes, 224).params for arch in archs]
    return float(stats.spearmanr(params, [table.accuracy[arch] for arch in archs]).statistic)


def test_the_tables_say_what_is_known_of_them() -> None:
    """Read off the source's files by others, to .01."""
    found = [correlation(FLAT, "cifar100", target) for target in truth.TARGETS]
    assert found == pytest.approx([-0.47, 0.62, 0.76], abs=0.01)
    assert [correlation(PIT, name, "distilled") for name in DATASETS] == pytest.approx([0.95, 0.97, 0.74], abs=0.01)
    for space, expected in ((FLAT, (-0.38, 0.41, -0.12)), (PIT, (0.94, 0.95, 0.69))):
        for name, value in zip(DATASETS, expected, strict=True):
            table = truth.load("auto", space, name, "distilled")
            pairs = [(one, table.accuracy[arch]) for arch, one in table.vanilla.items()]
            assert float(stats.spearmanr(*zip(*pairs, strict=True)).statistic) == pytest.approx(value, abs=0.01)


def test_a_target_without_figures_says_how_many_are_left() -> None:
    counts = {target: len(truth.load("auto", FLAT, "cifar100", target).accuracy) for target in truth.TARGETS}
    assert counts == {"vanilla": 100, "distilled": 200, "gain": 100}
    assert "100 of the table's 200 have one" in truth.load("auto", FLAT, "cifar100", "vanilla").source
    assert "table's" not in truth.load("auto", PIT, "cifar100", "vanilla").source
    with pytest.raises(ValueError, match="no table of vanilla accuracies for pit on cifar10"):
        truth.load("auto", PIT, "cifar10", "vanilla")


def test_the_outlier_is_marked_where_it_counts() -> None:
    table = truth.load("auto", FLAT, "flowers", "distilled")
    (arch,) = table.outliers
    lowest = sorted(table.accuracy.values())
    assert table.accuracy[arch] == lowest[0] == pytest.approx(48.56, abs=0.01)
    assert lowest[1] - lowest[0] > 17
    assert truth.load("auto", FLAT, "flowers", "gain").outliers == {arch}
    assert not truth.load("auto", FLAT, "flowers", "vanilla").outliers
    assert not truth.load("auto", FLAT, "cifar100", "distilled").outliers
    assert correlation(FLAT, "flowers", "distilled", leave=True) > correlation(FLAT, "flowers", "distilled")


def test_an_outliers_effect_on_each_correlation_is_told() -> None:
    table = truth.load("auto", FLAT, "flowers", "gain")
    archs = list(table.accuracy)
    job = SimpleNamespace(archs=archs, seeds=[0])
    params = [FLAT.count(arch, 102, 224).params for arch in archs]
    scores = pd.DataFrame({"proxy": "params", "seed": 0, "arch": archs, "score": params, "status": "ok"})
    (line,) = summary._outliers(scores, job, table)  # type: ignore[arg-type]
    both = [correlation(FLAT, "flowers", "gain", leave) for leave in (False, True)]
    assert line.startswith("outlier kept: -4.29, ")
    assert line.endswith(f"params {both[0]:.3f} to {both[1]:.3f}")
    assert not summary._outliers(scores, job, truth.load("auto", FLAT, "cifar100", "gain"))  # type: ignore[arg-type]


def test_images_of_a_data_set_are_scaled_to_what_the_space_wants(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", images=pixels, labels=np.arange(4))
    small, large = (open_source(f"{tmp_path}/own.npz", "cifar100", space=space).batch(3, 0) for space in (None, FLAT))
    assert large.images.shape == (3, 3, 224, 224)
    assert torch.equal(large.labels, small.labels)
    assert_close(large.images, scaled(small.images, 224))
    assert_close(
        scaled(large.images, 32), small.images, rtol=1e-4, atol=1e-4
    )  # 224 is seven times 32: the middle pixel of each seven


def test_the_teacher_of_a_run_sees_the_same_images_at_its_resolution() -> None:
    """By hand: the student at 32x32, a resnet20 at 16x16, each with its own draw."""
    space, arch = Small32(), FIRST
    options = {"teacher": "resnet20", "teacher_resolution": 16, "dataset": "cifar100", "batch_size": 3}
    rows = db.score(space, archs=[arch], proxies="diswot_relation", progress=False, draw="independent", **options)  # type: ignore[arg-type]
    images, labels = Source("noise", find_dataset("cifar100", space)).batch(3, 0).__dict__.values()
    drawing = Drawing(0, "independent")
    stack = teachers.build("resnet20", "cifar100", 100, 16)
    teacher = Probe(stack, drawing.teacher(stack), scaled(images, 16), labels)
    network = space.network([arch], 100, images)
    seen = Probe(network, drawing.candidates(network, [arch]), images, labels, teacher=teacher)
    (proxy,) = proxies.select("diswot_relation")
    assert isinstance(proxy, Proxy)
    assert_close(rows["score"].item(), seen.score(proxy)[0].item(), rtol=1e-6, atol=0)


def test_a_search_among_known_candidates_finds_the_best_of_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--space", "autoformer", "--dataset", "cifar100", "--target", "distilled", "--among-known", "--alone"]
    asked += ["--oracle", "--strategy", "exhaustive,evolution", "--budget", "200", "--population", "20"]
    assert evolve.main([*asked, "--out", str(tmp_path / "o")]) == 0
    table = truth.load("auto", FLAT, "cifar100", "distilled").accuracy
    best = pd.read_csv(tmp_path / "o/best.csv")
    assert list(best["truth"]) == [max(table.values())] * 2
    history = pd.read_csv(tmp_path / "o/history.csv")
    assert set(history["arch"]) == set(table)
    capsys.readouterr()
    assert evolve.main(["--space", "s1", "--dataset", "cifar100", "--among-known"]) == 2
    assert "--among-known: no accuracies of s1 on cifar100 are known" in capsys.readouterr().err


def test_a_search_among_known_candidates_takes_scores_from_a_table_of_the_space(tmp_path: Path) -> None:
    """Its indices are those of the space, not of the part that is searched: here the vanilla half of what it holds."""
    where = recalling.SHIPPED / "autoformer-cifar100.npz"
    asked = ["--space", "autoformer", "--dataset", "cifar100", "--target", "vanilla", "--among-known", "--alone"]
    asked += ["--batch-size", "16", "--init", "default", "--draw", "independent", "--proxy", "diswot_relation"]
    asked += ["--strategy", "exhaustive", "--scores", str(where), "--scores-only"]
    assert evolve.main([*asked, "--out", str(tmp_path)]) == 0
    known = truth.load("auto", FLAT, "cifar100", "vanilla").accuracy
    table = archive.read(where)
    scores = dict(zip(table.archs(FLAT), table.columns["diswot_relation"].scores[0], strict=True))
    best = pd.read_csv(tmp_path / "best.csv")
    assert best["arch"].tolist() == [max(known, key=lambda arch: scores[arch])]
    assert len(known) == 100 < len(scores)


def test_the_relation_over_blocks_is_the_mean_of_each() -> None:
    found, case = probe("flat")
    images = case.images
    seen: list[Tensor] = []
    handles = [
        block.register_forward_hook(lambda module, given, out: seen.extend([given[0], out][len(seen) > 0 :]))
        for block in case.student.network.blocks  # type: ignore[union-attr]
    ]
    case.student(images)
    for handle in handles:
        handle.remove()
    assert len(seen) == 3  # what the first block gets, and what both give
    grams = [reference.unit(one.flatten(1) @ one.flatten(1).T) for one in seen]
    maps = case.teacher.features(images).flatten(1)
    expected = [-(reference.unit(maps @ maps.T) - gram).square().sum().sqrt() for gram in grams]
    assert_close(controls.blocks_relation(found)[0], torch.stack(expected).mean())


class Plain(nn.Module):
    """A network with its last map beside it, for the slow twins: tokens of a submodule, the cls token left out."""

    def __init__(self, network: nn.Module, last: str) -> None:
        super().__init__()
        self.network, self.last = network, last

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)
        return logits

    def features(self, images: Tensor) -> Tensor:
        seen: list[Tensor] = []
        handle = self.network.get_submodule(self.last).register_forward_hook(lambda *given: seen.append(given[2]))
        self.network(images)
        handle.remove()
        side = int((seen[0].shape[1] - 1) ** 0.5)
        return seen[0][:, 1:].transpose(1, 2).unflatten(2, (side, side))


def small(kind: str) -> tuple[nn.Module, Sequence[str], Sequence[str], str]:
    """A transformer, its blocks, its stages, the submodule that gives its last tokens."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "flat":
            network: nn.Module = Flat(24, [Shape(3, 3.5), Shape(4, 2.0)], 10, 32, 8)
            return network.double(), ("blocks.*",), ("blocks.0", "blocks.1", "norm"), "norm"
        network = Pooled([8, 16, 16], [[Shape(2, 2)], [Shape(4, 2)], [Shape(4, 2)]], 10, 32, 8)
        return network.double(), ("stages.*.*",), ("stages.*",), "stages.2"


def probe(kind: str) -> tuple[Probe, reference.Case]:
    """A small transformer beside a resnet20 that sees the images at 16x16; and both as plain networks."""
    network, blocks, stages, last = small(kind)
    images, labels = batch(4, 10, 32)
    seen = Made(network, images, None, blocks=blocks, stages=stages)
    stack, weights = teacher_of(resolution=16)
    teacher = Probe(stack, weights, scaled(images, 16), labels)
    found = Probe(seen, seen.own(), images, labels, teacher=teacher, noise=Drawing(0).noise)
    plain = PlainResNet((3, 3, 3), 10)
    with_weights(plain, plain_state(stack, weights, 0), torch.float64)
    smaller = Scaled(plain)
    return found, reference.Case(Plain(network, last), smaller, images, labels, "", Drawing(0).noise)  # type: ignore[arg-type]


class Scaled(nn.Module):
    """A teacher that scales what it sees to 16x16."""

    def __init__(self, network: PlainResNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(scaled(images, 16))
        return logits

    def features(self, images: Tensor) -> Tensor:
        maps: Tensor = self.network.features(scaled(images, 16))
        return maps


UNDEFINED = {  # and why
    **dict.fromkeys(("diswot_fcgrad_semantic", "diswot_released", "diswot_released_first_image"), "class gradients"),
    **dict.fromkeys(("fitnets", "ickd", "kdsvd"), "differ in shape"),
    **dict.fromkeys(("zen", "zen_released"), "batch normalisation"),
}
EQUAL = ("dss", "tvt_attention", "synflow", "logsynflow", "grad_norm", "snip", "plain", "l2_norm", "params")
EQUAL += ("diswot_relation", "diswot_gram_relation", "sp", "kd", "dkd", "dist", "gradsign", "zico", "jacob_cov")


@pytest.mark.parametrize("kind", ["flat", "pooled"])
def test_every_proxy_is_a_number_or_says_why_not(kind: str) -> None:
    found, _ = probe(kind)
    undefined = {}
    for proxy in proxies.registered():
        try:
            score, _ = found.score(proxy)
        except ValueError as error:
            undefined[proxy.name] = str(error)
            continue
        assert torch.isfinite(score).all(), proxy.name
    assert undefined.keys() == UNDEFINED.keys(), undefined
    assert all(UNDEFINED[name] in why for name, why in undefined.items())


@pytest.mark.parametrize("kind", ["flat", "pooled"])
@pytest.mark.parametrize("name", EQUAL)
def test_equals_its_slow_twin_on_a_transformer(kind: str, name: str) -> None:
    found, case = probe(kind)
    (proxy,) = proxies.select(name)
    assert isinstance(proxy, Proxy)
    tolerance = 1e-5 if name == "jacob_cov" else 1e-7
    assert_close(found.score(proxy)[0].item(), reference.TWINS[name](case), rtol=tolerance, atol=0)


def test_class_activation_maps_take_the_patches_and_the_classifiers_weights() -> None:
    """Of a mean over patches: the closed form, so that it equals the slow twin."""
    found, case = probe("flat")
    (proxy,) = proxies.select("diswot_semantic")
    assert isinstance(proxy, Proxy)
    teacher, student = case.teacher, case.student
    assert isinstance(teacher, Scaled)
    assert_close(found.score(proxy)[0].item(), reference.diswot_semantic(case), rtol=1e-7, atol=0)
    assert student is not teacher


def test_the_two_halves_of_tvt_combine_by_ranks() -> None:
    (both,) = proxies.select("ranksum(tvt_attention,l2_norm)")
    assert isinstance(both, proxies.Combination)
    assert both.parts == ("tvt_attention", "l2_norm")


class Named(nn.Module):
    """A linear layer under a name, and a head."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.head = name, nn.Linear(8, 4)
        self.add_module(name, nn.Linear(192, 8))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.get_submodule(self.name)(x.flatten(1)).relu())
        return out


def test_a_linear_layer_is_no_attention_by_half_of_its_name() -> None:
    networks = {name: forked(partial(Named, name), 0) for name in ("body", "main_proj", "in_projector", "qkv")}
    scores = db.score(networks, torch.randn(4, 3, 8, 8), torch.arange(4), proxies="dss", progress=False)["score"]
    assert scores[0] == scores[1] == scores[2] != scores[3]
    inside = SimpleNamespace(role="block.attention.in_proj_weight", shape=(24, 8), is_head=False)
    assert attention._attends(inside)  # type: ignore[arg-type]
