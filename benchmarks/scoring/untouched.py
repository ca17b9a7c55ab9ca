"""What is a user's own and stays as it was: their random states, and the networks that a table of scores is of."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.scoring.store import Score

TABLED = "diswot_bench"  # in the attrs of a table of scores: what they are of, Made, for whoever writes them


class Made:
    """What a table of scores is of, in its attrs, which pandas copies deeply at nearly every step: this it does not.

    `rows` tells the rows of what was scored here. A table that is pickled leaves both out, as networks may be in it.
    """

    def __init__(self, of: object, rows: NDArray[np.uint64] | None = None) -> None:
        self.of, self.rows = of, rows

    def __deepcopy__(self, memo: object) -> Made:
        return self

    def __reduce__(self) -> tuple[type[Made], tuple[None]]:
        return Made, (None,)


def hashed(scores: pd.DataFrame) -> NDArray[np.uint64]:
    """A number for each row of a table of scores [n], by which one that was changed is told: [n]."""
    return np.asarray(pd.util.hash_pandas_object(scores[list(Score._fields)], index=False), dtype=np.uint64)


@contextmanager
def own_randomness() -> Iterator[None]:
    """Whatever is drawn inside, by torch, numpy or Python, the caller's random states are as before."""
    python, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)
