"""Which candidates a run scores: a seeded sample of a space, all of it, or those that a file lists; up to a size."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from functools import cache
from pathlib import Path

from benchmarks.conditions.drawing import generator
from benchmarks.reading.limits import check_size
from benchmarks.spaces import Space
from benchmarks.spaces.space import LISTABLE
from benchmarks.truth import Truth

USUAL = 200  # candidates in a sample
UNITS = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}

Allowed = Callable[[str], bool]


def limit(name: str, value: float | str | None) -> float | None:
    """The most that candidates may have of a size, such as 1e6 or 1M. Raises ValueError for what is no such number."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]*\.?[0-9]+(?:e[0-9]+)?)([kKMG]?)", str(value))
    size = float(found[1]) * UNITS[found[2]] if found else math.nan
    if not 0 < size < math.inf:
        raise ValueError(f"--{name.replace('_', '-')} {value}: a positive number, such as 1e6, 1M or 800k")
    return size


def within(space: Space, most: float | None, classes: int, resolution: int) -> Allowed | None:
    """Whether a candidate has at most so many parameters, each counted once; None where there is no limit."""
    return None if most is None else cache(lambda arch: space.count(arch, classes, resolution).params <= most)


def sampled(
    space: Space,
    truth: Truth | None,
    sample: str,
    seed: int,
    among: Collection[str] | None = None,
    allowed: Allowed | None = None,
) -> list[str]:
    """A uniform sample of the candidates that the truth covers, without one of all; a larger begins with the smaller.

    With `among`, of those alone; `allowed` says which of them may be drawn. Raises ValueError unless `sample` is `all`,
    `auto` (200, or all of fewer), or a number that can be had, and where a space is too large to see who is allowed.
    """
    covered = among if truth is None else truth.accuracy if among is None else truth.accuracy.keys() & set(among)
    if allowed is not None:
        if covered is None and len(space) > LISTABLE:
            raise ValueError(f"--max-params: {space.name} has {len(space):,} candidates; name yours by --archs FILE")
        every = map(space.arch, range(len(space))) if covered is None else covered
        covered = [arch for arch in every if allowed(arch)]
        if not covered:
            raise ValueError(f"--max-params: no candidate of {space.name} is as small")
    there = len(space) if covered is None else len(covered)
    number = int(sample) if sample.isascii() and sample.isdecimal() and len(sample) < 10 else 0
    number = {"all": there, "auto": min(USUAL, there)}.get(sample, number)
    if not 1 <= number <= there or number > LISTABLE:
        what = "the candidates of the space" if truth is None else "the candidates with a known accuracy"
        what = what if among is None else "the candidates that --scores holds"
        what += "" if allowed is None else " within --max-params"
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


def listed(space: Space, truth: Truth | None, path: Path, allowed: Allowed | None = None) -> list[str]:
    """The candidates of a file, one a line; blank lines and what follows a # are left out, and what is not allowed.

    Raises ValueError naming the line that is no candidate, stands there twice, or has no known accuracy.
    """
    archs: dict[str, int] = {}
    try:
        check_size(path, "list")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ValueError(f"--archs {path}: {error.strerror}") from None
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
    found = [arch for arch in archs if allowed is None or allowed(arch)]
    if not found:
        raise ValueError(f"--archs {path}: no candidate is as small as --max-params has it")
    return found
