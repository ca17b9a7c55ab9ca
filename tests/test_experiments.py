"""The experiments beside the validation: their variants by hand, and their table on scores that are made up."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from analysis import validate
from analysis.stats.ranking import spearman
from analysis.steps import whole_run
from analysis.steps.options import ValidateOptions
from analysis.steps.validate_run import show
from analysis.validation import experiments, variants
from analysis.validation.experiments import EXPERIMENTS, VARIANTS, Experiment, by_cell, column, row, tensorwatch_count
from analysis.validation.published import PUBLISHED
from benchmarks import truth
from benchmarks.scoretables.table import Column, Made, ScoreTable
from benchmarks.spaces.cells import EDGES, OPERATIONS, print_cell
from proxies import select
from proxies.activation import regions
from proxies.gradient import fisher
from tests.cases import DEAD, MIXED, SPACE, batch, probe_of

FILE = Path(variants.__file__)
ROOT = Path(__file__).parent.parent


def table(scores: dict[str, list[float]], truth: list[float], status: str = "ok") -> pd.DataFrame:
    """A scores.csv of the cells c0, c1, ... in descending order."""
    cells = [f"c{number}" for number in reversed(range(len(truth)))]
    rows = [
        {"arch": cell, "proxy": name, "score": value, "truth": accuracy, "status": status}
        for name, values in scores.items()
        for cell, value, accuracy in zip(cells, values, truth, strict=True)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("one", EXPERIMENTS, ids=lambda one: f"{one.proxy}: {one.change}")
def test_every_experiment_names_what_there_is(one: Experiment) -> None:
    names = [f"{FILE}{name}" if name.startswith(":") else name for name in one.scored]
    found = [chosen.name for chosen in select(",".join([one.proxy, *names]))]
    assert found[-len(names) :] == [column(name) for name in one.scored]
    assert FILE.name == VARIANTS
    assert one.formula is not None or len(one.scored) == 1


def test_a_row_compares_the_same_cells() -> None:
    truth = [1.0, 2.0, 3.0, 4.0]
    before = table({"a": [1.0, 2.0, 4.0, 3.0], "b": [9.0] * 4}, truth)
    after = table({"a": [4.0, 3.0, 2.0, 1.0]}, truth)
    shown = row(Experiment("a", "turned", 0.5, ("a",)), before, after)
    assert shown[:6] == ["a", "turned", "4", "0.800", "-1.000", "-1.800"]
    assert shown[7] == "0.500"
    assert shown[6] == "n/a", "of fewer than eight cells"
    more = table({"a": [1.0, 3.0, 2.0, 4.0, 6.0, 5.0, 8.0, 7.0]}, [float(number) for number in range(8)])
    same = row(Experiment("a", "nothing", 0.5, ("a",)), more, more)
    assert same[5:7] == ["+0.000", "+0.000 to +0.000"], "equal scores on the same cells never differ"


def test_seeds_are_averaged_and_failures_rank_last() -> None:
    seeds = pd.concat([table({"a": [1.0, 2.0]}, [1.0, 2.0]), table({"a": [3.0, 6.0]}, [1.0, 2.0])])
    assert by_cell(seeds)["a"].to_dict() == {"c1": 2.0, "c0": 4.0}
    assert by_cell(table({"a": [math.nan]}, [1.0], "nan"))["a"].tolist() == [-math.inf]


def test_tensorwatchs_count_by_its_closed_form() -> None:
    """Json FLOPs on CIFAR-10 = base + 35,819,520 n3 + 4,362,240 n1 + 1,290,240 na, the base aside."""
    archs = [print_cell((*cell, *["none"] * (len(EDGES) - 2))) for cell in product(*[OPERATIONS] * 2)]
    counts = pd.DataFrame({"macs": [SPACE.count(arch, 10, 32)[1] for arch in archs]}, archs)
    convolutions = [arch.count("nor_conv") for arch in archs]
    counts["conv_edges"] = [7 + 15 * number for number in convolutions]
    weights = {"nor_conv_3x3": 35_819_520, "nor_conv_1x1": 4_362_240, "avg_pool_3x3": 1_290_240}
    expected = [sum(arch.count(name) * value for name, value in weights.items()) for arch in archs]
    found = tensorwatch_count(counts)
    assert (found - found.min()).tolist() == expected


def test_size_regularisation_prefers_the_larger_of_equals() -> None:
    scores = pd.DataFrame({"swap": [5.0, 5.0], "params": [1e5, 1.5e6]})
    small, large = experiments.size_regularised(scores)
    assert small < large <= 5


def test_hashed_patterns_are_as_many_as_counted_ones() -> None:
    probe = probe_of(MIXED[1:3] + DEAD[:1], *batch())
    assert_close(variants._regions(probe, probe.images, probe.weights), regions(probe))


def test_one_channel_has_patterns_and_no_more_than_all() -> None:
    probe = probe_of(MIXED[1:3], *batch(12))
    thin = variants.regions_thin(probe)
    assert (thin > 1).all()
    assert (thin <= variants._regions(probe, probe.images, probe.weights)).all()


def test_variants_of_fisher() -> None:
    probe = probe_of(MIXED[:2], *batch(), mode="independent")
    usual = fisher(probe)
    assert (variants.fisher_channels(probe) < usual).all()
    assert (variants.fisher_blocks(probe) > 0).all()


def test_nothing_is_left_unexplained() -> None:
    remarks = [one.remark for one in PUBLISHED] + [(ROOT / "docs" / "validation.md").read_text(encoding="utf-8")]
    assert not [text for text in remarks if "unexplained" in text]
    assert ("fisher_biased", 0.360) in [(one.proxy, one.spearman) for one in PUBLISHED]


def test_images_of_its_own_are_a_choice_of_the_candidates_weights() -> None:
    images, labels = batch(100)
    first, second = (probe_of(MIXED[i : i + 1], images, labels, mode="independent") for i in (0, 1))
    own = variants._on_own_images(first).images
    assert own.shape == (64, *images.shape[1:])
    assert not torch.equal(own, variants._on_own_images(second).images)
    with pytest.raises(ValueError, match="--stack 1"):
        variants._on_own_images(probe_of(MIXED[:2], images, labels))


def test_a_table_replaces_its_own_section_alone(tmp_path: Path) -> None:
    path = tmp_path / "validation.md"
    options = ValidateOptions(write=str(path))
    for section, value in (("Validation", "1"), ("Experiments", "2"), ("Validation", "3")):
        show(options, section, "a table", ["name", "value"], [["a", value]], ["a note"])
    text = path.read_text()
    assert text.startswith("# Validation\n\n| name | value |")
    assert text.count("# ") == 2
    assert "| a | 3 |" in text.split("# Experiments")[0]
    assert text.endswith("| a | 2 |\n\n- a note\n")


def of_all_cells(scores: dict[str, np.ndarray]) -> ScoreTable:
    """A table of the whole space, of scores that nobody computed."""
    made, there = Made("none", "none", "none"), np.zeros((1, len(SPACE)), dtype=np.uint8)
    columns = {
        name: Column(one[None], there, there.astype(np.uint32), np.ones(1), made) for name, one in scores.items()
    }
    head = ("nasbench201", "", len(SPACE), {"dataset": "cifar10", "draw": "shared"}, "noise", {0: "0" * 64})
    return ScoreTable(*head, np.arange(len(SPACE)), columns)


def test_the_whole_space_is_read_off_its_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = truth.load("retrained", SPACE, "cifar10", "vanilla").accuracy
    accuracy = np.array([known[SPACE.arch(index)] for index in range(len(SPACE))])
    noisy = accuracy + np.random.default_rng(0).standard_normal(len(accuracy)) * 10
    table = of_all_cells({"params": noisy, "snip": accuracy * 0})
    monkeypatch.setattr(whole_run, "committed", lambda: [table])
    assert validate.main(["--whole", "--write", str(tmp_path / "page.md")]) == 0
    lines = [line for line in (tmp_path / "page.md").read_text().splitlines() if line]
    expected = f"{spearman(noisy, accuracy):.3f}"
    assert (
        f"| params | shared | {expected} | n/a | n/a | n/a | 0.753 | 0.728 | 0.691 | {PUBLISHED[0].source} |" in lines
    )
    assert any(line.startswith("| snip | shared | n/a |") for line in lines), "of equal scores"
    assert sum("data.py fetch" in line for line in lines) == 3, "accuracies that were not fetched are told of"
    few = replace(table, index=table.index[:9], columns={})
    monkeypatch.setattr(whole_run, "committed", lambda: [few])
    assert validate.main(["--whole"]) == 2
    assert "no score table of the whole" in capsys.readouterr().err


def test_a_star_marks_what_is_far_from_the_published_figure() -> None:
    assert whole_run.row("params", "shared", [0.7, 0.76, 0.70, 0.691])[2:6] == ["0.700", "0.760", "0.700*", "0.691"]
    assert whole_run.row("mine", "shared", [0.7, 0.7, 0.7, 0.7])[5:] == ["0.700", "", "", "", ""]
