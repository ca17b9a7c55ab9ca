"""The figure of training curves: loss and test accuracy by epoch."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import COLOURS, COLUMN, style

LINES = ("-", "--", ":")  # where there are more groups than colours
MOST_NAMED = 12  # with more runs their lines are thin, and only the groups are named


def training_curves(runs: Mapping[str, tuple[str, pd.DataFrame]]) -> Figure:
    """Two panels, training loss and test accuracy in percent, a line a run, a colour a group.

    runs: name -> (group, table with columns epoch, loss, test_accuracy).
    """
    groups = {group: None for group, _ in runs.values()}
    looks = {
        group: {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number // len(COLOURS) % len(LINES)]}
        for number, group in enumerate(groups)
    }
    many = len(runs) > MOST_NAMED
    with style():
        figure = Figure(figsize=(2 * COLUMN, 2.8), layout="constrained")
        axes = figure.subplots(1, 2)
        for axis, (column, label) in zip(axes, (("loss", "loss"), ("test_accuracy", "test accuracy (%)")), strict=True):
            seen: set[str] = set()
            for name, (group, table) in runs.items():
                legend = name if not many else group if group not in seen else None
                seen.add(group)
                width = 0.6 if many else 1.4
                axis.plot(table["epoch"], table[column], linewidth=width, label=legend, **looks[group])
            axis.set_xlabel("epoch")
            axis.set_ylabel(label)
        axes[1].legend(fontsize=7)
    return figure
