"""Proxies against each other: against scipy, brute force, and tables worked by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from analysis.stats import comparison
from analysis.stats.bootstrap import Array
from analysis.stats.ranking import spearman


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def cohort(n: int, noise: tuple[float, ...], seed: int = 1) -> tuple[Array, Array]:
    """Scores [P, 1, n] that are the truth with more or less noise, and the truth [n]."""
    generator = random(seed)
    truth = generator.standard_normal(n)
    return np.stack([truth + scale * generator.standard_normal(n) for scale in noise])[:, None], truth


def test_differences_equal_a_bootstrap_written_out() -> None:
    scores, truth = cohort(40, (0.5, 2.0))
    (pair,) = comparison.differences("ab", scores, truth, range(40), random(), resamples=200)
    keys = np.unique([str(number) for number in range(40)], return_inverse=True)[1]
    gaps, ahead = [], 0
    for times in random().multinomial(40, np.full(40, 1 / 40), size=200)[:, keys]:
        drawn = np.repeat(np.arange(40), times)
        first, second = (spearman(row[0, drawn], truth[drawn]) for row in scores)
        gaps.append(first - second)
        ahead += first > second
    assert (pair.first, pair.second) == ("a", "b")
    np.testing.assert_allclose([pair.low, pair.high], np.quantile(gaps, [0.025, 0.975]))
    np.testing.assert_allclose(pair.p, 2 * stats.norm.sf(pair.difference / np.std(gaps, ddof=1)))
    assert pair.share == ahead / 200


def test_where_there_is_no_difference_one_is_found_as_rarely_as_the_level_says() -> None:
    """Two proxies of equal quality, 150 cohorts of 60: p is below .05 in about 8 of them."""
    found = 0
    for seed in range(150):
        scores, truth = cohort(60, (1.0, 1.0), seed)
        (pair,) = comparison.differences("ab", scores, truth, range(60), random(), resamples=200)
        found += pair.p < 0.05
    assert 1 <= found <= 17


def test_the_better_proxy_wins_and_comes_first() -> None:
    scores, truth = cohort(200, (3.0, 0.2))
    (pair,) = comparison.differences(["poor", "good"], scores, truth, range(200), random(), resamples=200)
    assert (pair.first, pair.winner) == ("good", "good")
    assert pair.share == 1
    assert pair.low > 0
    assert pair.steiger_p < 1e-6


def test_the_same_ranks_under_two_names_do_not_differ() -> None:
    scores, truth = cohort(50, (1.0,))
    twice = np.concatenate([scores, 3 * scores + 1])
    (pair,) = comparison.differences("ab", twice, truth, range(50), random(), resamples=100)
    assert (pair.difference, pair.p, pair.share, pair.winner) == (0, 1, 0.5, None)


def test_an_undefined_correlation_has_no_p_and_costs_the_others_nothing() -> None:
    scores, truth = cohort(60, (0.5, 1.5))
    three = np.concatenate([scores, np.zeros((1, 1, 60))])
    pairs = comparison.differences("abc", three, truth, range(60), random(), resamples=100)
    assert [np.isnan(pair.p) for pair in pairs] == [False, True, True]
    assert pairs[0].p_holm == pairs[0].p


def test_holm_by_hand() -> None:
    """.01, .02, .03, .04 times 4, 3, 2, 1 are .04, .06, .06, .04; a later one is never below an earlier one."""
    found = comparison.holm(np.array([0.04, np.nan, 0.01, 0.03, 0.02]))
    np.testing.assert_allclose(found, [0.06, np.nan, 0.04, 0.06, 0.06])
    assert comparison.holm(np.array([0.9, 0.8])).tolist() == [1, 1]


def test_steiger_is_as_often_significant_as_its_level_says() -> None:
    """Two predictors of equal correlation with each other's noise shared: 1,000 samples of 100."""
    generator, found = random(3), 0
    for _ in range(1000):
        truth, common, a, b = generator.standard_normal((4, 100))
        x, y = truth + 0.5 * common + a, truth + 0.5 * common + b
        r = np.corrcoef([x, y, truth])
        found += comparison.steiger(r[0, 2], r[1, 2], r[0, 1], 100)[1] < 0.05
    assert 30 <= found <= 72


def test_steiger_of_independent_predictors_is_fishers_test() -> None:
    """With nothing shared but a correlation of about zero, the covariance is zero: Fisher's z of two samples."""
    z, p = comparison.steiger(0.1, -0.1, 0.0, 103)
    np.testing.assert_allclose(z, (np.arctanh(0.1) - np.arctanh(-0.1)) * np.sqrt(100 / 2))
    np.testing.assert_allclose(p, 2 * stats.norm.sf(z))


@pytest.mark.parametrize("case", [(0.5, 0.4, 0.3, 3), (1.0, 0.4, 0.4, 50), (0.5, 0.5, 1.0, 50), (np.nan, 0.5, 0.5, 50)])
def test_steiger_is_undefined_at_the_edges(case: tuple[float, float, float, int]) -> None:
    assert np.isnan(comparison.steiger(*case)).all()


def test_correlations_among_proxies_equal_scipys() -> None:
    scores = random().integers(0, 5, (3, 2, 30)).astype(float)
    expected = np.mean([stats.spearmanr(scores[:, seed].T).statistic for seed in range(2)], axis=0)
    np.testing.assert_allclose(comparison.correlations_among(scores), expected)
    scores[1] = 7
    assert np.isnan(comparison.correlations_among(scores)[1]).all()


def test_wins_are_shares_both_ways() -> None:
    scores, truth = cohort(60, (0.5, 1.0, 1.5))
    pairs = comparison.differences("abc", scores, truth, range(60), random(), resamples=100)
    found = comparison.wins("abc", pairs)
    np.testing.assert_allclose(found + found.T, np.where(np.eye(3) == 1, np.nan, 1.0))


def pairs_of(names: str, apart: set[str]) -> list[comparison.Difference]:
    """All pairs, of which some are told apart."""
    found = [(x, y, 0.01 if x + y in apart else 0.5) for x, y in combinations(names, 2)]
    return [comparison.Difference(x, y, 0.1, 0, 0, p, p, 1, 0, p) for x, y, p in found]


def test_groups_in_which_nothing_is_told_apart() -> None:
    assert comparison.undecided("abcd", pairs_of("abcd", {"ac", "ad", "bd"})) == [[0, 1], [1, 2], [2, 3]]
    assert comparison.undecided("abc", pairs_of("abc", set())) == [[0, 1, 2]]
    assert comparison.undecided("abc", pairs_of("abc", {"ab", "ac", "bc"})) == []


def test_the_outer_two_are_joined_where_only_the_middle_one_is_apart() -> None:
    assert comparison.undecided("abc", pairs_of("abc", {"ab", "bc"})) == [[0, 2]]


def test_every_pair_that_is_not_told_apart_is_joined_and_no_other() -> None:
    for seed in range(50):
        drawn = np.random.default_rng(seed)
        apart = {x + y for x, y in combinations("abcdefgh", 2) if drawn.random() < 0.4}
        groups = comparison.undecided("abcdefgh", pairs_of("abcdefgh", apart))
        joined = {"abcdefgh"[x] + "abcdefgh"[y] for group in groups for x, y in combinations(group, 2)}
        assert joined == {x + y for x, y in combinations("abcdefgh", 2)} - apart
