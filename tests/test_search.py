"""The search: strategies against what they promise, fitness, and the command with all that it leaves and refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.pictures import searches
from analysis.rows.ties import to_be_ranked
from benchmarks import rank, truth
from benchmarks.scoring.scorer import Scorer
from benchmarks.scoring.store import Score
from benchmarks.spaces import find
from search import evolve
from search.evolution import searching, strategies
from search.evolution.charted import leaders
from search.evolution.fitness import Fitness, Known
from search.evolution.plan import SIZE
from search.evolution.searching import Limits, Search, Step, history, terrain, winner
from search.evolution.strategies import Settings
from tests.cases import ON_S0

S0 = find("s0")
TRUTH = truth.load("published", S0, "cifar100", "distilled")
SMALL = Settings(population=8, sample=4, top=2)
NO_LIMITS = terrain(S0, 100, 32, Limits())
ALL = pytest.mark.parametrize("name", strategies.STRATEGIES)
QUICK = [*ON_S0, "--budget", "6", "--population", "4", "--tournament", "3", "--top", "2"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def found(
    name: str,
    budget: int,
    seed: int = 0,
    numbers: Settings = SMALL,
    limits: Limits | None = None,
    fitness: Fitness | None = None,
) -> list[Step]:
    """A search of s0 by its published accuracies, or by another fitness."""
    ground = NO_LIMITS if limits is None else terrain(S0, 100, 32, limits)
    search = Search(name, "oracle", seed, budget)
    random = np.random.default_rng(seed)
    return history(search, strategies.find(name), ground, numbers, fitness or Known(TRUTH.accuracy), TRUTH, random)


def test_of_a_large_space_the_candidates_that_are_held_are_looked_at_and_no_sample_of_others() -> None:
    space = find("autoformer")
    held = [space.arch(5), space.arch(0)]
    least = space.count(held[1], 100, 224).params
    ground = terrain(space, 100, 224, Limits(params=least), held)
    assert [ground.feasible(arch) for arch in (*held, space.arch(1))] == [False, True, False]
    assert ground.allowed is None
    with pytest.raises(ValueError, match=r"no candidate of autoformer meets --max-params 9 .params run from 5,"):
        terrain(space, 100, 224, Limits(params=9), held)


@ALL
@settings(max_examples=8, deadline=None)
@given(budget=st.integers(8, 40), seed=st.integers(0, 99), children=st.integers(1, 3))
def test_strategies_propose_allowed_candidates_once_up_to_the_budget(
    name: str, budget: int, seed: int, children: int
) -> None:
    limits = Limits(params=400_000, macs=80e6, layers=34)
    steps = found(name, budget, seed, Settings(8, 4, 2, children), limits)
    archs = [step.arch for step in steps]
    allowed = [arch for arch in map(S0.arch, range(64)) if limits.meets(S0.count(arch, 100, 32))]
    assert len(set(archs)) == len(archs) <= min(budget, len(allowed))
    assert len(archs) == min(budget, len(allowed)) or name == "nsga2"  # which may converge before
    assert set(archs) <= set(allowed)
    assert [step.step for step in steps] == list(range(1, len(steps) + 1))
    assert all(step.fitness == step.truth == TRUTH.accuracy[step.arch] for step in steps)


@ALL
def test_a_search_is_repeated_by_its_seed_and_ends_where_the_space_does(name: str) -> None:
    first, again, other = found(name, 1000), found(name, 1000), found(name, 1000, seed=1)
    assert [step.arch for step in first] == [step.arch for step in again]
    ended = {len(first), len(other)}
    assert ended == {64} or (name == "nsga2" and min(ended) >= 60)  # which may converge before, as optuna 4.0's does
    assert ([step.arch for step in first] == [step.arch for step in other]) == (name == "exhaustive")
    assert winner(first).arch == "557"


class Watched(Known):
    """The accuracies, and every look at one."""

    def __init__(self) -> None:
        super().__init__(TRUTH.accuracy)
        self.looks: list[str] = []

    def __call__(self, arch: str) -> float:
        self.looks.append(arch)
        return super().__call__(arch)


def apart(a: str, b: str) -> int:
    return sum(x != y for x, y in zip(a, b, strict=True))


def test_evolution_keeps_the_best_and_aging_the_youngest() -> None:
    """Whom a round looks at tells the population: it is the 8 best of all so far, or the last 8."""
    for name in ("evolution", "aging"):
        fitness = Watched()
        archs: list[str] = []
        ground = strategies.Ground(S0, NO_LIMITS.size, NO_LIMITS.feasible, fitness, np.random.default_rng(0))
        for proposed in strategies.find(name)(ground, Settings(population=8, sample=8, top=8)):
            if archs:
                best = sorted(archs, key=TRUTH.accuracy.__getitem__)[-8:]
                assert set(fitness.looks[-8:]) == set(best if name == "evolution" else archs[-8:])
                assert len(proposed) == 1
            archs += proposed
            if len(archs) > 30:
                break


def test_local_search_climbs_from_neighbour_to_neighbour() -> None:
    steps = found("local", 1000)
    start = steps[0].arch
    around = set(S0.neighbours(start))
    assert {step.arch for step in steps[1:10]} == around
    best = max(around, key=TRUTH.accuracy.__getitem__)
    assert {step.arch for step in steps[10:13]} <= set(S0.neighbours(best))


def test_evolution_beats_random_search_at_equal_evaluations() -> None:
    cells = find("nasbench201")
    table = truth.load("retrained", cells, "cifar10", "vanilla")
    ground = terrain(cells, 10, 32, Limits())
    means = {}
    for name in ("evolution", "aging", "local", "random"):
        best = []
        for seed in range(10):
            search = Search(name, "oracle", seed, 200)
            fitness, random = Known(table.accuracy), np.random.default_rng(seed)
            best.append(
                winner(history(search, strategies.find(name), ground, Settings(), fitness, table, random)).truth
            )
        means[name] = np.mean(best)
    assert min(means["evolution"], means["aging"], means["local"]) > means["random"]


def test_failed_scores_are_the_least_fit() -> None:
    class Failing(Known):
        def __call__(self, arch: str) -> float:
            return -math.inf if arch.endswith("7") else super().__call__(arch)

    assert not winner(found("evolution", 64, fitness=Failing(TRUTH.accuracy))).arch.endswith("7")


def test_the_summary_takes_means_over_seeds() -> None:
    steps = [[step._replace(seed=seed) for step in found("random", 10, seed)] for seed in range(3)]
    best = pd.DataFrame(
        [{**winner(own)._asdict(), "evaluations": 10, "regret": 74.86 - winner(own).truth} for own in steps]
    )
    row = searches.summary(best).iloc[0]
    assert (row["seeds"], row["evaluations"]) == (3, 10)
    np.testing.assert_allclose(row["truth"], np.mean([max(step.truth for step in own) for own in steps]))
    np.testing.assert_allclose(row["truth sd"], np.std([max(step.truth for step in own) for own in steps], ddof=1))


def test_favourites_follow_the_highest_fitness_not_the_highest_truth() -> None:
    rows = pd.DataFrame(
        {"step": [1, 2, 3, 4], "seconds": [1.0, 1, 1, 1], "fitness": [1.0, 3, 2, 3], "truth": [9.0, 5, 8, 7]}
    )
    curve = searches.favourites(rows)
    assert curve["truth"].tolist() == [9, 5, 5, 5]
    assert curve["seconds"].tolist() == [1, 2, 3, 4]


def test_a_favourite_of_unknown_accuracy_has_none() -> None:
    found = {"fitness": [1.0, 2, 3, 0], "truth": [50, np.nan, 60, 70]}
    rows = pd.DataFrame({**found, "step": range(4), "seconds": [1.0] * 4})
    np.testing.assert_array_equal(searches.favourites(rows)["truth"], [50, np.nan, 60, 60])


SOME_FAIL = """
from torch import nn
def made(width, act=nn.ReLU, kernel=3):
    body = nn.Conv2d(3, width, kernel), act(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*body, nn.Linear(width, 10))
TOO_LARGE = {"a": lambda: made(4), "b": lambda: made(5), "c": lambda: made(6, kernel=64), "d": lambda: made(7)}
SMOOTH = {"a": lambda: made(4), "b": lambda: made(5, nn.Tanh), "c": lambda: made(6), "d": lambda: made(7, nn.Tanh)}
"""


def test_candidates_that_cannot_be_built_are_none_and_a_search_among_them_ends_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("some.py").write_text(SOME_FAIL)
    asked = ["--dataset", "own:10x8", "--batch-size", "4", "--teacher", "resnet20", "--proxy", "naswot", "--alone"]
    every = [*asked, "--strategy", "exhaustive", "--out", "one"]
    assert evolve.main(["--space", "some.py:TOO_LARGE", *every]) == 0
    assert pd.read_csv("one/history.csv")["arch"].tolist() == ["a", "b", "d"]
    assert "1 of the candidates looked at can't be built, such as some.py:TOO_LARGE c: " in capsys.readouterr().out
    few = [*asked, "--strategy", "random", "--budget", "1", "--seeds", "4", "--out", "two"]
    assert evolve.main(["--space", "some.py:SMOOTH", *few]) == 0
    assert set(pd.read_csv("two/best.csv")["arch"]) < {"a", "c"} | set("ac")
    assert "naswot is undefined for" in capsys.readouterr().out


LARGE = """
from benchmarks.spaces import ModuleSpace
class Never(ModuleSpace):
    name, choices = "never", (tuple(range(200)), tuple(range(200)))
    def module(self, chosen, classes, resolution):
        raise ValueError("not today")
"""


@pytest.mark.parametrize("limit", [[], ["--max-params", "1e6"]])
def test_of_a_large_space_that_can_not_be_built_the_reason_is_said(
    limit: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(searching, "LOOKED_AT", 20)
    monkeypatch.setattr(strategies, "TRIES", 20)
    Path("never.py").write_text(LARGE)
    asked = ["--dataset", "own:10x8", "--batch-size", "4", "--teacher", "resnet20", "--proxy", "naswot", "--alone"]
    assert evolve.main(["--space", "never.py:Never", *asked, *limit, "--strategy", "random", "--out", "o"]) == 2
    assert "can't be built (ValueError: not today; " in capsys.readouterr().err


def same(a: str, b: str) -> bool:
    """Whether two histories are the same, timings apart."""
    one, two = (pd.read_csv(path, dtype={"arch": str}).drop(columns="seconds") for path in (a, b))
    return one.equals(two)


@pytest.mark.pictures
def test_the_command_leaves_history_winners_conditions_and_a_picture(capsys: pytest.CaptureFixture[str]) -> None:
    assert evolve.main([*QUICK, "--seeds", "2", "--out", "out"]) == 0
    printed = capsys.readouterr().out
    history_ = pd.read_csv("out/history.csv", dtype={"arch": str})
    assert list(history_.columns) == list(Step._fields)
    counts = history_.groupby(["strategy", "proxy", "seed"]).size()
    assert counts["evolution", "diswot"].tolist() == counts["random", "diswot"].tolist() == [6, 6]
    assert counts["evolution", SIZE].tolist() == [6, 6]
    assert counts["exhaustive", SIZE].tolist() == [64]
    best = pd.read_csv("out/best.csv", dtype={"arch": str})
    own = history_[(history_["strategy"] == "evolution") & (history_["proxy"] == "diswot") & (history_["seed"] == 0)]
    first = own.loc[own["fitness"].idxmax()]
    assert best["arch"][0] == first["arch"]
    np.testing.assert_allclose(best["regret"][0], 74.86 - TRUTH.accuracy[first["arch"]])
    left = json.loads(Path("out/winner.json").read_text())
    assert (left["space"], left["arch"], left["proxy"]) == ("s0", first["arch"], "diswot")
    assert json.loads(Path("out/run.json").read_text())["optimum"] == 74.86
    assert all(Path("out", f"search.{kind}").stat().st_size > 10_000 for kind in ("png", "pdf"))
    assert "cifar100 vanilla" in printed
    assert "best of the space: 74.86" in " ".join(printed.split())


def test_a_searchs_fitness_is_the_score_that_ranking_gives() -> None:
    assert evolve.main([*QUICK, "--alone", "--out", "out"]) == 0
    steps = pd.read_csv("out/history.csv", dtype={"arch": str})
    Path("archs.txt").write_text("\n".join(steps["arch"]))
    conditions = [*QUICK[:10], "--archs", "archs.txt", "--proxy", "diswot", "--baselines", ""]
    assert rank.main([*conditions, "--out", "ranked"]) == 0
    scores = pd.read_csv("ranked/scores.csv", dtype={"arch": str}).query("proxy == 'diswot'").set_index("arch")["score"]
    for step in steps.itertuples():
        assert step.fitness == scores[step.arch]


def test_a_killed_search_resumes_to_the_same_history_and_scores_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert evolve.main([*QUICK, "--alone", "--out", "unbroken"]) == 0
    asked: list[str] = []
    rows = Scorer.rows

    def counted(self: Scorer, archs: Sequence[str]) -> list[Score]:
        if len(asked) == 5:
            asked.append("killed")
            raise KeyboardInterrupt
        asked.extend(archs)
        return rows(self, archs)

    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "rows", counted)
        assert evolve.main([*QUICK, "--alone", "--out", "broken"]) == 130
    assert not Path("broken/history.csv").exists()
    assert evolve.main([*QUICK, "--alone", "--out", "broken"]) == 0
    assert same("unbroken/history.csv", "broken/history.csv")
    before = Path("broken/history.csv").read_text()
    assert evolve.main([*QUICK, "--alone", "--out", "broken"]) == 0
    assert Path("broken/history.csv").read_text() == before, "seconds come from the store, too"


def test_a_combination_is_ranked_over_what_was_scored() -> None:
    assert evolve.main([*QUICK, "--proxy", "ranksum(params,conv_edges)", "--alone", "--out", "out"]) == 0
    steps = pd.read_csv("out/history.csv", dtype={"arch": str})
    order = steps["params"].rank() + steps["arch"].map(lambda a: S0.count(a, 100, 32).layers).rank()
    assert order.rank().equals(steps["fitness"].rank())


def test_the_oracle_needs_no_proxy_and_a_space_without_a_table_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert evolve.main([*QUICK, "--oracle", "--strategy", "evolution,nsga2,exhaustive", "--out", "out"]) == 0
    front = pd.read_csv("out/front.csv", dtype={"arch": str}).query("proxy == 'oracle'")
    assert front["params"].is_monotonic_increasing
    assert front["fitness"].is_monotonic_increasing
    best = pd.read_csv("out/best.csv", dtype={"arch": str}).set_index(["strategy", "proxy"])
    assert best.loc[("exhaustive", "oracle"), "arch"] == "117", "the best of the first six"
    assert "exhaustive: the first 6 of 64 candidates by index" in capsys.readouterr().out
    assert evolve.main([*ON_S0, "--oracle", "--strategy", "exhaustive", "--alone", "--out", "every"]) == 0
    assert len(pd.read_csv("every/history.csv")) == 64
    assert "exhaustive:" not in capsys.readouterr().out
    arguments = ["--space", "s1", "--dataset", "cifar100", "--proxy", "params", "--alone", "--budget", "6"]
    assert evolve.main([*arguments, "--population", "4", "--tournament", "2", "--top", "1", "--out", "s1"]) == 0
    assert pd.read_csv("s1/history.csv", na_values=["n/a"])["truth"].isna().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-params", "1000"], "no candidate of s0 meets --max-params 1,000 (params run from 83,892 to 667,188)"),
        (["--max-macs", "-1"], "--max-macs -1.0: a positive number"),
        (["--max-params", "1T"], "--max-params 1T: a positive number, such as 1e6, 1M or 800k"),
        (["--max-params", "1k"], "no candidate of s0 meets --max-params 1,000"),
        (["--population", "65"], "--population 65: s0 has 64 candidates allowed"),
        (["--budget", "3"], "--budget 3: less than the population of 4"),
        (["--budget", "0"], "--budget 0: 1 is the least"),
        (["--tournament", "5"], "--tournament 5: 1 is the least, 4 the most"),
        (["--strategy", "simulated"], "no strategy is called 'simulated'; there are: evolution, aging, local, random"),
        (["--strategy", ","], "--strategy names none"),
        (["--proxy", "diswat"], "no proxy is called 'diswat'"),
        (["--space", "s2", "--dataset", "imagenet", "--strategy", "exhaustive"], "too many to list"),
        (["--space", "s1", "--oracle"], "there is no table of distilled accuracies for s1 on cifar100"),
        (["--truth", "nosuch.csv"], "nosuch.csv: No such file"),
        (["--space", "own.py:Own"], "--space own.py:Own: the class lacks build"),
        (["--dataset", "mnist"], "no data set is called 'mnist'"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("own.py").write_text(
        "from benchmarks.spaces import Space\nclass Own(Space):\n    name = 'own'\n    choices = ((1, 2),)\n"
    )
    assert evolve.main([*QUICK, *arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("evolve.py: error: ")
    assert message in lines[0]


def test_who_leads_at_each_mark_is_what_the_ranks_say() -> None:
    random, marks = np.random.default_rng(0), [1, 2, 3, 8, 20]
    for number in range(300):
        scores = random.standard_normal(int(random.integers(1, 30)))
        step = (1.0, 2.0**-23, 2.0**-24, 1e17, 0.0)[number % 5]
        scores = np.round(scores * 3) * step + (0, 1, 3, 0, 0)[number % 5]
        scores[random.random(len(scores)) < 0.2] = np.nan
        ranked = [to_be_ranked(scores[:mark], ~np.isnan(scores[:mark])) for mark in marks]
        assert leaders(scores, marks) == [int(one.argmax()) for one in ranked]
