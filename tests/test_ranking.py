"""Ranking against scipy, hand-worked cases and the edges: ties, NaN, constants, n = 0, 1, 2."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.stats import ranking
from analysis.stats.inference import Sample
from analysis.stats.influence import Array

values = st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=40)


def rank(scores: object, truth: object, size: object = None, ok: object = None, share: float = 0.0) -> ranking.Ranking:
    scores = np.atleast_2d(np.asarray(scores, dtype=float))
    truth = np.asarray(truth, dtype=float)
    sizes = np.arange(len(truth), dtype=float) if size is None else np.asarray(size, dtype=float)
    fine = np.isfinite(scores) if ok is None else np.asarray(ok)
    return ranking.rank(scores, Sample(truth, share), [sizes], ok=fine)


@given(values)
def test_correlations_equal_scipys_on_ties(pairs: list[tuple[int, int]]) -> None:
    x, y = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    if len(set(x)) > 1 and len(set(y)) > 1:
        np.testing.assert_allclose(ranking.spearman(x, y), stats.spearmanr(x, y).statistic, atol=1e-12)
        np.testing.assert_allclose(ranking.kendall(x, y), stats.kendalltau(x, y).statistic, atol=1e-12)
    else:
        assert np.isnan(ranking.spearman(x, y))
        assert np.isnan(ranking.kendall(x, y))


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_candidates_leave_correlations_undefined(n: int) -> None:
    found = rank(np.zeros((1, n)), np.zeros(n))
    for name in ("spearman", "spearman_low", "kendall", "top_tenth_spearman", "given", "given_low"):
        assert np.isnan(getattr(found, name)), name
    assert found.n == n


def test_two_candidates() -> None:
    found = rank([2, 1], [90, 91])
    assert found.spearman == found.kendall == -1
    assert found.regret == 1


@given(st.lists(st.integers(0, 50), min_size=2, max_size=200).filter(lambda drawn: len(set(drawn)) > 1))
def test_a_correlation_with_itself_is_exactly_one(drawn: list[int]) -> None:
    x = np.array(drawn, dtype=float)
    assert (ranking.spearman(x, x**3), ranking.spearman(x, -x)) == (1, -1)


def test_a_negative_correlation_stays_negative() -> None:
    assert rank([3, 2, 1, 0], [1, 2, 3, 4]).spearman == -1


def test_failed_scores_rank_last_and_are_counted() -> None:
    truth = [1, 2, 3, 4]
    assert rank([np.nan, 2, 3, 4], truth).spearman == 1
    assert rank([np.inf, 2, 3, 4], truth, ok=[[False, True, True, True]]).spearman == 1
    two_failed = rank([np.nan, -np.inf, 3, 4], truth)
    assert two_failed.failed == 2
    assert rank([np.nan, 2, 3, 4], truth).failed == 1
    np.testing.assert_allclose(two_failed.spearman, stats.spearmanr([0, 0, 3, 4], truth).statistic)


def test_where_every_score_failed_nothing_is_defined() -> None:
    found = rank([np.nan, np.nan, np.nan], [1, 2, 3])
    assert (found.n, found.failed, found.seeds) == (3, 3, 1)
    both = ranking.undefined(3, 2)
    assert (both.n, both.failed, both.seeds) == (3, 6, 2)
    for one in (found, both):
        figures = {name: value for name, value in vars(one).items() if name not in ("n", "failed", "seeds")}
        assert np.isnan(list(figures.values())).all(), figures


def test_a_constant_score_has_no_correlation() -> None:
    found = rank([1, 1, 1], [1, 2, 3])
    assert np.isnan(found.spearman)
    assert np.isnan(found.kendall)
    np.testing.assert_allclose(found.regret, 1)  # expected over the tie: 3 - 2


def test_partial_correlation_by_hand() -> None:
    """r_xy = .8, r_xz = .4, r_yz = .4 among ranks of five: (.8 - .16) / (1 - .16)."""
    x, y, z = [1, 2, 3, 4, 5], [2, 1, 4, 3, 5], [2, 4, 3, 1, 5]
    rxy, rxz, ryz = (stats.spearmanr(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))
    expected = (rxy - rxz * ryz) / np.sqrt((1 - rxz**2) * (1 - ryz**2))
    np.testing.assert_allclose(rank(x, y, size=z).given, expected)
    assert np.isnan(rank(x, y, size=x).given)


def test_partial_correlation_equals_that_of_residual_ranks() -> None:
    x, y, z = np.random.default_rng(1).standard_normal((3, 200))
    x, y = x + z, y + z
    ranks = [stats.rankdata(v) for v in (x, y, z)]
    left = [v - np.polyval(np.polyfit(ranks[2], v, 1), ranks[2]) for v in ranks[:2]]
    np.testing.assert_allclose(ranking.partial_spearman(x, y, z), np.corrcoef(*left)[0, 1])


def test_top_views_by_hand() -> None:
    truth = np.arange(200.0)
    scores = truth.copy()
    scores[180:] = scores[180:][::-1]  # the best twenty in the wrong order
    found = rank(scores, truth)
    assert found.top_tenth_spearman == -1
    assert found.top_10_truth == np.arange(180, 190).mean()
    assert found.regret == 19


def test_the_tenth_takes_ties_along() -> None:
    truth = np.array([0.0] * 17 + [5.0, 5.0, 6.0])
    assert ranking.tenth(truth).nonzero()[0].tolist() == [17, 18, 19]


@pytest.mark.parametrize(("n", "best"), [(9, 1), (19, 1), (25, 2), (35, 3), (45, 4), (200, 20)])
def test_the_tenth_is_cut_one_way(n: int, best: int) -> None:
    assert ranking.tenth(np.arange(float(n))).sum() == best


def test_the_top_tenth_is_a_tenth_of_at_least_twenty() -> None:
    best = np.random.default_rng(3).permutation(20)
    scores = np.append(np.full(180, 99), best)
    found = ranking.top_tenth_spearman(scores, np.arange(200.0))
    assert found == pytest.approx(stats.spearmanr(best, range(20)).statistic)
    assert np.isnan(ranking.top_tenth_spearman(scores[1:], np.arange(199.0)))


@pytest.mark.parametrize("view", [ranking.top_mean_truth, ranking.regret, ranking.precision, ranking.ndcg])
def test_the_top_of_none_is_undefined_and_of_one_itself(view: Callable[[Array, Array, int], float]) -> None:
    one = np.array([7.0])
    assert np.isnan(view(one[:0], one[:0], 1))
    expected = {ranking.top_mean_truth: 7, ranking.regret: 0, ranking.precision: 1, ranking.ndcg: np.nan}
    np.testing.assert_equal(view(one, one, 1), expected[view])


def test_ties_at_the_edge_of_the_top_count_by_their_mean() -> None:
    assert ranking.top_mean_truth(np.array([3.0, 2, 2, 2, 1]), np.array([9.0, 3, 6, 0, 100]), 2) == (9 + 3) / 2


def test_several_seeds_give_mean_and_spread() -> None:
    truth = [1, 2, 3, 4]
    found = rank([[1, 2, 3, 4], [4, 3, 2, 1]], truth)
    assert found.spearman == 0
    assert found.seeds == 2
    np.testing.assert_allclose(found.spearman_sd, np.sqrt(2))
    assert np.isnan(rank([1, 2, 3, 4], truth).spearman_sd)


def test_order_of_candidates_does_not_matter() -> None:
    x, y, z = np.random.default_rng(1).standard_normal((3, 60))
    order = np.random.default_rng(2).permutation(60)
    first, second = rank(x, y, z), rank(x[order], y[order], z[order])
    for name in ("spearman", "spearman_low", "kendall", "top_10_truth", "regret", "given", "given_high"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name))


ties = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=2, max_size=5)


@given(ties, st.integers(1, 6))
def test_top_views_are_expectations_over_the_orders_of_ties(pairs: list[tuple[int, int]], k: int) -> None:
    """Every order that the scores allow, written out: the view is the mean over them."""
    x, truth = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    orders = [o for o in map(list, permutations(range(len(x)))) if (np.diff(x[o]) <= 0).all()]
    first = [truth[order][: min(k, len(x))] for order in orders]
    best = np.sort(truth)[-min(k, len(x))]
    np.testing.assert_allclose(ranking.regret(x, truth, k), truth.max() - np.mean([top.max() for top in first]))
    np.testing.assert_allclose(ranking.precision(x, truth, k), np.mean([(top >= best).mean() for top in first]))
    if np.ptp(truth) == 0:
        assert np.isnan(ranking.ndcg(x, truth, k))
        return
    gains = [(top - truth.min()) / np.ptp(truth) for top in [np.sort(truth)[::-1][: len(first[0])], *first]]
    ideal, *found = [sum(gain / np.log2(place + 2) for place, gain in enumerate(row)) for row in gains]
    np.testing.assert_allclose(ranking.ndcg(x, truth, k), np.mean(found) / ideal)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="lengths differ"):
        rank([1, 2, 3], [1, 2])
    with pytest.raises(ValueError, match="lengths differ"):
        rank([1, 2], [1, 2], size=[1, 2, 3])


def test_a_whole_space_has_no_interval_where_noise_is_unknown() -> None:
    x, y = np.random.default_rng(1).standard_normal((2, 50))
    assert rank(x, y).spearman_low < rank(x, y).spearman < rank(x, y).spearman_high
    assert np.isnan([rank(x, y, share=1.0).spearman_low, rank(x, y, share=1.0).given_low]).all()


def test_given_both_sizes_is_the_correlation_of_residual_ranks() -> None:
    x, y, params, macs = np.random.default_rng(1).standard_normal((4, 60))
    x, y = x + params + macs, y + params - macs
    design = np.column_stack([np.ones(60), *(stats.rankdata(one) for one in (params, macs))])
    left = [r - design @ np.linalg.lstsq(design, r, rcond=None)[0] for r in (stats.rankdata(x), stats.rankdata(y))]
    np.testing.assert_allclose(ranking.partial_spearman(x, y, params, macs), np.corrcoef(*left)[0, 1])


def test_how_far_a_score_follows_size() -> None:
    """The multiple correlation of ranks: with one other variable the rank correlation without its sign."""
    x, size = np.random.default_rng(1).standard_normal((2, 80))
    x = x - size
    np.testing.assert_allclose(ranking.explained(x, size), -stats.spearmanr(x, size).statistic)
    assert ranking.explained(size, x, size) == pytest.approx(1)
    assert np.isnan(ranking.explained(np.zeros(80), size))
