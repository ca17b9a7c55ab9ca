"""What searches found, over their seeds: a summary of the winners, and curves of the favourite so far."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.pictures.charts import pareto_front
from analysis.pictures.figures import COLOURS, COLUMN, style
from analysis.rows.tables import number
from analysis.stats.ranking import Array

ALWAYS = ["strategy", "proxy", "seed", "arch", "fitness", "params", "macs", "truth", "regret", "evaluations", "seconds"]
PLACES = 200  # points at which curves of different lengths are read


def summary(best: pd.DataFrame) -> pd.DataFrame:
    """A row for each strategy and proxy: means and deviations over seeds of what its winners are worth, and the cost.

    best: a row a search, with ALWAYS and, of other data sets, any further columns of accuracies.
    """
    rows = []
    further = [column for column in best.columns if column not in (*ALWAYS, "space", "step", "found_at")]
    for (strategy, proxy), own in best.groupby(["strategy", "proxy"], sort=False):
        row = {"strategy": strategy, "proxy": proxy, "seeds": len(own)}
        row |= {name: own[name].mean() for name in ("evaluations", "seconds", "params", "macs")}
        for name in ("truth", "regret", *further):
            row |= {name: own[name].mean(), f"{name} sd": own[name].std()}
        rows.append(row)
    return pd.DataFrame(rows)


def fronts(history: pd.DataFrame, against: str) -> pd.DataFrame:
    """The rows of each search that no other of it beats: none is as small and as fit, and better in one; by size."""
    found = [
        own.iloc[pareto_front(own[against].to_numpy(float), own["fitness"].to_numpy(float))].sort_values(against)
        for _, own in history.groupby(["proxy", "seed"], sort=False)
    ]
    return pd.concat(found)


def headline(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The summary as people read it: headers and rows of text."""
    spread = [name for name in table.columns if f"{name} sd" in table.columns]
    headers = [
        "strategy",
        "fitness",
        "evaluations",
        "seconds",
        "params",
        *("accuracy" if n == "truth" else n for n in spread),
    ]
    rows = [
        [
            *(str(row["strategy"]), str(row["proxy"]), f"{row['evaluations']:,.0f}", number(row["seconds"], 2)),
            f"{row['params'] / 1e6:.2f} M",
            *(_spread(row[name], row[f"{name} sd"]) for name in spread),
        ]
        for _, row in table.iterrows()
    ]
    return headers, rows


def _spread(mean: float, deviation: float) -> str:
    return number(mean, 2) + ("" if np.isnan(deviation) else f" ± {number(deviation, 2)}")


def favourites(rows: pd.DataFrame) -> pd.DataFrame:
    """Of one search's rows in order: seconds so far, and the truth of the candidate of highest fitness so far."""
    fitness = rows["fitness"].to_numpy(dtype=float)
    new = np.r_[True, fitness[1:] > np.maximum.accumulate(fitness)[:-1]]
    ahead = np.maximum.accumulate(np.where(new, np.arange(len(new)), 0))
    truth = rows["truth"].to_numpy(dtype=float)[ahead]
    return pd.DataFrame(
        {"step": rows["step"].to_numpy(), "seconds": rows["seconds"].cumsum().to_numpy(), "truth": truth}
    )


def curves(history: pd.DataFrame, optimum: float) -> Figure:
    """Truth of the favourite so far, and its regret, over evaluations and over seconds: median and quartiles of seeds.

    history: rows with seed, step, strategy, proxy, fitness, truth and seconds, as a search leaves them.
    """
    with style():
        figure = Figure(figsize=(2 * COLUMN, 2.8), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for place, ((strategy, proxy), rows) in enumerate(history.groupby(["strategy", "proxy"], sort=False)):
            runs = [favourites(own) for _, own in rows.groupby("seed")]
            look: dict[str, Any] = {
                "color": COLOURS[place % len(COLOURS)],
                "linestyle": "-" if place < len(COLOURS) else "--",
                "label": f"{strategy}, {proxy}",
            }
            _band(left, [(run["step"].to_numpy(float), run["truth"].to_numpy()) for run in runs], look)
            _band(right, [(run["seconds"].to_numpy(), run["truth"].to_numpy()) for run in runs], look)
        for axis, text in ((left, "candidates scored"), (right, "seconds of scoring")):
            axis.set_xscale("log")
            axis.set_xlabel(text)
            axis.axhline(optimum, color="black", linewidth=0.8, linestyle=":")
        left.set_ylabel("accuracy of the favourite (%)")
        regret = right.secondary_yaxis("right", functions=(lambda y: optimum - y, lambda y: optimum - y))
        regret.set_ylabel("regret (points)")
        left.legend(fontsize=7)
    return figure


def _band(axis: Axes, runs: list[tuple[Array, Array]], look: dict[str, Any]) -> None:
    """Median and quartiles over runs of step curves (x ascending, y), read where the shortest still goes on."""
    start, end = max(x[0] for x, _ in runs), min(x[-1] for x, _ in runs)
    if not 0 < start <= end:
        return
    places = np.geomspace(start, end, PLACES)
    values = np.array([y[np.searchsorted(x, places * (1 + 1e-9), side="right") - 1] for x, y in runs])
    low, middle, high = np.nanquantile(values, [0.25, 0.5, 0.75], axis=0)
    axis.plot(places, middle, **look)
    if len(runs) > 1:
        axis.fill_between(places, low, high, color=look["color"], alpha=0.2, linewidth=0)


def regrets(curves: pd.DataFrame, chance: float) -> Figure:
    """Mean regret over evaluations, with the interval of the mean: a colour a fitness, a panel a strategy.

    curves: rows with strategy, fitness, evaluations, regret, regret_low, regret_high. `chance`: that of a random one.
    """
    names = list(dict.fromkeys(curves["strategy"]))
    fits = list(dict.fromkeys(curves["fitness"]))
    with style():
        figure = Figure(figsize=(max(COLUMN, COLUMN * len(names) / 1.6), 2.8), layout="constrained")
        panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
        for panel, strategy in zip(panels, names, strict=True):
            for place, fitness in enumerate(fits):
                own = curves[(curves["strategy"] == strategy) & (curves["fitness"] == fitness)]
                colour = COLOURS[place % len(COLOURS)]
                panel.plot(own["evaluations"], own["regret"], color=colour, label=fitness)
                panel.fill_between(
                    own["evaluations"], own["regret_low"], own["regret_high"], color=colour, alpha=0.2, linewidth=0
                )
            panel.axhline(chance, color="0.5", linestyle=":", label="a candidate at random")
            panel.set_xscale("log")
            panel.set_yscale("log")
            panel.set_title(strategy)
            panel.set_xlabel("candidates evaluated")
        panels[0].set_ylabel("mean regret, points")
        panels[0].legend(frameon=False, fontsize="small")
    return figure
