"""What others published: Spearman correlations of proxies with accuracy, their sources, and why ours may differ."""

from __future__ import annotations

from math import nan
from typing import NamedTuple


class Published(NamedTuple):
    """A published Spearman correlation on NAS-Bench-201, CIFAR-10."""

    proxy: str
    spearman: float
    source: str
    remark: str = ""


ZCN = "zero-cost-nas, 15,625 cells, test accuracy, absolute value"
FREEREA = "FreeREA's scores, 15,625 cells, test accuracy"
NASLIB = "NASLib's scores, 491 cells, validation accuracy"

PUBLISHED = (
    Published("params", 0.753, FREEREA),
    Published("naswot", 0.793, FREEREA, "-inf ranks last in both"),
    Published(
        "regions",
        0.725,
        FREEREA,
        "64 images saturate the count, 1,000 small ones do not: see below",
    ),
    Published("synflow", 0.769, FREEREA),
    Published("logsynflow", 0.826, FREEREA, "theirs: mean over three draws"),
    Published("jacob_cov", 0.731, ZCN, "theirs: NaN left out; ours: NaN last"),
    Published("snip", 0.596, ZCN, "within the choice of cells; images and batch move nothing: see below"),
    Published(
        "grad_norm",
        0.594,
        ZCN,
        "beyond the choice of cells by a hair; over all cells, on noise, it is nearer: see above",
    ),
    Published("grasp", 0.514, ZCN, "within the choice of cells; no experiment of its own"),
    Published(
        "fisher", 0.488, NASLIB, "theirs: no biases either, batch 32, and 491 other cells, which move more: see below"
    ),
    Published(
        "fisher_biased",
        0.360,
        ZCN,
        "the biases of the released network's cells, which explode where only zeros reach a convolution: see below",
    ),
    Published("epe_nas", 0.675, NASLIB, "within the choice of cells; theirs: batch 32, which moves little: see below"),
    Published("plain", -0.167, NASLIB, "theirs: batch 32; no direction is established"),
    Published("l2_norm", 0.681, NASLIB),
    Published(
        "macs",
        0.663,
        NASLIB,
        "theirs: counts pooling, ReLU, norms (see below); on their cells params too has only .693",
    ),
    Published("conv_edges", 0.692, NASLIB, "counted from their cells"),
    Published("meco", 0.89, "MeCo, abstract", "theirs: one image of 64 x 64 noise, maps of containers too"),
    Published(
        "swap",
        0.90,
        "SWAP, abstract, CIFAR-100",
        "theirs: CIFAR-100, regularised by size: see below, with a strength of our guess",
    ),
    Published(
        "az_nas", 0.913, "AZ-NAS, notebook; a user measured .75", "theirs: noise, Kaiming init, ranks over all cells"
    ),
)


class PublishedWhole(NamedTuple):
    """Published Spearman correlations over all cells, with test accuracy on CIFAR-10, CIFAR-100 and ImageNet16-120."""

    figures: tuple[float, float, float]
    source: str


WHOLE = {
    "params": PublishedWhole((0.753, 0.728, 0.691), FREEREA),
    "naswot": PublishedWhole((0.793, 0.81, 0.78), FREEREA),
    "synflow": PublishedWhole((0.769, 0.761, 0.747), FREEREA),
    "logsynflow": PublishedWhole((0.826, 0.792, 0.777), FREEREA),
    "jacob_cov": PublishedWhole((0.731, 0.704, 0.701), ZCN),
    "snip": PublishedWhole((0.596, 0.637, 0.578), ZCN),
    "grad_norm": PublishedWhole((0.594, 0.637, 0.578), ZCN),
    "grasp": PublishedWhole((0.514, 0.55, 0.55), ZCN),
    "fisher_biased": PublishedWhole((0.360, nan, nan), ZCN),
    "az_nas": PublishedWhole((0.913, nan, nan), "AZ-NAS, notebook, all cells"),
}
