"""From rows to tables: the scores of a run, their rankings, and how people read these."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.rows.tables import interval, number, write_csv
from analysis.rows.ties import all_tied, to_be_ranked
from analysis.stats import inference, ranking
from analysis.stats.inference import Sample
from benchmarks.scoring.cohorts import sizes as sizes_of
from benchmarks.scoring.jobs import Job
from benchmarks.scoring.store import Score
from benchmarks.truth import Truth, offered
from benchmarks.truth.accuracies import VANILLA, pulled

GIVEN = ("size", "params", "macs")  # what --given can hold fixed; size is both
NEARLY = 0.95  # correlation with size from which on a partial correlation says little
TOLD = {"undefined": "is undefined", "error": "ends in an error", "oom": "does not fit into memory"}  # in a note
DRAWS = {
    "s0": (0.01, 0.18)
}  # least and most sd of rho over draws in docs/ablations/metrics.csv, as a test derives them


def scores_table(rows: Iterable[Score], job: Job, truth: Truth | None) -> pd.DataFrame:
    """A row per (candidate, proxy, seed), with its index and its truth, which is missing where there is none."""
    table = pd.DataFrame(list(rows), columns=Score._fields)
    table.insert(2, "index", table["arch"].map({arch: job.space.index(arch) for arch in job.archs}))
    families = {arch: job.space.family(arch) for arch in job.archs}
    if any(families.values()):
        table.insert(3, "family", table["arch"].map(families))
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


def sample_of(job: Job, truth: Truth) -> Sample:
    """The job's candidates as a sample of their space."""
    return truth.sample(job.archs, job.space.share(len(job.archs)))


def rankings(
    scores: pd.DataFrame, names: Sequence[str], job: Job, target: str, truth: Truth, sample: Sample, given: str = "size"
) -> list[dict[str, Any]]:
    """A row per proxy, best correlation first; undefined correlations last. `given` is what is held fixed."""
    sizes = sizes_of(job.archs, job.space, job.conditions.dataset)
    fixed = [values for name, values in sizes.items() if given in ("size", name)]
    shape = (len(job.seeds), len(job.archs))
    conditions = {"space": job.space.name, "dataset": job.conditions.dataset, "target": target}
    conditions["truth_source"] = truth.source
    stated = {**job.conditions.columns(job.source), "seed": job.seeds[0]}
    rows = []
    for name in names:
        own = scores[scores["proxy"] == name]
        ok = own["status"].eq("ok").to_numpy()
        values = own["score"].to_numpy(dtype=float).reshape(shape)
        numbers = {
            key.replace("given", f"given_{given}"): value
            for key, value in asdict(ranking.rank(values, sample, fixed, ok=ok.reshape(shape))).items()
        }
        last = {key: numbers.pop(key) for key in ("seeds", "spearman_sd")}
        if pulled(name, target):
            numbers |= {key: np.nan for key in numbers if key.endswith(("_low", "_high"))}
        cost = float(np.median(own["seconds"].to_numpy()[ok])) if ok.any() else np.nan
        rows.append({"proxy": name, **conditions, **numbers, "seconds_per_arch": cost, **last, **stated})
    return sorted(rows, key=lambda row: (np.isnan(row["spearman"]), -row["spearman"]))


def headline(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """The rankings as people read them: headers and rows of text."""
    given = next(name for name in GIVEN if f"given_{name}" in rows[0])
    headers = ["proxy", "spearman", "95 % interval", "kendall", "top tenth", "top-10 truth", "regret"]
    headers += [f"given {given}", "95 % interval", "failed", "ms/arch"]
    return headers, [_headline_row(row, given) for row in rows]


def _headline_row(row: Mapping[str, Any], given: str) -> list[str]:
    spread = f" ± {number(row['spearman_sd'])}" if row["seeds"] > 1 else ""
    return [
        row["proxy"],
        number(row["spearman"]) + spread,
        interval(row["spearman_low"], row["spearman_high"]),
        number(row["kendall"]),
        number(row["top_tenth_spearman"]),
        number(row["top_10_truth"], 2),
        number(row["regret"], 2),
        number(row[f"given_{given}"]),
        interval(row[f"given_{given}_low"], row[f"given_{given}_high"]),
        str(row["failed"]),
        number(1000 * row["seconds_per_arch"], 1),
    ]


def notes(job: Job, target: str, truth: Truth, sample: Sample, scores: pd.DataFrame, given: str = "size") -> list[str]:
    """What a reader has to know beside the table, a line each."""
    c = job.conditions
    seeds: Sequence[int] = job.seeds
    size = len(job.archs)
    interval_of = inference.about(sample, len(seeds), truth.noise_from)
    if job.space.name in DRAWS and len(seeds) == 1:
        low, high = DRAWS[job.space.name]
        interval_of += f" (over three draws rho differed by {low:.2f} to {high:.2f} there)"
    lines = [
        f"truth: {truth.source}; target {target}; {size:,} of {len(job.space):,} candidates of {job.space.name}",
        f"batch: {c.batch_size} x {job.source.name}; {_seeds(job)}; {job.told()}",
        f"interval: {interval_of}",
        *_ceiling(sample, truth),
        *_nothing_known(sample.truth),
        *_held_fixed(scores, job, given),
        *_outliers(scores, job, truth),
        *_within_families(scores),
        *([truth.remark] if truth.remark else []),
    ]
    lines += [f"{name}: n/a, its scores are equal or differ by rounding alone" for name in _tied(scores)]
    if scores["proxy"].eq(VANILLA).any():
        lines.append(f"{VANILLA}: not a proxy, the measured accuracy without distillation; it costs a training each")
    if target == "gain":
        lines += _gain(job, truth)
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


def blind_notes(job: Job, target: str, scores: pd.DataFrame) -> list[str]:
    """What a reader has to know of scores without accuracies."""
    c = job.conditions
    elsewhere = offered(job.space, c.dataset, target)
    return [
        f"nothing to rank against: no accuracies of these candidates{elsewhere}; give yours as --truth FILE.csv "
        "(columns arch or index, and vanilla, distilled or both)",
        f"{len(job.archs):,} of {len(job.space):,} candidates of {job.space.name}",
        f"batch: {c.batch_size} x {job.source.name}; {_seeds(job)}; {job.told()}",
        *failures(scores),
    ]


def failures(scores: pd.DataFrame) -> list[str]:
    """How many scores failed and how, an infinity with its sign, and why what is undefined is."""
    failed = scores[scores["status"].ne("ok")]
    signs = np.where(failed["score"].eq(np.inf), "+", np.where(failed["score"].eq(-np.inf), "-", ""))
    if failed.empty:
        return []
    counted = pd.Series([sign + status for sign, status in zip(signs, failed["status"], strict=True)]).value_counts()
    told = ", ".join(f"{count} {status}" for status, count in counted.items())
    return [f"failed scores rank last, tied, whatever the sign of an infinity: {told}", *reasons(scores)]


def reasons(scores: pd.DataFrame) -> list[str]:
    """For each proxy that failed with a reason, for how many candidates, and why; of several reasons the usual one."""
    lines = []
    for proxy, own in scores.groupby("proxy", sort=False):
        for status, said in TOLD.items():
            why = own.loc[own["status"].eq(status), "reason"]
            if why.ne("").any():
                usual = why[why.ne("")].value_counts().index[0]
                lines.append(f"{proxy} {said} for {len(why):,} of {len(own):,}: {usual}")
    return lines


def _ceiling(sample: Sample, truth: Truth) -> list[str]:
    """What a perfect predictor would reach, where that is known."""
    reached = sample.ceiling()
    known = [] if truth.ceiling is None else [truth.ceiling]
    if not np.isnan(reached):
        known.insert(0, f"a perfect predictor would reach {reached:.2f} with accuracies as noisy as these")
    return [f"ceiling: {'; '.join(known)}"] if known else []


def _nothing_known(truth: NDArray[np.float64]) -> list[str]:
    """What a score would get that says nothing."""
    if not len(truth):
        return []
    constant = np.zeros(len(truth))
    top, lost = ranking.top_mean_truth(constant, truth, ranking.TOP), ranking.regret(constant, truth)
    return [f"a constant score: top-10 truth {number(top, 2)}, regret {number(lost, 2)}"]


def _held_fixed(scores: pd.DataFrame, job: Job, given: str) -> list[str]:
    """What given size means, and of which proxies it says little."""
    sizes = sizes_of(job.archs, job.space, job.conditions.dataset)
    fixed = [values for name, values in sizes.items() if given in ("size", name)]
    held = "parameters and multiply-accumulates" if given == "size" else given
    lines = [f"given {given}: the ranks of {held} held fixed"]
    first = scores[scores["seed"].eq(job.seeds[0]) & scores["status"].eq("ok")]
    nearly = [
        str(name)
        for name, own in first.groupby("proxy", sort=False)
        if len(own) == len(job.archs) and NEARLY < ranking.explained(own["score"].to_numpy(float), *fixed) < 1 - 1e-9
    ]
    if nearly:
        lines.append(f"nearly size itself ({NEARLY} or more), so what is left is biased towards 0: {', '.join(nearly)}")
    return lines


def _within_families(scores: pd.DataFrame) -> list[str]:
    """How each proxy ranks candidates of one family, trained alike, where a space has families."""
    if "family" not in scores.columns:
        return []
    found: dict[str, float] = {}
    for proxy, own in scores.groupby("proxy", sort=False):
        values = []
        for _, one in own.groupby("seed"):
            ranked = to_be_ranked(one["score"].to_numpy(float), one["status"].eq("ok").to_numpy())
            value, pairs = ranking.kendall_within(ranked, one["truth"].to_numpy(float), one["family"].tolist())
            values.append(value)
        found[str(proxy)] = float(np.mean(values))
    best_first = sorted(found.items(), key=lambda one: (np.isnan(one[1]), -one[1]))
    told = ", ".join(f"{proxy} {number(value)}" for proxy, value in best_first)
    return [f"within families (kendall over the {pairs:,} pairs of one family): {told}"]


def _outliers(scores: pd.DataFrame, job: Job, truth: Truth) -> list[str]:
    """What an outlier of the table does to each rank correlation."""
    marked = np.array([arch in truth.outliers for arch in job.archs])
    if not marked.any():
        return []
    accuracy = np.array([truth.accuracy[arch] for arch in job.archs])
    told = []
    for name, own in scores.groupby("proxy", sort=False):
        shape = (len(job.seeds), len(job.archs))
        values, ok = own["score"].to_numpy(float).reshape(shape), own["status"].eq("ok").to_numpy().reshape(shape)
        ranked = to_be_ranked(values, ok)
        with_it = float(np.mean([ranking.spearman(row, accuracy) for row in ranked]))
        without = float(np.mean([ranking.spearman(row[~marked], accuracy[~marked]) for row in ranked]))
        if not np.isnan(with_it):
            told.append(f"{name} {number(with_it)} to {number(without)}")
    away = ", ".join(number(value, 2) for value in accuracy[marked])
    return [f"outlier kept: {away}, far below all others; without it spearman goes from ... to: {', '.join(told)}"]


def _gain(job: Job, truth: Truth) -> list[str]:
    """What has to be known of a gain, and of its correlation with what it was taken from."""
    lines = ["gain: distilled - vanilla accuracy, so it carries the noise of both"]
    if truth.vanilla:
        gain, vanilla = (np.array([table[arch] for arch in job.archs]) for table in (truth.accuracy, truth.vanilla))
        sizes = list(sizes_of(job.archs, job.space, job.conditions.dataset).values())
        middle = vanilla + gain / 2
        found = [
            number(value) for value in (ranking.spearman(middle, gain), ranking.partial_spearman(middle, gain, *sizes))
        ]
        lines.append(
            f"{VANILLA}: its noise is in the gain with the other sign, which pulls its row down: no interval; "
            "the mean of both accuracies, which is free of that where both are as noisy (Oldham 1962), has "
            f"{found[0]}, given size {found[1]}"
        )
    return lines


def _tied(scores: pd.DataFrame) -> list[str]:
    """The proxies that tell no two candidates apart under some seed."""
    tied = [
        str(proxy)
        for (proxy, _), own in scores.groupby(["proxy", "seed"], sort=False)
        if all_tied(own["score"].to_numpy(dtype=float), own["status"].eq("ok").to_numpy())
    ]
    return list(dict.fromkeys(tied))
