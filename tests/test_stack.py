"""The stacked networks equal plain one-module networks with the same weights: features, logits, every gradient."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from benchmarks.conditions.drawing import Drawing
from benchmarks.spaces.resnet import ResNetStack
from benchmarks.spaces.stack import Stack, Sum, take
from benchmarks.timing.plain import PlainResNet, plain_state, with_weights
from proxies.probing.network import Weights
from proxies.probing.probe import Probe
from tests.cases import DEAD, MIXED, batch, plain_cell, stack_of


def check_equals_plain(stack: Stack, weights: Weights, networks: Sequence[nn.Module]) -> None:
    """Features, logits and all weight gradients of a stack against plain networks, one a candidate."""
    images, labels = batch(5, stack.classes, stack.resolution)
    probe = Probe(stack, weights, images, labels)
    for member, network in enumerate(networks):
        network.zero_grad()
        features = network.features(images)  # type: ignore[operator]
        logits = network(images)
        cross_entropy(logits, labels).backward()
        assert_close(probe.features[member], features, rtol=1e-9, atol=1e-10)
        assert_close(probe.logits[member], logits, rtol=1e-9, atol=1e-10)
        gradients = {name: value.grad for name, value in network.named_parameters()}
        seen = 0
        for item in probe.gradients:
            if member in item.layer.members:
                own = item.gradient[item.layer.members.index(member)]
                expected = gradients[f"{stack.state_key(item.layer.role)}.weight"]
                assert_close(own, torch.zeros_like(own) if expected is None else expected, rtol=1e-7, atol=1e-9)
                seen += 1
        assert seen == sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules())


@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("mode", ["independent", "shared"])
def test_stacked_cells_equal_plain_networks(count: int, mode: str) -> None:
    archs = (MIXED + DEAD)[-count:] if count % 2 else MIXED[:count]
    stack, weights = stack_of(archs, mode=mode)  # type: ignore[arg-type]
    check_equals_plain(stack, weights, [plain_cell(arch, stack, weights, i) for i, arch in enumerate(archs)])


def test_stacked_cells_equal_plain_networks_at_full_size() -> None:
    stack, weights = stack_of(MIXED[:2], mode="independent", init="default", classes=100, resolution=32)
    check_equals_plain(stack, weights, [plain_cell(arch, stack, weights, i) for i, arch in enumerate(MIXED[:2])])


@pytest.mark.parametrize("depths", [[(1, 1, 1)], [(1, 3, 2), (2, 1, 3), (1, 1, 1)], [(3, 3, 3), (3, 3, 3)]])
def test_stacked_resnets_of_different_depths_equal_plain_networks(depths: list[tuple[int, int, int]]) -> None:
    stack = ResNetStack(depths, 10, 8)
    weights = Drawing(0, "independent").candidates(stack, [str(depth) for depth in depths]).map(lambda w: w.double())
    networks = []
    for member, depth in enumerate(depths):
        network = PlainResNet(depth, 10)
        networks.append(with_weights(network, plain_state(stack, weights, member), torch.float64))
    check_equals_plain(stack, weights, networks)


def test_without_normalisation_the_stack_is_homogeneous() -> None:
    stack, weights = stack_of(MIXED[:3])
    images, _ = batch()
    once, twice = (stack(images * factor, weights, batch_norm=False).logits for factor in (1.0, 2.0))
    assert_close(twice, 2 * once)


def test_running_a_stack_leaves_no_graph_and_changes_no_weight() -> None:
    stack, weights = stack_of(MIXED[:2])
    before = {layer: kernel.clone() for layer, kernel in weights.kernels.items()}
    assert not stack(batch()[0], weights).logits.requires_grad
    assert all(torch.equal(before[layer], kernel) for layer, kernel in weights.kernels.items())


def test_take_and_sum_are_inverse() -> None:
    x = torch.randn(2, 3 * 4, 5, 5)
    total = Sum(3)
    for members in ((1,), (0, 2)):
        total.add(take(x, members, 3), members)
    assert total.value is not None
    assert torch.equal(total.value, x)


def test_a_sum_never_writes_into_what_was_added() -> None:
    x = torch.randn(2, 3 * 4, 5, 5)
    kept = x.clone()
    total = Sum(3)
    total.add(x, (0, 1, 2))
    total.add(torch.ones(2, 4, 5, 5), (1,))
    assert torch.equal(x, kept)
