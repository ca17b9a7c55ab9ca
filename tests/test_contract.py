"""Properties of everything registered. Nothing registered can be left out: the registry itself drives these tests."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from proxies import Proxy, registered
from tests import reference
from tests.cases import DEAD, MIXED, batch, case_of, probe_of

ALL = pytest.mark.parametrize("proxy", registered(), ids=lambda proxy: proxy.name)
DATA_FREE = {"synflow", "params", "macs"}
LABEL_FREE = DATA_FREE | {"diswot", "diswot_semantic", "diswot_relation", "diswot_gram_relation"}


def test_every_proxy_has_a_slow_twin_and_every_twin_a_proxy() -> None:
    assert set(reference.TWINS) == {proxy.name for proxy in registered()}
    assert {proxy.name for proxy in registered()} >= LABEL_FREE


@ALL
def test_equals_its_slow_twin(proxy: Proxy) -> None:
    archs = MIXED[:5] + DEAD[1:2]
    probe = probe_of(archs, *batch())
    scores, _ = probe.score(proxy)
    expected = [reference.TWINS[proxy.name](case_of(probe, archs, member)) for member in range(len(archs))]
    assert_close(scores, torch.tensor(expected, dtype=torch.float64), rtol=1e-7, atol=1e-10)


@ALL
@pytest.mark.parametrize(("classes", "resolution"), [(10, 32), (100, 32), (120, 16)])
def test_equals_its_slow_twin_on_every_data_set(proxy: Proxy, classes: int, resolution: int) -> None:
    archs = [MIXED[0]]
    probe = probe_of(archs, *batch(4, classes, resolution), classes=classes)
    scores, _ = probe.score(proxy)
    assert_close(scores.item(), reference.TWINS[proxy.name](case_of(probe, archs, 0)), rtol=1e-7, atol=1e-10)


@ALL
def test_repeats_to_the_last_bit(proxy: Proxy) -> None:
    first, second = (probe_of(MIXED[:2], *batch()).score(proxy)[0] for _ in range(2))
    assert torch.equal(first, second)


@ALL
def test_does_not_depend_on_neighbours_order_or_stack_size(proxy: Proxy) -> None:
    archs = MIXED + DEAD
    together, _ = probe_of(archs, *batch()).score(proxy)
    reversed_, _ = probe_of(archs[::-1], *batch()).score(proxy)
    alone = torch.cat([probe_of([arch], *batch()).score(proxy)[0] for arch in archs])
    assert_close(together, alone, rtol=1e-8, atol=1e-11)
    assert_close(reversed_.flip(0), alone, rtol=1e-8, atol=1e-11)


@ALL
def test_does_not_depend_on_what_else_is_asked(proxy: Proxy) -> None:
    alone, _ = probe_of(MIXED[:2], *batch()).score(proxy)
    shared = probe_of(MIXED[:2], *batch())
    for other in registered():
        shared.score(other)
    shared.plan = frozenset(shared.asked)
    assert torch.equal(shared.score(proxy)[0], alone)
    planned = probe_of(MIXED[:2], *batch())
    planned.plan = frozenset(shared.asked)
    assert torch.equal(planned.score(proxy)[0], alone)


@ALL
def test_a_nan_in_one_candidate_leaves_the_others_alone(proxy: Proxy) -> None:
    clean, _ = probe_of(MIXED[:3], *batch()).score(proxy)
    spoilt = probe_of(MIXED[:3], *batch(), mode="independent")
    expected, _ = probe_of(MIXED[:3], *batch(), mode="independent").score(proxy)
    stem = next(iter(spoilt.weights.kernels))
    spoilt.weights.kernels[stem][1] = torch.nan
    scores, _ = spoilt.score(proxy)
    assert torch.equal(scores[[0, 2]], expected[[0, 2]])
    assert len(clean) == 3
    if proxy.name not in ("params", "macs"):
        assert torch.isnan(scores[1])


@ALL
def test_leaves_weights_images_and_random_state_untouched(proxy: Proxy) -> None:
    probe = probe_of(MIXED[:2], *batch())
    weights = {layer: w.clone() for layer, w in probe.weights.kernels.items()}
    images, state = probe.images.clone(), torch.get_rng_state()
    probe.score(proxy)
    assert torch.equal(images, probe.images)
    assert torch.equal(state, torch.get_rng_state())
    for layer, before in weights.items():
        now = probe.weights.kernels[layer]
        assert torch.equal(now, before)
        assert not now.requires_grad
        assert now.grad is None


@ALL
@pytest.mark.parametrize("arch", DEAD + MIXED[6:7])
def test_disconnected_and_identity_cells_have_finite_scores(proxy: Proxy, arch: str) -> None:
    scores, _ = probe_of([arch], *batch()).score(proxy)
    assert torch.isfinite(scores).all()


@ALL
def test_labels_and_images_matter_only_where_documented(proxy: Proxy) -> None:
    images, labels = batch()
    score = probe_of(MIXED[:1], images, labels).score(proxy)[0]
    relabelled = probe_of(MIXED[:1], images, labels.roll(1)).score(proxy)[0]
    other = probe_of(MIXED[:1], images.flip(0) * 0.5 + images.roll(1, 3), labels).score(proxy)[0]
    assert torch.equal(score, relabelled) == (proxy.name in LABEL_FREE)
    assert torch.equal(score, other) == (proxy.name in DATA_FREE)


@ALL
def test_does_not_depend_on_the_order_of_the_batch(proxy: Proxy) -> None:
    images, labels = batch()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    score = probe_of(MIXED[:2], images, labels).score(proxy)[0]
    shuffled = probe_of(MIXED[:2], images[order], labels[order]).score(proxy)[0]
    assert_close(score, shuffled, rtol=1e-9, atol=1e-12)


def test_registered_functions_say_what_they_are() -> None:
    for proxy in registered():
        assert proxy.summary.endswith("higher better."), proxy.name
        assert proxy.source
