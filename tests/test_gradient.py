"""Identities of the gradient proxies, and worked examples on a network small enough to do by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from benchmarks.spaces.stack import EPSILON, Pass, Stack
from proxies import select
from proxies.gradient import fisher, fisher_biased, ntk_trace, ntk_trace_released
from proxies.probing.network import Taps, Weights
from proxies.probing.probe import Probe
from tests.cases import DEAD, MIXED, SPACE, batch, probe_of


class TwoLayers(Stack):
    """x [N, 3, 1, 1] -> one 1x1 convolution to one channel -> a head of one class: a linear network."""

    def __init__(self) -> None:
        super().__init__(1, 1, 1)
        self._conv = self.conv("conv", (3, 1), 1, 1)
        self.linear("classifier", 1)

    def state_key(self, role: str) -> str:
        return role

    def body(self, images: Tensor, run: Pass) -> Tensor:
        return run.conv(images, self._conv)


def test_synflow_of_a_linear_network_by_hand() -> None:
    """W1 = [1, -2, 0], W2 = [3] on ones: R = 3 (1 + 2) = 9, and each layer's sum is R, so 18."""
    stack = TwoLayers()
    conv = torch.tensor([1.0, -2.0, 0.0]).reshape(1, 1, 3, 1, 1)
    weights = Weights({stack.layers[0]: conv, stack.head: torch.tensor([[[3.0]]])}, torch.zeros(1, 1))
    probe = Probe(stack, weights, torch.randn(2, 3, 1, 1), torch.zeros(2, dtype=torch.int64))
    assert probe.score(select("synflow")[0])[0].item() == 18


def synflow(archs: list[str], scale: float = 1.0, sign: float = 1.0) -> Tensor:
    probe = probe_of(archs, *batch(), mode="independent")
    stem = next(iter(probe.weights.kernels))
    probe.weights.kernels[stem].mul_(scale)
    for kernel in probe.weights.kernels.values():
        kernel.mul_(sign)
    return probe.score(select("synflow")[0])[0]


def test_synflow_is_conserved_from_stem_to_classifier() -> None:
    probe = probe_of(MIXED, *batch())
    flows = {item.layer.role: (item.weight * item.gradient).flatten(1).sum(1) for item in probe.flows}
    assert_close(flows["stem"], flows["classifier"])


def test_synflow_ignores_signs_and_scales_with_a_layer_that_all_paths_cross() -> None:
    assert_close(synflow(MIXED[:3], sign=-1.0), synflow(MIXED[:3]), rtol=1e-12, atol=0)
    assert_close(synflow(MIXED[:3], scale=2.5), 2.5 * synflow(MIXED[:3]), rtol=1e-12, atol=0)


def test_synflow_is_zero_for_exactly_the_disconnected_cells() -> None:
    disconnected = [arch for arch in map(SPACE.arch, range(1500)) if not SPACE.connected(arch)]
    assert len(disconnected) > 20
    assert synflow(disconnected + DEAD).count_nonzero() == 0
    assert (synflow(MIXED) > 0).all()


def test_gradients_vanish_on_dead_edges_and_on_disconnected_cells() -> None:
    probe = probe_of(DEAD + MIXED[:1], *batch())
    scores, _ = probe.score(select("grad_norm")[0])
    assert torch.equal(scores[:3], torch.zeros(3, dtype=torch.float64))
    assert scores[3] > 0


def test_weights_in_front_of_a_normalisation_have_gradients_orthogonal_to_them() -> None:
    """Batch statistics make the loss blind to a filter's scale, so <w, dL/dw> = 0 (up to the epsilon) per filter."""
    probe = probe_of(MIXED[:4], *batch())
    free = {"stage2.reduction.shortcut", "stage3.reduction.shortcut", "classifier"}
    for item in probe.gradients:
        product = (item.weight * item.gradient).flatten(2).sum(2).abs()
        size = item.weight.flatten(2).norm(dim=2) * item.gradient.flatten(2).norm(dim=2)
        if item.layer.role not in free:
            assert (product <= 1e-3 * size + 1e-12).all(), item.layer.role
    assert any((i.weight * i.gradient).sum().abs() > 1e-3 for i in probe.gradients if i.layer.role in free)


def test_a_sum_over_layers_adds_to_members_alone() -> None:
    probe = probe_of(MIXED[:2], *batch())
    counted = probe.total(probe.gradients, lambda item: torch.ones(len(item.layer.members)))
    convolutions = [
        sum(name.startswith("nor_conv") for name in arch.replace("|", "+").split("+")) for arch in MIXED[:2]
    ]
    assert counted.tolist() == [15 * n + 1 + 6 + 1 for n in convolutions]


def test_a_bias_that_nothing_but_zeros_are_added_to_outweighs_all_layers() -> None:
    """Of a constant the normalisation multiplies the gradient by 316: MIXED[2] has a node that only zeros reach."""
    probe = probe_of([MIXED[0], MIXED[2], MIXED[5]], *batch(), mode="independent")
    ratio = fisher_biased(probe) / fisher(probe)
    assert 0.5 < ratio[0] < 2
    assert ratio[1] > 100
    assert ratio[2] == pytest.approx(1, abs=0.5)


def test_the_gradient_of_a_constant_is_that_of_its_node_centred_and_over_the_root_of_epsilon() -> None:
    """Two edges lead from a node of zeros to the output: both convolutions get the same gradient, 316 (g - mean g)."""
    arch = "|none~0|+|skip_connect~0|none~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
    probe = probe_of([arch], *batch())
    (last,) = [r for r in probe.responses if r.layer.role == "stage3.cell4.edge13"]
    assert not last.output.any()
    taps = Taps("block")
    weights = probe.weights.map(lambda w: w.clone().requires_grad_())
    logits = probe.network(probe.images, weights, taps=taps).logits[0]
    (gradient,) = torch.autograd.grad(cross_entropy(logits, probe.labels), taps.of("block")[-1].value)
    centred = gradient - gradient.mean((0, 2, 3), keepdim=True)
    assert_close(last.gradient[0], centred.flatten(2) / EPSILON**0.5)


def test_what_only_zeros_reach_shows_in_responses_alone() -> None:
    """Nothing leads to node 1 of MIXED[2], so edges 12 and 13 get zeros; a pass for both has the ReLUs of its own."""
    together, relus = (probe_of(MIXED[2:3], *batch()) for _ in range(2))
    together.plan = frozenset({"responses", "relus"})
    roles = {r.layer.role: r.output for r in together.responses}
    assert not roles["stage1.cell0.edge12"].any()
    assert not roles["stage2.cell3.edge13"].any()
    assert [(tap.members, tap.times) for tap in together.relus] == [(tap.members, tap.times) for tap in relus.relus]
    assert torch.equal(together.agreement.kernel, relus.agreement.kernel)


def test_released_trace_of_a_network_without_normalisation_is_the_trace_and_the_bias() -> None:
    """Nothing mixes the images, so an image's share is its gradient, and the head's bias adds 1 to each."""
    stack = TwoLayers()
    weights = Weights(
        {stack.layers[0]: torch.randn(1, 1, 3, 1, 1).double(), stack.head: torch.randn(1, 1, 1).double()},
        torch.zeros(1, 1).double(),
    )
    probe = Probe(stack, weights, torch.randn(4, 3, 1, 1).double(), torch.zeros(4, dtype=torch.int64))
    assert_close(ntk_trace_released(probe) ** 2, ntk_trace(probe) ** 2 + 1)


def test_batch_statistics_make_the_released_trace_another_measure() -> None:
    probe = probe_of(MIXED[:2], *batch())
    assert (ntk_trace_released(probe) > 1.05 * ntk_trace(probe)).all()


def test_proxies_that_return_another_shape_are_refused() -> None:
    from proxies import Proxy

    with pytest.raises(TypeError, match=r"'wrong' returned shape \(3,\)"):
        probe_of(MIXED[:1], *batch()).score(Proxy("wrong", lambda probe: torch.zeros(3), "a test"))
    with pytest.raises(TypeError, match="'wrong' returned a float"):
        probe_of(MIXED[:1], *batch()).score(Proxy("wrong", lambda probe: 3.0, "a test"))  # type: ignore[arg-type]
