"""The steps of analysis/leaderboard.py: hold committed scores against accuracies, write the pages, print."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment

import analysis.pages
from analysis.pages.page import Section, table
from analysis.rows.tables import interval, markdown, number, write_csv
from analysis.steps.options import LeaderboardOptions
from benchmarks.leaderboard import standings
from benchmarks.leaderboard.standings import VANILLA
from benchmarks.output import record
from benchmarks.output.terminal import show_table

AGAIN = "python analysis/leaderboard.py"
ROUGH = 3  # digits


def leaderboard(options: LeaderboardOptions) -> None:
    """Rank, print, and without a proxy of the user's own write the pages."""
    if options.quick and options.proxy is None:
        raise ValueError("--quick goes with --proxy: the committed scores are there")
    own = None if options.proxy is None else standings.named(options.proxy)
    rows, missing = standings.board(own, quick=options.quick)
    wide = standings.wide(rows)
    headers, lines = readable(wide)
    show_table(headers, lines, "leaderboard: Spearman with accuracy")
    remarks = notes(rows, missing)
    print("\n".join(f"  {note}" for note in remarks))
    if own is not None:
        return
    out = Path(options.out)
    record.check_writable(out)
    write_csv(rows, out / "leaderboard.csv")
    (out / "leaderboard.md").write_text(page(headers, lines, rows, remarks), encoding="utf-8")
    (out / "leaderboard.html").write_text(html(wide, rows, remarks), encoding="utf-8")
    print(f"  written: {out}/leaderboard.md, leaderboard.csv, leaderboard.html")


def readable(wide: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The wide table as people read it."""
    headers = ["proxy", *map(str, wide.columns)]
    digits = {"mean place": 1, "questions": 0, "beats params": 0, "ms/arch": 1}
    lines = [
        [
            str(name),
            *(
                value if isinstance(value, str) else number(float(value), digits.get(str(key), ROUGH))
                for key, value in row.items()
            ),
        ]
        for name, row in wide.iterrows()
    ]
    return headers, lines


def notes(rows: pd.DataFrame, missing: list[str]) -> list[str]:
    """What has to be known beside the table."""
    counted = rows.drop_duplicates("question")
    held = ", ".join(f"{one.question} {one.n:,} of {one.of:,}" for one in counted.itertuples())
    lines = [
        f"candidates: {held}; intervals and all digits: leaderboard.csv",
        "mean place: over the questions, 1 the best of the proxies; beats params: questions on which it is ahead of "
        "counting parameters after Holm's correction",
        "ms/arch: what one candidate cost where it was scored, for comparing rows only",
        f"{VANILLA}: not a proxy, the measured accuracy without distillation; on the gain it carries its own noise "
        "with the other sign",
    ]
    return [*lines, *(f"not here yet: {one}" for one in missing)]


def page(headers: list[str], lines: list[list[str]], rows: pd.DataFrame, remarks: list[str]) -> str:
    """The page in Markdown: correlations, and question by question what is left given size."""
    text = [
        "# Leaderboard",
        f"Which proxy predicts which student? Made by `{AGAIN}` from the score tables in `benchmarks/results/scores`, "
        "which `python benchmarks/data.py check` verifies. [All digits](leaderboard.csv), "
        "[sortable page](leaderboard.html)",
        markdown(headers, lines, remarks),
        "A proxy of yours is ranked among these by `python analysis/leaderboard.py --proxy mine.py:name --quick`, or "
        '`diswot_bench.leaderboard("mine.py:name")`. To propose it for the table: add it as [a proxy](add_a_proxy.md), '
        "score it under the conditions of each table, and export both together by `data.py export`.",
    ]
    for question, own in rows.groupby("question", sort=False):
        text += [f"## {question}", markdown(*_of_question(own))]
    return "\n\n".join(text) + "\n"


def _of_question(own: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    headers = ["proxy", "spearman", "95 % interval", "given size", "95 % interval", "regret", "top-10 truth", "failed"]
    ordered = own.sort_values("spearman", ascending=False, na_position="last")
    return headers, [_row(one) for one in ordered.to_dict("records")]


def _row(one: Mapping[Hashable, Any]) -> list[str]:
    figures = [number(one["spearman"]), interval(one["low"], one["high"])]
    figures += [number(one["given_size"]), interval(one["given_low"], one["given_high"])]
    return [one["proxy"], *figures, number(one["regret"], 2), number(one["top_10_truth"], 2), str(one["failed"])]


def html(wide: pd.DataFrame, rows: pd.DataFrame, remarks: list[str]) -> str:
    """The page as HTML: both tables sorted by a click, their numbers inside as CSV."""
    first = table(wide.reset_index(), "Spearman with accuracy", "leaderboard-wide.csv", "A column a question.")
    sections = [Section("Every question", remarks, [first])]
    for question, own in rows.groupby("question", sort=False):
        ordered = own.drop(columns=["question"]).sort_values("spearman", ascending=False, na_position="last")
        made = table(ordered, str(question), "leaderboard.csv", "Correlation, what is left given size, and the top.")
        sections.append(Section(str(question), [], [made]))
    text = Path(str(analysis.pages.__file__)).with_name("report.html.j2").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True).from_string(text)
    said = {"title": "Which proxy predicts which student", "command": AGAIN, "sections": sections}
    return template.render(**said, footer="Scores and accuracies: benchmarks/results")
