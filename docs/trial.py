"""docs/distilled_truth/facts.csv: what the trial's accuracies say without any score. Run by `make readme`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from analysis.rows.tables import write_csv
from analysis.stats.ranking import spearman
from benchmarks.spaces.nasbench201 import NasBench201
from benchmarks.truth.embedded import TRIAL

OUT = Path(__file__).resolve().parent / "distilled_truth" / "facts.csv"
METHODS = ("ce", "kd", "diswot")


def facts() -> pd.DataFrame:
    """A row a fact: columns fact and value.

    Of two methods: points in the mean over the cells, how many cells went up, down and neither, and Wilcoxon's p. Of a
    method's two seeds: the deviation pooled over the cells, and Spearman. Of the gain of kd, its reliability: the share
    of the variance of its mean over seeds that is not the seeds'.
    """
    table, found = pd.read_csv(TRIAL), dict[str, float]()
    for one, other in (("kd", "ce"), ("diswot", "ce"), ("diswot", "kd")):
        points = table[one] - table[other]
        ways = {"up": points > 0, "down": points < 0, "equal": points == 0}
        found |= {f"{one} over {other}": points.mean(), f"{one} over {other}: p": stats.wilcoxon(points).pvalue}
        found |= {f"{one} over {other}: {way}": float(cells.sum()) for way, cells in ways.items()}
    by_seed = {method: table[[f"{method} seed 0", f"{method} seed 1"]].to_numpy() for method in METHODS}
    by_seed["gain"] = by_seed["kd"] - by_seed["ce"]
    for name, values in by_seed.items():
        found |= {f"{name}: sd of seeds": np.sqrt(values.var(axis=1, ddof=1).mean())}
        found |= {f"{name}: spearman of seeds": spearman(*values.T)}
    connected = table["arch"].map(NasBench201().connected).to_numpy(bool)
    for name, cells in (("all", np.full(len(table), True)), ("connected", connected)):
        found |= {f"gain: reliability of {name}": reliability(by_seed["gain"][cells])}
    return pd.DataFrame(found.items(), columns=["fact", "value"])


def reliability(values: np.ndarray) -> float:
    """Of means over seeds, [n, S]."""
    noise = values.var(axis=1, ddof=1).mean() / values.shape[1]
    return float(1 - noise / values.mean(axis=1).var(ddof=1))


def main() -> None:
    """Write them."""
    write_csv(facts(), OUT)


if __name__ == "__main__":
    main()
