"""Proxies against each other: against scipy, brute force, and tables worked by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from analysis.stats import comparison
from analysis.stats.comparison import Ranked, verdict
from analysis.stats.inference import Sample
from analysis.stats.influence import Array


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def cohort(n: int, noise: tuple[float, ...], seed: int = 1) -> tuple[Array, Array]:
    """Scores [P, 1, n] that are the truth with more or less noise, and the truth [n]."""
    generator = random(seed)
    truth = generator.standard_normal(n)
    return np.stack([truth + scale * generator.standard_normal(n) for scale in noise])[:, None], truth


def test_holm_by_hand() -> None:
    """.01, .02, .03, .04 times 4, 3, 2, 1 are .04, .06, .06, .04; a later one is never below an earlier one."""
    found = comparison.holm(np.array([0.04, np.nan, 0.01, 0.03, 0.02]))
    np.testing.assert_allclose(found, [0.06, np.nan, 0.04, 0.06, 0.06])
    assert comparison.holm(np.array([0.9, 0.8])).tolist() == [1, 1]


def test_correlations_among_proxies_equal_scipys() -> None:
    scores = random().integers(0, 5, (3, 2, 30)).astype(float)
    expected = np.mean([stats.spearmanr(scores[:, seed].T).statistic for seed in range(2)], axis=0)
    np.testing.assert_allclose(comparison.correlations_among(scores), expected)
    scores[1] = 7
    assert np.isnan(comparison.correlations_among(scores)[1]).all()


def test_a_difference_is_that_of_two_correlations_and_its_test_finds_a_real_one() -> None:
    scores, truth = cohort(200, (3.0, 0.2))
    (pair,) = Ranked.of(["poor", "good"], scores, Sample(truth)).pairs
    rhos = [stats.spearmanr(row[0], truth).statistic for row in scores]
    assert (pair.first, pair.second, pair.winner) == ("good", "poor", "good")
    np.testing.assert_allclose(pair.difference, rhos[1] - rhos[0])
    assert pair.low > 0
    assert pair.p == pair.p_holm < 1e-6


def test_rankings_that_are_equal_count_once() -> None:
    scores, truth = cohort(50, (1.0, 2.0))
    twice = np.concatenate([scores[:1], 3 * scores[:1] + 1, scores[1:]])
    ranked = Ranked.of(["params", "macs", "other"], twice, Sample(truth))
    assert sorted(ranked.names) == ["other", "params, macs"]
    assert len(ranked.pairs) == len(ranked.against(["macs"])) == 1


def test_an_undefined_correlation_has_no_p_and_costs_the_others_nothing() -> None:
    scores, truth = cohort(60, (0.5, 1.5))
    three = np.concatenate([np.zeros((1, 1, 60)), scores])
    pairs = Ranked.of(["flat", "a", "b"], three, Sample(truth)).pairs
    assert [np.isnan(pair.p) for pair in pairs] == [False, True, True]
    assert pairs[0].p_holm == pairs[0].p
    assert pairs[1].winner is None


def test_the_family_is_each_against_params_and_the_subject_once() -> None:
    scores, truth = cohort(60, (0.5, 1.0, 1.5, 2.0))
    names = ["diswot", "params", "x", "y"]
    found = Ranked.of(names, scores, Sample(truth)).against(["params", "diswot"])
    told = [{pair.first, pair.second} for pair in found]
    assert len(told) == 5
    assert {"x", "y"} not in told
    np.testing.assert_allclose([pair.p_holm for pair in found], comparison.holm(np.array([pair.p for pair in found])))


def test_seeds_are_paired() -> None:
    """Two proxies whose correlations move together over seeds: the difference is known better than either."""
    generator = random(2)
    truth = generator.standard_normal(400)
    common = generator.standard_normal((3, 400))
    a = np.stack([truth * scale + one for scale, one in zip((0.8, 1.0, 1.2), common, strict=True)])
    (pair,) = Ranked.of("ab", np.stack([a, a + 0.1 * generator.standard_normal((3, 400))]), Sample(truth)).pairs
    assert pair.high - pair.low < 0.1


def pairs_of(names: str, apart: set[str]) -> list[comparison.Difference]:
    """All pairs, of which some are told apart."""
    found = [(x, y, 0.01 if x + y in apart else 0.5) for x, y in combinations(names, 2)]
    return [comparison.Difference(x, y, 0.1, 0, 0, p, p) for x, y, p in found]


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


@pytest.mark.parametrize(
    ("shift", "p", "drawn", "says"),
    [
        (0.0, 0.001, True, "the same"),
        (0.2, np.nan, True, "n/a"),
        (0.2, 0.2, True, "within noise"),
        (0.2, 0.01, True, "more than noise"),
        (0.2, 0.01, False, "more than the candidates make"),
    ],
)
def test_verdicts(shift: float, p: float, drawn: bool, says: str) -> None:
    assert verdict(shift, p, drawn=drawn) == says
