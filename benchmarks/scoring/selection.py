"""Which candidates a run scores: a seeded sample of a space, all of it, or those that a file lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.conditions.drawing import generator
from benchmarks.reading.limits import check_size
from benchmarks.spaces import Space
from benchmarks.spaces.space import LISTABLE
from benchmarks.truth import Truth

USUAL = 200  # candidates in a sample


def sampled(space: Space, truth: Truth, sample: str, seed: int) -> list[str]:
    """A uniform sample of the candidates that the truth covers; a larger one begins with the smaller.

    Raises ValueError unless `sample` is `all`, `auto` (200, or all of fewer), or a number that can be had.
    """
    known = sorted(truth.accuracy, key=space.index)
    covered = [known[place] for place in generator(seed, "sample").permutation(len(known))]
    if sample in ("all", "auto"):
        return covered if sample == "all" else covered[:USUAL]
    number = int(sample) if sample.isascii() and sample.isdecimal() and len(sample) < 10 else 0
    if not 1 <= number <= len(covered):
        raise ValueError(f"--sample {sample}: 1 to {len(covered)} (the candidates with a known accuracy), auto or all")
    return covered[:number]


def stand_ins(space: Space, archs: Sequence[str]) -> dict[str, str]:
    """For each candidate the first of its space that computes the same function: itself where there is no other.

    Of a space too large to go through, the first among these candidates.
    """
    first: dict[str, str] = {}
    for arch in map(space.arch, range(len(space))) if len(space) <= LISTABLE else archs:
        first.setdefault(space.function_class(arch), arch)
    return {arch: first[space.function_class(arch)] for arch in archs}


def listed(space: Space, truth: Truth, path: Path) -> list[str]:
    """The candidates of a file, one a line; blank lines and what follows a # are left out.

    Raises ValueError naming the line that is no candidate, stands there twice, or has no known accuracy.
    """
    archs: dict[str, int] = {}
    try:
        check_size(path, "list")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except ValueError as error:
        raise ValueError(f"--archs {path}: not a text file of candidates ({error})") from None
    for number, line in enumerate(lines, 1):
        text = line.split("#")[0].strip()
        if not text:
            continue
        try:
            arch = space.parse(text)
        except ValueError as error:
            raise ValueError(f"--archs {path}, line {number}: {error}") from None
        if arch in archs:
            raise ValueError(f"--archs {path}, line {number}: the candidate of line {archs[arch]} again")
        if arch not in truth.accuracy:
            raise ValueError(f"--archs {path}, line {number}: the truth ({truth.source}) has no accuracy for {arch}")
        archs[arch] = number
    if not archs:
        raise ValueError(f"--archs {path}: lists no candidates")
    return list(archs)
