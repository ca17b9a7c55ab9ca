"""Combinations: scores of several proxies made into one by ranks. Defined over the scored cohort, not for a candidate.

The same candidate has another value in another sample. Failed scores rank below all others, tied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

AZ_NAS_PARTS = ("expressivity", "progressivity", "trainability", "macs")


@dataclass(frozen=True)
class Combination:
    """A named combination: `combine` maps the scores of its parts over a cohort, [P, n] with NaN for failed, to [n]."""

    name: str
    parts: tuple[str, ...]
    combine: Callable[[Tensor], Tensor]
    source: str

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (self.combine.__doc__ or "").strip().split("\n")[0]


def ranks(scores: Tensor) -> Tensor:
    """Ranks in each row, 1 the lowest, ties averaged, NaN and -inf together lowest: [P, n] -> [P, n] in float64."""
    clean = torch.where(scores.isnan(), -torch.inf, scores)
    found = torch.empty(clean.shape, dtype=torch.float64)
    for row, values in zip(found, clean, strict=True):
        _, inverse, counts = values.unique(sorted=True, return_inverse=True, return_counts=True)
        middle = counts.cumsum(0) - (counts - 1) / 2
        row.copy_(middle[inverse])
    return found


def ranksum(scores: Tensor) -> Tensor:
    """Sum of the parts' ranks over the cohort, as shares of n, higher better."""
    return (ranks(scores) / scores.shape[1]).sum(0)


def az_nas(scores: Tensor) -> Tensor:
    """AZ-NAS: sum of log(rank / n) of its three parts and macs over the cohort, higher better."""
    return (ranks(scores) / scores.shape[1]).log().sum(0)


def vote(scores: Tensor) -> Tensor:
    """How many of the others a candidate beats by a majority of the parts, a tie counting half, higher better."""
    placed = ranks(scores)
    won = torch.empty(scores.shape[1], dtype=torch.float64)
    for start in range(0, scores.shape[1], 512):
        ahead = (placed[:, start : start + 512, None] - placed[:, None, :]).sign().sum(0).sign()
        won[start : start + 512] = ((ahead + 1) / 2).sum(1) - 0.5  # itself aside
    return won


NAMED = {"az_nas": Combination("az_nas", AZ_NAS_PARTS, az_nas, "Lee & Ham (AZ-NAS), CVPR 2024")}
FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "vote": (vote, "Abdelfattah et al., ICLR 2021"),
    "ranksum": (ranksum, "rank aggregation"),
}
