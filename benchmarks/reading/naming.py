"""Names that a user wrote and nothing has: which one was probably meant. Not what a name stands for."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def meant(name: str, known: Iterable[str]) -> str:
    """The end of a message, "; did you mean resnet56?"; nothing where no name is near."""
    by_letters = {one.lower(): one for one in known}
    near = get_close_matches(name.lower(), by_letters, n=1)
    return f"; did you mean {by_letters[near[0]]}?" if near else ""


def option_meant(name: str, known: Iterable[str]) -> str:
    """The same for an option without its dashes: also by its words' first letters, as lr for learning-rate."""
    known = list(known)
    initials = [one for one in known if "-" in one and "".join(word[0] for word in one.split("-")) == name]
    return f"; did you mean --{initials[0]}?" if initials else meant(name, known).replace("mean ", "mean --")
