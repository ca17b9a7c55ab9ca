"""The figure of training curves: loss and test accuracy by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe & Ito
MOST_NAMED = 12  # with more runs their lines are thin, and only the groups are named


def training_curves(runs: Mapping[str, tuple[str, pd.DataFrame]], path: Path) -> None:
    """Two panels, training loss and test accuracy in percent, a line a run, a colour a group.

    runs: name -> (group, table with columns epoch, loss, test_accuracy).
    """
    groups = {group: None for group, _ in runs.values()}
    colours = {group: COLOURS[number % len(COLOURS)] for number, group in enumerate(groups)}
    many = len(runs) > MOST_NAMED
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        axes = figure.subplots(1, 2)
        for axis, (column, label) in zip(axes, (("loss", "loss"), ("test_accuracy", "test accuracy (%)")), strict=True):
            seen: set[str] = set()
            for name, (group, table) in runs.items():
                legend = name if not many else group if group not in seen else None
                seen.add(group)
                width = 0.6 if many else 1.4
                axis.plot(table["epoch"], table[column], color=colours[group], linewidth=width, label=legend)
            axis.set_xlabel("epoch")
            axis.set_ylabel(label)
        axes[1].legend(frameon=False, fontsize=7)
        temporary = path.with_name(f".{path.name}")
        figure.savefig(temporary, dpi=160, format="png")
        temporary.replace(path)
