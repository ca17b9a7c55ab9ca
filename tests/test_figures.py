"""Figures: their numbers against brute force, that they draw and save, and class activation maps against captum."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from analysis.pictures import charts, curves, figures, heatmaps, searches
from proxies.formulas.similarity import class_activation_maps
from tests import cases

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
    "panels": lambda: figures.score_against_truth({"a": (NUMBERS, "rho")}, np.arange(4.0), "accuracy"),
    "bars": lambda: charts.correlation_bars(NAMES, NUMBERS, NUMBERS - 0.1, NUMBERS + 0.1, NUMBERS / 2, "given size"),
    "cost": lambda: charts.cost_against_quality(NAMES, np.array([1e-3, 1e-2, 1.0, 0.0]), NUMBERS),
    "apart": lambda: charts.critical_difference(NAMES, np.array([0.8, 0.5, 0.4, -0.3]), [(0, 1), (1, 2)]),
    "search": lambda: searches.curves(history(), 99.0),
    "training": lambda: curves.training_curves({("s0:111", f"method {n}", 0): epochs() for n in range(9)}),
    "ablation": lambda: charts.ablation(ablation_rows(), "draw"),
    "one setting": lambda: charts.ablation(ablation_rows().iloc[:4], "metrics"),
    "matrix": lambda: heatmaps.proxy_matrix(NAMES, np.eye(4) * np.nan, "rho", low=-1, high=1),
    "maps": lambda: heatmaps.activation_maps(np.ones((2, 8, 8, 3)), {"t": np.ones((2, 2, 2))}, ["x", "y"]),
    "relations": lambda: heatmaps.relation_matrices({"t": np.eye(4)}, np.array([1, 0, 1, 0])),
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


def test_more_methods_than_colours_are_told_apart_by_their_lines() -> None:
    lines = FIGURES["training"]().axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 9


def test_relation_matrices_are_sorted_by_label() -> None:
    figure = heatmaps.relation_matrices({"t": np.diag([1.0, 2.0, 3.0])}, np.array([2, 0, 1]))
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
