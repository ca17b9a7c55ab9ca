"""Matrices and maps as pictures: correlations among proxies, wins, relation matrices, class activation maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from analysis.pictures.figures import COLUMN, DENSITY, style
from analysis.stats.influence import Array

NUMBERED = 20  # classes up to this many are named in a relation matrix
ANNOTATED = 16  # matrices up to this size show their numbers
NOTE = 72  # letters a line
DIVERGING = "PuOr"


def proxy_matrix(names: Sequence[str], matrix: Array, label: str, *, low: float, high: float) -> Figure:
    """A matrix over proxies [P, P], low to high; values that are undefined stay white."""
    side = max(COLUMN, 1.2 + 0.27 * len(names))
    with style():
        figure = Figure(figsize=(side, side - 0.4), layout="constrained")
        axis = figure.subplots()
        image = axis.imshow(matrix, cmap=DIVERGING, vmin=low, vmax=high)
        axis.set_xticks(range(len(names)), list(names), rotation=90, fontsize=7)
        axis.set_yticks(range(len(names)), list(names), fontsize=7)
        axis.spines[:].set_visible(False)
        figure.colorbar(image, ax=axis, shrink=0.6, label=label)
        if len(names) <= ANNOTATED:
            middle, reach = (low + high) / 2, (high - low) / 2
            for i, j in zip(*np.nonzero(np.isfinite(matrix)), strict=True):
                colour = "white" if abs(matrix[i, j] - middle) > 0.7 * reach else "black"
                axis.text(j, i, f"{matrix[i, j]:.2f}".lstrip("0"), ha="center", va="center", fontsize=5.5, color=colour)
    return figure


def activation_maps(images: Array, maps: Mapping[str, Array], titles: Sequence[str], note: str) -> Figure:
    """Class activation maps over images, a row an image: the image, then each network's map upon it.

    images [M, H, W, 3] in 0 to 1; maps: network -> [M, h, w], each map scaled to its own range, as only where it is
    high matters; titles [M] for the rows; the note says what weights the networks have.
    """
    with style():
        figure = Figure(figsize=(1.15 * (1 + len(maps)) + 1.0, 1.15 * len(images) + 0.7), layout="constrained")
        axes = figure.subplots(len(images), 1 + len(maps), squeeze=False)
        height, width = images.shape[1:3]
        for row, (image, title) in enumerate(zip(images, titles, strict=True)):
            for axis in axes[row]:
                axis.imshow(image, extent=(0, width, height, 0), interpolation="nearest")
                axis.set_xticks([])
                axis.set_yticks([])
                axis.spines[:].set_visible(False)
            axes[row][0].set_ylabel(title, fontsize=8)
            for axis, found in zip(axes[row][1:], maps.values(), strict=True):
                axis.imshow(
                    found[row], extent=(0, width, height, 0), cmap=DENSITY, alpha=0.65, interpolation="bilinear"
                )
        for axis, name in zip(axes[0], ["image", *maps], strict=True):
            axis.set_title(name, fontsize=8)
        scale = figure.colorbar(ScalarMappable(cmap=DENSITY), ax=axes, shrink=min(1.0, 2 / len(images)), ticks=[0, 1])
        scale.ax.set_yticklabels(["lowest", "highest"], fontsize=7)
        scale.set_label("activation for the image's own class,\nwithin each map", fontsize=7)
        figure.supxlabel(fill(note, NOTE), fontsize=7)
    return figure


def relation_matrices(matrices: Mapping[str, Array], labels: Array, note: str) -> Figure:
    """Sample relation matrices [N, N] side by side, rows and columns sorted by label [N], on one scale.

    The scale ends at the largest 99.5 % quantile: the few images beyond, related to themselves, would darken the rest.
    The note says what weights the networks have.
    """
    order = np.argsort(labels, kind="stable")
    high = max(float(np.quantile(matrix, 0.995)) for matrix in matrices.values())
    low = min(float(matrix.min()) for matrix in matrices.values())
    with style():
        figure = Figure(figsize=(2.2 * len(matrices) + 1.0, 3.0), layout="constrained")
        axes = figure.subplots(1, len(matrices), squeeze=False)[0]
        for axis, (name, matrix) in zip(axes, matrices.items(), strict=True):
            image = axis.imshow(matrix[order][:, order], cmap=DENSITY, vmin=low, vmax=high)
            axis.set_title(name, fontsize=8)
            axis.set_xlabel("images, by class", fontsize=7)
            axis.spines[:].set_visible(False)
            _classes(axis, labels[order])
        axes[0].set_ylabel("images, by class", fontsize=7)
        scale = figure.colorbar(image, ax=axes, shrink=0.8, extend="max")
        scale.set_label("relation of two images\n(Gram matrix of norm 1)", fontsize=7)
        scale.ax.tick_params(labelsize=7)
        figure.supxlabel(fill(note, NOTE), fontsize=7)
    return figure


def _classes(axis: Axes, labels: Array) -> None:
    """A class's number in the middle of its images, and lines between classes; of many classes the lines alone."""
    edges = np.flatnonzero(np.diff(labels)) + 0.5
    starts, ends = np.r_[-0.5, edges], np.r_[edges, len(labels) - 0.5]
    middles = (starts + ends) / 2 if len(starts) <= NUMBERED else np.empty(0)
    named = [str(labels[int(middle)]) for middle in middles]
    for side in (axis.xaxis, axis.yaxis):
        side.set_ticks(middles, named, fontsize=5.5)
        side.set_ticks(edges, minor=True)
    axis.tick_params(which="major", length=0)
    axis.tick_params(which="minor", length=3)
