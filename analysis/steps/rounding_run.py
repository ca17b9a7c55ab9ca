"""The steps of analysis/validate.py --rounding: what float32 leaves of every proxy's scores, against float64.

Both are scored by benchmarks/rank.py on the same weights and noise, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import proxies
from analysis.rows.tables import UNDEFINED, number
from analysis.rows.ties import to_be_ranked
from analysis.stats.ranking import spearman
from analysis.steps.options import ValidateOptions
from analysis.steps.validate_run import run_rank, show
from benchmarks import spaces
from benchmarks.spaces.cells import EDGES, OPERATIONS, print_cell

PROXIES = proxies.registered()
BATCHES = (16, 64)
PRECISIONS = ("float32", "float64")
# They go back once an image through the whole batch: at 64 images in float64 ten minutes a proxy for the all-3x3 cell.
BY_IMAGE = ("ntk_trace", "ntk_trace_released", "ntk_condition")
# All of one operation (dead, skips, 1x1, 3x3, pooling), and convolutions that lead nowhere; then cells by their index.
NAMED = [print_cell((name,) * len(EDGES)) for name in OPERATIONS]
NAMED.append("|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|none~0|none~1|none~2|")
MIXED = range(0, 15_625, 868)  # 19 official indices
HEADERS = ["proxy", *(f"{what}, batch {size}" for size in BATCHES for what in ("median", "largest", "Spearman"))]


def measure(options: ValidateOptions) -> None:
    """Score in both precisions, compare, print, and keep the scores beside the table."""
    space = spaces.find("nasbench201")
    archs = NAMED + [space.arch(index) for index in MIXED]
    found = {size: pd.concat([scored(options, archs, size, one) for one in PRECISIONS]) for size in BATCHES}
    rows = [row(proxy.name, found) for proxy in PROXIES]
    notes = [
        f"relative error of float32 scores against float64 ones: median and largest over {len(archs)} cells, "
        f"{len(MIXED)} by their index, one for each operation on all edges, one that leads nowhere",
        f"Spearman: between the two; noise, init default, draw independent, seed {options.seed}, {options.device}",
        f"{', '.join(BY_IMAGE)}: they go back once an image, which takes hours for {BATCHES[-1]} images",
        "float64 in both: grasp, gradsign, zico, synflow, logsynflow; counts (regions, swap) move by whole numbers",
    ]
    show(options, "Rounding", "What float32 leaves of each proxy's scores", HEADERS, rows, notes)


def scored(options: ValidateOptions, archs: list[str], size: int, precision: str) -> pd.DataFrame:
    """scores.csv of all proxies in one precision, which a column names."""
    out = Path(options.out) / f"rounding-{size}-{precision}"
    out.mkdir(parents=True, exist_ok=True)
    listed = out / "cells.txt"
    listed.write_text("\n".join(archs) + "\n", encoding="utf-8")
    more = ["--archs", str(listed), "--batch", "noise", "--batch-size", str(size), "--truth", "retrained"]
    more += ["--precision", precision, "--seed", str(options.seed)]
    names = [proxy.name for proxy in PROXIES if size == BATCHES[0] or proxy.name not in BY_IMAGE]
    run_rank(options, names, out, more)
    return pd.read_csv(out / "scores.csv", na_values=["n/a"]).assign(precision=precision)


def row(proxy: str, found: dict[int, pd.DataFrame]) -> list[str]:
    """The table's row of a proxy, from the scores of both precisions by batch size."""
    texts = [proxy]
    for table in found.values():
        if proxy not in table["proxy"].values:
            texts += [UNDEFINED] * 3
            continue
        own = table[table["proxy"] == proxy].pivot(index="arch", columns="precision", values="score")
        single, exact = (own[name].to_numpy(dtype=float) for name in PRECISIONS)
        errors = relative_errors(single, exact)
        rho = spearman(*(to_be_ranked(values, np.isfinite(values)) for values in (single, exact)))
        texts += [f"{np.median(errors):.1e}", f"{errors.max():.1e}", number(rho)]
    return texts


def relative_errors(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """|found - exact| / |exact|; 0 where both are equal, infinities and NaN among it, inf where one alone is finite."""
    equal = (found == exact) | (np.isnan(found) & np.isnan(exact))
    with np.errstate(invalid="ignore", divide="ignore"):
        errors = np.abs(found - exact) / np.abs(exact)
    return np.where(equal, 0.0, np.nan_to_num(errors, nan=np.inf, posinf=np.inf))
