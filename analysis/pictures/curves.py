"""The figure of training runs: loss and test accuracy by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from analysis.pictures.figures import COLOURS, COLUMN, style

Dash = Literal["-", "--", ":", "-."]
DASHES: tuple[Dash, ...] = ("-", "--", ":", "-.")


def training_curves(runs: Mapping[tuple[str, str, int], pd.DataFrame]) -> Figure:
    """Two panels, training loss and test accuracy in percent: a line a run, a colour a method, dashes by student.

    runs: (student, method, seed) -> table with columns epoch, loss, test_accuracy. Seeds look alike, and so do students
    where there are more than kinds of dashes; of one student dashes tell methods apart that share a colour.
    """
    students = list(dict.fromkeys(student for student, _, _ in runs))
    methods = list(dict.fromkeys(method for _, method, _ in runs))
    few = 1 < len(students) <= len(DASHES)

    def looks(student: str, method: str) -> tuple[str, Dash]:
        turn, number = divmod(methods.index(method), len(COLOURS))
        return COLOURS[number], DASHES[students.index(student) if few else turn % len(DASHES)]

    lines = []
    for method in methods:
        colour, dash = looks(students[0], method)
        lines.append(Line2D([], [], color=colour, linestyle=dash, label=method))
    if few:
        lines += [Line2D([], [], color="0.4", linestyle=looks(one, methods[0])[1], label=one) for one in students]
    with style():
        figure = Figure(figsize=(2 * COLUMN, 2.8), layout="constrained")
        axes = figure.subplots(1, 2)
        for axis, (column, label) in zip(axes, (("loss", "loss"), ("test_accuracy", "test accuracy (%)")), strict=True):
            for (student, method, _), table in runs.items():
                colour, dash = looks(student, method)
                width = 1.4 if len(students) <= len(DASHES) else 0.6
                mark = "o" if len(table) == 1 else None  # one epoch makes no line
                axis.plot(table["epoch"], table[column], marker=mark, color=colour, linestyle=dash, linewidth=width)
            if max(map(len, runs.values()), default=0) > 1:
                axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            else:
                axis.set_xticks(sorted({epoch for table in runs.values() for epoch in table["epoch"]}))
            axis.set_xlabel("epoch")
            axis.set_ylabel(label)
        figure.legend(handles=lines, loc="outside right upper", fontsize=7)
    return figure
