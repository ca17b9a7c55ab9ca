"""Properties of everything registered. Nothing registered can be left out: the registry itself drives these tests."""

from __future__ import annotations

import functools
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from benchmarks.conditions.drawing import Drawing, Mode
from proxies import Proxy, registered
from proxies.probing.probe import Probe
from tests import reference
from tests.cases import DEAD, MIXED, batch, case_of, probe_of, teacher_of
from tests.reference import Case
from tests.unusual import GROUPS, Unusual

ALL = pytest.mark.parametrize("proxy", registered(), ids=lambda proxy: proxy.name)
SOME = (*MIXED[:5], DEAD[1])
WEIGHT_FREE = {"params", "macs", "conv_edges"}
DATA_FREE = WEIGHT_FREE | {"dss", "l2_norm", "synflow", "logsynflow", "zen", "zen_released"}
LABELLED = {"diswot_fcgrad_semantic", "diswot_released", "grad_norm", "snip", "plain", "grasp", "fisher"}
LABELLED |= {"gradsign", "zico", "ntk_trace", "epe_nas", "dkd", "fisher_biased", "ntk_trace_released"}
LABELLED |= {"diswot_released_first_image"}
ORDERED = {
    "meco",
    "meco_opt",
    "zico",
    "trainability",
    "diswot_released_first_image",
}  # reads the first image, halves of the batch, or noise by position
SATURATED = {"regions", "swap", "epe_nas"}  # two batches may share the count; here no class has two images
# The twin of grasp is a difference quotient; eigenvalues near 0 amplify
# rounding; gradsign sees the signs of gradients that are 0 but for rounding.
TOLERANCE = {"grasp": 1e-4, "ntk_condition": 1e-5, "jacob_cov": 1e-5, "meco": 1e-5, "meco_opt": 1e-5, "near": 1e-5}
TOLERANCE |= {"vkdnw": 1e-5, "kdsvd": 1e-6, "gradsign": 1e-2}
STACKED = TOLERANCE | {"gradsign": 1e-8}  # beside the same network alone, whose signs are the same
NARROW = {"fitnets", "ickd", "diswot_fcgrad_semantic", "diswot_released"}  # undefined for unequal channels
NARROW |= {"diswot_released_first_image"}
ONE_STAGE = {"at", "cka", "kdsvd"}  # undefined for unequal stages
READ_RELUS = {"naswot", "regions", "swap", "near"}
WITHOUT_GRADIENT = {"jacob_cov", "ntk_condition"}  # see what rounding leaves where no pixel and weight counts
UNDEFINED_WHEN_DEAD = {"jacob_cov", "epe_nas", "ntk_condition", "rkd"}  # NaN: nothing varies, so nothing correlates
INFINITE_WHEN_DEAD = {"naswot", "zen", "zen_released", "trainability"}  # -inf, as their docstrings say


@functools.cache
def scores_of(*archs: str, seen: str = "the batch", mode: Mode = "shared") -> dict[str, Tensor]:
    """The scores of every proxy on one probe, so its passes are shared.

    That a score does not depend on what was asked before has a test of its own, on probes that are not shared.
    """
    images, labels = batch()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    images, labels = {
        "the batch": (images, labels),
        "other labels": (images, labels.roll(1)),
        "other images": (images.flip(0) * 0.5 + images.roll(1, 3), labels),
        "another order": (images[order], labels[order]),
    }[seen]
    return scores_on(probe_of(archs, images, labels, mode=mode))


def scores_on(probe: Probe) -> dict[str, Tensor]:
    """By proxy, [A]."""
    return {proxy.name: probe.score(proxy)[0] for proxy in registered()}


class Alone(NamedTuple):
    """The scores of a proxy on a probe of its own, and what scoring changed there, which should be nothing."""

    scores: Tensor
    changed: list[str]


@functools.cache
def alone(proxy: Proxy) -> Alone:
    probe = probe_of(MIXED[:2], *batch())
    kernels, state = probe.weights.kernels, torch.get_rng_state()
    before = {layer: w.clone() for layer, w in kernels.items()}
    images = probe.images.clone()
    scores, _ = probe.score(proxy)
    changed = [] if torch.equal(images, probe.images) else ["images"]
    changed += [] if torch.equal(state, torch.get_rng_state()) else ["random state"]
    changed += [written] if (written := probe.altered()) else []
    changed += [layer.role for layer, w in before.items() if not torch.equal(w, kernels[layer])]
    changed += [layer.role for layer, w in kernels.items() if w.requires_grad or w.grad is not None]
    return Alone(scores, changed)


@functools.cache
def spoilt_scores() -> dict[str, Tensor]:
    """Of three candidates with weights of their own, of which the one in the middle has a NaN in its stem."""
    probe = probe_of(MIXED[:3], *batch(), mode="independent")
    probe.weights.kernels[next(iter(probe.weights.kernels))][1] = torch.nan
    return scores_on(probe)


@functools.cache
def cases(archs: tuple[str, ...]) -> list[Case]:
    """Plain networks of cells, for all twins: each leaves the weights as they were."""
    probe = probe_of(archs, *batch())
    return [case_of(probe, archs, member) for member in range(len(archs))]


@functools.cache
def on_other_data(classes: int, resolution: int) -> tuple[dict[str, Tensor], Case]:
    """The scores of one cell on images of another data set, and the cell as a plain network."""
    probe = probe_of([MIXED[4]], *batch(4, classes, resolution), classes=classes)
    return scores_on(probe), case_of(probe, [MIXED[4]], 0)


def test_every_proxy_has_a_slow_twin_and_every_twin_a_proxy() -> None:
    assert set(reference.TWINS) == {proxy.name for proxy in registered()}
    listed = DATA_FREE | LABELLED | ORDERED | SATURATED | UNDEFINED_WHEN_DEAD | INFINITE_WHEN_DEAD
    assert {proxy.name for proxy in registered()} >= listed, "a stale exception"


@ALL
def test_equals_its_slow_twin(proxy: Proxy) -> None:
    scores = scores_of(*SOME)[proxy.name]
    expected = [reference.TWINS[proxy.name](case) for case in cases(SOME)]
    tolerance = TOLERANCE.get(proxy.name, 1e-7)
    expected_ = torch.tensor(expected, dtype=torch.float64)
    assert_close(scores, expected_, rtol=tolerance, atol=tolerance * 1e-3, equal_nan=True)


@ALL
@pytest.mark.parametrize(("classes", "resolution"), [(10, 32), (100, 32), (120, 16)])
def test_equals_its_slow_twin_on_every_data_set(proxy: Proxy, classes: int, resolution: int) -> None:
    scores, case = on_other_data(classes, resolution)
    tolerance = TOLERANCE.get(proxy.name, 1e-7)
    expected = reference.TWINS[proxy.name](case)
    assert_close(scores[proxy.name].item(), expected, rtol=tolerance, atol=tolerance * 1e-3, equal_nan=True)


@ALL
def test_repeats_to_the_last_bit(proxy: Proxy) -> None:
    """On another probe, where nothing else is asked."""
    assert torch.equal(scores_of(*MIXED[:2])[proxy.name], alone(proxy).scores)


@ALL
def test_does_not_depend_on_neighbours_order_or_stack_size(proxy: Proxy) -> None:
    """Eleven together, in both orders; six of them, two of them, and all that are no mixture by themselves."""
    archs = MIXED + DEAD
    together = dict(zip(archs, scores_of(*archs)[proxy.name], strict=True))
    tolerance, seen = STACKED.get(proxy.name, 1e-8), set[str]()
    for others in (archs[::-1], SOME, (MIXED[5], MIXED[7]), *((arch,) for arch in [MIXED[0], MIXED[6], *DEAD])):
        expected = torch.stack([together[arch] for arch in others])
        found = scores_of(*others)[proxy.name]
        assert_close(found, expected, rtol=tolerance, atol=tolerance * 1e-3, equal_nan=True)
        seen |= set(others) if len(others) < len(archs) else set()
    assert seen == set(archs)


@pytest.mark.parametrize("kind", GROUPS)
def test_networks_unlike_these_stacked_score_as_they_do_alone(kind: str) -> None:
    """Depthwise, grouped, without ReLU; of narrow features and a single stage beside the teacher's three."""
    archs, undefined = ["1", "3", "2", "3"], set()
    one, all_ = {arch: unusual_probe(kind, [arch]) for arch in sorted(set(archs))}, unusual_probe(kind, archs)
    for proxy in registered():
        try:
            by_arch = {arch: probe.score(proxy)[0] for arch, probe in one.items()}
        except ValueError:
            undefined.add(proxy.name)
            with pytest.raises(ValueError, match=r"the network has|differ in shape"):
                all_.score(proxy)
            continue
        if kind == "linear" and proxy.name in WITHOUT_GRADIENT:
            continue
        single, (together, _) = torch.cat([by_arch[arch] for arch in archs]), all_.score(proxy)
        tolerance = STACKED.get(proxy.name, 1e-8)
        assert_close(together, single, rtol=tolerance, atol=tolerance * 1e-3, equal_nan=True, msg=proxy.name)
        assert torch.isfinite(single).all(), proxy.name
        assert (proxy.name == "gradsign" and kind == "linear") == bool((single == 0).all()), proxy.name
    assert undefined == NARROW | ONE_STAGE | (READ_RELUS if kind in ("silu", "linear") else set())


def unusual_probe(kind: str, archs: list[str]) -> Probe:
    """A float64 probe of some unusual networks beside a resnet20."""
    images, labels = batch()
    stack, drawing = Unusual(kind).build(archs, 10, 8), Drawing(0)
    weights = drawing.candidates(stack, archs).map(lambda w: w.double())
    return Probe(stack, weights, images, labels, teacher=Probe(*teacher_of(), images, labels), noise=drawing.noise)


def test_scores_do_not_depend_on_what_else_is_asked_or_in_which_order() -> None:
    """Alone, after all others, before all others, and on a pass that was planned for all."""
    expected = {proxy.name: alone(proxy).scores for proxy in registered()}
    first, reverse, planned = scores_of(*MIXED[:2]), *(probe_of(MIXED[:2], *batch()) for _ in range(2))
    for name, scores in first.items():
        assert torch.equal(scores, expected[name]), name
    for proxy in registered()[::-1]:
        assert_close(
            reverse.score(proxy)[0],
            expected[proxy.name],
            rtol=TOLERANCE.get(proxy.name, 1e-10),
            atol=1e-13,
            msg=proxy.name,
        )
    planned.plan = frozenset(reverse.asked)
    for proxy in registered():
        assert_close(
            planned.score(proxy)[0],
            expected[proxy.name],
            rtol=TOLERANCE.get(proxy.name, 1e-10),
            atol=1e-13,
            msg=proxy.name,
        )


@ALL
def test_a_nan_in_one_candidate_leaves_the_others_alone(proxy: Proxy) -> None:
    expected, scores = scores_of(*MIXED[:3], mode="independent")[proxy.name], spoilt_scores()[proxy.name]
    assert torch.equal(scores[[0, 2]], expected[[0, 2]])
    if proxy.name not in WEIGHT_FREE | SATURATED | {"naswot", "meco", "meco_opt", "gradsign", "zico"}:
        assert not torch.isfinite(scores[1])


@ALL
def test_leaves_weights_images_and_random_state_untouched(proxy: Proxy) -> None:
    assert alone(proxy).changed == []


@ALL
@pytest.mark.parametrize("arch", DEAD + MIXED[6:7])
def test_disconnected_and_identity_cells_have_the_scores_that_are_declared(proxy: Proxy, arch: str) -> None:
    scores = scores_of(arch)[proxy.name]
    if arch in DEAD and proxy.name in UNDEFINED_WHEN_DEAD:
        assert scores.isnan().all()
    elif proxy.name in INFINITE_WHEN_DEAD:
        assert (scores.isfinite() | (scores == -torch.inf)).all()
    else:
        assert scores.isfinite().all()


@ALL
def test_labels_and_images_matter_only_where_documented(proxy: Proxy) -> None:
    score, relabelled, other = (
        scores_of(MIXED[0], seen=seen)[proxy.name] for seen in ("the batch", "other labels", "other images")
    )
    if proxy.name not in SATURATED:
        assert torch.equal(score, relabelled) == (proxy.name not in LABELLED)
        assert torch.equal(score, other) == (proxy.name in DATA_FREE)


@ALL
def test_does_not_depend_on_the_order_of_the_batch(proxy: Proxy) -> None:
    if proxy.name in ORDERED:
        return
    score, shuffled = (scores_of(*MIXED[:2], seen=seen)[proxy.name] for seen in ("the batch", "another order"))
    assert_close(score, shuffled, rtol=1e-7, atol=1e-10)


def test_registered_functions_say_what_they_are() -> None:
    for proxy in registered():
        assert proxy.summary.endswith("higher better."), proxy.name
        assert proxy.source
