"""The stacked networks equal plain one-module networks with the same weights: features, logits, every gradient."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy
from torch.testing import assert_close

from benchmarks.conditions.drawing import Drawing
from benchmarks.spaces.operations import by_one_kernel, is_one
from benchmarks.spaces.resnet import ResNetStack
from benchmarks.spaces.stack import Stack, Sum, take
from benchmarks.timing.plain import PlainResNet, plain_state, with_weights
from proxies import registered
from proxies.probing.network import Weights
from proxies.probing.probe import Probe
from tests.cases import DEAD, MIXED, SPACE, batch, plain_cell, stack_of, teacher_of


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


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
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


def test_plain_convolutions_give_the_scores_of_grouped_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every proxy, in float64, so that what differs by more than rounding shows."""
    archs, plain = [*MIXED[:2], MIXED[7], DEAD[1]], list[int]()

    def counted(x: Tensor, kernel: Tensor, stride: int, members: int) -> Tensor:
        plain.append(members)
        return by_one_kernel(x, kernel, stride, members)

    monkeypatch.setattr("benchmarks.spaces.stack.by_one_kernel", counted)
    images, labels = batch()
    stack = SPACE.build(archs, 10, 8)
    weights = Drawing(0, "common").candidates(stack, archs).map(exact)
    teacher = Probe(*teacher_of(), images, labels)
    grouped, other = (Probe(stack, weights, images, labels, teacher=teacher, noise=Drawing(0).noise) for _ in range(2))
    expected = {proxy.name: grouped.score(proxy)[0] for proxy in registered()}
    assert not plain
    stack.plain_convolutions = True
    for proxy in registered():
        assert_close(other.score(proxy)[0], expected[proxy.name], rtol=1e-7, atol=1e-9, equal_nan=True)
    assert set(plain) == {2, 3, 4}, "some members, and all"


def exact(w: Tensor) -> Tensor:
    """In float64, what is expanded remaining so."""
    return w[:1].double().expand_as(w) if w.stride(0) == 0 else w.double()


def test_a_plain_convolution_is_the_grouped_one_of_equal_kernels() -> None:
    kernel, x = torch.randn(6, 4, 3, 3).double(), torch.randn(2, 3 * 4, 5, 5).double()
    expected = conv2d(x, kernel.repeat(3, 1, 1, 1), stride=2, padding=1, groups=3)
    assert_close(by_one_kernel(x, kernel, 2, 3), expected)
    assert_close(by_one_kernel(x[:, :4], kernel, 1, 3), conv2d(x[:, :4], kernel.repeat(3, 1, 1, 1), padding=1))
    assert is_one(kernel[None].expand(3, -1, -1, -1, -1))
    assert not is_one(kernel[None].repeat(3, 1, 1, 1, 1))
    assert not is_one(kernel[None].expand(3, -1, -1, -1, -1).requires_grad_())
