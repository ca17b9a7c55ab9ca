"""The steps of analysis/leaderboard.py: hold committed scores against accuracies, write the pages, print."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment

import analysis.pages
from analysis.pages import board as pages
from analysis.rows.tables import interval, markdown, number, write_csv
from analysis.steps.options import LeaderboardOptions
from benchmarks.leaderboard import standings
from benchmarks.leaderboard.commands import SCORES, WHOLE
from benchmarks.leaderboard.standings import COST, MEAN_PLACE, UNIT, Board, Told
from benchmarks.output import record
from benchmarks.output.terminal import show_table
from benchmarks.truth.accuracies import VANILLA

TITLE = "Which proxy predicts which student"
ROUGH = 3  # digits
OVER = {MEAN_PLACE: 0, "questions": 0, "beats params": 0, COST: 2}  # columns over all questions, and digits
LEAST_FIRST = (MEAN_PLACE, COST)
PROPOSED = f"""\
python benchmarks/rank.py --space s0 --dataset cifar100 --target distilled --sample all --anew \\
    --baselines '' --proxy NAME --out runs/mine
python benchmarks/data.py export runs/mine {SCORES}/s0-cifar100.npz --into runs/s0-cifar100.npz
mv runs/s0-cifar100.npz {SCORES}/s0-cifar100.npz
python benchmarks/data.py check
python analysis/leaderboard.py"""


def leaderboard(options: LeaderboardOptions) -> None:
    """Rank, print, and without a proxy of the user's own write the pages."""
    if options.quick and options.proxy is None:
        raise ValueError("--quick goes with --proxy: the committed scores are there")
    own = None
    if options.proxy is not None:
        own = standings.Own(standings.named(options.proxy), Path(options.store), options)
    made = standings.board(own, quick=options.quick)
    wide = standings.wide(made.rows)
    headers, lines = readable(wide)
    show_table(headers, lines, "leaderboard: Spearman with accuracy")
    print("\n".join(f"  {note}" for note in [*notes(made), *missing(made)]))
    if own is not None:
        return
    out = Path(options.out)
    keep_others(made, out)
    record.check_writable(out)
    write_csv(made.rows, out / "leaderboard.csv")
    content = (out / "leaderboard.csv").read_bytes()
    rows, reasons = pages.lines(wide, made.rows, OVER, VANILLA)
    (out / "leaderboard.md").write_text(page(rows, reasons, made), encoding="utf-8")
    (out / "leaderboard.html").write_text(html(rows, reasons, made, content), encoding="utf-8")
    print(f"  written: {out}/leaderboard.md, leaderboard.csv, leaderboard.html")


def keep_others(made: Board, out: Path) -> None:
    """Raises ValueError where the pages in a folder answer questions that could not be answered now."""
    there = out / "leaderboard.csv"
    before = set(pd.read_csv(there, usecols=["question"])["question"]) if there.is_file() else set[str]()
    if lost := [one for one in made.missing if one.partition(": ")[0] in before]:
        raise ValueError(f"nothing is written: {there} has more questions than can be answered here. {'; '.join(lost)}")


def readable(wide: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The wide table as people read it."""
    headers = ["proxy", *map(str, wide.columns)]
    lines = [
        [
            str(name),
            *(
                value if isinstance(value, str) else number(float(value), OVER.get(str(key), ROUGH))
                for key, value in row.items()
            ),
        ]
        for name, row in wide.iterrows()
    ]
    return headers, lines


def notes(made: Board) -> list[str]:
    """What has to be known beside the table."""
    held = ", ".join(f"{one.name} {one.n:,} of {one.of:,}" for one in made.told)
    return [
        f"candidates: {held}; intervals and all digits: leaderboard.csv",
        "mean place: over the questions, what percentage of the other proxies scored there is ahead; rows with fewer "
        "than half of the questions come last",
        "beats params: questions on which it is ahead of counting parameters after Holm's correction",
        f"cost: what a candidate cost in times of {UNIT}'s on the same machine, median over the questions",
        f"{VANILLA}: not a proxy, the measured accuracy without distillation; on the gain it carries its own noise "
        "with the other sign",
    ]


def missing(made: Board) -> list[str]:
    """The questions that can't be answered yet, and why."""
    return [f"not here yet: {one}" for one in made.missing]


def page(rows: Sequence[pages.Line], reasons: pages.Notes, made: Board) -> str:
    """The page in Markdown: correlations, and question by question what is left given size."""
    headers = ["proxy", *(one.name for one in made.told), *OVER, "family"]
    shown = [[*(cell["spearman"] for cell in one.cells), *one.over] for one in rows]
    used = sorted({one.note for line in shown for one in line if one.note})  # others are of the other page alone
    place = {note: number for number, note in enumerate(used, 1)}
    lines = [
        [one.name, *(pages.marked(figure, place) for figure in line), one.family]
        for one, line in zip(rows, shown, strict=True)
    ]
    numbered = [f"n/a ({number}): {reasons.texts[note - 1]}" for note, number in place.items()]
    text = [
        "# Leaderboard",
        f"Which proxy predicts which student? Made by `{WHOLE}` from the score tables in `benchmarks/results/scores`, "
        "which `python benchmarks/data.py check` verifies; the accuracies of CIFAR-100 and ImageNet16-120 are got once "
        "by `python benchmarks/data.py fetch cifar100` and `fetch ImageNet16-120`. [All digits](leaderboard.csv); [a "
        "page to sort and to filter](leaderboard.html), where every number leads to its command. Below the table "
        "stands for each question what it asks: [spaces and accuracies](spaces.md), "
        "[distilled ones](distilled_truth.md).",
        markdown(headers, lines, [*notes(made), *numbered, *missing(made)]),
        "A proxy of yours is ranked among these by `python analysis/leaderboard.py --proxy mine.py:name --quick`, or "
        '`diswot_bench.leaderboard("mine.py:name")`; without `--quick` on every candidate, and it says beforehand on '
        "how many. To propose it for the table: add it as [a proxy](add_a_proxy.md), and for each score table do what "
        "here is done for S0's; the options are the conditions that stand below the question's table.",
        f"```\n{PROPOSED}\n```",
    ]
    for one in made.told:
        text += [f"## {one.name}", markdown(*_of_question(made.rows[made.rows["question"].eq(one.name)]), about(one))]
    return "\n\n".join(text) + "\n"


def about(one: Told) -> list[str]:
    """What has to be known of a question, a line each."""
    return [
        f"asked: {one.asked}",
        f"truth: {one.truth}; {one.n:,} of {one.of:,} candidates",
        f"scores: {one.scores}",
        f"interval: {one.interval}",
        f"a constant score: regret {number(one.regret, 2)}, top-10 truth {number(one.top_10_truth, 2)}",
    ]


def _of_question(own: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    headers = ["proxy", "spearman", "95 % interval", "given size", "95 % interval", "regret", "top-10 truth", "failed"]
    ordered = own.sort_values("spearman", ascending=False, na_position="last")
    return headers, [_row(one) for one in ordered.to_dict("records")]


def _row(one: Mapping[Hashable, Any]) -> list[str]:
    figures = [number(one["spearman"]), interval(one["spearman_low"], one["spearman_high"])]
    figures += [number(one["given_size"]), interval(one["given_size_low"], one["given_size_high"])]
    return [one["proxy"], *figures, number(one["regret"], 2), number(one["top_10_truth"], 2), str(one["failed"])]


def html(rows: Sequence[pages.Line], reasons: pages.Notes, made: Board, content: bytes) -> str:
    """The page as HTML: two tabs, sorted and filtered as the reader likes, each number a link to its command."""
    text = Path(str(analysis.pages.__file__)).with_name("board.html.j2").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)
    return template.render(
        title=TITLE,
        command=WHOLE,
        csv=b64encode(content).decode(),
        lines=rows,
        families=pages.families(rows),
        told=[_told(one) for one in made.told],
        over=[(name, "up" if name in LEAST_FIRST else "down") for name in OVER],
        notes=reasons.texts,
        remarks=notes(made),
        missing=made.missing,
        footer="Scores and accuracies: benchmarks/results",
    )


def _told(one: Told) -> dict[str, object]:
    """A question as the template has it: its command up to the proxies, these, and the lines about it."""
    before, _, proxies = one.command.rpartition(" ") if one.command != WHOLE else (one.command, "", "")
    return {"name": one.name, "before": f"{before} ", "proxies": proxies, "check": one.check, "about": about(one)}
