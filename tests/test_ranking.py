"""Ranking against scipy, hand-worked cases and the edges: ties, NaN, constants, n = 0, 1, 2."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
from analysis.stats.bootstrap import Array, spearman_resamples
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.stats import bootstrap, ranking

values = st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=3, max_size=40)


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def rank(scores: object, truth: object, size: object = None, ok: object = None, **options: object) -> ranking.Ranking:
    scores = np.atleast_2d(np.asarray(scores, dtype=float))
    truth = np.asarray(truth, dtype=float)
    sizes = np.arange(len(truth), dtype=float) if size is None else np.asarray(size, dtype=float)
    fine = np.isfinite(scores) if ok is None else np.asarray(ok)
    options.setdefault("clusters", list(range(len(truth))))
    return ranking.rank(scores, truth, sizes, ok=fine, random=random(), **options)  # type: ignore[arg-type]


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
    for name in ("spearman", "spearman_low", "kendall", "top10_spearman", "partial_spearman"):
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
    np.testing.assert_allclose(rank(x, y, size=z).partial_spearman, expected)
    assert np.isnan(rank(x, y, size=x).partial_spearman)


def test_partial_correlation_equals_that_of_residual_ranks() -> None:
    x, y, z = np.random.default_rng(1).standard_normal((3, 200))
    x, y = x + z, y + z
    ranks = [stats.rankdata(v) for v in (x, y, z)]
    left = [v - np.polyval(np.polyfit(ranks[2], v, 1), ranks[2]) for v in ranks[:2]]
    np.testing.assert_allclose(ranking.partial_spearman(x, y, z), np.corrcoef(*left)[0, 1])


def test_top_views_by_hand() -> None:
    truth = np.arange(20.0)
    scores = truth.copy()
    scores[[18, 19]] = [19, 18]  # the two best in the wrong order
    found = rank(scores, truth)
    assert found.top10_spearman == -1
    assert found.top10_mean_truth == np.arange(10, 20).mean()
    assert found.regret == 1


def test_the_top_tenth_takes_ties_along() -> None:
    assert ranking.top_tenth_spearman(np.array([1.0, 2.0]), np.array([2.0, 1.0])) == -1
    truth = np.array([0.0] * 17 + [5.0, 5.0, 6.0])
    assert ranking.top_tenth_spearman(np.arange(20.0), truth) == stats.spearmanr([17, 18, 19], [5, 5, 6]).statistic


def test_the_top_tenth_is_a_tenth() -> None:
    best = [6, 1, 2, 3, 4, 5]
    scores = np.append(np.full(54, 9), best)
    found = ranking.top_tenth_spearman(scores, np.arange(60.0))
    assert found == pytest.approx(stats.spearmanr(best, range(6)).statistic)


@pytest.mark.parametrize("view", [ranking.top_mean_truth, ranking.regret, ranking.precision, ranking.ndcg])
def test_the_top_of_none_is_undefined_and_of_one_itself(view: Callable[[Array, Array, int], float]) -> None:
    one = np.array([7.0])
    assert np.isnan(view(one[:0], one[:0], 1))
    expected = {ranking.top_mean_truth: 7, ranking.regret: 0, ranking.precision: 1, ranking.ndcg: np.nan}
    np.testing.assert_equal(view(one, one, 1), expected[view])


def test_ties_at_the_edge_of_the_top_count_by_their_mean() -> None:
    assert ranking.top_mean_truth(np.array([3.0, 2, 2, 2, 1]), np.array([9.0, 3, 6, 0, 100]), 2) == (9 + 3) / 2


@given(values, st.integers(0, 1000))
def test_a_resample_has_the_correlation_of_the_repeated_candidates(pairs: list[tuple[int, int]], seed: int) -> None:
    """The bootstrap's ranks come from one sort; here each resample is written out and ranked anew."""
    x, y = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    n = len(x)
    found = spearman_resamples(np.stack([x, y, -x]), y, range(n), np.random.default_rng(seed), resamples=4)
    keys = np.unique([str(number) for number in range(n)], return_inverse=True)[1]
    draws = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=4)[:, keys]
    for times, rhos in zip(draws, found, strict=True):
        repeated = np.repeat(np.arange(n), times)
        expected = [ranking.spearman(column[repeated], y[repeated]) for column in (x, y, -x)]
        np.testing.assert_allclose(rhos, expected, atol=1e-9)


def test_the_bootstrap_gives_the_same_whatever_it_holds_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.random.default_rng(1).standard_normal((2, 50))
    first = spearman_resamples(x[None], y, range(50), random(), resamples=30)
    monkeypatch.setattr(bootstrap, "BLOCK", 350)
    np.testing.assert_allclose(spearman_resamples(x[None], y, range(50), random(), resamples=30), first)


def test_one_resample_makes_no_width() -> None:
    low, high = ranking.bootstrap_interval(np.arange(9.0)[None], np.arange(9.0) % 4, range(9), random(), resamples=1)
    assert low == high


def test_the_interval_covers_as_often_as_it_says() -> None:
    """95 % intervals over 300 samples of 100 from a bivariate normal: the true rho is inside about 95 times in 100."""
    generator = np.random.default_rng(5)
    true = 6 / np.pi * np.arcsin(0.7 / 2)
    inside = 0
    for _ in range(300):
        x = generator.standard_normal(100)
        y = 0.7 * x + np.sqrt(1 - 0.49) * generator.standard_normal(100)
        low, high = ranking.bootstrap_interval(x[None], y, range(100), generator, resamples=400)
        inside += low <= true <= high
    assert 0.90 <= inside / 300 <= 0.99


def test_clusters_are_resampled_together_and_widen_the_interval() -> None:
    x, y = np.random.default_rng(1).standard_normal((2, 30))
    y = y + x
    one_each = ranking.bootstrap_interval(np.repeat(x, 10)[None], np.repeat(y, 10), range(300), random())
    together = ranking.bootstrap_interval(np.repeat(x, 10)[None], np.repeat(y, 10), np.repeat(range(30), 10), random())
    once = ranking.bootstrap_interval(x[None], y, range(30), random())
    assert together[1] - together[0] > 2 * (one_each[1] - one_each[0])
    np.testing.assert_allclose(together, once, atol=0.05)


def test_the_interval_repeats_and_a_whole_space_has_none() -> None:
    x, y = np.random.default_rng(1).standard_normal((2, 50))
    first, second = rank(x, y), rank(x, y)
    assert first == second or np.isnan(first.spearman_sd)
    assert (first.spearman_low, first.spearman_high) == (second.spearman_low, second.spearman_high)
    assert first.spearman_low < first.spearman < first.spearman_high
    assert np.isnan(rank(x, y, whole_space=True).spearman_low)


def test_one_cluster_has_no_interval() -> None:
    assert np.isnan(rank([1, 2, 3], [1, 2, 3], clusters=[0, 0, 0]).spearman_low)


def test_several_seeds_give_mean_and_spread() -> None:
    truth = [1, 2, 3, 4]
    found = rank([[1, 2, 3, 4], [4, 3, 2, 1]], truth)
    assert found.spearman == 0
    assert found.seeds == 2
    np.testing.assert_allclose(found.spearman_sd, np.sqrt(2))
    assert np.isnan(rank([1, 2, 3, 4], truth).spearman_sd)


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="lengths differ"):
        rank([1, 2, 3], [1, 2], clusters=[0, 1])


def test_order_of_candidates_does_not_matter() -> None:
    x, y, z = np.random.default_rng(1).standard_normal((3, 60))
    order = np.random.default_rng(2).permutation(60)
    first, second = rank(x, y, z, whole_space=True), rank(x[order], y[order], z[order], whole_space=True)
    for name in ("spearman", "kendall", "top10_spearman", "top10_mean_truth", "regret", "partial_spearman"):
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


def test_within_bands_of_size_by_hand() -> None:
    """Two bands of four and two: rho 1 and -1, weighted by their candidates, though the whole looks otherwise."""
    size = np.array([1.0, 1, 1, 1, 9, 9])
    truth, scores = np.array([1.0, 2, 3, 4, 8, 9]), np.array([1.0, 2, 3, 4, 6, 5])
    np.testing.assert_allclose(ranking.band_spearman(scores, truth, size, bands=2), (4 * 1 + 2 * -1) / 6)
    assert np.isnan(ranking.band_spearman(size, truth, size, bands=2))


def test_equal_sizes_share_the_band_of_their_first() -> None:
    bands = ranking.size_bands(np.array([1.0, 1, 1, 2]), 4)
    assert bands.tolist() == [0, 0, 0, 3]
    assert bands.dtype.kind == "i"
    assert ranking.size_bands(np.array([]), 4).tolist() == []


def test_bands_are_about_equal_where_sizes_differ() -> None:
    size, truth = np.arange(40.0), np.tile([0.0, 1.0], 20)
    expected = np.mean([ranking.spearman(size[i : i + 10], truth[i : i + 10]) for i in range(0, 40, 10)])
    np.testing.assert_allclose(ranking.band_spearman(size, truth, size), expected)
