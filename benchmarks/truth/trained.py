"""Tables of our own: accuracies that search/distill.py measured, a CSV and its protocol, the .json beside it.

`search/distill.py --done --table FILE.csv` writes both; how they become part of the project: docs/distilled_truth.md.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.stats.ranking import spearman
from benchmarks.spaces import Space
from benchmarks.truth.accuracies import Truth, noise_of
from benchmarks.truth.ownfile import from_csv

FEWEST = 8  # candidates trained twice, below which nothing is said of the noise between seeds


def trained(name: str, path: Path, space: Space, target: str) -> Truth:
    """The table under its name, with the noise between seeds where enough candidates were trained with several.

    The noise is that of the table's accuracies, which are means over the seeds that a candidate has of both.
    """
    protocol = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    truth = replace(from_csv(path, space, target), source=f"{name} ({target}; {protocol['summary']})")
    table = pd.read_csv(path, na_values=["n/a"])
    seeds = by_seed(table, target, protocol["columns"])
    counts = seeds.notna().sum(axis=1)
    if counts.gt(1).sum() < FEWEST:
        return truth
    both = by_seed(table, "gain", protocol["columns"]).notna().reindex(columns=seeds.columns, fill_value=False)
    several = f"{int(counts.gt(1).sum())} of {len(seeds)} candidates were trained with several seeds"
    return replace(truth, noise=noise_of(seeds, seeds.where(both)), noise_from=several, ceiling=between(seeds))


def by_seed(table: pd.DataFrame, target: str, columns: dict[str, str]) -> pd.DataFrame:
    """Each candidate's value by seed, NaN where it was not trained with it; without several seeds the one there is."""

    def of(what: str) -> pd.DataFrame:
        start = f"{columns[what]} seed "
        found = {name.removeprefix(start): table[name] for name in table.columns if name.startswith(start)}
        return pd.DataFrame(found or {"0": table[what]})

    return of("distilled") - of("vanilla") if target == "gain" else of(target)


def between(seeds: pd.DataFrame) -> str:
    """What one seed's values predict of another's, as a sentence: Spearman, mean over the pairs of seeds."""
    found = []
    for one, other in combinations(seeds.columns, 2):
        both = seeds[[one, other]].dropna()
        if len(both) >= FEWEST:
            found.append((spearman(both[one].to_numpy(), both[other].to_numpy()), len(both)))
    if not found:
        return "no two seeds have enough candidates in common"
    reached, most = float(np.mean([rho for rho, _ in found])), max(count for _, count in found)
    return f"one training seed's values reach {reached:.2f} of another's over {most} candidates"
