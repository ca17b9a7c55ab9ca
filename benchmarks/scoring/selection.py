"""Which candidates a run scores: a seeded sample of a space, all of it, or those that a file lists."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from benchmarks.conditions.drawing import generator
from benchmarks.reading.limits import check_size
from benchmarks.spaces import Space
from benchmarks.spaces.space import LISTABLE
from benchmarks.truth import Truth

USUAL = 200  # candidates in a sample


def sampled(
    space: Space, truth: Truth | None, sample: str, seed: int, among: Collection[str] | None = None
) -> list[str]:
    """A uniform sample of the candidates that the truth covers, without one of all; a larger begins with the smaller.

    With `among`, of those alone.
    Raises ValueError unless `sample` is `all`, `auto` (200, or all of fewer), or a number that can be had.
    """
    covered = among if truth is None else truth.accuracy if among is None else truth.accuracy.keys() & set(among)
    there = len(space) if covered is None else len(covered)
    number = int(sample) if sample.isascii() and sample.isdecimal() and len(sample) < 10 else 0
    number = {"all": there, "auto": min(USUAL, there)}.get(sample, number)
    if not 1 <= number <= there or number > LISTABLE:
        what = "the candidates of the space" if truth is None else "the candidates with a known accuracy"
        what = what if among is None else "the candidates that --scores holds"
        raise ValueError(f"--sample {sample}: 1 to {min(there, LISTABLE)} ({what}), auto or all")
    random = generator(seed, "sample")
    if covered is None:
        return space.sample(number, random)
    known = sorted(covered, key=space.index)
    return [known[place] for place in random.permutation(there)[:number]]


def stand_ins(space: Space, archs: Sequence[str]) -> dict[str, str]:
    """For each candidate the first of its space that computes the same function: itself where there is no other.

    Of a space too large to go through, the first among these candidates.
    """
    first: dict[str, str] = {}
    for arch in map(space.arch, range(len(space))) if len(space) <= LISTABLE else archs:
        first.setdefault(space.function_class(arch), arch)
    return {arch: first[space.function_class(arch)] for arch in archs}


def listed(space: Space, truth: Truth | None, path: Path) -> list[str]:
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
        if truth is not None and arch not in truth.accuracy:
            raise ValueError(f"--archs {path}, line {number}: the truth ({truth.source}) has no accuracy for {arch}")
        archs[arch] = number
    if not archs:
        raise ValueError(f"--archs {path}: lists no candidates")
    return list(archs)
