"""docs/distilled_truth: what accuracies before and after distillation say of NAS-Bench-201. Run by `make readme`.

A folder for each table of our own, 8x8 and 16x16: facts.csv, what the accuracies say without any score. In 16x16 also
answers.csv: each proxy on each target, by the scores of the whole space and those that stand there; proxies.csv and
teachers.csv are what the page shows of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from analysis.rows.tables import write_csv
from analysis.rows.ties import to_be_ranked
from analysis.stats import inference
from analysis.stats.ranking import spearman
from benchmarks import spaces, truth
from benchmarks.leaderboard import standings
from benchmarks.leaderboard.questions import Question, asked
from benchmarks.scoretables import archive, joining
from benchmarks.scoretables.recalling import SHIPPED
from benchmarks.truth.embedded import DISTILLED, TRIAL

OUT = Path(__file__).resolve().parent / "distilled_truth"
LARGER = "retrained"  # the truth of 32x32 images
METHODS = ("ce", "kd", "diswot")
SMALLER = OUT / "16x16" / "at-8x8.csv"  # the same cells trained alike, but for the size of the images
USUAL, RANDOM, TAUGHT = "resnet56, random", "resnet20, random", "resnet20, the one that taught"
TEACHERS = {  # of answers.csv: the score tables under each, joined
    USUAL: (SHIPPED / "nasbench201-cifar10.npz", OUT / "16x16" / "more.npz"),
    RANDOM: (OUT / "16x16" / "random.npz",),
    TAUGHT: (OUT / "16x16" / "taught.npz",),
}
SHOWN = [
    "vanilla accuracy",
    "diswot*",
    "kd",
    "at",
    "nst",
    "sp",
    "cka",
    "dist",
    "az_nas",
    "naswot",
    "zen",
    "synflow",
    "logsynflow",
]
SHOWN += ["grad_norm", "snip", "jacob_cov", "l2_norm", "params", "macs"]
BOUNDS = [f"{name}{end}" for name in ("spearman", "given_size") for end in ("", "_low", "_high")]
COLUMNS = ["proxy", "n", *BOUNDS, "regret", "failed", "beats_params"]


def facts(path: Path) -> pd.DataFrame:
    """A row a fact of a table that search/distill.py made: columns fact and value.

    Of two methods: points in the mean over the cells, how many cells went up, down and neither, and Wilcoxon's p. Of a
    method's two seeds: the deviation pooled over the cells that have both, and Spearman. Of the gain of kd, its
    reliability: the share of the variance of its means over seeds that is not the seeds'. Of the accuracies: Spearman
    with those of 32x32 images, trained to the end.
    """
    table, found = pd.read_csv(path, na_values=["n/a"]), dict[str, float]()
    methods = [method for method in METHODS if method in table]
    found["cells"] = float(len(table))
    for one, other in (("kd", "ce"), ("diswot", "ce"), ("diswot", "kd")):
        if {one, other} <= set(methods):
            found |= compared(f"{one} over {other}", table[one] - table[other])
    by_seed = {method: seeds_of(table, method) for method in methods}
    by_seed["gain"] = by_seed["kd"] - by_seed["ce"]
    twice = (~np.isnan(by_seed["gain"])).sum(axis=1) > 1
    found["cells with two seeds"] = float(twice.sum())
    for name, values in by_seed.items() if twice.any() else ():
        found |= {f"{name}: sd of seeds": np.sqrt(values[twice].var(axis=1, ddof=1).mean())}
        found |= {f"{name}: spearman of seeds": spearman(*values[twice].T)}
    connected = table["arch"].map(spaces.find("nasbench201").connected).to_numpy(bool)
    for name, cells in (("all", np.full(len(table), True)), ("connected", connected)):
        if twice.any():
            found |= {f"gain: reliability of {name}": reliability(by_seed["gain"][cells])}
        found |= {f"ce and kd: spearman of {name}": spearman(*table.loc[cells, ["ce", "kd"]].to_numpy().T)}
    larger = truth.load(LARGER, spaces.find("nasbench201"), "cifar10", "vanilla").accuracy
    found |= alike("32x32", table, table["arch"].map(larger).to_numpy(float), connected)
    return pd.DataFrame(found.items(), columns=["fact", "value"])


def seeds_of(table: pd.DataFrame, method: str) -> np.ndarray:
    """A method's accuracies by seed, [n, S], NaN where it was not trained with it."""
    return table[[name for name in table if name.startswith(f"{method} seed ")] or [method]].to_numpy(float)


def compared(name: str, points: pd.Series) -> dict[str, float]:
    """Facts of one method over another, from the points between them, a cell each."""
    ways = {"up": points > 0, "down": points < 0, "equal": points == 0}
    found = {name: points.mean(), f"{name}: p": stats.wilcoxon(points).pvalue}
    return found | {f"{name}: {way}": float(cells.sum()) for way, cells in ways.items()}


def alike(size: str, table: pd.DataFrame, accuracy: np.ndarray, connected: np.ndarray) -> dict[str, float]:
    """Spearman of a table's accuracies without distillation with those at another size of images, where both are."""
    both, own = np.isfinite(accuracy), table["ce"].to_numpy()
    found = {f"{size}: cells": float(both.sum()), f"{size}: spearman of all": spearman(own[both], accuracy[both])}
    return found | {f"{size}: spearman of connected": spearman(own[both & connected], accuracy[both & connected])}


def reliability(values: np.ndarray) -> float:
    """Of means over seeds, [n, S], where NaN stands for a training that was not done."""
    counts = (~np.isnan(values)).sum(axis=1)
    noise = np.nanvar(values[counts > 1], axis=1, ddof=1).mean() * (1 / counts).mean()
    return float(1 - noise / np.nanmean(values, axis=1).var(ddof=1))


def resolutions() -> pd.DataFrame:
    """How the same cells rank at 8x8 and 16x16, the rest being equal; facts as above."""
    table, smaller = (pd.read_csv(path, na_values=["n/a"]) for path in (DISTILLED, SMALLER))
    accuracy = table["arch"].map(dict(zip(smaller["arch"], smaller["ce"], strict=True))).to_numpy(float)
    connected = table["arch"].map(spaces.find("nasbench201").connected).to_numpy(bool)
    found = alike("8x8", table, accuracy, connected)
    larger = truth.load(LARGER, spaces.find("nasbench201"), "cifar10", "vanilla").accuracy
    own = table.assign(ce=accuracy)[np.isfinite(accuracy)]
    ends = alike("8x8 and 32x32", own, own["arch"].map(larger).to_numpy(float), connected[np.isfinite(accuracy)])
    return pd.DataFrame((found | ends).items(), columns=["fact", "value"])


def answers() -> pd.DataFrame:
    """A row for each target, teacher and proxy: the leaderboard's columns, and paired with the same of another teacher.

    The pair is that of the random teacher of the same shape, on the same images: what its training adds. The last
    target is another table's: the same cells at 32x32, trained alone to the end.
    """
    own = [Question(target, "nasbench201", "cifar10", target, "distilled") for target in truth.TARGETS]
    larger = Question("32x32", "nasbench201", "cifar10", "vanilla", LARGER)
    return pd.DataFrame([row for question in (*own, larger) for row in of_question(question)])


def of_question(question: Question) -> Iterator[dict[str, object]]:
    """The rows of one target."""
    cells = set(truth.load("distilled", spaces.find("nasbench201"), "cifar10", "vanilla").accuracy)
    untaught: dict[str, inference.Measured] = {}
    for teacher, paths in TEACHERS.items():
        every = asked(question, [joining.joined([archive.read(path) for path in paths])])
        one = standings.among(every, np.flatnonzero([arch in cells for arch in every.archs]))
        scores = standings.scores_of(one)
        for row in standings.standings(one, None, {}).to_dict("records"):
            name = str(row["proxy"])
            if name == standings.VANILLA and teacher != USUAL:  # it is the same under any
                continue
            row = {"target": question.name, "teacher": teacher, **{key: row[key] for key in COLUMNS}}
            if name in scores and np.isfinite(float(row["spearman"])):
                measured = inference.measured(to_be_ranked(*scores[name]), one.sample)
                if name in untaught:
                    apart = inference.difference(measured, untaught[name], one.sample)
                    row |= {"over_random": apart.value, "over_random_low": apart.low, "over_random_high": apart.high}
                if teacher == RANDOM:
                    untaught[name] = measured
            yield row


def by_target(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a proxy of those that the page shows: its numbers for each target; the best on distilled accuracy first."""
    own = rows[rows["teacher"].eq(USUAL) & rows["proxy"].map(lambda name: any(fnmatchcase(name, one) for one in SHOWN))]
    wide = own.pivot(index="proxy", columns="target", values=BOUNDS)
    wide.columns = pd.Index([f"{target}_{column}" for column, target in wide.columns])
    return wide.sort_values("distilled_spearman", ascending=False, kind="stable").reset_index()


def by_teacher(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each target and proxy: its correlation under the teacher that taught, and under a random one."""
    taught, random = (rows[rows["teacher"].eq(teacher)] for teacher in (TAUGHT, RANDOM))
    random = random[["target", "proxy", "spearman"]].rename(columns={"spearman": "random"})
    both = taught.merge(random, on=["target", "proxy"])
    return both.sort_values(["target", "spearman"], ascending=[True, False], kind="stable")


def main() -> None:
    """Write all."""
    write_csv(facts(TRIAL), OUT / "8x8" / "facts.csv")
    rows, out = answers(), OUT / "16x16"
    write_csv(pd.concat([facts(DISTILLED), resolutions()], ignore_index=True), out / "facts.csv")
    for name, table in (("answers", rows), ("proxies", by_target(rows)), ("teachers", by_teacher(rows))):
        write_csv(table, out / f"{name}.csv")


if __name__ == "__main__":
    main()
