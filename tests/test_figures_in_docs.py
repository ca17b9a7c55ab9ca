"""Figures in the documents are those of committed tables, and sentences that lean on one hold of it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.ranking import summary
from docs import figures
from docs.figures import Claim, claims, written

TABLE = pd.DataFrame(
    {"proxy": ["a", "b", "b"], "setting": ["x", "x", "y"], "rho": [0.8764, -0.05, 1.0], "sd": [0.03, 0.1, 0.0]}
)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    return "t.csv"


@pytest.mark.parametrize("page", figures.PAGES, ids=lambda page: page.name)
def test_every_marked_figure_is_its_cell(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert written(text) == text, "make readme"


@pytest.mark.parametrize("page", figures.PAGES, ids=lambda page: page.name)
def test_what_a_sentence_says_of_a_table_holds(page: Path) -> None:
    wrong = [claim for claim in claims(page.read_text(encoding="utf-8")) if not claim.holds()]
    assert not wrong, f"{page.name}: {wrong}"


def test_the_marks_are_found() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in figures.PAGES)
    assert (
        len(list(figures.FIGURE.finditer(text)))
        == text.count(".csv: ") - text.count("<!-- holds ") - text.count("<!-- table ")
        > 50
    )
    assert text.count("<!-- holds ") == len(list(claims(text))) > 5


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (".9 <m>", ".9 <m>"),
        (".123 ± .9<!-- t.csv: proxy=a; rho ± sd -->", ".876 ± .0<!-- t.csv: proxy=a; rho ± sd -->"),
        ("-0.50<!-- t.csv: proxy=b, setting=x; rho -->", "-0.05<!-- t.csv: proxy=b, setting=x; rho -->"),
        (
            "+.50 to .6<!-- t.csv: proxy=*, setting=y; rho to sd -->",
            "+1.00 to .0<!-- t.csv: proxy=*, setting=y; rho to sd -->",
        ),
    ],
)
def test_a_figure_is_written_as_it_was(table: str, old: str, new: str) -> None:
    assert written(f"at {old}.") == f"at {new}."


def test_a_table_is_written_row_by_row(table: str) -> None:
    head = "<!-- table t.csv: proxy=*; proxy | rho ± sd | sd to rho -->\n| a | b | c |\n|---|---:|---:|\n"
    rows = "| `a` | .876 ± .030 | .030 to .876 |\n| `b` | -.050 ± .100 | .100 to -.050 |\n"
    rows += "| `b` | 1.000 | .000 to 1.000 |\n"
    for before in ("", "| `old` | 1 | 2 |\n"):
        assert written(f"{head}{before}<!-- end -->\n| z |\n") == f"{head}{rows}<!-- end -->\n| z |\n"


def test_a_figure_of_two_rows_or_none_is_refused(table: str) -> None:
    for rows, count in (("proxy=b", 2), ("proxy=c", 0)):
        with pytest.raises(ValueError, match=f"{count} rows have {rows}"):
            written(f".1<!-- t.csv: {rows}; rho -->")
    with pytest.raises(ValueError, match="no column colour"):
        written(".1<!-- t.csv: colour=red; rho -->")


def test_an_assertion_is_of_every_row_and_of_one_at_least(table: str) -> None:
    found = list(claims("a line\nbelow.<!-- holds t.csv: proxy=b; rho < 0.5 -->"))
    assert found == [Claim(2, "t.csv", "proxy=b", "rho < 0.5")]
    assert not found[0].holds()
    assert Claim(1, "t.csv", "proxy=b, setting=x", "rho < 0.5 and sd > 0").holds()
    with pytest.raises(ValueError, match="no row has proxy=c"):
        Claim(1, "t.csv", "proxy=c", "rho < 0.5").holds()


def test_what_draws_do_to_rho_is_that_of_the_committed_ablation() -> None:
    """rank.py says it under tables of s0 with one seed. Sizes do not depend on a draw, and the control is undefined."""
    table = pd.read_csv(figures.ROOT / "docs" / "ablations" / "metrics.csv", na_values=["n/a"])
    for space, bounds in summary.DRAWS.items():
        spread = table[table["space"].eq(space) & ~table["proxy"].isin(["params", "macs"])]["spearman_sd"].dropna()
        assert (round(spread.min(), 2), round(spread.max(), 2)) == bounds
