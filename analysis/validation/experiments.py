"""What makes a correlation differ from the published one: experiments as data, and the table of what they show.

Each scores the cells of a validated proxy again with one thing changed: an option of benchmarks/rank.py, a variant from
variants.py beside this file, or a formula over scores. Not for scoring: analysis/validate.py --experiments does that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.rows.tables import interval, number
from analysis.stats.inference import Estimate, Sample, apart, difference, measured
from analysis.stats.ranking import spearman
from analysis.validation.published import WHOLE

Formula = Callable[[pd.DataFrame], "pd.Series[float]"]
CELLS = 200
VARIANTS = "variants.py"  # beside this file
POSITIONS = 5 * (16 * 32**2 + 32 * 16**2 + 64 * 8**2)  # channels times positions that an edge gives, over 15 cells


class Run(NamedTuple):
    """A run of benchmarks/rank.py: options besides those of the validation.

    `seed` 0 takes the validated cells, images and weights, another one others; `truth` may name another data set, whose
    official accuracies are to be predicted, images and network staying those of CIFAR-10 unless an option says else.
    """

    options: tuple[str, ...] = ()
    seed: int = 0
    truth: str | None = None


VALIDATED = Run()
OTHERS = Run(seed=1)
OWN_IMAGES = Run(("--batch-size", "432", "--stack", "1"))
CROPS = Run(("--batch-size", "1000"))
BATCH_32 = Run(("--batch-size", "32"))
CIFAR100 = Run(truth="cifar100")
OWN_CIFAR100, OWN_IMAGENET16 = (
    Run(("--dataset", name, "--batch", "noise"), truth=name) for name in ("cifar100", "ImageNet16-120")
)
NOISE, KAIMING, SHARED = Run(("--batch", "noise")), Run(("--init", "kaiming")), Run(("--draw", "shared"))
AS_SHIPPED = Run((*NOISE.options, *KAIMING.options, *SHARED.options))  # the score table of the whole space
LIKE_SWAP = Run(("--init", "normal", "--seeds", "4"), truth="cifar100")


class Experiment(NamedTuple):
    """One thing changed for one proxy.

    `scored` names the proxies that its run scores, :name a variant; `formula` makes one score of their columns (index:
    the cells), by default it is the only column.
    """

    proxy: str
    change: str
    published: float
    scored: tuple[str, ...]
    run: Run = VALIDATED
    formula: Formula | None = None


def tensorwatch_count(scores: pd.DataFrame) -> pd.Series[float]:
    """Multiply-accumulates, and what tensorwatch adds: 3 a value for ReLU and normalisation, 9 for pooling."""
    pools = [cell.count("avg_pool") for cell in scores.index]
    counted: pd.Series[float] = scores["macs"] + POSITIONS * (3 * (scores["conv_edges"] - 7) / 15 + 9 * np.array(pools))
    return counted


def size_regularised(scores: pd.DataFrame) -> pd.Series[float]:
    """SWAP times exp(-(p - mu)^2 / sigma), p the parameters in thousands; mu the largest cell's, sigma a guess."""
    thousands = scores["params"] / 1000
    regularised: pd.Series[float] = scores["swap"] * np.exp(-((thousands - 1531) ** 2) / 1531**2)
    return regularised


def over_the_whole_space(proxy: str) -> list[Experiment]:
    """What the conditions of the whole space's score table do to one proxy, by data set."""
    ours, scored = "as over the whole space", (proxy,)
    figures = dict(zip(("cifar10", "cifar100", "ImageNet16-120"), WHOLE[proxy].figures, strict=True))
    found = [
        Experiment(proxy, "noise in place of images", figures["cifar10"], scored, NOISE),
        Experiment(proxy, f"with init kaiming and one draw, {ours}", figures["cifar10"], scored, AS_SHIPPED),
    ]
    for name, title, classes, own in (
        ("cifar100", "CIFAR-100", 100, OWN_CIFAR100),
        ("ImageNet16-120", "ImageNet16-120", 120, OWN_IMAGENET16),
    ):
        told = f"accuracy on {title}"
        changes = {
            told: Run(truth=name),
            f"{told}, noise": NOISE._replace(truth=name),
            f"{told}, {ours}": AS_SHIPPED._replace(truth=name),
            f"the same, networks of its {classes} classes, noise": own,
        }
        found += [Experiment(proxy, change, figures[name], scored, run) for change, run in changes.items()]
    return found


EXPERIMENTS = (
    Experiment("regions", "1,000 images cut to 4 x 4", 0.725, (":regions_crops",), CROPS),
    Experiment("regions", "one channel", 0.725, (":regions_thin",)),
    Experiment("regions", "one channel, 1,000 images cut to 4 x 4", 0.725, (":regions_thin_crops",), CROPS),
    Experiment("naswot", "noise in place of images", 0.793, ("naswot",), NOISE),
    Experiment("naswot", "init kaiming", 0.793, ("naswot",), KAIMING),
    Experiment("naswot", "one draw for all cells", 0.793, ("naswot",), SHARED),
    Experiment("naswot", "all three, as over the whole space", 0.793, ("naswot",), AS_SHIPPED),
    Experiment("fisher", "every cell on images of its own", 0.360, (":fisher_own_images",), OWN_IMAGES),
    Experiment("fisher", "convolutions of the cells with a bias", 0.360, ("fisher_biased",)),
    Experiment("fisher", "a filter's size left out", 0.360, (":fisher_channels",)),
    Experiment("fisher", "of the blocks' outputs, a filter's size left out", 0.360, (":fisher_blocks",)),
    Experiment("fisher", "batch 32", 0.488, ("fisher",), BATCH_32),
    Experiment("fisher", "other cells, images and weights", 0.360, ("fisher",), OTHERS),
    Experiment("grad_norm", "every cell on images of its own", 0.594, (":grad_norm_own_images",), OWN_IMAGES),
    Experiment("grad_norm", "batch 32", 0.588, ("grad_norm",), BATCH_32),
    Experiment("grad_norm", "other cells, images and weights", 0.594, ("grad_norm",), OTHERS),
    Experiment("snip", "batch 32", 0.599, ("snip",), BATCH_32),
    Experiment("snip", "other cells, images and weights", 0.596, ("snip",), OTHERS),
    *over_the_whole_space("grad_norm"),
    *over_the_whole_space("snip"),
    Experiment("jacob_cov", "noise in place of images", 0.731, ("jacob_cov",), NOISE),
    Experiment("jacob_cov", "init kaiming", 0.731, ("jacob_cov",), KAIMING),
    Experiment("jacob_cov", "one draw for all cells", 0.731, ("jacob_cov",), SHARED),
    Experiment("jacob_cov", "all three, as over the whole space", 0.731, ("jacob_cov",), AS_SHIPPED),
    Experiment("epe_nas", "batch 32", 0.675, ("epe_nas",), BATCH_32),
    Experiment("epe_nas", "other cells, images and weights", 0.675, ("epe_nas",), OTHERS),
    Experiment(
        "macs", "with ReLU, normalisation and pooling", 0.663, ("macs", "conv_edges"), formula=tensorwatch_count
    ),
    Experiment("swap", "accuracy on CIFAR-100", 0.90, ("swap",), CIFAR100),
    Experiment("swap", "CIFAR-100, weights N(0, 1), mean of 4 draws", 0.90, ("swap",), LIKE_SWAP),
    Experiment("swap", "the same, regularised by size", 0.90, ("swap", "params"), LIKE_SWAP, size_regularised),
)

HEADERS = ["proxy", "change", "cells", "as validated", "changed", "difference", "95 % interval", "published"]
NOTES = [
    f"as validated: on the first {CELLS} of the validated cells",
    "regularised by size: by the parameters, mu that of the largest cell, sigma its square, a guess and not fitted",
    "interval: of the difference, for the choice of cells, which is the same for both where both saw the same cells",
]


def by_cell(table: pd.DataFrame) -> pd.DataFrame:
    """A scores.csv as a column a proxy and a row a cell, in its order: the mean over seeds, failed scores as -inf."""
    ranked = table.assign(score=table["score"].where(table["status"] == "ok", -np.inf))
    order = table["arch"].unique()
    return ranked.groupby(["arch", "proxy"])["score"].mean().unstack().loc[order]


def row(one: Experiment, validated: pd.DataFrame, changed: pd.DataFrame) -> list[str]:
    """The table's row of an experiment, from the scores.csv of its validated proxy and of its run."""
    before = by_cell(validated)[one.proxy]
    columns = by_cell(changed)[[column(name) for name in one.scored]]
    after = columns.iloc[:, 0] if one.formula is None else one.formula(columns)
    ours, theirs = (_with_truth(*pair) for pair in ((before, validated), (after, changed)))
    moved = _moved(ours, theirs, paired=before.index.equals(after.index))
    rhos = [number(float(spearman(*pair.T))) for pair in (ours, theirs)]
    shift = [number(moved.value, sign="+"), interval(moved.low, moved.high, sign="+")]
    return [one.proxy, one.change, f"{len(after):,}", *rhos, *shift, number(one.published)]


def column(name: str) -> str:
    """What scores.csv calls a scored proxy."""
    return f"{VARIANTS}{name}" if name.startswith(":") else name


def _with_truth(scores: pd.Series, table: pd.DataFrame) -> NDArray[np.float64]:
    """Scores and accuracies, [n, 2]."""
    truth = table.drop_duplicates("arch").set_index("arch")["truth"]
    return np.column_stack([scores.to_numpy(dtype=float), truth.loc[scores.index].to_numpy(dtype=float)])


def _moved(a: NDArray[np.float64], b: NDArray[np.float64], *, paired: bool) -> Estimate:
    """How much the correlation in b exceeds that in a, both [n, 2]: score, accuracy; `paired`: of the same cells."""
    before, after = (Sample(rows[:, 1]) for rows in (a, b))
    first, second = measured(a[None, :, 0], before), measured(b[None, :, 0], after)
    return difference(second, first, before) if paired else apart(second, first, after, before)
