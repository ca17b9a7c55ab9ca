"""Figures: their numbers against brute force, that they draw and save, and class activation maps against captum."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from analysis.pictures import apart, charts, curves, figures, heatmaps, searches
from proxies.formulas.similarity import class_activation_maps
from tests import cases

pytestmark = pytest.mark.pictures
NAMES = ["a", "b", "c", "d"]
NUMBERS = np.array([0.8, 0.5, np.nan, -0.3])


def history() -> pd.DataFrame:
    columns = ["seed", "step", "strategy", "proxy", "fitness", "truth", "seconds"]
    rows = [(seed, step, "random", "a", step % 3, 70.0 + step, 0.1) for seed in range(3) for step in range(1, 6)]
    return pd.DataFrame([*rows, (0, 1, "local", "a", 1.0, 85.0, 0.1)], columns=columns)


def epochs() -> pd.DataFrame:
    return pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0], "test_accuracy": [30.0, 40.0]})


def ablation_rows() -> pd.DataFrame:
    columns = ["setting", "proxy", "spearman", "low", "high"]
    rows = [(setting, proxy, 0.5, 0.3, 0.6) for setting in ("x", "y") for proxy in NAMES]
    return pd.DataFrame([*rows[:-1], ("y", "d", np.nan, np.nan, np.nan)], columns=columns)


FIGURES = {
    "panels": lambda: next(figures.score_against_truth({"a": (NUMBERS, "rho")}, np.arange(4.0), "accuracy")),
    "bars": lambda: charts.correlation_bars(NAMES, NUMBERS, NUMBERS - 0.1, NUMBERS + 0.1, NUMBERS / 2, "given size"),
    "cost": lambda: charts.cost_against_quality(NAMES, np.array([1e-3, 1e-2, 1.0, 0.0]), NUMBERS),
    "apart": lambda: apart.critical_difference(NAMES, np.array([0.8, 0.5, 0.4, -0.3]), [(0, 1), (1, 2)]),
    "search": lambda: searches.curves(history(), 99.0),
    "training": lambda: curves.training_curves({("s0:111", f"method {n}", 0): epochs() for n in range(9)}),
    "ablation": lambda: charts.ablation(ablation_rows(), "draw"),
    "one setting": lambda: charts.ablation(ablation_rows().iloc[:4], "metrics"),
    "matrix": lambda: heatmaps.proxy_matrix(NAMES, np.eye(4) * np.nan, "rho", low=-1, high=1),
    "maps": lambda: heatmaps.activation_maps(np.ones((2, 8, 8, 3)), {"t": np.ones((2, 2, 2))}, ["x", "y"], "random"),
    "relations": lambda: heatmaps.relation_matrices({"t": np.eye(4)}, np.array([1, 0, 1, 0]), "random"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_draw_and_save(name: str, tmp_path: Path) -> None:
    figure = FIGURES[name]()
    assert isinstance(figure, Figure)
    for kind, begins in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
        figures.save(figure, tmp_path / f"it.{kind}")
        assert (tmp_path / f"it.{kind}").read_bytes().startswith(begins)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_same_figure_gives_the_same_bytes() -> None:
    for kind in ("png", "pdf"):
        assert figures.drawn(FIGURES["bars"](), kind) == figures.drawn(FIGURES["bars"](), kind)


def test_the_pareto_front_equals_brute_force() -> None:
    cost, quality = np.random.default_rng(0).integers(0, 6, (2, 40)).astype(float)
    beaten = [
        any(
            cost[j] <= cost[i] and quality[j] >= quality[i] and (cost[j] < cost[i] or quality[j] > quality[i])
            for j in range(40)
        )
        for i in range(40)
    ]
    np.testing.assert_array_equal(charts.pareto_front(cost, quality), np.flatnonzero(~np.array(beaten)))


def test_every_proxy_is_named_beside_its_cost_in_order_and_apart() -> None:
    """Thirty of nearly one correlation, one undefined: all others named, highest first, none upon another."""
    rho = np.r_[0.7 + np.random.default_rng(0).random(30) / 100, np.nan]
    names = [f"p{number}" for number in range(31)]
    texts = charts.cost_against_quality(names, np.full(31, 0.1), rho).axes[0].texts
    assert [text.get_text() for text in texts] == [names[number] for number in np.argsort(-rho[:30], kind="stable")]
    levels = np.array([text.get_position()[1] for text in texts])
    assert (np.diff(levels) < -0.03).all()
    assert 0 <= levels.min() <= levels.max() <= 1


def test_lines_from_points_to_their_names_do_not_cross() -> None:
    """Segments in the picture's own units, each pair by the sides on which their ends lie."""
    random = np.random.default_rng(1)
    rho, seconds = random.uniform(0, 1, 20), 10 ** random.uniform(-4, 0, 20)
    axis = charts.cost_against_quality([f"p{n}" for n in range(20)], seconds, rho).axes[0]
    leaders = [line.get_xydata() for line in axis.lines if line.get_transform() == axis.transAxes]
    assert len(leaders) == 20
    ends = {text.get_position()[1] for text in axis.texts}
    assert {float(leader[-1][1]) for leader in leaders} == ends
    segments = [(number, *pair) for number, leader in enumerate(leaders) for pair in pairwise(leader)]

    def side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
        return float(np.sign((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])))

    for i, a, b in segments:
        for j, c, d in segments:
            assert i == j or side(a, b, c) * side(a, b, d) >= 0 or side(c, d, a) * side(c, d, b) >= 0


def test_more_proxies_than_a_page_has_take_further_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The PDF has all of them, the PNG the first page, which says so and has what the run is about."""
    monkeypatch.setattr(figures, "PANELS", 2)
    panels = {f"p{number}": (np.arange(4.0), "rho 1") for number in range(5)}

    def pages() -> Iterator[Figure]:
        return figures.score_against_truth(panels, np.arange(4.0), "accuracy", ["p3", "p4"])

    shown = [[axis.get_xlabel() for axis in page.axes if axis.get_xlabel()] for page in pages()]
    assert [len(names) for names in shown] == [2, 2, 1]
    assert shown[0] == ["p0", "p3"]
    assert {name for names in shown for name in names} == set(panels)
    assert next(pages()).get_supxlabel() == "2 of 5 proxies; the others: further pages of the PDF"
    for name in ("it", "again"):
        figures.save_both(pages(), tmp_path, name)
    assert (tmp_path / "it.png").read_bytes() == figures.drawn(next(pages()), "png")
    document = (tmp_path / "it.pdf").read_bytes()
    assert document.count(b"/Type /Page ") == 3
    assert document == (tmp_path / "again.pdf").read_bytes()


def test_what_a_run_is_about_keeps_its_place_among_the_best() -> None:
    panels = {f"p{number}": (np.arange(4.0), "") for number in range(13)}
    first = next(figures.score_against_truth(panels, np.arange(4.0), "accuracy", ["p3"]))
    assert [axis.get_xlabel() for axis in first.axes] == [f"p{number}" for number in range(12)]


def test_one_epoch_is_a_point() -> None:
    figure = curves.training_curves({("s0:111", "kd", 0): epochs().iloc[:1]})
    for axis in figure.axes:
        assert [line.get_marker() for line in axis.lines] == ["o"]
        assert axis.get_xticks().tolist() == [1]
    assert FIGURES["training"]().axes[0].lines[0].get_marker() == "None"


def test_a_line_has_a_dot_for_whom_it_joins_alone() -> None:
    figure = apart.critical_difference(NAMES, np.array([0.8, 0.5, 0.4, -0.3]), [(0, 2), (1, 2, 3)])
    lines = [line.get_ydata().tolist() for line in figure.axes[1].lines]  # type: ignore[union-attr]
    assert lines == [[0, -2], [-1, -2, -3]]
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        *("a  0.800", "b  0.500", "c  0.400", "d  -0.300")
    ]


def test_maps_and_relations_say_what_they_show() -> None:
    maps, relations = FIGURES["maps"](), FIGURES["relations"]()
    assert [label.get_text() for label in maps.axes[-1].get_yticklabels()] == ["lowest", "highest"]
    assert [axis.get_title() for axis in maps.axes[:2]] == ["image", "t"]
    assert relations.axes[0].get_xlabel() == "images, by class"
    assert [label.get_text() for label in relations.axes[0].get_yticklabels()] == ["0", "1"]
    assert "relation of two images" in relations.axes[-1].get_ylabel()
    assert maps.get_supxlabel() == relations.get_supxlabel() == "random"


def test_more_methods_than_colours_are_told_apart_by_their_lines() -> None:
    lines = FIGURES["training"]().axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 9


def test_relation_matrices_are_sorted_by_label() -> None:
    figure = heatmaps.relation_matrices({"t": np.diag([1.0, 2.0, 3.0])}, np.array([2, 0, 1]), "")
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), np.diag([2.0, 3.0, 1.0]))


def test_class_activation_maps_equal_captums() -> None:
    """Behind global average pooling Grad-CAM's weights are the head's over H*W, so the maps agree but for that."""
    attr = pytest.importorskip("captum.attr", reason="needs captum: pip install captum")
    images, labels = cases.batch(4)
    stack, weights = cases.stack_of(cases.MIXED[:1])
    plain = cases.plain_cell(cases.MIXED[0], stack, weights, 0)
    features = plain.features(images).detach()
    found = class_activation_maps(features, plain.classifier.weight.detach())[range(4), labels]
    expected = attr.LayerGradCam(plain, plain.lastact).attribute(images, labels, relu_attributions=False)
    positions = features.shape[-2] * features.shape[-1]
    torch.testing.assert_close(found / positions, expected[:, 0].flatten(1).detach())
