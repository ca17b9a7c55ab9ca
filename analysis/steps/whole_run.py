"""The steps of analysis/validate.py --whole: correlations over all of NAS-Bench-201, by score tables of the project.

Nothing is scored, so that it takes seconds. The questions are asked as the leaderboard asks them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.rows.tables import number
from analysis.rows.ties import to_be_ranked
from analysis.stats.ranking import spearman
from analysis.steps.options import ValidateOptions
from analysis.steps.validate_run import show
from analysis.validation.published import WHOLE
from benchmarks.leaderboard import standings
from benchmarks.leaderboard.questions import Asked, Question, asked, committed
from benchmarks.scoretables.table import Floats, ScoreTable, stated

SPACE, SCORED = "nasbench201", "cifar10"
NEAR = 0.02  # of a published figure: farther is marked
QUESTIONS = [
    Question("retrained C10", SPACE, "cifar10", "vanilla", "retrained", SCORED),
    Question("official C10", SPACE, "cifar10", "vanilla", "official", SCORED),
    Question("official C100", SPACE, "cifar100", "vanilla", "official", SCORED),
    Question("official IN16", SPACE, "ImageNet16-120", "vanilla", "official", SCORED),
]
HEADERS = ["proxy", "draw", *(one.name for one in QUESTIONS), "published C10", "C100", "IN16", "source"]


def measure(options: ValidateOptions) -> None:
    """Correlate, print, and keep the table. Accuracies that are not here are n/a, with the reason under it."""
    tables = whole(committed())
    if not tables:
        raise ValueError(f"no score table of the whole of {SPACE} comes with the project yet")
    missing: dict[str, None] = {}
    rows = [row for table in tables for row in rows_of(table, missing)]
    makers = dict.fromkeys(one.made for table in tables for one in table.columns.values())
    made_by = ", ".join(f"code {made.code}, torch {made.torch}, {made.device}" for made in makers)
    notes = [f"{table.name}: {table.told()}" for table in tables]
    notes += [f"made by {made_by}", "all cells, so that no choice of them is in a figure"]
    notes += [
        f"* more than {NEAR} from what was published: there each cell is drawn anew, and each data set has scores of "
        "its own images and classes; ours are those of CIFAR-10's networks on noise throughout",
        "Experiments, on 200 cells: noise in place of images costs naswot .066, which is its difference, and jacob_cov "
        ".124 (noise, init and one draw together .089), which is more than its; noise, init and one draw together cost "
        "grad_norm .037 on CIFAR-100 and .030 on ImageNet16-120, snip .027 and .022: what is left of their differences "
        "is below .02",
        *missing,
    ]
    show(
        options, "Whole space", "Spearman with accuracy over the whole space, ours and published", HEADERS, rows, notes
    )


def whole(tables: Sequence[ScoreTable]) -> list[ScoreTable]:
    """Those of all cells, scored for the data set, common draws first."""
    found = [
        table
        for table in tables
        if table.space == SPACE and len(table.index) == table.size and table.conditions.get("dataset") == SCORED
    ]
    return sorted(found, key=lambda table: (table.conditions.get("draw") != "shared", stated(table.conditions)))


def rows_of(table: ScoreTable, missing: dict[str, None]) -> list[list[str]]:
    """A row a proxy, the best by retrained accuracy first; `missing` is told which accuracies are not here."""
    found = {name: [np.nan] * len(QUESTIONS) for name in table.names.values()}
    for place, question in enumerate(QUESTIONS):
        try:
            one = asked(question, [table])
        except ValueError as error:
            missing[f"{question.name}: {error}"] = None
            continue
        for name, scores in standings.scores_of(one).items():
            found.setdefault(name, [np.nan] * len(QUESTIONS))[place] = correlation(one, *scores)
    best_first = sorted(found.items(), key=lambda pair: (-np.nan_to_num(pair[1][0], nan=-2.0), pair[0]))
    return [row(name, str(table.conditions.get("draw")), ours) for name, ours in best_first]


def correlation(one: Asked, scores: Floats, ok: NDArray[np.bool_]) -> float:
    """Spearman of a proxy's scores [S, n], the mean over seeds, with the accuracies of a question."""
    return float(np.mean([spearman(seed, one.sample.truth) for seed in to_be_ranked(scores, ok)]))


def row(proxy: str, draw: str, found: Sequence[float]) -> list[str]:
    """Ours by question, a star where it is far from what was published, and that."""
    published = WHOLE.get(proxy)
    figures = [np.nan] * 3 if published is None else list(published.figures)
    far = [False, *(abs(ours - theirs) > NEAR for ours, theirs in zip(found[1:], figures, strict=True))]
    texts = [f"{number(one)}{'*' if star else ''}" for one, star in zip(found, far, strict=True)]
    theirs = ["" if np.isnan(one) else number(one) for one in figures]
    return [proxy, draw, *texts, *theirs, "" if published is None else published.source]
