"""A table of accuracies in a CSV, a user's own or one of ours. Every fault in it names file, line and column."""

from __future__ import annotations

import csv
from pathlib import Path

from analysis.rows.tables import UNDEFINED
from benchmarks.reading.limits import check_size, file_digest, shown
from benchmarks.spaces import SPACES, Space
from benchmarks.spaces.modules import Listed
from benchmarks.truth.accuracies import Truth, percent, refuse_fractions

Lines = list[tuple[int, list[str]]]  # rows, each with the line that it ends on
EXACT = 9  # decimals of a percentage beyond which a difference is rounding of the machine


def from_csv(path: Path, space: Space, target: str) -> Truth:
    """A user's table; a column `accuracy` is one of vanilla accuracies, in percent as all are.

    Raises ValueError naming the file, the row and what is wrong with it.
    """
    columns, rows = _csv(path)
    if len(set(columns)) < len(columns):
        raise ValueError(f"--truth {path}: a column stands there twice: {', '.join(columns)}")
    key = next((column for column in ("arch", "index") if column in columns), None)
    values = ["vanilla", "distilled"] if target == "gain" else [target]
    if target == "vanilla" and "vanilla" not in columns:
        values = ["accuracy"]
    missing = [] if key else ["arch or index"]
    missing += ["vanilla or accuracy" if one == "accuracy" else one for one in values if one not in columns]
    if missing and any(";" in column for column in columns):
        raise ValueError(f"--truth {path}: its fields stand between semicolons; between commas they are read")
    if missing:
        told = "; a column accuracy holds vanilla ones" if key and "accuracy" in columns else ""
        raise ValueError(f"--truth {path}: no column {missing[0]}; it has: {', '.join(columns) or 'nothing'}{told}")
    if not rows:
        raise ValueError(f"--truth {path}: no rows")
    rows = _of_space(columns, rows, space, path)
    needed = tuple(values)
    if target == "distilled" and "vanilla" in columns:
        values.append("vanilla")
    found: dict[str, dict[str, float]] = {}
    for line, row in rows:
        if len(row) != len(columns):
            raise ValueError(f"--truth {path}, line {line}: {len(row)} fields under {len(columns)} columns")
        entry = dict(zip(columns, row, strict=True))
        try:
            arch = space.parse(entry["arch"]) if key == "arch" else _numbered(entry["index"], space)
        except ValueError as error:
            raise ValueError(f"--truth {path}, line {line}: {error}") from None
        if arch in found:
            raise ValueError(f"--truth {path}, line {line}: {entry[str(key)]!r} stands there twice")
        if {"arch", "index"} <= set(columns) and entry["index"] != str(space.index(arch)):
            raise ValueError(f"--truth {path}, line {line}: arch and index name different candidates")
        given = [v for v in values if v in needed or entry[v] not in ("", UNDEFINED)]
        found[arch] = {v: percent(entry[v], f"--truth {path}, line {line}, column {v}") for v in given}
    every = (value for row in found.values() for value in row.values())
    refuse_fractions(every, f"--truth {path}", " and ".join(values))
    digest = file_digest(path)[:12]
    name = shown(path.name)
    source = f"{name} (column {values[0]}, sha256 {digest})"
    vanilla = {arch: row["vanilla"] for arch, row in found.items() if target != "vanilla" and "vanilla" in row}
    if target == "gain":
        digits = max(_digits(row[columns.index(value)]) for _, row in rows for value in values)
        gain = {arch: round(row["distilled"] - row["vanilla"], min(digits, EXACT)) for arch, row in found.items()}
        return Truth(gain, f"{name} (distilled - vanilla, sha256 {digest})", vanilla)
    return Truth({arch: row[values[0]] for arch, row in found.items()}, source, vanilla)


def _of_space(columns: list[str], rows: Lines, space: Space, path: Path) -> Lines:
    """The rows of a space, where a column `space` says of which they are, as in the tables of distill.py; else all.

    Networks that are listed by name have that alone. Raises ValueError where all are of other spaces.
    """
    if "space" not in columns or isinstance(space, Listed):
        return rows
    at = columns.index("space")
    if not {space.name, *SPACES} & {row[at] for _, row in rows if len(row) > at}:  # it is of something else
        return rows
    found = [(line, row) for line, row in rows if row[at : at + 1] in ([], [space.name])]  # a short one is refused
    if not found:
        others = shown(", ".join(dict.fromkeys(row[at] for _, row in rows)))
        raise ValueError(f"--truth {path}: no rows of {space.name}; its column space has: {others}")
    return found


def _numbered(index: str, space: Space) -> str:
    """The candidate of this index. Raises ValueError for what is none."""
    if not (index.isascii() and index.isdecimal()):
        raise ValueError(f"{index[:80]!r} is no index, a whole number from 0 to {len(space) - 1}")
    return space.arch(int(index))


def _csv(path: Path) -> tuple[list[str], Lines]:
    """Header, and rows with the line they end on, blank lines left out. Raises ValueError where there is no table."""
    try:
        check_size(path, "table")
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, [field.strip() for field in row]) for row in reader if row]
    except OSError as error:
        raise ValueError(f"--truth {path}: {error.strerror or error}") from None
    except (csv.Error, ValueError) as error:
        raise ValueError(f"--truth {path}: no CSV table ({error})") from None
    return (lines[0][1], lines[1:]) if lines else ([], [])


def _digits(text: str) -> int:
    """How many decimals a number is written with; differences are rounded to those, so that equal ones are equal."""
    point, _, exponent = text.lower().partition("e")
    shift = int(exponent) if exponent.lstrip("+-").isdecimal() else 0
    return max(len(point.partition(".")[2]) - shift, 0)
