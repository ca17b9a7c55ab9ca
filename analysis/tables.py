"""Tables: rows of results as CSV and as Markdown. Undefined values print as n/a."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

UNDEFINED = "n/a"


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table so that a reader never sees half of it; floats with all their digits."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    table.to_csv(temporary, index=False, na_rep=UNDEFINED, lineterminator="\n")
    temporary.replace(path)


def number(value: float, digits: int = 3) -> str:
    """A number as text, n/a where it is undefined."""
    return UNDEFINED if math.isnan(value) else f"{value:.{digits}f}"


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """A Markdown table, first column left and numbers right, and notes as a list under it."""
    rule = ["---" if number == 0 else "---:" for number in range(len(headers))]
    lines = [headers, rule, *rows]
    table = ["| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines]
    return "\n".join([*table, "", *(f"- {note}" for note in notes)]).rstrip()
