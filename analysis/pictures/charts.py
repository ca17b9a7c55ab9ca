"""Charts of correlations: with intervals, against cost, over conditions. Which are told apart: apart.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from analysis.pictures.figures import ACCENT, COLOURS, COLUMN, GREY, POINT, style
from analysis.stats.influence import Array

STEP = 0.1  # inches between the dots of an ablation


def correlation_bars(names: Sequence[str], rho: Array, low: Array, high: Array, partial: Array, held: str) -> Figure:
    """Correlations [P] with their intervals, and what is left of them with size held (hollow); the first on top."""
    with style():
        figure = Figure(figsize=(COLUMN, 0.8 + 0.19 * len(names)), layout="constrained")
        axis = figure.subplots()
        place = -np.arange(len(names), dtype=float)
        axis.barh(place, rho, color=POINT, alpha=0.35, height=0.7)
        axis.hlines(place, low, high, color=POINT, linewidth=1.5)
        axis.plot(partial, place, "o", markersize=4, mfc="white", color=ACCENT, label=held)
        axis.set_yticks(place, list(names), fontsize=8)
        axis.set_ylim(place[-1] - 0.7, 0.7)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_xlabel("Spearman with accuracy")
        figure.legend(loc="outside upper right", fontsize=7)
    return figure


def cost_against_quality(names: Sequence[str], seconds: Array, rho: Array) -> Figure:
    """Seconds a candidate [P] against correlation [P]; those that nothing beats in both are joined. All are named.

    A name's line runs level to the edge and slants to its name outside, so that no two of them cross.
    """
    shown = np.flatnonzero(np.isfinite(seconds) & np.isfinite(rho) & (seconds > 0))
    shown = shown[np.argsort(-rho[shown], kind="stable")]
    front = shown[pareto_front(seconds[shown], rho[shown])]
    front = front[np.argsort(seconds[front])]
    with style():
        figure = Figure(figsize=(COLUMN, max(2.4, 0.7 + 0.125 * len(shown))), layout="constrained")
        axis = figure.subplots()
        axis.set_xscale("log")
        axis.margins(x=0.1, y=0.05)
        axis.plot(1000 * seconds[shown], rho[shown], "o", color=GREY, markersize=4, alpha=0.7)
        axis.plot(1000 * seconds[front], rho[front], "o-", color=ACCENT, markersize=5, linewidth=1)
        axis.locator_params(axis="x", numticks=5)
        if len(shown):
            _names_at_the_edge(axis, names, shown.tolist(), 1000 * seconds[shown], rho[shown], set(front.tolist()))
        axis.set_xlabel("ms a candidate")
        axis.set_ylabel("Spearman with accuracy")
    return figure


def _names_at_the_edge(
    axis: Axes, names: Sequence[str], shown: Sequence[int], x: Array, y: Array, accented: set[int]
) -> None:
    """The names of points, highest first, outside the right edge of an axis that is logarithmic in x."""
    axis.set(xlim=axis.get_xlim(), ylim=axis.get_ylim())  # where they are now: the lines below would move them
    places = axis.transAxes.inverted().transform(axis.transData.transform(np.column_stack([x, y])))
    for one, (across, height), level in zip(shown, places, _levels(places[:, 1]), strict=True):
        bend = ([across, 1.0, 1.1], [height, height, level])
        axis.plot(*bend, color=GREY, linewidth=0.4, zorder=0, transform=axis.transAxes, clip_on=False)
        colour = ACCENT if one in accented else "black"
        axis.text(1.11, level, names[one], va="center", fontsize=6.5, color=colour, transform=axis.transAxes)


def _levels(heights: Array) -> Array:
    """Places of labels in 0 to 1, as near as can be to their heights, highest first, far enough apart to be read.

    The nearest places by least squares: those of an isotonic regression, once the distances are added up. [P] -> [P]
    """
    gap = 1 / max(len(heights), 12)
    steps = gap * np.arange(len(heights))
    nearest = isotonic_regression(heights + steps, increasing=False).x
    return np.asarray(np.clip(nearest, steps[-1], 1.0) - steps)


def pareto_front(cost: Array, quality: Array) -> NDArray[np.intp]:
    """Positions of those that no other beats: none is as cheap and as good, and better in one. [P], [P] -> [F]."""
    as_cheap, as_good = cost[:, None] <= cost, quality[:, None] >= quality
    better = (cost[:, None] < cost) | (quality[:, None] > quality)
    return np.flatnonzero(~(as_cheap & as_good & better).any(0))


def ablation(rows: pd.DataFrame, title: str) -> Figure:
    """Correlations of proxies under several settings, with intervals: whichever there are more of are the rows.

    rows: setting, proxy, spearman, low, high. The others share a row, each with a colour and a place of its own.
    """
    settings, proxies = list(dict.fromkeys(rows["setting"])), list(dict.fromkeys(rows["proxy"]))
    if len(settings) < len(proxies):
        settings, proxies, rows = proxies, settings, rows.rename(columns={"setting": "proxy", "proxy": "setting"})
    with style():
        each = STEP * (len(proxies) + 1.5)
        figure = Figure(figsize=(1.5 * COLUMN, 1.0 + each * len(settings)), layout="constrained")
        axis = figure.subplots()
        for number, proxy in enumerate(proxies):
            own = rows[rows["proxy"] == proxy].set_index("setting").reindex(settings)
            place = np.asarray(-each * np.arange(len(settings)) - STEP * number)
            _dots(axis, own, place, COLOURS[number % len(COLOURS)], "os^Dv<>"[number // len(COLOURS) % 7], proxy)
        axis.set_yticks(-np.arange(len(settings)) * each - STEP / 2 * (len(proxies) - 1), settings, fontsize=8)
        axis.margins(y=0.02)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_xlabel("Spearman with accuracy")
        axis.set_title(title, fontsize=9, loc="left")
        if len(proxies) > 1:
            axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _dots(axis: Axes, own: pd.DataFrame, place: Array, colour: str, marker: str, label: str) -> None:
    axis.hlines(place, own["low"], own["high"], color=colour, linewidth=1, alpha=0.7)
    axis.plot(own["spearman"], place, marker, color=colour, markersize=4, label=label)
