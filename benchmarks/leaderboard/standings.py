"""The rows of the leaderboard: each proxy on each question, what is left given size, and who beats params."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import proxies
from analysis.rows.ties import to_be_ranked
from analysis.stats import inference, ranking
from analysis.stats.comparison import Ranked
from analysis.stats.ranking import Ranking
from benchmarks.leaderboard import commands
from benchmarks.leaderboard.questions import QUESTIONS, Asked, asked, committed
from benchmarks.output.options import EngineOptions
from benchmarks.output.terminal import progress
from benchmarks.scoretables.anew import job_like
from benchmarks.scoring.cohorts import Cohort
from benchmarks.scoring.engines import open_engine
from benchmarks.scoring.scorer import Scorer, together
from benchmarks.scoring.store import Store
from benchmarks.truth.accuracies import VANILLA, pulled
from proxies import Proxy
from proxies.combine import NAMED

FLOOR, UNIT = "params", "diswot"
MEAN_PLACE, COST = "mean place", "cost"  # columns over all questions
IN_MEMORY, ALONE = Path(":memory:"), EngineOptions(workers=1)
QUICK = 30  # candidates of each question that --quick scores
Scores = tuple[NDArray[np.float64], NDArray[np.bool_]]  # scores and which are numbers, [S, n] each
SAME = "all its scores are equal, or differ by rounding alone"
PULLED = "its own noise is in the gain with the other sign, so no interval is given"


class Told(NamedTuple):
    """What has to be known of a question beside its rows; a constant score's regret and top-10 accuracy."""

    name: str
    asked: str
    n: int
    of: int
    scores: str
    truth: str
    interval: str
    regret: float
    top_10_truth: float
    command: str
    check: str


class Own(NamedTuple):
    """A proxy of a user's own: who scores it, and which file its scores are kept in."""

    proxy: Proxy
    store: Path = IN_MEMORY
    engine: EngineOptions = ALONE

    def scores(self, one: Asked) -> Scores:
        """Of a question's candidates under its table's conditions, computed here."""
        proxy, job = self.proxy, job_like(one.table, one.space, one.archs, [self.proxy])
        with (
            Store(self.store) as store,
            open_engine(self.engine, tasks=len(job)) as engine,
            progress(f"{proxy.name}, {one.space.name}", len(job)) as advance,
        ):
            rows = Scorer(job, store, engine).rows(one.archs, advance)
        if failed := Counter(row.reason or row.status for row in rows if row.status != "ok"):
            why = f"{failed.total():,} of {len(rows):,} scores failed: {failed.most_common(1)[0][0]}"
            print(f"{proxy.name} on {one.space.name}: {why}", file=sys.stderr)
        shape = (len(one.table.seeds), len(one.archs))
        scores = np.array([row.score for row in rows]).reshape(shape)
        return scores, np.array([row.status == "ok" for row in rows]).reshape(shape)


class Board(NamedTuple):
    """A row for each question and proxy, what each question is, and why others are left out."""

    rows: pd.DataFrame
    told: list[Told]
    missing: list[str]


def board(own: Own | None = None, *, quick: bool = False, folder: Path | None = None) -> Board:
    """The leaderboard, with a proxy of a user's own where one is given, which is scored here."""
    tables = committed() if folder is None else committed(folder)
    parts, told, missing, fresh = [], [], [], dict[tuple[str, ...], Scores]()
    found: list[Asked] = []
    for question in QUESTIONS:
        try:
            one = asked(question, tables)
        except ValueError as error:
            missing.append(f"{question.name}: {error}")
            continue
        found.append(first(one, QUICK) if quick and len(one.archs) > QUICK else one)
    if own is not None:  # which may take hours
        to_score = {(one.table.where, *one.archs): f"{len(one.archs):,} of {one.space.name}" for one in found}
        print(f"{own.proxy.name} is scored on {', '.join(to_score.values())}", file=sys.stderr)
    for one in found:
        parts.append(standings(one, own, fresh))
        told.append(told_of(one, parts[-1]["proxy"]))
    if not parts:
        raise ValueError(f"no question can be answered: {'; '.join(missing)}")
    return Board(pd.concat(parts, ignore_index=True), told, missing)


def told_of(one: Asked, shown: Iterable[str]) -> Told:
    """What a reader has to know of a question; `shown` are its rows, of which a table's are told how to be made."""
    same = np.zeros(len(one.archs))
    about = inference.about(one.sample, len(one.table.seeds), one.truth.noise_from)
    made = {*one.table.names.values()} | NAMED.keys()
    names = [name for name in shown if name in made]
    return Told(
        *(one.question.name, one.question.told(), len(one.archs), len(one.space)),
        *(f"{one.table.name}: {one.table.told()}", one.truth.source, about),
        ranking.regret(same, one.sample.truth),
        ranking.top_mean_truth(same, one.sample.truth, ranking.TOP),
        *(commands.ranks(one, names), commands.checks(one)),
    )


def standings(one: Asked, own: Own | None, fresh: dict[tuple[str, ...], Scores]) -> pd.DataFrame:
    """The rows of one question.

    `fresh` keeps what was scored of a user's own proxy, for further questions of the same candidates.
    """
    found = scores_of(one)
    if own is not None:
        asked_of = (one.table.where, *one.archs)
        if asked_of not in fresh:
            fresh[asked_of] = own.scores(one)
        found[own.proxy.name] = fresh[asked_of]
    if one.truth.vanilla:
        values = np.array([[one.truth.vanilla.get(arch, np.nan) for arch in one.archs]])
        found[VANILLA] = values, np.full(values.shape, np.isfinite(values).all())
    target = one.question.target
    tested = {name: pair for name, pair in found.items() if not (mostly_failed(pair[1]) or pulled(name, target))}
    ahead = winners(tested, one)
    return pd.DataFrame([{**row(one, name, *pair), "beats_params": name in ahead} for name, pair in found.items()])


def row(one: Asked, name: str, scores: NDArray[np.float64], ok: NDArray[np.bool_]) -> dict[str, object]:
    """One proxy on one question: its numbers, and why those that are undefined are."""
    numbers = ranking.rank(scores, one.sample, list(one.known.sizes.values()), ok=ok)
    made: dict[str, object] = {"question": one.question.name, "proxy": name, "n": len(one.archs), "of": len(one.space)}
    for column, key in (("spearman", "spearman"), ("given_size", "given")):
        value, low, high = (getattr(numbers, f"{key}{end}") for end in ("", "_low", "_high"))
        bounds = (np.nan, np.nan) if pulled(name, one.question.target) else (low, high)
        made |= {column: value, f"{column}_low": bounds[0], f"{column}_high": bounds[1]}
    made |= {"regret": numbers.regret, "top_10_truth": numbers.top_10_truth, "failed": numbers.failed}
    made |= {"cost": cost(one, name)}
    why = [*reasons(one, name, numbers, ok), PULLED if pulled(name, one.question.target) else ""]
    if mostly_failed(ok):  # what is left says which networks a proxy can score, not how well
        made |= dict.fromkeys([key for key in made if key.startswith(("spearman", "given"))], np.nan)
    return {**made, "why": why[0] or why[2], "why_given_size": why[1] or why[2]}


def reasons(one: Asked, name: str, numbers: Ranking, ok: NDArray[np.bool_]) -> tuple[str, str]:
    """Why a correlation is undefined, and what is left of it given size; empty where it is not."""
    if name == VANILLA and not ok.any():
        known = len(one.truth.vanilla.keys() & set(one.archs))
        return (told := f"it is known of {known:,} of the {len(one.archs):,} candidates alone"), told
    if mostly_failed(ok):
        column, why = one.table.columns.get(name), ""
        if column is not None:
            codes, counts = np.unique(column.reason[:, one.places][~ok], return_counts=True)
            why = one.table.reasons[codes[counts.argmax()]]
        some = f"{(~ok).sum():,} of {ok.size:,}" if ok.any() else f"all {len(one.archs):,}"
        failed = f"{some} scores failed: {why or 'they are no numbers'}"
        return failed, failed
    if np.isnan(numbers.spearman):
        return SAME, SAME
    if np.isnan(numbers.given):
        return "", "it is a size, or ranks as one: nothing is left given both sizes"
    return "", ""


def mostly_failed(ok: NDArray[np.bool_]) -> bool:
    """Whether more than half of the scores are no numbers: a ranking would tell these apart from the others."""
    return bool(2 * (~ok).sum() > ok.size)


def cost(one: Asked, name: str) -> float:
    """What a candidate costs by a proxy, in times of what it costs by `diswot`; NaN unless both were made alike.

    A combination costs what its parts do.
    """
    parts = NAMED[name].parts if name in NAMED else (name,)
    found = [column for part in (*parts, UNIT) if (column := one.table.columns.get(part)) is not None]
    if len(found) <= len(parts) or len({column.made.device.split()[0] for column in found}) > 1:
        return np.nan
    *own, unit = (column.seconds.mean() for column in found)
    return float(sum(own) / unit)


def first(one: Asked, most: int) -> Asked:
    """The same question of its first candidates, which are in a seeded order: a subsample that is always the same."""
    return among(one, np.arange(min(most, len(one.archs))))


def among(one: Asked, numbers: NDArray[np.intp]) -> Asked:
    """The same question of some of its candidates, by their places in it."""
    sample, known, share = one.sample, one.known, one.space.share(len(numbers))
    return replace(
        one,
        archs=[one.archs[number] for number in numbers],
        places=one.places[numbers],
        sample=type(sample)(sample.truth[numbers], share, sample.noise, sample.random),
        known=Cohort({name: sizes[numbers] for name, sizes in known.sizes.items()}, known.connected[numbers], share),
    )


def scores_of(one: Asked) -> dict[str, Scores]:
    """The scores of a question's candidates, by each proxy of its table and each named combination of these.

    What the table lacks counts as failed.
    """
    held = {name: one.table.columns[key] for key, name in one.table.names.items()}
    found = {name: (column.scores[:, one.places], column.ok[:, one.places]) for name, column in held.items()}
    for name, combination in NAMED.items():
        parts = [found[part] for part in combination.parts if part in found]
        if len(parts) == len(combination.parts) and all(ok.any() for _, ok in parts):
            by_seed = zip(*(np.stack(of_all, axis=1) for of_all in zip(*parts, strict=True)), strict=True)
            values = np.stack([together(combination, scores, ok) for scores, ok in by_seed])
            found[name] = values, np.ones(values.shape, dtype=bool)
    return found


def winners(found: Mapping[str, Scores], one: Asked) -> set[str]:
    """The proxies that are ahead of counting parameters, Holm's correction over all of them."""
    if FLOOR not in found:
        return set()
    names = list(found)
    seeds = {len(scores) for scores, _ in found.values()}
    ranked = [np.broadcast_to(to_be_ranked(*found[name]), (max(seeds), len(one.archs))) for name in names]
    pairs = Ranked.of(names, np.stack(ranked), one.sample).against([FLOOR])
    return {
        name
        for pair in pairs
        if pair.winner and FLOOR not in pair.winner.split(", ")
        for name in pair.winner.split(", ")
    }


def wide(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a proxy: its correlation on each question, mean place over the questions, and how often it beats params.

    A place is the share of the other proxies scored on a question that are ahead, in percent: fields differ in size.
    Best mean place first; proxies with fewer than half of the questions come behind those with more.
    """
    questions = list(dict.fromkeys(rows["question"]))
    table = rows.pivot(index="proxy", columns="question", values="spearman")[questions]
    places = table.drop(index=VANILLA, errors="ignore").rank(ascending=False)
    ahead = 100 * (places - 1) / (places.count() - 1).clip(lower=1)
    answered = table.notna().sum(axis=1)
    table.insert(0, MEAN_PLACE, ahead.mean(axis=1).reindex(table.index))
    table.insert(1, "questions", answered)
    table.insert(2, "beats params", rows.groupby("proxy")["beats_params"].sum().reindex(table.index))
    table[COST] = rows.groupby("proxy")["cost"].median().reindex(table.index)
    table["family"] = [family(str(name)) for name in table.index]
    few = (2 * answered < len(questions)) | table[MEAN_PLACE].isna()
    return table.assign(few=few).sort_values(["few", MEAN_PLACE], na_position="last").drop(columns="few")


def family(name: str) -> str:
    """What kind of measure a proxy is: the file of proxies/ that it stands in."""
    files = {one.name: one.score.__module__ for one in proxies.registered()}
    files |= {one.name: one.combine.__module__ for one in NAMED.values()}
    if name in files:
        return files[name].rpartition(".")[2]
    return "accuracy" if name == VANILLA else "own"


def leaderboard(proxy: str | None = None, *, quick: bool = False) -> pd.DataFrame:
    """The leaderboard: a row a proxy, a column a question; higher correlations are better, n/a is undefined.

    `proxy` names one of your own, path/to/file.py:name, which is scored on every question, with `quick` on 30 of each
    one's candidates (and the others are ranked on those too). Raises ValueError for what can't be had.
    """
    return wide(board(None if proxy is None else Own(named(proxy)), quick=quick).rows)


def named(text: str) -> Proxy:
    """One proxy of a user's own. Raises ValueError for several, or a combination."""
    if not isinstance(text, str):
        raise ValueError(f"leaderboard: {text!r:.80} is no name; a function of yours is 'path/to/file.py:name'")
    chosen: Sequence[object] = proxies.select(text)
    if len(chosen) != 1 or not isinstance(chosen[0], Proxy):
        raise ValueError(f"--proxy {text}: one proxy, such as mine.py:name")
    return chosen[0]
