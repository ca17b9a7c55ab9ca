"""Several score tables as one, and where two have the same score: whether they agree, rounding aside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.scoretables.table import ABSENT, UNKNOWN, Column, Filling, Floats, Made, ScoreTable, both, by_index

MEDIAN, MOST = 1e-3, 0.1  # relative differences that rounding on another machine can make: of most scores, of any
SMALL = 1e-2  # of the median size of a proxy's scores: differences of smaller scores are held against it


def relative(first: Floats, second: Floats) -> Floats:
    """How far apart two proxies' scores [m] of the same candidates are, relative to their size."""
    size = np.maximum(np.abs(first), np.abs(second))
    floor = SMALL * float(np.median(size)) if len(size) else 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(first == second, 0.0, np.abs(first - second) / np.maximum(size, floor))


def disagreement(first: Column, second: Column) -> str:
    """What is wrong with two columns of the same seeds and candidates, where both have a score; empty for nothing."""
    both = first.there & second.there
    if not both.any():
        return ""
    other = int((first.status[both] != second.status[both]).sum())
    if other:
        return f"{other:,} of {int(both.sum()):,} are of another status"
    fine = both & first.ok
    apart = relative(first.scores[fine], second.scores[fine])
    if len(apart) and (np.median(apart) > MEDIAN or apart.max() > MOST):
        return (
            f"{int((apart > MEDIAN).sum()):,} of {len(apart):,} differ by more than rounding, up to {apart.max():.2g}"
        )
    return ""


def joined(tables: Sequence[ScoreTable]) -> ScoreTable:
    """All that several tables hold; where two hold the same score, that of the first.

    Raises ValueError where they are of different spaces or conditions, or disagree.
    """
    whole, *others = tables
    for other in others:
        whole = _joined(whole, other)
    return whole


def different(a: ScoreTable, b: ScoreTable) -> list[str]:
    """In what two tables differ beside their scores, a phrase each."""
    found = []
    for name, one, two in (
        ("space", f"{a.space} {a.space_version}".strip(), f"{b.space} {b.space_version}".strip()),
        ("size of the space", a.size, b.size),
        *((name, a.conditions.get(name), b.conditions.get(name)) for name in sorted({*a.conditions, *b.conditions})),
    ):
        if one != two:
            found.append(f"{name} ({one} and {two})")
    common = [seed for seed in a.batches if seed in b.batches]
    found += [f"the batch of seed {seed}" for seed in common if a.batches[seed] != b.batches[seed]]
    noise = (a.source == "noise", b.source == "noise")
    if not common and (noise[0] != noise[1] or len({a.source, b.source} - {UNKNOWN}) > 1):  # no digests to tell by
        found.append(f"batch ({a.source} and {b.source})")
    return found


def _joined(a: ScoreTable, b: ScoreTable) -> ScoreTable:
    if apart := different(a, b):
        raise ValueError(f"{a.where} and {b.where} do not go together: they differ in {'; '.join(apart)}")
    batches = dict(sorted({**a.batches, **b.batches}.items()))
    index = np.union1d(a.index, b.index)
    reasons = list(dict.fromkeys(["", *a.reasons, *b.reasons]))
    columns = {}
    for key in dict.fromkeys([*a.columns, *b.columns]):
        spread = [_spread(one, key, index, list(batches), reasons) for one in (a, b) if key in one.columns]
        columns[key] = spread[0]
        if len(spread) > 1:
            if wrong := disagreement(*spread):
                raise ValueError(f"{a.where} and {b.where} disagree: of {key}'s scores that both have {wrong}")
            columns[key] = _first(*spread)
    head = (a.space, a.space_version, a.size, a.conditions, a.source, batches)
    return by_index(ScoreTable(*head, index, columns, reasons, where=f"{a.name} and {b.name}"))


def _spread(table: ScoreTable, key: str, index: np.ndarray, seeds: list[int], reasons: list[str]) -> Column:
    """A column over more candidates and seeds."""
    one, filling = table.columns[key], Filling.of((len(seeds), len(index)))
    numbers = np.array([seeds.index(seed) for seed in table.seeds])
    at = np.ix_(numbers, np.searchsorted(index, table.index))
    filling.scores[at], filling.status[at] = one.scores, one.status
    filling.reason[at] = np.array([reasons.index(text) for text in table.reasons], dtype=np.uint32)[one.reason]
    seconds = np.full(len(seeds), np.nan)
    seconds[numbers] = one.seconds
    return Column(filling.scores, filling.status, filling.reason, seconds, one.made)


def _first(a: Column, b: Column) -> Column:
    """What a has, and of the rest what b has."""
    mine = a.status != ABSENT
    made = a.made if a.made == b.made or not (b.there & ~mine).any() else Made(*map(both, a.made, b.made))
    return Column(
        np.where(mine, a.scores, b.scores),
        np.where(mine, a.status, b.status),
        np.where(mine, a.reason, b.reason),
        np.where(np.isnan(a.seconds), b.seconds, a.seconds),
        made,
    )
