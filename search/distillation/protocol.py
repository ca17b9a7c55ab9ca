"""Which cells a table of distilled accuracies trains: a seeded sample of NAS-Bench-201, stratified by size.

A list of trainings is written down, so that a table keeps its cells; students.py reads it as --student FILE.csv.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.conditions.drawing import generator
from benchmarks.spaces import Space
from benchmarks.spaces.nasbench201 import NasBench201
from benchmarks.truth import embedded
from search.distillation.students import SEED


def stratified(number: int, seed: int, *, best: int = 20, disconnected: int = 5) -> list[str]:
    """Cells of NAS-Bench-201: the best by the embedded CIFAR-10 accuracies, disconnected ones, and, of the others, one
    out of each of equally many strata of the number of parameters.

    Ordered by stratum after the best and the disconnected. Raises ValueError where the numbers don't fit together.
    """
    space: Space = NasBench201()
    strata = number - best - disconnected
    if best < 0 or disconnected < 0 or strata < 0 or number < 1 or number > len(space):
        raise ValueError(
            f"--sample {number} with {best} best and {disconnected} disconnected cells: 1 to {len(space)} cells, and "
            "the others among them"
        )
    accuracy = embedded.retrained().accuracy
    random = generator(seed, "distilled truth")
    every = [space.arch(int(index)) for index in random.permutation(len(space))]  # ties are broken at random
    dead = [arch for arch in every if not space.connected(arch)]
    alive = sorted((arch for arch in every if space.connected(arch)), key=lambda arch: -accuracy[arch])
    others = sorted(alive[best:], key=lambda arch: space.count(arch, 10, 32)[0])
    if disconnected > len(dead) or strata > len(others):
        raise ValueError(f"--sample: there are {len(dead)} disconnected cells and {len(alive)} others")
    drawn = [str(random.choice(part)) for part in np.array_split(np.array(others), strata)] if strata else []
    return alive[:best] + dead[:disconnected] + drawn


def trainings(number: int, again: int, seed: int, *, best: int = 20, disconnected: int = 5) -> pd.DataFrame:
    """A training a row, in an order whose every beginning is a fair part of the sample; see `stratified`.

    Columns space, arch, index, part (best, disconnected, or stratum and its number by size), training_seed: all cells
    with seed 0, then the first `again` connected ones with seed 1. Raises ValueError as `stratified` does.
    """
    space = NasBench201()
    cells = stratified(number, seed, best=best, disconnected=disconnected)
    strata = (f"stratum {one}" for one in range(1, number - best - disconnected + 1))
    parts = ["best"] * best + ["disconnected"] * disconnected + list(strata)
    order = generator(seed, "order of trainings").permutation(number)
    connected = [place for place in order if parts[place] != "disconnected"]
    rows = [
        (space.name, cells[place], space.index(cells[place]), parts[place], training_seed)
        for training_seed, places in enumerate((list(order), connected[:again]))
        for place in places
    ]
    return pd.DataFrame(rows, columns=["space", "arch", "index", "part", SEED])
