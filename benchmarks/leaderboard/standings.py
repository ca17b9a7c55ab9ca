"""The rows of the leaderboard: each proxy on each question, what is left given size, and who beats params."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import proxies
from analysis.rows.ties import to_be_ranked
from analysis.stats import ranking
from analysis.stats.comparison import Ranked
from benchmarks.leaderboard.questions import QUESTIONS, Asked, asked, committed
from benchmarks.scoretables.anew import job_like
from benchmarks.scoring.scorer import Scorer
from benchmarks.scoring.store import Store
from proxies import Proxy

VANILLA, FLOOR = "vanilla accuracy", "params"
QUICK = 30  # candidates of each question that --quick scores
Scores = tuple[NDArray[np.float64], NDArray[np.bool_]]  # scores and which are numbers, [S, n] each


def board(
    own: Proxy | None = None, *, quick: bool = False, folder: Path | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """A row for each question and proxy, and why questions are left out; with a proxy of a user's own, scored here."""
    tables = committed() if folder is None else committed(folder)
    parts, missing, fresh = [], [], dict[tuple[str, ...], Scores]()
    for question in QUESTIONS:
        try:
            one = asked(question, tables)
        except ValueError as error:
            missing.append(f"{question.name}: {error}")
            continue
        parts.append(standings(one, own, QUICK if quick else None, fresh))
    if not parts:
        raise ValueError(f"no question can be answered: {'; '.join(missing)}")
    return pd.concat(parts, ignore_index=True), missing


def standings(one: Asked, own: Proxy | None, most: int | None, fresh: dict[tuple[str, ...], Scores]) -> pd.DataFrame:
    """The rows of one question; of its first candidates alone where `most` says how many.

    `fresh` keeps what was scored of a user's own proxy, for further questions of the same candidates.
    """
    if most is not None and most < len(one.archs):
        one = first(one, most)
    found = {key.partition("@")[0]: scored(one, key) for key in one.table.columns}
    if own is not None:
        asked_of = (one.table.where, *one.archs)
        if asked_of not in fresh:
            fresh[asked_of] = computed(one, own)
        found[own.name] = fresh[asked_of]
    if one.truth.vanilla:
        values = np.array([[one.truth.vanilla[arch] for arch in one.archs]])
        found[VANILLA] = values, np.ones(values.shape, dtype=bool)
    whole = {name: pair for name, pair in found.items() if pair[1].any()}
    ahead = winners(whole, one)
    sizes = list(one.known.sizes.values())
    rows = []
    for name, (scores, ok) in found.items():
        numbers = ranking.rank(scores, one.sample, sizes, ok=ok)
        seconds = one.table.columns[name].seconds.mean() if name in one.table.columns else np.nan
        row = {"question": one.question.name, "proxy": name, "n": len(one.archs), "of": len(one.space)}
        row |= {"spearman": numbers.spearman, "low": numbers.spearman_low, "high": numbers.spearman_high}
        row |= {"given_size": numbers.given, "given_low": numbers.given_low, "given_high": numbers.given_high}
        row |= {"regret": numbers.regret, "top_10_truth": numbers.top_10_truth, "failed": numbers.failed}
        rows.append({**row, "beats_params": name in ahead, "seconds": seconds})
    return pd.DataFrame(rows)


def first(one: Asked, most: int) -> Asked:
    """The same question of its first candidates by index: a subsample that is always the same."""
    from_start = {**one.__dict__, "archs": one.archs[:most], "places": one.places[:most]}
    sample, known = one.sample, one.known
    from_start["sample"] = type(sample)(sample.truth[:most], one.space.share(most), sample.noise, sample.random)
    cut = (known.params[:most], known.macs[:most], known.connected[:most])
    return Asked(**{**from_start, "known": type(known)(*cut, one.space.share(most))})


def scored(one: Asked, key: str) -> Scores:
    """A table's scores of a question's candidates; what it lacks counts as failed."""
    column = one.table.columns[key]
    return column.scores[:, one.places], column.ok[:, one.places]


def computed(one: Asked, own: Proxy) -> Scores:
    """A proxy's scores of a question's candidates under its table's conditions, computed here."""
    job = job_like(one.table, one.space, one.archs, [own])
    with Store(Path(":memory:")) as store:
        rows = Scorer(job, store).rows(one.archs)
    shape = (len(one.table.seeds), len(one.archs))
    scores = np.array([row.score for row in rows]).reshape(shape)
    return scores, np.array([row.status == "ok" for row in rows]).reshape(shape)


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
    """A row a proxy: its correlation on each question, mean place over the questions, and how often it beats params."""
    table = rows.pivot(index="proxy", columns="question", values="spearman")[list(dict.fromkeys(rows["question"]))]
    proxied = rows[rows["proxy"] != VANILLA]
    places = proxied.pivot(index="proxy", columns="question", values="spearman").rank(ascending=False)
    table.insert(0, "mean place", places.mean(axis=1).reindex(table.index))
    table.insert(1, "questions", table[list(dict.fromkeys(rows["question"]))].notna().sum(axis=1))
    table.insert(2, "beats params", rows.groupby("proxy")["beats_params"].sum().reindex(table.index))
    table["ms/arch"] = 1000 * rows.groupby("proxy")["seconds"].mean().reindex(table.index)
    table["family"] = [family(str(name)) for name in table.index]
    return table.sort_values("mean place", na_position="last")


def family(name: str) -> str:
    """What kind of measure a proxy is: the file of proxies/ that it stands in."""
    known = {one.name: one.score.__module__.rpartition(".")[2] for one in proxies.registered()}
    return known.get(name, "accuracy" if name == VANILLA else "own")


def leaderboard(proxy: str | None = None, *, quick: bool = False) -> pd.DataFrame:
    """The leaderboard: a row a proxy, a column a question; higher correlations are better, n/a is undefined.

    `proxy` names one of your own, path/to/file.py:name, which is scored on every question, with `quick` on 30 of each
    one's candidates (and the others are ranked on those too). Raises ValueError for what can't be had.
    """
    return wide(board(None if proxy is None else named(proxy), quick=quick)[0])


def named(text: str) -> Proxy:
    """One proxy of a user's own. Raises ValueError for several, or a combination."""
    chosen: Sequence[object] = proxies.select(text)
    if len(chosen) != 1 or not isinstance(chosen[0], Proxy):
        raise ValueError(f"--proxy {text}: one proxy, such as mine.py:name")
    return chosen[0]
