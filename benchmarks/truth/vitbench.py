"""ViT-Bench-101 of Auto-Prox (AAAI 2024): vision transformers with and without distillation; a part of the project.

The tables are the source's, row by row; vitbench.json beside them says source, licence, commit, columns and outliers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.spaces import Space
from benchmarks.spaces.autoformer import AutoFormer
from benchmarks.spaces.pit import PiT
from benchmarks.truth.accuracies import Truth
from benchmarks.truth.embedded import RESULTS

NOTE = RESULTS / "vitbench.json"
SPACES: dict[str, type[Space]] = {kind.name: kind for kind in (AutoFormer, PiT)}
DATASETS = ("cifar100", "flowers", "chaoyang")
LEFT = "at most: what a quadratic fit by choices and parameters leaves of single trainings"


def read(space: str, dataset: str, target: str) -> Truth:
    """Accuracies of a space's candidates in percent, of the target gain in points; those the table has.

    The second hundred of AutoFormer has no vanilla accuracy, so vanilla and gain are of the first. How noisy a training
    is can't be known, as none was repeated; what a fit leaves bounds it from above.
    """
    rows = table(space)
    vanilla, distilled = (dict(rows[f"{dataset}_{one}"].dropna()) for one in ("vanilla", "distilled"))
    outliers = marked(space, dataset) & distilled.keys()
    if target == "vanilla":
        accuracy, outliers = vanilla, frozenset()
    elif target == "distilled":
        accuracy = distilled
    else:
        accuracy = {arch: round(distilled[arch] - value, 4) for arch, value in vanilla.items()}
    lacking = "" if len(accuracy) == len(rows) else f", {len(accuracy)} of the table's {len(rows)} have one"
    source = (
        f"vitbench ({target}; Auto-Prox's authors, one training each, {dataset}{lacking}; lliai/Auto-Prox-AAAI24, "
        "gt_results)"
    )
    return Truth(
        accuracy,
        source,
        {} if target == "vanilla" else vanilla,
        "each accuracy is a single training, whose noise is bounded from above alone: the real ceiling is no lower",
        noise_bound(rows.loc[list(accuracy)], accuracy, outliers, space),
        LEFT,
        outliers & accuracy.keys(),
    )


def table(space: str) -> pd.DataFrame:
    """The rows of a space's table by canonical code, with the numbers that `features` are made of."""
    rows = pd.read_csv(RESULTS / f"vitbench-{space}.csv", dtype=str)
    own = SPACES[space]()
    write = _autoformer if space == AutoFormer.name else _pit
    rows.index = pd.Index([own.parse(write(row)) for _, row in rows.iterrows()])
    measured = [name for name in rows.columns if str(name).startswith(DATASETS)]
    rows[measured] = rows[measured].astype(float)
    return rows


def _autoformer(row: pd.Series[str]) -> str:
    blocks = zip(row["num_heads"].split(), row["mlp_ratio"].split(), strict=True)
    return "-".join([row["hidden_dim"], *(f"{heads}x{float(ratio)}" for heads, ratio in blocks)])


def _pit(row: pd.Series[str]) -> str:
    heads = ".".join(row["num_heads"].split())
    return "-".join([row["base_dim"], row["mlp_ratio"], *row["depth"].split(), heads])


def marked(space: str, dataset: str) -> frozenset[str]:
    """The candidates whose distilled accuracy is marked as an outlier."""
    listed = json.loads(NOTE.read_text(encoding="utf-8"))["outliers"]
    return frozenset(one["arch"] for one in listed if (one["space"], one["dataset"]) == (space, dataset))


def noise_bound(rows: pd.DataFrame, accuracy: Mapping[str, float], outliers: frozenset[str], space: str) -> float:
    """Deviation in points that a quadratic fit by choices and parameters leaves, without outliers.

    It holds the noise of one training and what the fit can't see, such as which block is the wide one.
    """
    kept = rows[~rows.index.isin(outliers)]
    listed = ("hidden_dim", "base_dim", "mlp_ratio", "depth", "num_heads")
    numbers = [_numbers(kept[name]) for name in listed if name in kept]
    own = SPACES[space]()
    numbers.append(np.log([[own.count(arch, 100, own.resolution or 0).params] for arch in kept.index]))
    first = np.column_stack(numbers)
    first = (first - first.mean(0)) / first.std(0)
    pairs = combinations_with_replacement(range(first.shape[1]), 2)
    design = np.column_stack([np.ones(len(first)), first, *(first[:, i] * first[:, j] for i, j in pairs)])
    values = np.array([accuracy[arch] for arch in kept.index])
    solution, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    left = values - design @ solution
    return float(np.sqrt((left**2).sum() / (len(values) - rank)))


def _numbers(column: pd.Series[str]) -> NDArray[np.float64]:
    """A column's numbers on a log scale; of lists as long as each other one column each, else their mean."""
    lists = [[float(part) for part in text.split()] for text in column]
    if len({len(one) for one in lists}) == 1:
        found: NDArray[np.float64] = np.log(np.array(lists))
        return found
    return np.array([[np.mean(one)] for one in lists])
