"""Properties over drawn inputs: codes of all spaces, ranking against scipy and brute force, the store, expressions."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.stats import ranking
from analysis.stats.inference import Sample
from benchmarks import spaces
from benchmarks.scoring.store import Score, Store
from proxies import Combination, registered, select

SPACES = {name: kind() for name, kind in spaces.SPACES.items()}
NAMES = [proxy.name for proxy in registered()]

few = st.integers(-3, 3).map(float)
anything = st.one_of(few, st.floats(allow_nan=False, width=32))
columns = st.integers(0, 30).flatmap(
    lambda n: st.tuples(*(st.lists(values, min_size=n, max_size=n) for values in (anything, few, few)))
)


@pytest.mark.parametrize("name", SPACES)
@given(data=st.data())
def test_index_and_code_lead_to_each_other(name: str, data: st.DataObject) -> None:
    space = SPACES[name]
    index = data.draw(st.integers(0, min(len(space), 2**62) - 1))
    arch = space.arch(index)
    assert space.index(arch) == index
    assert space.parse(arch) == space.parse(f" {arch}\n") == space.parse(str(index)) == arch


@given(columns)
def test_correlations_are_scipys_for_every_length_and_tie(drawn: tuple[list[float], list[float], list[float]]) -> None:
    x, y, _ = (np.array(values) for values in drawn)
    ranks = stats.rankdata(x)  # scipy 1.13's spearmanr takes inf beside -inf for NaN
    for ours, theirs in ((ranking.spearman, stats.spearmanr), (ranking.kendall, stats.kendalltau)):
        found = ours(x, y)
        if len(set(x)) > 1 and len(set(y)) > 1:
            assert found == pytest.approx(theirs(ranks, y).statistic, abs=1e-12)
            assert ours(-x, y) == pytest.approx(-found, abs=1e-12)
        else:
            assert math.isnan(found)


@given(columns)
def test_partial_spearman_is_the_correlation_of_what_size_leaves(
    drawn: tuple[list[float], list[float], list[float]],
) -> None:
    x, y, size = (stats.rankdata(values) for values in drawn)
    found = ranking.partial_spearman(x, y, size)
    if len(x) < 3 or any(len(set(values)) < 2 for values in (x, y)):
        assert math.isnan(found) or len(x) == 2
        return  # a size that is everywhere the same explains nothing: the correlation itself is left
    design = np.column_stack([np.ones_like(size), size])
    left = [values - design @ np.linalg.lstsq(design, values, rcond=None)[0] for values in (x, y)]
    if min(np.linalg.norm(values) for values in left) > 1e-4:
        assert found == pytest.approx(np.corrcoef(*left)[0, 1], abs=1e-6)


@given(columns, st.integers(1, 6))
def test_the_top_is_the_mean_over_all_ways_to_break_ties(
    drawn: tuple[list[float], list[float], list[float]], k: int
) -> None:
    scores, truth = np.array(drawn[1][:7]), np.array(drawn[2][:7])
    found = ranking.top_mean_truth(scores, truth, k)
    if not len(scores):
        assert math.isnan(found)
        return
    k = min(k, len(scores))
    best = [c for c in map(list, combinations(range(len(scores)), k)) if scores[c].sum() == np.sort(scores)[-k:].sum()]
    assert found == pytest.approx(np.mean([truth[c].mean() for c in best]))


@given(st.lists(st.tuples(st.sampled_from([*map(float, range(4)), math.nan, math.inf, -math.inf]), few), max_size=12))
@settings(max_examples=40)
def test_a_ranking_of_failures_and_ties_is_that_of_the_worst_score(rows: list[tuple[float, float]]) -> None:
    scores, truth = (np.array([row[i] for row in rows], dtype=float) for i in (0, 1))
    ok = np.isfinite(scores)
    found = ranking.rank(scores[None], Sample(truth), [truth * 0], ok=ok[None])
    assert (found.n, found.failed) == (len(rows), int((~ok).sum()))
    if ok.any():
        shown = np.where(ok, scores, -1.0)
        np.testing.assert_equal(found.spearman, ranking.spearman(shown, truth))
        np.testing.assert_equal(found.regret, ranking.regret(shown, truth))
    else:
        assert math.isnan(found.spearman)


texts = st.text(st.characters(codec="utf-8"), max_size=12)
keys = st.tuples(texts, texts, st.integers(-(2**63), 2**63 - 1))
seconds = st.floats(0, 1e9)
values = st.one_of(
    st.tuples(st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0), st.just("ok"), seconds),
    st.tuples(st.just(math.nan), st.sampled_from(["nan", "oom", "error"]), seconds),
    st.tuples(st.sampled_from([math.inf, -math.inf]), st.just("inf"), seconds),
)


@given(st.dictionaries(keys, values, max_size=8), texts)
def test_what_is_stored_comes_back(rows: dict[tuple[str, str, int], tuple[float, str, float]], space: str) -> None:
    kept = [Score(space, arch, proxy, seed, *rest) for (arch, proxy, seed), rest in rows.items()]
    with Store(Path(":memory:")) as store:
        key = store.conditions({"text": space})
        store.add(key, kept)
        store.add(key, [row._replace(score=0.5) for row in kept])  # changes nothing
        asked = {(row.proxy, row.seed) for row in kept}
        back = [row for proxy, seed in asked for row in store.scores(key, space, [proxy], seed)]
        assert sorted(map(repr, back)) == sorted(map(repr, kept))
        assert not list(store.scores(key, f"{space}x", {proxy for proxy, _ in asked}, 0))


spaced = st.sampled_from(["", " ", "  "])


@given(
    st.sampled_from(["vote", "ranksum"]),
    st.lists(st.tuples(st.sampled_from(NAMES), spaced, spaced), min_size=2, max_size=5, unique_by=lambda part: part[0]),
    st.lists(st.sampled_from(NAMES), max_size=3),
)
def test_an_expression_says_what_it_combines(
    function: str, inside: list[tuple[str, str, str]], beside: list[str]
) -> None:
    names = [name for name, _, _ in inside]
    written = ",".join(f"{before}{name}{after}" for name, before, after in inside)
    chosen = select(",".join([*beside, f"{function}({written})", *beside]))
    assert [one.name for one in chosen] == [*dict.fromkeys(beside), f"{function}({','.join(names)})"]
    combined = chosen[-1]
    assert isinstance(combined, Combination)
    assert combined.parts == tuple(names)
    assert select(combined.name) == [combined]


@given(
    st.lists(st.sampled_from(["vote", "(", ")", ",", "synflow", "macs", "*", "?", " ", "all", "ranksum("]), max_size=9)
)
def test_an_expression_is_understood_or_refused(parts: list[str]) -> None:
    text = "".join(parts).replace("all", "al")
    try:
        chosen = select(text)
    except ValueError as error:
        message = str(error)
        assert "\n" not in message
        return
    again = select(",".join(one.name for one in chosen))
    assert [one.name for one in again] == [one.name for one in chosen]
