"""Influences, intervals and tests: against derivatives, brute force, published cases, and simulations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.stats import inference
from analysis.stats.inference import Measured, Sample, difference, interval, measured
from analysis.stats.influence import Array, contributions, untied_ranks
from analysis.validation import coverage

NONE = np.empty(0)
values = st.lists(st.tuples(*[st.integers(-4, 4)] * 4), min_size=6, max_size=30)


def weighted_rho(variables: Array, weights: Array) -> float:
    """The rank correlation of the first two of [2 + K, n], others held fixed, of candidates that count so much each."""
    weights = weights / weights.sum()
    ranks = []
    for one in variables:
        _, group = np.unique(one, return_inverse=True)
        mass = np.bincount(group, weights)
        rank = (np.cumsum(mass) - mass / 2)[group]
        ranks.append(rank - rank @ weights)
    products = (np.stack(ranks) * weights) @ np.stack(ranks).T
    left = products[:2, :2] - products[:2, 2:] @ np.linalg.pinv(products[2:, 2:]) @ products[2:, :2]
    return float(left[0, 1] / np.sqrt(left[0, 0] * left[1, 1]))


@pytest.mark.parametrize("fixed", [0, 1, 2])
@given(drawn=values)
def test_an_influence_is_the_derivative_by_a_candidates_weight(drawn: list[tuple[int, ...]], fixed: int) -> None:
    """Ties and all: the weight of each candidate is raised a little, and everything ranked anew."""
    variables = np.array(drawn, dtype=float).T[: 2 + fixed]
    variables[2:] += 0.01 * np.arange(variables.shape[1])  # no two that are held fixed say the same
    n = variables.shape[1]
    found = contributions(variables[0], variables[1], variables[2:])
    design = np.column_stack([np.ones(n), *[stats.rankdata(one) for one in variables[2:]]])
    left = [
        (lambda r: r - design @ np.linalg.lstsq(design, r, rcond=None)[0])(stats.rankdata(v)) for v in variables[:2]
    ]
    if min(np.linalg.norm(one) for one in left) < 0.1:
        return
    assert found.value == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-9)
    step = 1e-6
    for number in range(n):
        up, down = np.ones(n), np.ones(n)
        up[number], down[number] = 1 + step, 1 - step
        slope = (weighted_rho(variables, up) - weighted_rho(variables, down)) / (2 * step)
        assert found.influence[number] == pytest.approx(n * slope, abs=1e-3)


def test_many_at_once_are_each_alone() -> None:
    x, y = np.random.default_rng(1).integers(0, 6, (2, 3, 2, 25)).astype(float)
    size = np.arange(25.0)
    together = contributions(x, y[:, :1], [size])
    for i, j in np.ndindex(3, 2):
        alone = contributions(x[i, j], y[i, 0], [size])
        np.testing.assert_allclose(together.value[i, j], alone.value)
        np.testing.assert_allclose(together.influence[i, j], alone.influence)


def test_the_same_size_twice_counts_once_and_what_size_determines_is_undefined() -> None:
    x, y, size = np.random.default_rng(1).standard_normal((3, 40))
    once, twice = contributions(x, y, [size]), contributions(x, y, [size, 2 * size + 1])
    np.testing.assert_allclose(twice.value, once.value)
    np.testing.assert_allclose(twice.influence, once.influence)
    assert np.isnan(contributions(size, y, [x, size]).value)
    assert np.isnan(contributions(np.zeros(40), y).value)


def test_the_error_is_that_of_a_bootstrap() -> None:
    generator = np.random.default_rng(2)
    x = generator.standard_normal(300)
    y = x + generator.standard_normal(300)
    drawn = generator.integers(0, 300, (4000, 300))
    ranks = [stats.rankdata(one[drawn], axis=1) for one in (x, y)]
    centred = [one - one.mean(1, keepdims=True) for one in ranks]
    rhos = np.einsum("bn,bn->b", *centred) / np.prod([np.linalg.norm(one, axis=1) for one in centred], axis=0)
    error = inference._error(Sample(y), (one := measured(x[None], Sample(y))), [one])
    assert np.sqrt(error.variance) == pytest.approx(rhos.std(), rel=0.05)


def test_an_interval_by_hand() -> None:
    """Fisher's scale: z = atanh(.6) = .6931, error .1 / (1 - .36), 99 degrees: 1.9842 of them to each side."""
    n = 100
    influence = np.tile([1.0, -1.0], n // 2) * 0.1 * np.sqrt(n - 1)
    found = interval(Measured(np.array([0.6]), influence[None], NONE), Sample(np.arange(n, dtype=float)))
    reach = 1.98422 * 0.1 / 0.64
    np.testing.assert_allclose(found[:3], [0.6, np.tanh(0.693147 - reach), np.tanh(0.693147 + reach)], rtol=1e-5)


def test_draws_widen_an_interval_by_their_variance_with_their_degrees_of_freedom() -> None:
    """Influences that all seeds share: the variance is theirs plus s^2 / 3, t with Satterthwaite's degrees."""
    n, shared = 50, 0.05
    influence = np.tile(np.tile([1.0, -1.0], n // 2) * shared * np.sqrt(n - 1), (3, 1))
    rhos = np.array([0.2, 0.3, 0.4])
    found = interval(Measured(rhos, influence, NONE), Sample(np.arange(n, dtype=float)))
    parts = np.array([shared**2, 0.01 / 3])
    freedom = parts.sum() ** 2 / (parts**2 / [n - 1, 2]).sum()
    reach = stats.t.ppf(0.975, freedom) * np.sqrt(parts.sum()) / (1 - 0.3**2)
    np.testing.assert_allclose(found[1:3], np.tanh(np.arctanh(0.3) + np.array([-reach, reach])), rtol=1e-9)


def test_what_is_a_draws_alone_is_counted_once() -> None:
    """Seeds whose scores are independent noise around one: their spread is in the influences already."""
    generator = np.random.default_rng(4)
    truth = generator.standard_normal(2000)
    scores = truth + generator.standard_normal((5, 2000))
    sample = Sample(truth)
    together, one = measured(scores, sample), measured(scores[:1], sample)
    error, alone = (inference._error(sample, each, [each]).variance for each in (together, one))
    assert error < alone, "five noisy seeds are better than one"
    assert error == pytest.approx(float(together.influence.mean(0).var()) / 2000, rel=0.5)


def test_the_whole_space_has_an_interval_where_noise_is_known_and_none_else() -> None:
    generator = np.random.default_rng(3)
    expected = generator.standard_normal(64)
    scores = (expected + 0.3 * generator.standard_normal(64))[None]
    trained = [expected + 0.5 * generator.standard_normal(64) for _ in range(300)]
    spread = np.std([stats.spearmanr(scores[0], one).statistic for one in trained])
    sample = Sample(trained[0], 1.0, 0.5)
    error = inference._error(sample, (one := measured(scores, sample)), [one])
    assert np.sqrt(error.variance) == pytest.approx(spread, rel=0.25)
    assert error.freedom == np.inf
    assert np.isnan(interval(measured(scores, Sample(trained[0], 1.0)), Sample(trained[0], 1.0)).low)
    assert "not known" in inference.about(Sample(trained[0], 1.0), 1)


def test_the_share_that_was_scored_leaves_the_choice_of_candidates_out() -> None:
    x, y = np.random.default_rng(5).standard_normal((2, 100))
    widths = []
    for share in (0.0, 0.5, 0.99):
        sample = Sample(y + x, share, 1e-6)
        found = interval(measured(x[None], sample), sample)
        widths.append(np.arctanh(found.high) - np.arctanh(found.low))
    np.testing.assert_allclose(np.array(widths) / widths[0], np.sqrt([1, 0.5, 0.01]), rtol=1e-3)


def test_the_ceiling_is_what_expected_accuracies_reach() -> None:
    """Normal accuracies of reliability .46, as those of the gain on S0: Pearson's r .678, Spearman's rho .660."""
    generator = np.random.default_rng(6)
    truth = generator.standard_normal(4000)
    found = Sample(truth / truth.std(ddof=1), 1.0, np.sqrt(0.54), retrainings=200).ceiling()
    assert found == pytest.approx(6 / np.pi * np.arcsin(np.sqrt(0.46) / 2), abs=0.005)
    assert np.isnan(Sample(truth).ceiling())


@pytest.mark.parametrize("n", [2, 7])
def test_fewer_than_eight_have_no_interval_and_no_test(n: int) -> None:
    x = np.arange(float(n))
    one, sample = measured(x[None], Sample(x % 3)), Sample(x % 3)
    assert np.isnan([interval(one, sample).low, difference(one, one, sample).p]).all()
    assert "fewer than 8" in inference.about(sample, 1)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=8, max_size=20))
def test_an_interval_never_excludes_its_own_estimate(pairs: list[tuple[int, int]]) -> None:
    x, y = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    found = interval(measured(x[None], Sample(y)), Sample(y))
    if not np.isnan(found.value):
        assert -1 <= found.low <= found.value <= found.high <= 1


def test_perfect_order_is_not_certain() -> None:
    x = np.arange(8.0)
    found = interval(measured(x[None], Sample(x)), Sample(x))
    assert (found.value, found.high) == (1, 1)
    assert 0.7 < found.low < 0.9


def test_a_difference_is_that_of_all_pairs_inside_the_ellipse() -> None:
    """Pairs of correlations, drawn on Fisher's scale, kept within 1.96 errors: their differences fill the interval."""
    bounds, shared = [inference._Bounds(0.9, 0.15), inference._Bounds(0.4, 0.1)], 0.6
    found = inference._difference(*bounds, shared, np.inf)
    drawn = np.random.default_rng(0).standard_normal((2, 400_000))
    inside = drawn[:, np.linalg.norm(drawn, axis=0) <= 1.959964]
    first = np.tanh(np.arctanh(0.9) + 0.15 * inside[0])
    second = np.tanh(np.arctanh(0.4) + 0.1 * (0.6 * inside[0] + 0.8 * inside[1]))
    np.testing.assert_allclose(found[1:3], [(first - second).min(), (first - second).max()], atol=1e-3)


def test_a_difference_from_what_is_certain_is_an_interval_moved() -> None:
    found = inference._difference(inference._Bounds(0.6, 0.2), inference._Bounds(0.5, 0.0), 0.0, np.inf)
    z = np.arctanh(0.6) + 0.2 * 1.959964 * np.array([-1, 1])
    np.testing.assert_allclose(found[1:3], np.tanh(z) - 0.5, rtol=1e-6)
    assert found.p == pytest.approx(2 * stats.norm.sf((np.arctanh(0.6) - np.arctanh(0.5)) / 0.2))


def test_what_never_differs_has_no_width() -> None:
    same = inference._Bounds(0.8, 0.1)
    np.testing.assert_allclose(inference._difference(same, same, 1.0, 20.0), [0, 0, 0, 1], atol=1e-12)


@given(st.floats(-0.95, 0.95), st.floats(-0.95, 0.95), st.floats(-0.9, 0.9), st.floats(0.02, 0.5))
def test_interval_and_test_agree(first: float, second: float, shared: float, scaled: float) -> None:
    """p below .05 where, and only where, the interval leaves zero out."""
    found = inference._difference(
        inference._Bounds(first, scaled), inference._Bounds(second, 0.7 * scaled), shared, 30.0
    )
    assert found.low <= found.value <= found.high
    if abs(found.p - 0.05) > 1e-5:
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)


def test_two_runs_that_differ_in_their_seeds_differ_by_more_than_the_candidates() -> None:
    """Draws that move rho by .1 each way: unpaired, the difference of two runs holds both variances."""
    n = 100
    shared = np.tile(np.tile([1.0, -1.0], n // 2) * 0.01 * np.sqrt(n - 1), (3, 1))
    a, b = (Measured(np.array(rhos), shared, NONE) for rhos in ([0.2, 0.3, 0.4], [0.4, 0.5, 0.6]))
    sample = Sample(np.arange(n, dtype=float))
    apart, paired = difference(b, a, sample, paired=False), difference(b, a, sample)
    assert paired.p < 0.05 < apart.p, "with the same seeds every one of them is .2 ahead"


def test_intervals_cover_and_tests_find_as_promised() -> None:
    """A quick form of analysis/validate.py --statistics; what the page says of the rest stands in docs/analysis.md."""
    generator = np.random.default_rng(7)
    wanted = {"n 64", "n 20, ties", "n 64, 3 draws, deviation 0.16", "test, n 64"}
    chosen = [row for row in coverage.rows(quick=True) if row.text in wanted]
    assert len(chosen) == len(wanted)
    for row in chosen:
        found = row.filled(200, generator)
        promised = coverage.FOUND if row.is_test else coverage.COVERED
        for share in found[:2]:
            assert promised[0] - 4 <= share <= promised[1] + 3, (row.text, found)


def test_a_line_outside_what_is_promised_is_marked() -> None:
    line = coverage.Row("", lambda *_: 0.0)
    assert line.outside(91.9, 2000)
    assert not line.outside(92.1, 2000)
    assert coverage.Row("", lambda *_: 0.0, is_test=True).outside(7.1, 2000)


def test_scores_of_the_simulation_have_the_rho_that_was_asked_for() -> None:
    generator = np.random.default_rng(8)
    truth = generator.standard_normal(100_000)
    found = stats.spearmanr(truth, coverage._scores(0.8, truth, 1, 0.0, generator)[0, 0]).statistic
    assert found == pytest.approx(0.8, abs=0.005)
    assert coverage._expected(0.5, 0.0) == pytest.approx(0.5)


def test_ranks_of_untied_values() -> None:
    drawn = np.random.default_rng(9).standard_normal((3, 11))
    np.testing.assert_array_equal(untied_ranks(drawn), stats.rankdata(drawn, axis=1) - 6)
