"""The registry: which proxies there are, and how a command line picks among them, combines them, or brings its own.

Not for computing anything: a proxy is a function from a Probe to scores [A], and this file only files it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from torch import Tensor

from proxies.combine import FUNCTIONS, NAMED, Combination
from proxies.probing.probe import Probe
from proxies.userfile import load, tell

Score = Callable[[Probe], Tensor]


@dataclass(frozen=True)
class Proxy:
    """A registered proxy: `score` maps a Probe of A candidates to A scores, higher predicted better.

    `version` is empty for a proxy of this project, and a digest of its file for a user's own. `whole`: it may also read
    parts of a network that are on no path from input to output, its size for one; False only where that is known.
    """

    name: str
    score: Score
    source: str
    version: str = ""
    whole: bool = True

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (self.score.__doc__ or "").strip().split("\n")[0]

    @property
    def key(self) -> str:
        """The name under which scores are stored: another version of a user's file is another proxy."""
        return f"{self.name}@{self.version}" if self.version else self.name


_registered: dict[str, Proxy] = {}


def proxy(*, source: str, whole: bool = False) -> Callable[[Score], Score]:
    """Register a function under its own name; `whole` as Proxy has it.

    Raises ValueError when the name is taken or the function has no docstring.
    """

    def register(score: Score) -> Score:
        name = score.__name__
        if name in _registered or name in NAMED or name in FUNCTIONS:
            raise ValueError(f"proxy {name!r} is registered already; registered are: {_names()}")
        if not score.__doc__:
            raise ValueError(f"proxy {name!r} has no docstring: say what it measures and its direction")
        _registered[name] = Proxy(name, score, source, whole=whole)
        return score

    return register


def registered() -> list[Proxy]:
    """Every registered proxy, in order of registration."""
    return list(_registered.values())


def select(names: str) -> list[Proxy | Combination]:
    """What a comma-separated list names: proxies, combinations of them, or functions in a user's file.

    `*`, `?` and `[...]` are wildcards, `all` is every proxy and az_nas; vote(a,b,c) and ranksum(a,b) combine what is in
    brackets, wildcards included; path/to/file.py:name runs that file and takes its function; -name leaves out what
    stands before it in the list. Order is that of the list, each once. Raises ValueError for what can't be had, naming
    what there is.
    """
    chosen: dict[str, Proxy | Combination] = {}
    _check_files(names)
    for name in _split(names):
        if name.startswith("-"):
            for found in _select_one(name[1:].strip()):
                chosen.pop(found.name, None)
        else:
            chosen.update((found.name, found) for found in _select_one(name))
    return list(chosen.values())


def parts(chosen: list[Proxy | Combination]) -> list[Proxy]:
    """The proxies to score for some proxies and combinations, each once."""
    needed: dict[str, Proxy] = {}
    for one in chosen:
        found = [one] if isinstance(one, Proxy) else [_part(name) for name in one.parts]
        needed.update((proxy.name, proxy) for proxy in found)
    return list(needed.values())


def _split(names: str) -> list[str]:
    """The elements of a list, at commas outside brackets."""
    if names.count("(") != names.count(")"):
        raise ValueError(f"{names!r}: a bracket is open; a combination is written vote(synflow,jacob_cov,snip)")
    return [part.strip() for part in re.findall(r"[^,()]+\([^()]*\)|[^,()]+|[()]", names) if part.strip()]


def _select_one(name: str) -> list[Proxy | Combination]:
    if found := re.fullmatch(r"(\w+)\s*\((.*)\)", name):
        return [_combination(found[1], found[2])]
    if name.endswith(".py") or ".py:" in name:
        return [_from_file(name)]
    every: list[Proxy | Combination] = [*_registered.values(), *NAMED.values()]
    matching = [one for one in every if name == "all" or fnmatchcase(one.name, name)]
    if not matching:
        near = get_close_matches(name.lower(), [one.name for one in every], n=1)
        meant = f" did you mean {near[0]}?" if near else ""
        raise ValueError(f"no proxy is called {name!r};{meant} there are: {_names()}, or all")
    return matching


def _combination(function: str, inside: str) -> Combination:
    if function not in FUNCTIONS:
        raise ValueError(f"no combination is called {function!r}; there are: {', '.join(FUNCTIONS)}")
    chosen = select(inside)
    nested = [one.name for one in chosen if isinstance(one, Combination)]
    if nested:
        raise ValueError(f"{function}({inside}): combines proxies, not {nested[0]}")
    if len(chosen) < 2:
        raise ValueError(f"{function}({inside}): two proxies at least are needed")
    names = tuple(one.name for one in chosen)
    combine, source = FUNCTIONS[function]
    return Combination(f"{function}({','.join(names)})", names, combine, source)


_from_files: dict[str, Proxy] = {}


def _check_files(names: str) -> None:
    """Raises ValueError where functions of two files would have one name: tables know a file by its last part alone."""
    known: dict[str, Path] = {}
    for where, name in re.findall(r"([^,()]+\.py):(\w+)", names):
        path = Path(where.strip())
        other = known.setdefault(f"{path.name}:{name}", path)
        if other.resolve() != path.resolve():
            raise ValueError(f"--proxy: {other} and {path} would both be called {path.name}:{name}; rename a file")


def _from_file(text: str) -> Proxy:
    """A function of a user's file, which is run; registering it is not needed."""
    before = dict(_registered)
    try:
        score, digest = load(text, "--proxy")
    finally:  # what the file registered is known by its file alone
        _registered.clear()
        _registered.update(before)
    path, _, name = text.rpartition(":")
    if not callable(score):
        raise ValueError(f"--proxy {text}: {name!r} is no function")
    tell(text, "--proxy")
    key = f"{Path(path).name}:{name}"
    _from_files[key] = Proxy(key, score, path, digest)
    return _from_files[key]


def _part(name: str) -> Proxy:
    return _registered.get(name) or _from_files[name]


def _names() -> str:
    return ", ".join([*_registered, *NAMED, *(f"{function}(...)" for function in FUNCTIONS)])
