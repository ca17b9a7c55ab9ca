"""Figures over rows: the house style, how a figure is saved, and scores against accuracies.

Colour-blind safe (Okabe & Ito), readable at a column's width, drawn without a display. Charts of correlations stand in
charts.py beside this file, matrices and maps in heatmaps.py.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from analysis.rows.files import replacing
from analysis.stats.influence import Array

COLUMN = 3.4  # inches, of a two-column page
PANELS = 12  # proxies on a page
DENSE = 1000  # more points than this are drawn as densities
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
POINT, ACCENT, GREY, DENSITY = COLOURS[0], COLOURS[1], "#777777", "cividis"


@contextmanager
def style() -> Iterator[None]:
    """The look that all figures share."""
    with mpl.rc_context(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    ):
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the path's suffix names, so that a reader never sees half of it."""
    with replacing(path) as meanwhile:
        meanwhile.write_bytes(drawn(figure, path.suffix[1:]))


def save_both(figure: Figure | Iterable[Figure], folder: Path, name: str) -> None:
    """Write a figure as PNG and as PDF; of several pages the PNG has the first, the PDF all."""
    pages = [figure] if isinstance(figure, Figure) else list(figure)
    save(pages[0], folder / f"{name}.png")
    if len(pages) == 1:
        pages[0].set_layout_engine("none")  # as the PNG has it: to find it again takes a quarter of the PDF's time
        save(pages[0], folder / f"{name}.pdf")
        return
    with (
        style(),
        replacing(folder / f"{name}.pdf") as meanwhile,
        PdfPages(meanwhile, metadata={"CreationDate": None}) as document,
    ):
        for page in pages:
            document.savefig(page)


def drawn(figure: Figure, kind: str, dpi: int = 160) -> bytes:
    """The bytes of a figure as png, pdf or svg; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, dpi=dpi, format=kind, metadata={"CreationDate": None} if kind == "pdf" else None)
    return buffer.getvalue()


def score_against_truth(
    panels: Mapping[str, tuple[Array, str]], truth: Array, label: str, subject: Collection[str] = ()
) -> Iterator[Figure]:
    """One panel a proxy: its scores against the accuracies, titled with its correlation; failed scores are left out.

    panels: proxy -> (scores [n], what to say beside the name), best first; truth [n] in percent. Scores that span more
    than three orders of magnitude get a logarithmic axis. More than PANELS take further pages; a proxy that the run is
    about (`subject`) stands on the first.
    """
    names = list(panels)
    if about := [name for name in names if name in subject]:
        names.remove(about[0])
        names.insert(min(list(panels).index(about[0]), PANELS - 1), about[0])
    for start in range(0, len(names), PANELS):
        shown = names[start : start + PANELS]
        figure = _page({name: panels[name] for name in shown}, truth, label)
        if len(names) > PANELS:
            further = f"{start + 1} to {start + len(shown)} of {len(names)} proxies"
            first = f"{PANELS} of {len(names)} proxies; the others: further pages of the PDF"
            figure.supxlabel(further if start else first, fontsize=9)
        yield figure


def _page(panels: Mapping[str, tuple[Array, str]], truth: Array, label: str) -> Figure:
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    with style():
        figure = Figure(figsize=(COLUMN * columns, 2.9 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis, (name, (scores, remark)) in zip(axes, panels.items(), strict=False):
            shown = np.isfinite(scores)
            x = _readable(axis, scores[shown], name)
            y = _spaced(axis, truth)[shown]
            if shown.sum() > DENSE:
                axis.hexbin(x, y, gridsize=45, bins="log", mincnt=1, cmap=DENSITY, linewidths=0.1)
            else:
                axis.scatter(x, y, s=10, alpha=0.6, color=POINT, edgecolors="none")
            axis.locator_params(axis="x", nbins=4)
            axis.set_title(f"{name}  {remark}", fontsize=9, loc="left")
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        figure.supylabel(label, fontsize=9)
    return figure


def _spaced(axis: Axes, truth: Array) -> Array:
    """Accuracies from chance to the best in one view: placed by the logarithm of the error, labelled as accuracies."""
    low, high = float(truth.min()), float(truth.max())
    if high - low < 30 or low < 0 or high > 100:
        return truth
    ticks = np.array([tick for tick in (0, 10, 30, 50, 60, 70, 80, 90, 94, 96, 98) if low - 3 < tick < high + 1])
    axis.set_yticks(-np.log10(101.0 - ticks), [str(tick) for tick in ticks])
    return np.asarray(-np.log10(101.0 - truth))


def _readable(axis: Axes, x: Array, name: str) -> Array:
    """The scores, or log10 of them where they are positive but for zeros and span three orders of magnitude."""
    positive = x[x > 0]
    if len(positive) and x.min() >= 0 and positive.max() > 1e3 * positive.min():
        axis.set_xlabel(f"log10 {name}")
        floor = np.log10(positive.min()) - 0.05 * np.log10(positive.max() / positive.min())
        return np.where(x > 0, np.log10(np.where(x > 0, x, 1.0)), floor)
    axis.set_xlabel(name)
    return x
