"""The figure of training curves: loss and test accuracy by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe & Ito
DASHES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")  # of students, where there are no more


def training_curves(runs: Mapping[tuple[str, str, int], pd.DataFrame], path: Path) -> None:
    """Two panels, training loss and test accuracy in percent: a line a run, a colour a method, dashes by student.

    runs: (student, method, seed) -> table with columns epoch, loss, test_accuracy. Seeds look alike, and so do students
    where there are more than kinds of dashes.
    """
    students, methods = ({key[place]: None for key in runs} for place in (0, 1))
    colours = {method: COLOURS[number % len(COLOURS)] for number, method in enumerate(methods)}
    few = len(students) <= len(DASHES)
    dashes = {student: DASHES[number if few else 0] for number, student in enumerate(students)}
    lines = [Line2D([], [], color=colours[method], label=method) for method in methods]
    if few:
        lines += [Line2D([], [], color="0.4", linestyle=dashes[student], label=student) for student in students]
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        axes = figure.subplots(1, 2)
        for axis, (column, label) in zip(axes, (("loss", "loss"), ("test_accuracy", "test accuracy (%)")), strict=True):
            for (student, method, _), table in runs.items():
                looks = {"color": colours[method], "linestyle": dashes[student], "linewidth": 1.4 if few else 0.6}
                axis.plot(table["epoch"], table[column], **looks)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            axis.set_xlabel("epoch")
            axis.set_ylabel(label)
        figure.legend(handles=lines, loc="outside right upper", frameon=False, fontsize=7)
        temporary = path.with_name(f".{path.name}")
        figure.savefig(temporary, dpi=160, format="png")
        temporary.replace(path)
