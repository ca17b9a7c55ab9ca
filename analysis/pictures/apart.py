"""Which proxies are told apart, as a picture: a row each, and lines that join those that are not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from analysis.pictures.figures import ACCENT, COLUMN, GREY, POINT, style
from analysis.stats.influence import Array

ROW, LINE = 0.19, 0.16  # inches that a proxy takes, and a line


def critical_difference(names: Sequence[str], rho: Array, groups: Sequence[Sequence[int]]) -> Figure:
    """Correlations of proxies, best on top, and beside them lines with a dot in the row of each proxy that they join.

    groups: positions of the proxies of each line, no two of which are told apart. After the diagram of Demšar (JMLR
    2006), on correlations rather than mean ranks, and by paired tests. These know no order: of three, the outer two may
    be alike and the middle one apart from both, so a line passes by whoever has no dot on it.
    """
    place = -np.arange(len(names), dtype=float)
    right = LINE * max(len(groups), 1)
    with style():
        figure = Figure(figsize=(COLUMN + 0.3 + right, 0.9 + ROW * len(names)), layout="constrained")
        left, beside = figure.subplots(1, 2, sharey=True, width_ratios=(2.0, right))
        for axis in (left, beside):
            axis.hlines(place, 0, 1, color=GREY, linewidth=0.3, alpha=0.5, transform=axis.get_yaxis_transform())
        left.plot(rho, place, "o", color=POINT, markersize=4)
        left.set_yticks(place, [f"{name}  {value:.3f}" for name, value in zip(names, rho, strict=True)], fontsize=8)
        left.set_ylim(place[-1] - 0.7, 0.7)
        left.set_xlabel("Spearman with accuracy")
        for number, group in enumerate(groups):
            beside.plot([number] * len(group), place[list(group)], "o-", color=ACCENT, linewidth=1.5, markersize=4)
        beside.set_xlim(-0.5, max(len(groups), 1) - 0.5)
        beside.set_xticks([])
        beside.spines[:].set_visible(False)
        beside.tick_params(left=False)
        figure.suptitle("Proxies with a dot on one line are not told apart", fontsize=8)
    return figure
