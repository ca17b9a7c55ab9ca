"""Figures in the documents that come from a committed CSV: `make readme` writes them, a test holds them against it.

A figure is followed by the cell that it shows, a sentence by what has to hold of a table for it to stand:

    .878 ± .030<!-- docs/ablations/metrics.csv: proxy=diswot_semantic; spearman ± spearman_sd -->
    ... and none is above zero.<!-- holds docs/ablations/size.csv: setting=given size, proxy=diswot*; low < 0 -->

A table is a block whose header stands and whose rows are written, the first column a name, the others figures, of which
the first has to be defined:

    <!-- table docs/ablations/metrics.csv: seeds=3; proxy | spearman ± spearman_sd | low to high -->
    ...
    <!-- end -->

Rows are chosen by columns that equal a value (`*` stands for anything); a figure's row is the only one, an assertion is
true of every row, of which there is one at least, and is what pandas' DataFrame.eval takes.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NUMBER = r"[-+]?[\d,]*\.?\d+"
FIGURE = re.compile(
    rf"(?P<shown>{NUMBER}(?: (?:±|to) {NUMBER})*)(?P<mark><!-- (?P<path>[\w/.-]+\.csv): (?P<rest>[^>]*?) -->)"
)
TABLE = re.compile(
    r"(?P<mark><!-- table (?P<path>[\w/.-]+\.csv): (?P<rest>.*?) -->\n)"
    r"(?P<head>\|.*\n\|.*\n)(?:\|.*\n)*(?=<!-- end -->)"
)
CLAIM = re.compile(r"<!-- holds (?P<path>[\w/.-]+\.csv): (?P<rest>.*?) -->")


class Claim(NamedTuple):
    """What has to hold of the chosen rows of a table."""

    line: int
    path: str
    rows: str
    expression: str

    def holds(self) -> bool:
        """Whether it does. Raises ValueError where no row is chosen."""
        rows = chosen(self.path, self.rows)
        if rows.empty:
            raise ValueError(f"{self.path}: no row has {self.rows}")
        return bool(rows.eval(self.expression).all())


def chosen(path: str, wanted: str) -> pd.DataFrame:
    """The rows of a committed table whose columns have the values `name=value, ...`; all of them for nothing."""
    table = pd.read_csv(ROOT / path, na_values=["n/a"], dtype={"arch": "str"})
    for part in filter(None, (part.strip() for part in wanted.split(", "))):
        name, _, value = part.partition("=")
        if name not in table.columns:
            raise ValueError(f"{path}: no column {name}")
        table = table[[fnmatchcase(str(cell), value) for cell in table[name]]]
    return table


def written(text: str) -> str:
    """The text with every marked figure as its table has it, in the style and with the decimals that it had."""
    text = TABLE.sub(lambda found: found["mark"] + found["head"] + _table(found["path"], found["rest"]), text)
    return FIGURE.sub(lambda found: _figure(found["shown"], found["path"], found["rest"]) + found["mark"], text)


def _table(path: str, rest: str) -> str:
    """The rows of a table, a line each."""
    rows, _, columns = rest.rpartition(";")
    name, *shown = (column.strip() for column in columns.split("|"))
    lines = [
        [f"`{row[name]}`", *(" to ".join(_cell(row, one) for one in column.split(" to ")) for column in shown)]
        for row in chosen(path, rows).dropna(subset=shown[0].split(" ± ")[0]).to_dict("records")
    ]
    return "".join(f"| {' | '.join('n/a' if 'nan' in text else text for text in line)} |\n" for line in lines)


def _cell(row: Mapping[Hashable, Any], columns: str) -> str:
    """Columns of a row with ± between, without the zero before the point; of equal draws the first alone."""
    values = [float(row[column]) for column in columns.split(" ± ")]
    told = [_like(".000", value) for value in values if value == values[0] or value]
    return " ± ".join(told)


def _figure(shown: str, path: str, rest: str) -> str:
    rows, _, columns = rest.rpartition(";")
    table = chosen(path, rows)
    if len(table) != 1:
        raise ValueError(f"{path}: {len(table)} rows have {rows}, for {shown}")
    values = [float(table.iloc[0][name]) for name in re.split(r" ± | to ", columns.strip())]
    parts, joints = re.split(r" (?:±|to) ", shown), re.findall(r" (?:±|to) ", shown)
    told = [_like(old, value) for old, value in zip(parts, values, strict=True)]
    return "".join(part + joint for part, joint in zip(told, [*joints, ""], strict=True))


def _like(old: str, value: float) -> str:
    """A value with the decimals of an old one, its plus, and its zero before the point or none."""
    text = f"{value:{'+' if old.startswith('+') else ''},.{len(old.partition('.')[2])}f}"
    return re.sub(r"^([-+]?)0\.", r"\1.", text) if re.match(r"[-+]?\.", old) else text


def claims(text: str) -> Iterator[Claim]:
    """All assertions of a page."""
    for found in CLAIM.finditer(text):
        rows, _, expression = found["rest"].rpartition(";")
        yield Claim(text.count("\n", 0, found.start()) + 1, found["path"], rows, expression.strip())


def main() -> None:
    """Write the figures of all pages anew."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (new := written(text)) != text:
            page.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
