"""What a Probe shows, against the same quantity written out network by network and image by image; its accounts."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from proxies import Proxy, select
from proxies.probing import meter
from proxies.probing.passes import Measured
from proxies.probing.probe import Probe
from tests.cases import DEAD, MIXED, batch, probe_of, stack_of, teacher_of

ARCHS = [MIXED[0], DEAD[0], MIXED[1]]
A, N, K, C = 3, 4, 10, 64


def fresh() -> Probe:
    return probe_of(ARCHS, *batch(N))


@pytest.fixture(scope="module")
def probe() -> Probe:
    return fresh()


def proxy(score: object, name: str = "mine") -> Proxy:
    return Proxy(name, score, "a test")  # type: ignore[arg-type]


def test_outputs_have_the_shapes_that_are_said_and_lead_to_each_other(probe: Probe) -> None:
    assert probe.features.shape[:3] == (A, N, C)
    assert_close(probe.pooled, probe.features.mean((3, 4)))
    assert probe.head_weight.shape == (A, K, C)
    bias = probe.logits - probe.pooled @ probe.head_weight.mT
    assert_close(bias, torch.zeros_like(bias), atol=1e-12, rtol=0)


def test_the_head_gradient_is_that_of_autograd(probe: Probe) -> None:
    for member in range(A):
        weight = probe.head_weight[member].clone().requires_grad_()
        cross_entropy(probe.pooled[member] @ weight.T, probe.labels).backward()  # type: ignore[no-untyped-call]
        assert weight.grad is not None
        assert_close(probe.head_gradient[member], weight.grad)


def test_gram_matrices_written_out(probe: Probe) -> None:
    for member in range(A):
        flat = probe.features[member].flatten(1)
        assert_close(probe.sample_gram[member], flat @ flat.T)
        for image in range(N):
            maps = torch.einsum("kc,cp->kp", probe.head_weight[member], probe.features[member, image].flatten(1))
            assert_close(probe.cam_gram[member, image], maps @ maps.T)


def test_agreement_counted_unit_by_unit(probe: Probe) -> None:
    kernel, units = torch.zeros(A, N, N).double(), torch.zeros(A).double()
    for tap in probe.relus:
        for place, member in enumerate(tap.members):
            value = tap.stacked()[place].flatten(1)
            times = tap.times[place] if tap.times else 1
            if not (value != 0).any():
                continue
            on = value > 0
            units[member] += times * value.shape[1]
            for one in range(N):
                for other in range(N):
                    kernel[member, one, other] += times * int((on[one] == on[other]).sum())
    assert torch.equal(probe.agreement.kernel, kernel)
    assert torch.equal(probe.agreement.units, units)
    assert probe.agreement.kernel.dtype == probe.agreement.units.dtype == torch.float64


def test_a_relu_that_only_zero_arrives_at_agrees_in_nothing() -> None:
    images, labels = batch(N)
    dark = probe_of(ARCHS, torch.zeros_like(images), labels)
    assert not dark.agreement.kernel.any()
    assert not dark.agreement.units.any()


def test_input_correlation_is_numpys(probe: Probe) -> None:
    for member in (0, 2):
        expected = np.corrcoef(probe.input_gradients[member].flatten(1).numpy())
        assert_close(probe.input_correlation[member], torch.from_numpy(expected))
    assert probe.input_correlation.dtype == torch.float64


def test_entropies_of_blocks_written_out(probe: Probe) -> None:
    assert len(probe.block_entropies) == len(probe.blocks)
    for (members, found), tap in zip(probe.block_entropies, probe.blocks, strict=True):
        assert members == tap.members
        for place in range(len(members)):
            channels = tap.stacked()[place].transpose(0, 1).flatten(1)
            spectrum = np.linalg.eigvalsh(np.cov(channels.numpy(), bias=True)).clip(0)
            share = spectrum / (spectrum.sum() or 1)
            assert found[place].item() == pytest.approx(-(share * np.log(share + 1e-8)).sum(), abs=1e-9)


def test_totals_add_to_a_layers_members_alone(probe: Probe) -> None:
    single = Probe(*stack_of(ARCHS, dtype=torch.float32), *batch(N, dtype=torch.float32))
    for one in (probe, single):
        layers = [Measured(layer, weight, weight) for layer, weight in one.weights.kernels.items()]
        assert any(len(item.layer.members) < A for item in layers)
        expected = torch.zeros(A).double()
        for item in layers:
            for place, member in enumerate(item.layer.members):
                expected[member] += item.weight[place].abs().sum().double()
        found = one.total(layers, lambda item: item.weight.abs().flatten(1).sum(1))
        assert found.dtype == torch.float64
        assert_close(found, expected, rtol=1e-6, atol=0)
    assert torch.equal(probe.total([], lambda item: item.weight), torch.zeros(A).double())
    parts = [((0, 2), torch.tensor([1.0, 2.0])), ((2,), torch.tensor([0.1]))]
    assert torch.equal(
        probe.total_over(parts), torch.tensor([1.0, 0.0, 2 + torch.tensor(0.1).item()], dtype=torch.float64)
    )


def test_size_counts_what_each_candidate_has(probe: Probe) -> None:
    counted = [sum(math.prod(layer.shape) for layer in probe.network.layers if m in layer.members) for m in range(A)]
    found = probe.size(lambda layer: math.prod(layer.shape))
    assert torch.equal(found, torch.tensor(counted, dtype=torch.float64))
    assert found.dtype == torch.float64


def test_sums_over_layers_are_where_the_images_are(probe: Probe) -> None:
    """So that a proxy can add sizes to what it measured, on a GPU too; `meta` stands for one."""
    elsewhere = Probe(probe.network, probe.weights, *(part.to("meta") for part in batch(N)))
    assert elsewhere.size(lambda layer: 1).device == elsewhere.total([], lambda item: item.weight).device
    assert elsewhere.size(lambda layer: 1).device.type == "meta"


def test_what_is_asked_for_is_remembered(probe: Probe) -> None:
    fresh_one = fresh()
    assert fresh_one.asked == set()
    assert fresh_one.teacher.network.candidates == 1
    assert fresh_one.asked == {"teacher"}
    _ = fresh_one.agreement
    assert "relus" in fresh_one.asked


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda p: p.logits.mul_(2), "outputs"),
        (lambda p: p.head_weight.zero_(), "weights"),
        (lambda p: p.gradients[0].gradient.abs_(), "gradients"),
        (lambda p: p.relus[0].stacked()[:, 0].neg_(), "relus"),
        (lambda p: p.noise("mine", (2,)).add_(1), "noise('mine', (2,))"),
        (lambda p: p.teacher.logits.add_(1), "teacher.outputs"),
        (lambda p: p.further(images=twice_the_images).logits.mul_(2), "images by twice_the_images: outputs"),
    ],
)
def test_what_is_written_to_in_place_is_known(write: Callable[[Probe], object], told: str) -> None:
    one = fresh()
    assert write(one) is not None
    assert one.altered() == told


def twice_the_images(probe: Probe) -> Tensor:
    return 2 * probe.images


def test_noise_and_plan_arrive() -> None:
    def noise(name: str, shape: tuple[int, ...]) -> Tensor:
        return torch.full(shape, 0.5, dtype=torch.float64)

    one = Probe(*stack_of(ARCHS), *batch(N), noise=noise, plan=frozenset({"relus"}))
    assert one.plan == {"relus"}
    assert one._noise is noise
    with pytest.raises(ValueError, match="--teacher"):
        _ = one.teacher


def test_scores_come_to_the_host_in_float64_with_their_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(meter, "perf_counter", lambda: now[0])
    images, labels = batch(N)
    teacher = Probe(*teacher_of(), images, labels)
    one = Probe(*stack_of(ARCHS), images, labels, teacher=teacher)

    def score(probe: Probe) -> Tensor:
        """Takes two seconds, one of them the teacher's."""
        now[0] += 1
        probe.teacher._book("teachers", lambda: now.__setitem__(0, now[0] + 1))
        probe.teacher._recall("teachers")
        return torch.ones(A, dtype=torch.float32, requires_grad=True)

    scores, seconds = one.score(proxy(score))
    assert seconds == 1
    assert scores.dtype == torch.float64
    assert not scores.requires_grad
    assert scores.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([1.0, 2.0, 3.0], r"'mine' returned a list; a tensor \(3,\) is wanted"),
        (torch.zeros(A, 1), r"'mine' returned shape \(3, 1\); a stack wants \(3,\)"),
        (torch.zeros(2), r"'mine' returned shape \(2,\)"),
    ],
)
def test_a_proxy_that_returns_something_else_is_told(probe: Probe, returned: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        probe.score(proxy(lambda _: returned))


def test_a_registered_proxy_sees_this_probe(probe: Probe) -> None:
    (params,) = select("params")
    scores, seconds = probe.score(params)  # type: ignore[arg-type]
    assert scores.shape == (A,)
    assert seconds >= 0


def test_vkdnw_ranks_as_a_count_of_layers_with_a_tie_break(probe: Probe) -> None:
    (vkdnw, layers) = (probe.score(select(name)[0])[0] for name in ("vkdnw", "conv_edges"))  # type: ignore[arg-type]
    entropy = vkdnw - layers - 1  # the head is a layer too
    assert ((entropy >= 0) & (entropy <= math.log(9))).all()
