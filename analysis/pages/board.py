"""The leaderboard as cells: what each shows, what it is sorted by, and why it is undefined. Drawn by board.html.j2."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from analysis.rows.tables import interval, number

ABSENT = "the question's score table has no scores of it"
ITSELF = "it is what the question asks for, or the table of accuracies has no other"
NO_PROXY = "no proxy: it has no place among them, and costs a training each"
NOWHERE = "it is undefined on every question"
MEASURES = ("spearman", "given_size", "regret", "top_10_truth")
DIGITS = {"spearman": 2, "given_size": 2, "regret": 2, "top_10_truth": 2}


class Shown(NamedTuple):
    """A number as shown, its interval or nothing, what it is sorted by, and the note that says why it is undefined."""

    text: str
    bounds: str
    key: str
    note: int


@dataclass
class Line:
    """A row: one proxy; its cells by question, each with its figures by measure, and figures over all questions."""

    name: str
    family: str
    cells: list[dict[str, Shown]]
    over: list[Shown]


@dataclass
class Notes:
    """Reasons, numbered from 1 as they come."""

    texts: list[str] = field(default_factory=list)

    def number(self, text: str) -> int:
        """The number of a reason; 0 for none."""
        if text and text not in self.texts:
            self.texts.append(text)
        return self.texts.index(text) + 1 if text else 0


def lines(wide: pd.DataFrame, rows: pd.DataFrame, over: Mapping[str, int], measured: str) -> tuple[list[Line], Notes]:
    """The rows of the page, in the order of `wide`, and the notes that they refer to.

    `over`: columns of `wide` that are about all questions, and their digits. `measured`: the row that is no proxy.
    """
    notes = Notes()
    found = {(one["question"], one["proxy"]): one for one in rows.to_dict("records")}
    questions = list(dict.fromkeys(rows["question"]))
    made = []
    for name, whole in wide.iterrows():
        cells = [
            cell(found.get((question, name)), notes, ITSELF if name == measured else ABSENT) for question in questions
        ]
        why = NO_PROXY if name == measured else NOWHERE
        figures = [shown(float(whole[column]), digits, "", why, notes) for column, digits in over.items()]
        made.append(Line(str(name), str(whole["family"]), cells, figures))
    return made, notes


def cell(one: Mapping[Hashable, Any] | None, notes: Notes, absent: str) -> dict[str, Shown]:
    """The figures of one proxy on one question, by measure; `absent` says why there are none."""
    if one is None:
        return {measure: shown(float("nan"), 0, "", absent, notes) for measure in MEASURES}
    made = {}
    for measure in MEASURES:
        why = one["why_given_size"] if measure == "given_size" else one["why"]
        bounds = interval(one[f"{measure}_low"], one[f"{measure}_high"]) if f"{measure}_low" in one else ""
        made[measure] = shown(float(one[measure]), DIGITS[measure], bounds, why, notes)
    return made


def shown(value: float, digits: int, bounds: str, why: str, notes: Notes) -> Shown:
    """A number as the page has it; a defined one refers to a note where its interval is undefined."""
    undefined = value != value
    note = notes.number(why) if undefined or bounds == "n/a" else 0
    return Shown(
        number(value, digits), "" if undefined or bounds == "n/a" else bounds, "" if undefined else repr(value), note
    )


def marked(one: Shown, place: Mapping[int, int]) -> str:
    """A number in Markdown, with the `place` of its note among those shown."""
    return f"{one.text}{f' ({place[one.note]})' if one.note else ''}"


def families(made: Sequence[Line]) -> list[str]:
    """The kinds of measures there are, by name."""
    return sorted({one.family for one in made})
