"""From rows to tables: the scores of a run, their rankings, and how people read these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.rows.tables import interval, number, write_csv
from analysis.rows.ties import all_tied
from analysis.stats import ranking
from benchmarks.conditions.drawing import generator
from benchmarks.scoring.cohorts import cohort
from benchmarks.scoring.jobs import Job
from benchmarks.scoring.store import Score
from benchmarks.truth import Truth

VANILLA = "vanilla accuracy"


def scores_table(rows: Iterable[Score], job: Job, truth: Truth | None) -> pd.DataFrame:
    """A row per (candidate, proxy, seed), with its index and its truth, which is missing where there is none."""
    table = pd.DataFrame(list(rows), columns=Score._fields)
    table.insert(2, "index", table["arch"].map({arch: job.space.index(arch) for arch in job.archs}))
    table["truth"] = np.nan if truth is None else table["arch"].map(truth.accuracy)
    return table


def write_tables(scores: pd.DataFrame, rankings: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write scores.csv and ranking.csv, the same bytes whoever computed them, and what it took beside them."""
    ranked = pd.DataFrame(rankings)
    write_csv(scores.drop(columns="seconds"), out / "scores.csv")
    write_csv(ranked.drop(columns="seconds_per_arch"), out / "ranking.csv")
    write_csv(ranked[["proxy", "seconds_per_arch"]], out / "seconds.csv")


def vanilla_rows(job: Job, truth: Truth) -> list[Score]:
    """The accuracy without distillation as if it were a proxy: what a training of every candidate would tell."""
    return [
        Score(job.space.name, arch, VANILLA, seed, truth.vanilla[arch], "ok", np.nan)
        for seed in job.seeds
        for arch in job.archs
    ]


def rankings(scores: pd.DataFrame, names: Sequence[str], job: Job, target: str, truth: Truth) -> list[dict[str, Any]]:
    """A row per proxy, best correlation first; undefined correlations last."""
    accuracy = np.array([truth.accuracy[arch] for arch in job.archs])
    known = cohort(job.archs, job.space, job.conditions.dataset)
    shape = (len(job.seeds), len(job.archs))
    conditions = {"space": job.space.name, "dataset": job.conditions.dataset, "target": target}
    conditions["truth_source"] = truth.source
    stated = {**job.conditions.columns(job.source), "seed": job.seeds[0]}
    rows = []
    for name in names:
        own = scores[scores["proxy"] == name]
        ok = own["status"].eq("ok").to_numpy()
        ranked = ranking.rank(
            own["score"].to_numpy(dtype=float).reshape(shape),
            accuracy,
            known.size,
            known.clusters,
            ok=ok.reshape(shape),
            whole_space=known.whole,
            random=generator("bootstrap"),
        )
        numbers = asdict(ranked)
        last = {key: numbers.pop(key) for key in ("seeds", "spearman_sd")}
        cost = float(np.median(own["seconds"].to_numpy()[ok])) if ok.any() else np.nan
        rows.append({"proxy": name, **conditions, **numbers, "seconds_per_arch": cost, **last, **stated})
    return sorted(rows, key=lambda row: (np.isnan(row["spearman"]), -row["spearman"]))


def headline(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """The rankings as people read them: headers and rows of text."""
    headers = ["proxy", "spearman", "95 % interval", "kendall", "top tenth", "top-10 truth", "regret", "given params"]
    return [*headers, "failed", "ms/arch"], [_headline_row(row) for row in rows]


def _headline_row(row: Mapping[str, Any]) -> list[str]:
    spread = f" ± {number(row['spearman_sd'])}" if row["seeds"] > 1 else ""
    return [
        row["proxy"],
        number(row["spearman"]) + spread,
        interval(row["spearman_low"], row["spearman_high"]),
        number(row["kendall"]),
        number(row["top10_spearman"]),
        number(row["top10_mean_truth"], 2),
        number(row["regret"], 2),
        number(row["partial_spearman"]),
        str(row["failed"]),
        number(1000 * row["seconds_per_arch"], 1),
    ]


def notes(job: Job, target: str, truth: Truth, scores: pd.DataFrame) -> list[str]:
    """What a reader has to know beside the table, a line each."""
    c = job.conditions
    size = len(job.archs)
    lines = [
        f"truth: {truth.source}; target {target}; {size:,} of {len(job.space):,} candidates of {job.space.name}",
        f"batch: {c.batch_size} x {job.source.name}; {_seeds(job)}; {c.told()}",
    ]
    if size == len(job.space):
        lines.append("interval: none, the whole space was scored")
    else:
        lines.append("interval: percentile bootstrap, candidates of equal function resampled together")
    if truth.vanilla:
        lines.append(f"{VANILLA}: not a proxy, the measured accuracy without distillation; it costs a training each")
    if target == "gain":
        lines.append("gain: distilled - vanilla accuracy of single trainings, so it carries the noise of both")
    if truth.ceiling is not None:
        lines.append(f"ceiling: {truth.ceiling}")
    lines += [f"{name}: n/a, its scores are equal or differ by rounding alone" for name in _tied(scores)]
    return lines + failures(scores)


def _seeds(job: Job) -> str:
    seeds: Sequence[int] = job.seeds
    return f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}, mean ± sd over seeds"


def blind_headline(scores: pd.DataFrame, names: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Where there are no accuracies: for each proxy how many scores there are, and what one costs."""
    rows = []
    for name in names:
        own = scores[scores["proxy"] == name]
        ok = own["status"].eq("ok")
        rows.append([name, f"{ok.sum():,}", f"{(~ok).sum():,}", number(1000 * own.loc[ok, "seconds"].median(), 1)])
    return ["proxy", "scores", "failed", "ms/arch"], rows


def blind_notes(job: Job, scores: pd.DataFrame) -> list[str]:
    """What a reader has to know of scores without accuracies."""
    c = job.conditions
    return [
        "nothing to rank against: no accuracies of these candidates; give yours as --truth FILE.csv (columns arch or "
        "index, and accuracy)",
        f"{len(job.archs):,} of {len(job.space):,} candidates of {job.space.name}",
        f"batch: {c.batch_size} x {job.source.name}; {_seeds(job)}; {c.told()}",
        *failures(scores),
    ]


def failures(scores: pd.DataFrame) -> list[str]:
    """How many scores failed and how, and why what is undefined is."""
    failed = scores.loc[scores["status"].ne("ok"), "status"].value_counts()
    if not len(failed):
        return []
    counted = ", ".join(f"{count} {status}" for status, count in failed.items())
    return [f"failed scores rank last: {counted}", *reasons(scores)]


def reasons(scores: pd.DataFrame) -> list[str]:
    """For each proxy that is undefined for some candidates, for how many, and why; of several reasons the usual one."""
    lines = []
    for proxy, own in scores.groupby("proxy", sort=False):
        why = own.loc[own["status"].eq("undefined"), "reason"]
        if len(why):
            usual = why.value_counts().index[0]
            lines.append(f"{proxy} is undefined for {len(why):,} of {len(own):,}: {usual}")
    return lines


def _tied(scores: pd.DataFrame) -> list[str]:
    """The proxies that tell no two candidates apart under some seed."""
    tied = [
        str(proxy)
        for (proxy, _), own in scores.groupby(["proxy", "seed"], sort=False)
        if all_tied(own["score"].to_numpy(dtype=float), own["status"].eq("ok").to_numpy())
    ]
    return list(dict.fromkeys(tied))
