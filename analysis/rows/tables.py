"""Tables: rows of results as CSV and as Markdown. Undefined values print as n/a."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.rows.files import replacing

UNDEFINED = "n/a"


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table so that a reader never sees half of it; floats with all their digits."""
    with replacing(path) as meanwhile:
        table.to_csv(meanwhile, index=False, na_rep=UNDEFINED, lineterminator="\n")


def read_csv(path: Path, numbers: Sequence[str] = (), texts: Sequence[str] = ()) -> pd.DataFrame:
    """A table that has these columns, and rows. Raises ValueError, naming the file, where it has not."""
    try:
        table = pd.read_csv(path, na_values=[UNDEFINED])
    except ValueError as error:
        raise ValueError(f"{path}: no table that can be read ({' '.join(str(error).split())})") from None
    return checked(table, path, numbers, texts) if numbers or texts else table


def checked(table: pd.DataFrame, path: Path, numbers: Sequence[str], texts: Sequence[str]) -> pd.DataFrame:
    """The table, its texts as such. Raises ValueError where it has no rows, or lacks a column of these or its kind."""
    if table.empty:
        raise ValueError(f"{path}: no rows")
    for name in (*numbers, *texts):
        if name not in table.columns:
            raise ValueError(f"{path}: no column {name}")
        if name in numbers and not pd.api.types.is_numeric_dtype(table[name]):
            raise ValueError(f"{path}: the column {name} holds what is no number")
        if name in texts and table[name].isna().any():
            raise ValueError(f"{path}: the column {name} holds what is no text")
    return table.astype(dict.fromkeys(texts, "str"))


def number(value: float, digits: int = 3, *, sign: str = "-") -> str:
    """A number as text, n/a where it is undefined; with `sign="+"` a plus stands before what is positive."""
    return UNDEFINED if math.isnan(value) else f"{value:{sign}.{digits}f}"


def interval(low: float, high: float, digits: int = 3, *, sign: str = "-") -> str:
    """An interval as text, n/a where it is undefined."""
    return UNDEFINED if math.isnan(low) else f"{number(low, digits, sign=sign)} to {number(high, digits, sign=sign)}"


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> str:
    """A Markdown table, first column left and numbers right, and notes as a list under it."""
    rule = ["---" if number == 0 else "---:" for number in range(len(headers))]
    lines = [headers, rule, *rows]
    table = ["| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines]
    return "\n".join([*table, "", *(f"- {note}" for note in notes)]).rstrip()
