"""KD losses, spectra and combinations against values worked by hand: the pure functions, without any network."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.testing import assert_close

from proxies import select
from proxies.combine import az_nas, ranks, ranksum, vote
from proxies.formulas import losses, spectra
from proxies.probing.network import Layer, Tap
from proxies.probing.passes import Measured


def t(*rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_kd_by_hand() -> None:
    """z_S = (0, 0), z_T = (4, 0), T = 4: 16 KL((e, 1)/(e + 1) || (1/2, 1/2))."""
    assert_close(losses.kd_loss(t([0.0, 0.0]), t([4.0, 0.0])).item(), 1.7751051, atol=1e-7, rtol=0)


def test_pkt_by_hand() -> None:
    assert_close(losses.pkt_loss(torch.eye(2).double(), t([1.0, 0.0], [1.0, 0.0])).item(), 0.0294457, atol=1e-7, rtol=0)


def test_cka_by_hand() -> None:
    x = t([0.0], [1.0], [2.0])
    assert_close(losses.cka(x, t([0.0], [1.0], [0.0])).item(), 0.0, atol=1e-12, rtol=0)
    assert_close(losses.cka(x, t([0.0], [1.0], [4.0])).item(), 0.9230769, atol=1e-7, rtol=0)


def test_rkd_by_hand() -> None:
    assert_close(losses.rkd_distance(t([0.0], [1.0], [2.0]), t([0.0], [1.0], [4.0])).item(), 0.03125)
    right, line = t([0.0, 0.0], [1.0, 0.0], [0.0, 1.0]), t([0.0, 0.0], [1.0, 0.0], [2.0, 0.0])
    assert_close(losses.rkd_angle(right, line).item(), 0.1296296, atol=1e-7, rtol=0)


def test_nst_and_at_by_hand() -> None:
    one, other = t([1.0, 0.0]).reshape(1, 1, 1, 2), t([0.0, 1.0]).reshape(1, 1, 1, 2)
    assert losses.nst_loss(one, other).item() == 2
    assert losses.at_loss(one, other).item() == 1


def test_fitnets_by_hand() -> None:
    assert losses.fitnets_loss(t([1.0, 2.0]), t([0.0, 4.0])).item() == 2.5  # (1 + 4) / 2


def test_cc_by_hand() -> None:
    """Orthogonal images against equal ones, gamma = .4: off the diagonal 1 against 1 + .8 + .32, times exp(-.8)."""
    found = losses.cc_loss(torch.eye(2).double(), t([1.0, 0.0], [3.0, 0.0]))
    assert_close(found.item(), (1.12 * math.exp(-0.8)) ** 2 / 2)


def test_ickd_by_hand() -> None:
    """Orthogonal channels against equal ones: rows (1, 0) against (1, 1)/sqrt 2, squared 2 - sqrt 2 each."""
    own, other = torch.eye(2).double().reshape(1, 2, 1, 2), t([1.0, 0.0], [1.0, 0.0]).reshape(1, 2, 1, 2)
    assert_close(losses.ickd_loss(own, other).item(), 2 - math.sqrt(2))


def test_dist_by_hand() -> None:
    """Two classes and two images: opposite orders, 2 + 2; a teacher that says one thing: rows 0 and 2, columns 1."""
    own, swapped, same = t([1.0, 0.0], [0.0, 1.0]), t([0.0, 1.0], [1.0, 0.0]), t([1.0, 0.0], [1.0, 0.0])
    assert_close(losses.dist_loss(own, swapped).item(), 4.0)
    assert_close(losses.dist_loss(own, same).item(), 2.0)


def test_kdsvd_by_hand() -> None:
    """Maps of rank one. The teacher's vectors are (1, 0) and (1, 0), the student's (1, 0) and (2, 1)/sqrt 5."""
    wave = torch.tensor([1.0, -3.0]).double()
    first, second = (torch.tensor(v).double()[:, None] * wave for v in ([1.0, 0.0], [2.0, 1.0]))
    own, other = ([m.reshape(1, 2, 1, 2) for m in maps] for maps in ([first, second], [first, first]))
    root = math.sqrt(5)
    squares = {(2 / root - 1) ** 2: 0.0, 4 / 5: 1.0, (1 / root - 1) ** 2: 1.0, 1 / 5: 0.0}  # student's: teacher's
    expected = sum((math.exp(-s / 8) - math.exp(-t / 8)) ** 2 for s, t in squares.items())
    assert_close(losses.kdsvd_loss(own, other).item(), expected)


FEATURES = [losses.fitnets_loss, losses.rkd_loss, losses.cc_loss, losses.pkt_loss]
MAPS = [losses.at_loss, losses.nst_loss, losses.ickd_loss]
LOGITS = [losses.kd_loss, losses.dist_loss]


@pytest.mark.parametrize("loss", FEATURES + MAPS + LOGITS, ids=lambda loss: loss.__name__)
def test_a_student_that_is_the_teacher_has_no_loss_and_leading_axes_pass(loss: object) -> None:
    shape = (3, 5, 4, 2, 2) if loss in MAPS else (3, 5, 4)
    own, other = randn(*shape), randn(1, *shape[1:], seed=1)
    assert_close(loss(own, own), torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)  # type: ignore[operator]
    each = torch.stack([loss(one, other[0]) for one in own])  # type: ignore[operator]
    assert_close(loss(own, other), each)  # type: ignore[operator]
    assert (each > 0).all()


def test_stage_losses_are_zero_for_the_teacher_and_refuse_other_widths() -> None:
    maps = [randn(2, 3, c, 4, 4) for c in (4, 8, 16)]
    for loss in (losses.cka_loss, losses.kdsvd_loss):
        assert_close(loss(maps, maps), torch.zeros(2, dtype=torch.float64), atol=1e-9, rtol=0)
    wide = [randn(2, 3, c, 4, 4) for c in (5, 8, 16)]
    with pytest.raises(ValueError, match="differ in shape"):
        losses.kdsvd_loss(wide, maps)
    assert losses.cka_loss(wide, maps).shape == (2,)
    with pytest.raises(ValueError, match="two at least"):
        losses.kdsvd_loss(maps[:1], maps[:1])


def test_losses_that_need_equal_channels_refuse_others() -> None:
    for loss, shape in ((losses.fitnets_loss, (5, 4)), (losses.ickd_loss, (5, 4, 2, 2)), (losses.kd_loss, (5, 4))):
        with pytest.raises(ValueError, match="differ in shape"):
            loss(randn(*shape), randn(shape[0], 3, *shape[2:]))


def test_invariances_of_losses() -> None:
    own, other = randn(5, 4), randn(5, 4, seed=1)
    rotation = torch.linalg.qr(randn(4, 4, seed=2)).Q
    assert_close(losses.rkd_loss(3 * own @ rotation + 1, other), losses.rkd_loss(own, other))
    assert_close(losses.kd_loss(own + 7, other), losses.kd_loss(own, other))
    assert_close(losses.cka(2 * own @ rotation, other), losses.cka(own, other))
    maps, teacher = randn(2, 6, 3, 3), randn(2, 6, 3, 3, seed=1)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    for loss in (losses.at_loss, losses.nst_loss):
        assert_close(loss(maps[:, order], teacher), loss(maps, teacher))


def test_spectra_by_hand() -> None:
    """Eigenvalues 3 and 1: entropy of (3/4, 1/4)."""
    channels = t([math.sqrt(3), -math.sqrt(3), 0, 0], [0, 0, 1, -1])  # covariances 3/2 and 1/2
    assert_close(spectra.entropy(channels).item(), 0.562335, atol=1e-6, rtol=0)
    assert spectra.entropy(torch.zeros(2, 4)).item() == 0
    assert_close(spectra.effective_rank(3 * torch.eye(4).double()).item(), 4.0)
    matrix = torch.stack([torch.eye(2), torch.full((2, 2), torch.nan)]).double()
    assert_close(spectra.eigenvalues(matrix), t([1, 1], [math.nan, math.nan]), equal_nan=True)
    assert_close(spectra.correlation(randn(4, 9)), torch.corrcoef(randn(4, 9)))


class Given:
    """Stands in for a Probe that shows given quantities."""

    def __init__(self, **quantities: object) -> None:
        self.__dict__.update(quantities)

    def total(self, layers: list[Measured], measure: object) -> Tensor:
        return torch.stack([measure(layer) for layer in layers]).sum(0)  # type: ignore[operator]

    def total_over(self, parts: list[tuple[object, Tensor]]) -> Tensor:
        return torch.stack([values for _, values in parts]).sum(0)


LAYER = Layer("one", "linear", (1, 2), (0,))


def score(name: str, **quantities: object) -> float:
    (proxy,) = select(name)
    return float(proxy.score(Given(**quantities)))  # type: ignore[union-attr,arg-type]


def layer(weight: list[float], gradient: list[float]) -> Measured:
    return Measured(LAYER, t(weight), t(gradient))


def test_golden_values_of_proxies() -> None:
    assert_close(score("jacob_cov", input_correlation=torch.eye(2).double()[None]), -2.0000000001, atol=1e-9, rtol=0)
    half = t([1.0, 0.5], [0.5, 1.0])[None]
    assert_close(score("jacob_cov", input_correlation=half), -2.3789668, atol=1e-6, rtol=0)
    labels, logits = torch.zeros(2, dtype=torch.int64), torch.zeros(1, 2, 10)
    assert_close(score("epe_nas", input_correlation=half, labels=labels, logits=logits), 1.3862344, atol=1e-6, rtol=0)
    kernel = t([3.0, 2.0], [2.0, 3.0])[None]  # one layer, codes 110 and 100
    assert_close(score("naswot", agreement=Given(kernel=kernel)), math.log(5))
    assert score("naswot", agreement=Given(kernel=t([3.0, 3.0], [3.0, 3.0])[None])) == -math.inf
    halves = [layer([0.0, 0.0], [1.0, -1.0])], [layer([0.0, 0.0], [3.0, 1.0])]
    assert_close(score("zico", half_gradients=halves), math.log(3))
    assert score("gradsign", sign_sums=[layer([0.0, 0.0, 0.0], [2.0, 2.0, 0.0])]) == 4  # (+,+,-) and (+,+,+)
    flows = [layer([1.0, 2.0], [3.0, 3.0]), layer([3.0], [3.0])]
    assert score("synflow", flows=flows) == 18
    # W1 = [1, -2], W2 = [3] on ones: dR/d|W1| = 3, 3 and dR/d|W2| = 1 + 2
    assert_close(score("logsynflow", flows=flows), 6 * math.log(4))
    assert score("grasp", curvature=[layer([5.0], [5.0])]) == -25  # L = w^2/2: H g = w


def tap(*rows: list[float]) -> Tap:
    """The rows as images of one candidate, each entry a channel of one position."""
    return Tap("any", (0,), t(*rows)[:, :, None, None])


def test_golden_values_of_patterns() -> None:
    codes = t([3.0, 3.0, 2.0], [3.0, 3.0, 2.0], [2.0, 2.0, 3.0])[None]  # three units; 110 twice and 100
    assert score("regions", agreement=(codes, t(3.0))) == 2
    one = Given(candidates=1)
    columns = [tap([-1.0, 1.0, -1.0], [1.0, 1.0, 1.0])]  # three units over two images: (0,1), (1,1), (0,1)
    assert score("swap", few_relus=columns, images=torch.zeros(2), network=one) == 2


@pytest.mark.parametrize("sign", [1, -1])
def test_golden_value_of_meco(sign: int) -> None:
    """Two channels of correlation r: the smaller eigenvalue of their correlation matrix is 1 - |r|."""
    channels = t([1.0, -1.0, 0.0, 0.0], [sign, 0.0, -sign, 0.0])  # r = sign / 2
    assert_close(score("meco", maps=[Tap("map", (0,), channels[None, :, None])]), 0.5)


@pytest.mark.parametrize(("factor", "expected"), [(-1, 1e-6), (2, -0.5), (1, -math.inf)])
def test_golden_value_of_trainability(factor: int, expected: float) -> None:
    """A block that turns gradients or doubles them, singular values 1 and 2; and the identity, -inf by convention."""
    signs = tap([1.0], [-1.0]).value
    transport = [(tap([0.0], [0.0]), signs, factor * signs)]
    quantities = {"transport": transport, "images": signs, "network": Given(candidates=1)}
    assert_close(score("trainability", **quantities), expected, atol=1e-6, rtol=0)


def test_ranks_equal_scipys_with_failed_last() -> None:
    values = np.array([[3.0, 1.0, 1.0, np.nan, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    expected = [stats.rankdata(np.where(np.isnan(row), -np.inf, row)) for row in values]
    assert_close(ranks(torch.tensor(values)), torch.tensor(np.array(expected)))


def test_combinations_by_hand() -> None:
    scores = t([1.0, 2.0, 3.0], [1.0, 3.0, 2.0], [3.0, 2.0, 1.0])
    assert_close(ranksum(scores), t(5.0, 7.0, 6.0) / 3)
    assert_close(az_nas(scores), t(math.log(3 / 27), math.log(12 / 27), math.log(6 / 27)))
    assert vote(scores).tolist() == [0.0, 2.0, 1.0]  # the second beats the third 2 to 1, and both the first
    assert vote(t([1.0, 1.0])).tolist() == [0.5, 0.5]


def test_decoupled_kd_puts_kd_together_again() -> None:
    """KD is the label against the rest, plus the rest among themselves times the teacher's mass on it."""
    own, other, labels = randn(5, 4), randn(5, 4, seed=1), torch.tensor([0, 3, 1, 1, 2])
    mass = 1 - (other / 4).softmax(-1)[torch.arange(5), labels]
    parts = []
    for n in range(5):
        one = own[n : n + 1], other[n : n + 1], labels[n : n + 1]
        parts.append(losses.dkd_loss(*one, beta=0.0) + mass[n] * losses.dkd_loss(*one, alpha=0.0, beta=1.0))
    assert_close(torch.stack(parts).mean(), losses.kd_loss(own, other))
    assert_close(losses.dkd_loss(other, other, labels), torch.zeros(()).double(), atol=1e-12, rtol=0)
    stacked = losses.dkd_loss(torch.stack([own, other]), other[None], labels)
    assert_close(stacked, torch.stack([losses.dkd_loss(own, other, labels), torch.zeros(()).double()]))


def test_dkd_by_hand() -> None:
    """Two classes, T = 1: nothing but the label against the other; p = 1/2 against q = 3/4."""
    own, other = t([math.log(3.0), 0.0]), t([0.0, 0.0])
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert_close(losses.dkd_loss(own, other, torch.tensor([0]), temperature=1.0).item(), expected)


def test_vid_by_hand() -> None:
    """Differences 1 and 2 under variances 2 and 4: half of the mean of 1/2 + ln 2 and 1 + ln 4."""
    own, other = torch.zeros(1, 2, 1, 1).double(), t([1.0, 2.0]).reshape(1, 2, 1, 1)
    expected = (0.5 + math.log(2) + 1 + math.log(4)) / 4
    assert_close(losses.vid_loss(own, other, t(2.0, 4.0)).item(), expected)
    with pytest.raises(ValueError, match="differ in shape"):
        losses.vid_loss(own, other[:, :1], t(2.0, 4.0))


def test_crd_by_hand() -> None:
    """M = 2 contrasts among n = 4 images, M/n = 1/2: hits 1/2 and 3/4, misses 1/2, 1/2 and 1/4, 1/2."""
    found = losses.crd_loss(t(0.5, 1.5), t([0.5, 0.5], [1.5, 0.5]), 4)
    expected = (3 * math.log(2) + math.log(4 / 3) + math.log(4) + math.log(2)) / 2
    assert_close(found.item(), expected)


def test_the_gradient_of_singular_vectors_is_right_and_finite_for_silent_channels() -> None:
    maps, teacher = [randn(2, 3, 3, 3, seed=s) for s in (0, 1)], [randn(2, 3, 3, 3, seed=s) for s in (2, 3)]
    leaf = maps[0].clone().requires_grad_()
    torch.autograd.gradcheck(lambda m: losses.kdsvd_loss([m, maps[1]], teacher), leaf)
    silent = torch.cat([maps[0], torch.zeros(2, 2, 3, 3).double()], 1).requires_grad_()
    wide = [torch.cat([m, m], 1)[:, :5] for m in (maps[1], *teacher)]
    losses.kdsvd_loss([silent, wide[0]], wide[1:]).sum().backward()
    assert silent.grad is not None
    assert silent.grad.isfinite().all()


def test_maps_that_are_not_square_are_pooled_to_the_least_height_and_width() -> None:
    flat, high = torch.randn(2, 3, 4, 8), torch.randn(2, 3, 8, 4)
    small = [pooled.flatten(2) for pooled in (flat.unflatten(3, (4, 2)).mean(4), high.unflatten(2, (4, 2)).mean(3))]
    for loss in (losses.at_loss, losses.nst_loss):
        assert_close(loss(flat, high), loss(*(one.unflatten(2, (4, 4)) for one in small)))
        assert_close(loss(flat, flat), torch.tensor(0.0), atol=1e-6, rtol=0)
