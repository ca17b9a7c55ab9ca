"""What a Probe shows of the inside of networks, and its further passes: against plain autograd on untouched modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from benchmarks.ranking.explain import asked_for, passes, read
from benchmarks.spaces.transformers import Flat, Shape
from benchmarks.timing.scaling import BACKWARD
from benchmarks.timing.scaling import passes as trips
from proxies import Proxy
from proxies.probing import meter
from proxies.probing.module import Module
from proxies.probing.network import Undefined, Weights
from proxies.probing.probe import Probe
from tests import cases
from tests.test_module import NETWORKS, K, N, batch, built, by_batch_statistics, noise, probed, recorded, vit

SMALL = 16  # pixels a side


class Plain(nn.Module):
    """Two stages and a head."""

    def __init__(self, head: nn.Module | None = None) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.head = head or nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, K))

    def forward(self, x: Tensor) -> Any:
        return self.head(self.second(self.first(x)))


def inside(module: nn.Module, images: Tensor, *names: str) -> tuple[list[Tensor], Tensor]:
    """What some submodules give, on the graph of the logits."""
    own = by_batch_statistics(module)
    found: list[Tensor] = []
    for name in names:
        own.get_submodule(name).register_forward_hook(lambda _module, _args, out: found.append(out))
    return found, own(images)


# -- gradients by what lies inside -----------------------------------------------------------------------------------


def test_gradients_by_features_and_stages_are_autograds() -> None:
    module, (images, labels) = built(Plain), batch(resolution=SMALL)
    stages, logits = inside(module, images, "first", "second")
    wanted = torch.autograd.grad(cross_entropy(logits, labels), stages)
    probe = probed(module, images, labels, stages=["first", "second"])
    assert len(probe.stage_gradients) == 2
    for found, one in zip(probe.stage_gradients, wanted, strict=True):
        assert_close(found[0], one, rtol=1e-9, atol=1e-12)
    assert_close(probe.feature_gradients[0], wanted[1], rtol=1e-9, atol=1e-12)
    assert probe.feature_gradients.shape == probe.features.shape


def test_gradients_by_tokens_are_laid_out_as_the_tokens_are() -> None:
    module, (images, labels) = built(lambda: vit(image_size=8, patch_size=2)), batch(resolution=8)
    (tokens, *_), logits = inside(module, images, "encoder.layers.encoder_layer_0")
    (wanted,) = torch.autograd.grad(cross_entropy(logits, labels), [tokens])
    probe = probed(module, images, labels, features="encoder.layers.encoder_layer_0")
    assert_close(probe.feature_gradients[0], wanted[:, 1:].mT.unflatten(2, (4, 4)), rtol=1e-9, atol=1e-12)
    last = probed(module, images, labels)  # the head sees the cls token alone, which is no part of the map
    assert not last.feature_gradients.any()


def test_gradients_inside_a_stack_are_those_of_its_candidates() -> None:
    images, labels = cases.batch(2)
    archs = [cases.MIXED[4], cases.DEAD[0]]
    stacked = cases.probe_of(archs, images, labels)
    for place, arch in enumerate(archs):
        cell = cases.plain_cell(arch, stacked.network, stacked.weights, place)  # type: ignore[arg-type]
        network = Module(cell, images, stages=["cells.4", "cells.10", "cells.16"])
        alone = Probe(network, network.weights(), images, labels)
        for found, wanted in zip(stacked.stage_gradients, alone.stage_gradients, strict=True):
            assert_close(found[place], wanted[0], rtol=1e-9, atol=1e-12)
        assert_close(stacked.feature_gradients[place], alone.feature_gradients[0], rtol=1e-9, atol=1e-12)
        assert_close(stacked.class_gradients[place], alone.class_gradients[0], rtol=1e-9, atol=1e-12)


def test_gradients_share_the_pass_that_is_planned() -> None:
    module, (images, labels) = built(Plain), batch(resolution=SMALL)
    asked = frozenset({"feature_gradients", "gradients", "stage_gradients"})
    network = Module(module, images)
    probe = Probe(network, network.weights(), images, labels, plan=asked)
    given = []
    run = probe._run
    probe._run = lambda needs: given.append(needs) or run(needs)  # type: ignore[method-assign,func-returns-value]
    _ = probe.gradients, probe.feature_gradients, probe.stage_gradients, probe.logits
    assert len(given) == 1


# -- class gradients ------------------------------------------------------------------------------------------------


class Mixing(nn.Module):
    """Logits that depend on all channels of the map."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x.softmax(1).mean((2, 3))


HEADS: dict[str, Callable[[], nn.Module]] = {
    "by channel": lambda: nn.Sequential(nn.Conv2d(8, K, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "without bias, largest": lambda: nn.Sequential(
        nn.Conv2d(8, K, 1, bias=False), nn.AdaptiveMaxPool2d(1), nn.Flatten()
    ),
    "strided": lambda: nn.Sequential(nn.Conv2d(8, K, 1, stride=2), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "padded": lambda: nn.Sequential(nn.Conv2d(8, K, 1, padding=1), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "3x3": lambda: nn.Sequential(nn.Conv2d(8, K, 3, padding=1), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "mixing": lambda: nn.Sequential(nn.Conv2d(8, K, 1), Mixing()),
    "hidden": lambda: nn.Sequential(
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 9), nn.Hardswish(), nn.Linear(9, K)
    ),
}


@pytest.mark.parametrize("name", HEADS)
def test_class_gradients_are_those_of_one_class_after_the_other(name: str) -> None:
    module, (images, labels) = built(lambda: Plain(HEADS[name]())), batch(resolution=SMALL)
    (_, maps), logits = inside(module, images, "first", "second")
    wanted = [torch.autograd.grad(logits[:, k].sum(), maps, retain_graph=True)[0].mean((2, 3)) for k in range(K)]
    probe = probed(module, images, labels, features="second")
    assert_close(probe.class_gradients[0], torch.stack(wanted, 1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "steps"), [("by channel", 2), ("strided", 2), ("mixing", 2), ("hidden", 0)])
def test_a_head_by_channel_takes_two_steps_back(name: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module, (images, labels) = built(lambda: Plain(HEADS[name]())), batch(resolution=SMALL)
    probe = probed(module, images, labels)
    taken, many = [], []
    back, by_class = probe._back, probe._by_class
    monkeypatch.setattr(probe, "_back", lambda *given: taken.append(1) or back(*given))
    monkeypatch.setattr(probe, "_by_class", lambda *given: many.append(1) or by_class(*given))
    _ = probe.class_gradients
    assert (len(taken), len(many)) == (steps, int(name in ("mixing", "hidden")))


# -- attention ------------------------------------------------------------------------------------------------------


def test_attention_maps_are_those_that_pytorch_gives() -> None:
    module, (images, labels) = built(lambda: vit(image_size=8, patch_size=2)), batch(resolution=8)
    probe = probed(module, images, labels)
    own = module.eval()
    assert len(probe.attention_maps) == 2
    for place, found in enumerate(probe.attention_maps):
        layer = own.get_submodule(f"encoder.layers.encoder_layer_{place}")
        (seen,), _ = inside(module, images, f"encoder.layers.encoder_layer_{place}.ln_1")
        wanted = layer.self_attention(seen, seen, seen, average_attn_weights=False)[1]
        assert_close(found[0], wanted.detach(), rtol=1e-9, atol=1e-12)
        assert found.shape == (1, N, 2, 17, 17)
    torch.testing.assert_close(probe.attention_maps[0].sum(-1), torch.ones(1, N, 2, 17, dtype=torch.float64))


def test_attention_maps_of_windows_follow_their_images() -> None:
    module, (images, labels) = built(NETWORKS["swin"]), batch()
    with recorded("softmax") as calls, torch.no_grad():
        by_batch_statistics(module)(images)
    found = probed(module, images, labels).attention_maps
    assert len(found) == len(calls) == 4
    for one, (_, _, out) in zip(found, calls, strict=True):
        assert_close(one[0], out.unflatten(0, (N, -1)).flatten(1, 2), rtol=1e-9, atol=1e-12)


class Written(nn.Module):
    """Attention written out, with a scale, a mask and dropout between."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.qkv = nn.Conv2d(3, 6, 4, stride=4), nn.Linear(6, 18)
        self.drop, self.fc = nn.Dropout(0.5), nn.Linear(6, K)

    def forward(self, x: Tensor) -> Any:
        q, k, v = self.qkv(self.patches(x).flatten(2).mT).chunk(3, -1)
        scores = (q @ k.transpose(1, 2)) * 0.4
        scores = scores.masked_fill(torch.ones(16, 16, dtype=torch.bool, device=x.device).triu(1), -torch.inf)
        return self.fc((self.drop(scores.softmax(-1)) @ v).mean(1))


def test_attention_that_is_written_out_is_seen_and_others_softmax_is_not() -> None:
    module, (images, labels) = built(Written), batch(resolution=SMALL)
    with torch.no_grad():
        q, k, _ = module.qkv(module.patches(images).flatten(2).mT).chunk(3, -1)
    mask = torch.ones(16, 16, dtype=torch.bool).triu(1)
    wanted = (q @ k.mT * 0.4).masked_fill(mask, -torch.inf).softmax(-1)
    (found,) = probed(module, images, labels).attention_maps
    assert_close(found[0, :, 0], wanted, rtol=1e-9, atol=1e-12)
    flat = built(lambda: Flat(8, [Shape(2, 2)], K, SMALL, 4))
    assert [one.shape for one in probed(flat, images, labels).attention_maps] == [(1, N, 2, 17, 17)]
    with pytest.raises(Undefined, match="it has no attention"):
        _ = probed(built(lambda: Plain(HEADS["mixing"]())), images, labels).attention_maps
    with pytest.raises(Undefined, match="it has no attention"):
        _ = cases.probe_of([cases.MIXED[0]], *cases.batch(N)).attention_maps


# -- further passes --------------------------------------------------------------------------------------------------


def nudged(probe: Probe) -> Tensor:
    """The images with a little noise."""
    return probe.images + 0.1 * probe.noise("nudge", tuple(probe.images.shape))


def halved(probe: Probe) -> Tensor:
    return probe.images[:2]


def first_labels(probe: Probe) -> Tensor:
    return probe.labels[:2]


def absolute(probe: Probe) -> Weights:
    return probe.weights.map(torch.abs)


def test_a_further_pass_is_a_probe_on_other_images_or_weights() -> None:
    module, (images, labels) = built(Plain), batch(resolution=SMALL)
    probe = probed(module, images, labels)
    own = by_batch_statistics(module)
    other = images + 0.1 * noise("nudge", tuple(images.shape))
    assert_close(probe.further(images=nudged).logits[0], own(other).detach(), rtol=1e-9, atol=1e-12)
    few = probe.further(images=halved, labels=first_labels)
    weights = [one.weight for one in own.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    gradients = torch.autograd.grad(cross_entropy(own(images[:2]), labels[:2]), weights)
    for found, wanted in zip(few.gradients, gradients, strict=True):
        assert_close(found.gradient[0], wanted, rtol=1e-9, atol=1e-12)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.abs_()
    assert_close(probe.further(weights=absolute).logits[0], own(images).detach(), rtol=1e-9, atol=1e-12)
    assert_close(probe.further(images=nudged, weights=absolute).logits[0], own(other).detach(), rtol=1e-9, atol=1e-12)
    assert probe.further() is probe


def test_a_further_pass_of_a_stack_and_of_its_teacher() -> None:
    images, labels = cases.batch(N)
    archs = [cases.MIXED[0], cases.DEAD[0]]
    probe = cases.probe_of(archs, images, labels)
    probe.teacher._noise = probe._noise
    other = images + 0.1 * probe.noise("nudge", tuple(images.shape))
    wanted = cases.probe_of(archs, other, labels)
    seen = probe.further(images=nudged)
    assert_close(seen.features, wanted.features)
    assert_close(seen.teacher.features, wanted.teacher.features)
    assert probe.further(weights=absolute).teacher is probe.teacher


def test_a_further_pass_is_shared_counted_and_planned() -> None:
    module, (images, labels) = built(Plain), batch(resolution=SMALL)
    probe = probed(module, images, labels)
    assert probe.further(images=nudged) is probe.further(images=nudged)
    _ = probe.further(images=nudged).gradients, probe.further(images=nudged).stages
    asked = {"images", "images by nudged: gradients", "images by nudged: stages", "images by nudged: labels"}
    assert asked < probe.asked
    network = Module(module, images)
    again = Probe(network, network.weights(), images, labels, noise=noise, plan=frozenset(probe.asked))
    _ = again.further(images=nudged).gradients
    assert again.further(images=nudged)._values["pass"][0].needs == {"stage"}  # of one pass, whose graph is used up


def test_a_further_pass_costs_each_proxy_that_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(meter, "perf_counter", lambda: now[0])
    probe = cases.probe_of([cases.MIXED[0]], *cases.batch(N))

    def slow(seen: Probe) -> Tensor:
        """Takes two seconds in the further pass alone."""
        now[0] += 2
        return seen.images

    slow.__qualname__ = "slow"

    def score(seen: Probe) -> Tensor:
        """Takes a second, beside the pass."""
        now[0] += 1
        return seen.further(images=slow).logits.sum((1, 2))

    for _ in range(2):
        assert probe.score(Proxy("mine", score, "a test"))[1] == 3


def unlike(probe: Probe) -> Tensor:
    """How far a little noise moves the logits, higher better."""
    return (probe.logits - probe.further(images=nudged).logits).square().mean((1, 2))


def test_what_cannot_be_a_further_pass_is_refused() -> None:
    probe = cases.probe_of([cases.MIXED[0]], *cases.batch(N))
    with pytest.raises(ValueError, match=r"further\(weights=...\): takes a function that stands in its file by itself"):
        probe.further(weights=lambda seen: seen.weights)
    with pytest.raises(ValueError, match=r"images by halved: 2 images and 4 labels; further\(labels=...\) gives"):
        probe.further(images=halved)


# -- what --explain says of it ---------------------------------------------------------------------------------------


def of_attention(probe: Probe) -> Tensor:
    return torch.stack([maps.square().mean((1, 2, 3, 4)) for maps in probe.attention_maps]).mean(0)


def of_signs(probe: Probe) -> Tensor:
    return probe.further(images=halved, labels=first_labels, weights=absolute).feature_gradients.mean((1, 2, 3, 4))


def test_passes_inside_and_further_ones_are_counted() -> None:
    asked = asked_for(Proxy("unlike", unlike, "a test"))
    assert read(asked) == ["images"]
    assert passes(asked) == [
        "a forward pass over the batch",
        "a forward pass over the batch; images by nudged",
    ]
    assert trips(Proxy("unlike", unlike, "a test")) == 2
    asked = asked_for(Proxy("of_signs", of_signs, "a test"))
    assert read(asked) == ["images", "labels"]
    told = "a forward pass, and a step back from the loss to the features"
    assert passes(asked) == [f"{told}; images by halved, labels by first_labels, weights by absolute"]
    assert BACKWARD
    asked = asked_for(Proxy("of_attention", of_attention, "a test"))
    assert passes(asked) == ["a forward pass, with the maps of attention"]
