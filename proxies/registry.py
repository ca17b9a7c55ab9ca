"""The registry: which proxies there are, and how a command line picks among them.

Not for computing anything: a proxy is a function from a Probe to scores [A], and this file only files it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from proxies.probe import Probe

Score = Callable[["Probe"], Tensor]


@dataclass(frozen=True)
class Proxy:
    """A registered proxy: `score` maps a Probe of A candidates to A scores, higher predicted better."""

    name: str
    score: Score
    source: str

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (self.score.__doc__ or "").strip().split("\n")[0]


_registered: dict[str, Proxy] = {}


def proxy(*, source: str) -> Callable[[Score], Score]:
    """Register a function under its own name.

    Raises ValueError when the name is taken or the function has no docstring.
    """

    def register(score: Score) -> Score:
        name = score.__name__
        if name in _registered:
            raise ValueError(f"proxy {name!r} is registered already; registered are: {_names()}")
        if not score.__doc__:
            raise ValueError(f"proxy {name!r} has no docstring: say what it measures and its direction")
        _registered[name] = Proxy(name, score, source)
        return score

    return register


def registered() -> list[Proxy]:
    """Every registered proxy, in order of registration."""
    return list(_registered.values())


def select(names: str) -> list[Proxy]:
    """The proxies that a comma-separated list names; `*`, `?` and `[...]` are wildcards, `all` is every proxy.

    Order is that of the list, each proxy once. Raises ValueError for a name or a pattern that fits none.
    """
    chosen: dict[str, Proxy] = {}
    for name in (part.strip() for part in names.split(",")):
        if name == "":
            continue
        found = [p for p in registered() if name == "all" or fnmatchcase(p.name, name)]
        if not found:
            raise ValueError(f"no proxy is called {name!r}; there are: {_names()}, or all")
        chosen.update((p.name, p) for p in found)
    return list(chosen.values())


def _names() -> str:
    return ", ".join(_registered)
