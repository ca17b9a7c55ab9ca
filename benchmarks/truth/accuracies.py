"""What a table of accuracies is: a Truth, its targets, percents, and how noisy trainings are said.

Not where one comes from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import pandas as pd

from analysis.stats.inference import Sample
from benchmarks.conditions.drawing import generator

Target = Literal["vanilla", "distilled", "gain"]
TARGETS: tuple[Target, ...] = get_args(Target)
VANILLA = "vanilla accuracy"  # as a row beside the proxies

# What one training seed's accuracy reaches as a predictor of another's inside the space's top tenth (Spearman).
SEED_CEILING = {"cifar10": 0.66, "cifar100": 0.79, "ImageNet16-120": 0.85}

# By what an accuracy differs from that of another training of the same candidate (points), and how that is known.
CELLS_OF_A_FUNCTION = "cells that compute one function, each trained by itself"
FIT = "what a fit by the depths of the three stages and their pairs leaves"
OFFICIAL_NOISE = {"cifar10": 0.21, "cifar100": 0.43, "ImageNet16-120": 0.64}  # above the lowest tenth of all cells
RETRAINED_NOISE = 0.25
PUBLISHED_NOISE: dict[str, float] = {"vanilla": 0.37, "distilled": 0.25, "gain": 0.43}

# The same between the two tables of CIFAR-10: the official means as predictor of the retraining, and the other way.
RETRAINED = "analog-nasbench"
OFFICIAL_OF_RETRAINED, RETRAINED_OF_OFFICIAL = 0.79, 0.76


@dataclass(frozen=True)
class Truth:
    """Accuracies in percent by canonical arch (of the target gain: points), and where they come from.

    `vanilla` holds the accuracies without distillation where the target is another and the table has them: a predictor
    that costs a training, ranked beside the proxies. `noise` is the deviation in points of one accuracy over trainings,
    and `noise_from` says how that is known; None where it is not. `ceiling` says what other trainings of the same
    candidates predict inside the top tenth, where that is known. `outliers` are candidates of the table whose accuracy
    lies so far from all others that a reader has to know what it does to a figure; `remark` is
    what else they have to know.
    """

    accuracy: dict[str, float]
    source: str
    vanilla: dict[str, float] = field(default_factory=dict)
    ceiling: str | None = None
    noise: float | None = None
    noise_from: str = ""
    outliers: frozenset[str] = frozenset()
    remark: str = ""

    def sample(self, archs: Sequence[str], share: float) -> Sample:
        """Candidates that it knows, and the share of their space that they are, as what correlations are held against.

        Other trainings are drawn by the source, so alike for all that is held against one table.
        """
        accuracy = np.array([self.accuracy[arch] for arch in archs], dtype=float)
        return Sample(accuracy, share, self.noise, generator("retraining", self.source))


def between_seeds(reached: float) -> str:
    """The noise of training as a sentence, by the Spearman that one seed's accuracy reaches of another's."""
    return f"inside the top tenth one training seed's accuracy reaches {reached:.2f} of another's"


def percent(value: object, where: str) -> float:
    """An accuracy out of what a user gave: a number, or a text that is one.

    Raises ValueError, beginning with where it stands, for what is no number of percent, NaN and infinities among it.
    """
    plain = not isinstance(value, str) or (value.isascii() and "_" not in value)  # float() reads more than people write
    try:
        number = float(value) if plain else math.nan  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= 100:
        raise ValueError(f"{where}: {value!r} is no number of percent, 0 to 100")
    return number


def refuse_fractions(percents: Iterable[float], where: str, inside: str) -> None:
    """Raises ValueError, saying where and inside what they stand, where no accuracy is above 1."""
    if all(value <= 1 for value in percents):
        what = f"no accuracy above 1 in {inside}: are these fractions?"
        raise ValueError(f"{where}: {what} Accuracies are read in percent: multiply them by 100")


def noise_of(accuracies: pd.DataFrame, chosen: pd.DataFrame | None = None) -> float | None:
    """Deviation over trainings of the mean of the chosen seeds; None where no candidate has several.

    accuracies, chosen (all, where not given) [n, seeds], NaN where a candidate was not trained with a seed. The
    variance is pooled over the candidates that have several, by their degrees of freedom.
    """
    trained = accuracies.count(axis=1)
    freedom = (trained - 1).clip(lower=0)
    if not freedom.sum():
        return None
    variance = float((accuracies.var(axis=1) * freedom).sum() / freedom.sum())
    seeds = (accuracies if chosen is None else chosen).count(axis=1)
    return math.sqrt(variance * float((1 / seeds[seeds > 0]).mean()))


def pulled(row: str, target: str) -> bool:
    """Whether a row and its target move together when candidates are trained anew, so that nothing can be tested.

    A gain has the noise of the accuracy that it was taken from in it, with the other sign.
    """
    return row == VANILLA and target == "gain"
