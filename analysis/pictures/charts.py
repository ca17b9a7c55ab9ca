"""Charts of correlations: with intervals, against cost, told apart or not, over conditions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

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
    """Seconds a candidate [P] against correlation [P]; those that nothing beats in both are joined. All are named."""
    shown = np.flatnonzero(np.isfinite(seconds) & np.isfinite(rho) & (seconds > 0))
    shown = shown[np.argsort(-rho[shown], kind="stable")]
    front = shown[pareto_front(seconds[shown], rho[shown])]
    front = front[np.argsort(seconds[front])]
    with style():
        figure = Figure(figsize=(COLUMN, max(2.4, 0.7 + 0.125 * len(shown))), layout="constrained")
        axis = figure.subplots()
        axis.plot(1000 * seconds[shown], rho[shown], "o", color=GREY, markersize=4, alpha=0.7)
        axis.plot(1000 * seconds[front], rho[front], "o-", color=ACCENT, markersize=5, linewidth=1)
        axis.set_xscale("log")
        axis.margins(x=0.1, y=0.05)
        axis.locator_params(axis="x", numticks=5)
        low, high = axis.get_ylim()
        for one, level in zip(shown.tolist(), _levels((rho[shown] - low) / (high - low)), strict=True):
            axis.annotate(
                names[one],
                (1000 * seconds[one], rho[one]),
                (1.06, level),
                textcoords="axes fraction",
                va="center",
                fontsize=6.5,
                color=ACCENT if one in front else "black",
                arrowprops={
                    "arrowstyle": "-",
                    "relpos": (0, 0.5),
                    "color": GREY,
                    "linewidth": 0.4,
                    "shrinkA": 0,
                    "shrinkB": 2,
                },
            )
        axis.set_xlabel("ms a candidate")
        axis.set_ylabel("Spearman with accuracy")
    return figure


def _levels(heights: Array) -> Array:
    """Places of labels in 0 to 1 near their heights, highest first, and far enough apart to be read: [P] -> [P]."""
    gap = 1 / max(len(heights), 12)
    lowest = gap * np.arange(len(heights))[::-1]
    levels: Array = np.minimum(np.maximum(heights, lowest), 1.0)
    for number in range(1, len(levels)):
        levels[number] = min(levels[number], levels[number - 1] - gap)
    return levels


def pareto_front(cost: Array, quality: Array) -> NDArray[np.intp]:
    """Positions of those that no other beats: none is as cheap and as good, and better in one. [P], [P] -> [F]."""
    as_cheap, as_good = cost[:, None] <= cost, quality[:, None] >= quality
    better = (cost[:, None] < cost) | (quality[:, None] > quality)
    return np.flatnonzero(~(as_cheap & as_good & better).any(0))


def critical_difference(names: Sequence[str], rho: Array, groups: Sequence[Sequence[int]]) -> Figure:
    """Proxies on the axis of their correlation, best first; a bar joins those that are not told apart, its dots.

    In the manner of Demšar (JMLR 2006), on correlations rather than mean ranks, and by paired tests.
    """
    half = -(-len(names) // 2)
    height = 0.16
    bottom = -height * (half + len(groups)) - 0.3
    with style():
        figure = Figure(figsize=(2 * COLUMN, 0.6 - 1.1 * bottom), layout="constrained")
        axis = figure.subplots()
        left, right = float(np.nanmin(rho)), float(np.nanmax(rho))
        margin = 0.02 * max(right - left, 1e-6)
        for number, group in enumerate(groups):
            level, members = -height * (number + 1), rho[list(group)]
            axis.plot([members.min(), members.max()], [level, level], color=ACCENT, linewidth=2)
            axis.plot(members, np.full(len(members), level), "o", color=ACCENT, markersize=4)
        for number, name in enumerate(names):
            best = number < half
            level = -height * (len(groups) + 1 + (number if best else len(names) - 1 - number)) - 0.15
            edge = right + 4 * margin if best else left - 4 * margin
            axis.plot([rho[number], rho[number], edge], [0, level, level], color=GREY, linewidth=0.7)
            text = f"{name}  {rho[number]:.3f}"
            axis.text(edge, level, f" {text} ", ha="left" if best else "right", va="center", fontsize=8)
        axis.plot(rho, np.zeros(len(rho)), "o", color=POINT, markersize=4)
        axis.set_ylim(bottom, 0.1)
        axis.set_xlim(left - 20 * margin, right + 20 * margin)
        axis.set_xticks(
            [tick for tick in axis.get_xticks() if left - 20 * margin <= tick <= min(right + 20 * margin, 1)]
        )
        axis.xaxis.set_ticks_position("top")
        axis.xaxis.set_label_position("top")
        axis.set_xlabel("Spearman with accuracy")
        axis.spines["bottom"].set_visible(False)
        axis.spines["left"].set_visible(False)
        axis.spines["top"].set_visible(True)
        axis.set_yticks([])
    return figure


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
