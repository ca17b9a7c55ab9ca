"""How the commands are called: `python benchmarks/rank.py`, or `diswot-bench rank` where that was typed.

Messages are written with files' names and pass through here. Light: --help needs no torch.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from benchmarks.reading.limits import shown

FRONT = "diswot-bench"
ROOT = Path(__file__).resolve().parent.parent.parent
DOORS = {
    "rank": "benchmarks/rank.py",
    "evolve": "search/evolve.py",
    "tabular": "search/tabular.py",
    "distill": "search/distill.py",
    "report": "analysis/report.py",
    "compare": "analysis/compare.py",
    "ablate": "analysis/ablate.py",
    "validate": "analysis/validate.py",
    "maps": "analysis/maps.py",
    "leaderboard": "analysis/leaderboard.py",
    "data": "benchmarks/data.py",
    "speed": "benchmarks/speed.py",
}
BAD_INPUT = 2
_NAMES = "|".join(DOORS)
WITH_ROOM = re.compile(rf"(?:\bpython )?\b(?:benchmarks|search|analysis)/({_NAMES})\.py\b(?!:)")
ALONE = re.compile(rf"(?:\bpython )?(?<![\w/.])(?:(?:benchmarks|search|analysis)/)?({_NAMES})\.py\b(?!:)")


def module(name: str) -> str:
    """The module that a command lies in."""
    return DOORS[name].removesuffix(".py").replace("/", ".")


def by_front() -> bool:
    """Whether a user types `diswot-bench NAME`: having done so, or where the project is no checkout but installed."""
    return Path(sys.argv[0]).stem == FRONT or not (ROOT / "setup.cfg").is_file()


def said(text: str, *, ours: bool = False) -> str:
    """A text with the commands called as the user calls them.

    In a text that is `ours` to the last word rank.py alone is a command too; in another it may be a file of the user's.
    """
    return (ALONE if ours else WITH_ROOM).sub(rf"{FRONT} \1", text) if by_front() else text


def words() -> list[str]:
    """The running command, word by word, as one types it."""
    return [FRONT, *sys.argv[1:]] if Path(sys.argv[0]).stem == FRONT else ["python", *sys.argv]


def overview(texts: Mapping[str, str]) -> str:
    """What `diswot-bench --help` prints, from the first sentence of each command's file."""
    width = max(map(len, texts))
    lines = [f"  {name:<{width}}  {said(_first_sentence(text), ours=True)}" for name, text in texts.items()]
    head = f"usage: {FRONT} COMMAND [OPTIONS]\n\n{FRONT} COMMAND --help has a command's options. Commands:\n"
    return "\n".join([head, *lines])


def _first_sentence(text: str) -> str:
    return re.split(r"[.;](?:\s|$)", " ".join(text.split()), maxsplit=1)[0]


def unknown(name: str) -> str:
    """What is said to a name that is none."""
    return f"{FRONT}: error: no command is called {shown(name)!r}; there are: {', '.join(DOORS)} (see --help)"
