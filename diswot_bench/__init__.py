"""The front door of DisWOT-Bench. No logic: that is of the rooms (proxies, benchmarks, search, analysis).

They are packages of their own beside this one. Their names are common ones, so they are taken from there, whatever else
on sys.path is called so; and they bring torch, so they are imported only where one of them is asked.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.leaderboard.standings import leaderboard
    from benchmarks.ranking.called import rank
    from benchmarks.scoretables.called import read_scores, write_scores
    from benchmarks.scoring.called import proxies, score, space
    from benchmarks.scoring.looking import look
    from search.distillation.called import distill

__all__ = ["distill", "leaderboard", "look", "proxies", "rank", "read_scores", "score", "space", "write_scores"]

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("proxies", "benchmarks", "search", "analysis")
ASKED_OF = {
    "distill": "search.distillation.called",
    "leaderboard": "benchmarks.leaderboard.standings",
    "look": "benchmarks.scoring.looking",
    "proxies": "benchmarks.scoring.called",
    "rank": "benchmarks.ranking.called",
    "read_scores": "benchmarks.scoretables.called",
    "score": "benchmarks.scoring.called",
    "space": "benchmarks.scoring.called",
    "write_scores": "benchmarks.scoretables.called",
}


class OurRooms:
    """Finds the rooms beside this package; to be put into sys.meta_path before other finders."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The room of this name; None for what is none, which others find."""
        return PathFinder.find_spec(name, [str(ROOT)]) if name in ROOMS else None


def check_rooms(*needed: str) -> None:
    """Raises ImportError where a module of someone else's has the name of a room already."""
    for name in needed:
        there = sys.modules.get(name)
        where = getattr(there, "__file__", None) or "elsewhere"
        if there is not None and not Path(where).resolve().is_relative_to(ROOT / name):
            raise ImportError(f"{name!r} is imported already, from {where}; DisWOT-Bench has a package of this name")


def __getattr__(name: str) -> object:
    """What is asked for the first time, out of its room."""
    if name not in ASKED_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has: {', '.join(ASKED_OF)}")
    check_rooms("proxies", "benchmarks", "analysis", *(["search"] if ASKED_OF[name].startswith("search") else []))
    sys.meta_path.insert(0, OurRooms)
    try:
        found: object = getattr(import_module(ASKED_OF[name]), name)
    finally:
        sys.meta_path.remove(OurRooms)
    globals()[name] = found
    return found
