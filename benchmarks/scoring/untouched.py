"""What is a user's own and stays as it was: their random states, and the networks that a table of scores is of."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

TABLED = "diswot_bench"  # in the attrs of a table of scores: what they are of, Made, for whoever writes them


class Made:
    """What a table of scores is of, in its attrs, which pandas copies deeply at nearly every step: this it does not.

    A table that is pickled leaves it out, as networks may be in it.
    """

    def __init__(self, of: object) -> None:
        self.of = of

    def __deepcopy__(self, memo: object) -> Made:
        return self

    def __reduce__(self) -> tuple[type[Made], tuple[None]]:
        return Made, (None,)


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
