"""docs/distilled_truth: what accuracies before and after distillation say of NAS-Bench-201. Run by `make readme`.

A folder for each table of our own, 8x8 and 16x16: facts.csv, what the accuracies say without any score. In 16x16 also
answers.csv: each proxy on each target, by the scores of the whole space and those that stand there; proxies.csv and
teachers.csv are what the page shows of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from benchmarks.leaderboard.questions import Asked, Question, asked
from benchmarks.scoretables import archive, joining
from benchmarks.scoretables.recalling import SHIPPED
from benchmarks.scoretables.table import ScoreTable
from benchmarks.truth.accuracies import VANILLA, noise_of
from benchmarks.truth.embedded import DISTILLED, TRIAL

OUT = Path(__file__).resolve().parent / "distilled_truth"
SPACE = spaces.find("nasbench201")
LARGER = "retrained"  # the truth of 32x32 images
METHODS = ("ce", "kd", "diswot")
SMALLER = OUT / "16x16" / "at-8x8.csv"  # the same cells trained alike, but for the size of the images
USUAL, RANDOM, TAUGHT = "resnet56, random", "resnet20, random", "resnet20, the one that taught"
TEACHERS = {  # of answers.csv: the score tables under each, joined
    USUAL: (SHIPPED / "nasbench201-cifar10.npz", OUT / "16x16" / "more.npz"),
    RANDOM: (OUT / "16x16" / "random.npz",),
    TAUGHT: (OUT / "16x16" / "taught.npz",),
}
SHOWN = (VANILLA, "diswot*", "kd", "at", "nst", "sp", "cka", "dist", "az_nas", "naswot", "zen", "synflow")
SHOWN += ("logsynflow", "fisher", "grad_norm", "snip", "jacob_cov", "l2_norm", "params", "macs")
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
    by_seed = {method: table.filter(regex=f"^{method} seed ").set_axis(["0", "1"], axis=1) for method in methods}
    by_seed["gain"] = by_seed["kd"] - by_seed["ce"]
    twice = by_seed["gain"].notna().all(axis=1)
    found["cells with two seeds"] = float(twice.sum())
    for name, values in by_seed.items():
        found |= {f"{name}: sd of seeds": np.sqrt(values[twice].var(axis=1).mean())}
        found |= {f"{name}: spearman of seeds": spearman(*values[twice].to_numpy().T)}
    connected = table["arch"].map(SPACE.connected).to_numpy(bool)
    for name, cells in (("all", np.full(len(table), True)), ("connected", connected)):
        found |= {f"gain: reliability of {name}": reliability(by_seed["gain"][cells])}
        found |= {f"ce and kd: spearman of {name}": spearman(*table.loc[cells, ["ce", "kd"]].to_numpy().T)}
    found |= alike("32x32", table.set_index("arch")["ce"], larger())
    return pd.DataFrame(found.items(), columns=["fact", "value"])


def compared(name: str, points: pd.Series) -> dict[str, float]:
    """Facts of one method over another, from the points between them, a cell each."""
    ways = {"up": points > 0, "down": points < 0, "equal": points == 0}
    found = {name: points.mean(), f"{name}: p": stats.wilcoxon(points).pvalue}
    return found | {f"{name}: {way}": float(cells.sum()) for way, cells in ways.items()}


def alike(size: str, own: pd.Series, other: Mapping[str, float]) -> dict[str, float]:
    """Spearman of accuracies without distillation, by cell, with those at another size of images, where both are."""
    own = own[[arch in other for arch in own.index]]
    pairs = pd.DataFrame({"own": own, "other": own.index.map(other)})
    connected = pairs[[SPACE.connected(arch) for arch in pairs.index]]
    found = {f"{size}: cells": float(len(pairs))}
    found |= {f"{size}: spearman of all": spearman(*pairs.to_numpy().T)}
    return found | {f"{size}: spearman of connected": spearman(*connected.to_numpy().T)}


def larger() -> Mapping[str, float]:
    """The accuracies of all cells at 32x32, trained alone to the end."""
    return truth.load(LARGER, SPACE, "cifar10", "vanilla").accuracy


def reliability(values: pd.DataFrame) -> float:
    """Of means over seeds, [n, S], where NaN stands for a training that was not done."""
    return float(1 - (noise_of(values) or 0.0) ** 2 / values.mean(axis=1).var())


def resolutions() -> pd.DataFrame:
    """How the same cells rank at 8x8 and 16x16, the rest being equal; facts as above."""
    own, smaller = (pd.read_csv(path, index_col="arch", na_values=["n/a"])["ce"] for path in (DISTILLED, SMALLER))
    found = alike("8x8", own, smaller.to_dict())
    found |= alike("8x8 and 32x32", smaller[smaller.index.isin(own.index)], larger())
    return pd.DataFrame(found.items(), columns=["fact", "value"])


def answers() -> pd.DataFrame:
    """A row for each target, teacher and proxy: the leaderboard's columns, and paired with the same of another teacher.

    The pair is that of the random teacher of the same shape, on the same images: what its training adds. The last
    target is another table's: the same cells at 32x32, trained alone to the end.
    """
    own = [Question(target, "nasbench201", "cifar10", target, "distilled") for target in truth.TARGETS]
    to_the_end = Question("32x32", "nasbench201", "cifar10", "vanilla", LARGER)
    tables = {name: joining.joined([archive.read(path) for path in paths]) for name, paths in TEACHERS.items()}
    return pd.DataFrame([row for question in (*own, to_the_end) for row in of_question(question, tables)])


def of_question(question: Question, tables: Mapping[str, ScoreTable]) -> Iterator[dict[str, object]]:
    """The rows of one target, by the score tables under each teacher, RANDOM and TAUGHT among them in any order."""
    cells = truth.load("distilled", SPACE, "cifar10", "vanilla").accuracy.keys()
    known = {}
    for teacher, table in tables.items():
        every = asked(question, [table])
        known[teacher] = standings.among(every, np.flatnonzero([arch in cells for arch in every.archs]))
    taught, random = measured(known[TAUGHT]), measured(known[RANDOM])
    for teacher, one in known.items():
        for row in standings.standings(one, None, {}).to_dict("records"):
            name = str(row["proxy"])
            if name == VANILLA and teacher != USUAL:  # it is the same under any
                continue
            row = {"target": question.name, "teacher": teacher, **{key: row[key] for key in COLUMNS}}
            if teacher == TAUGHT and name in taught and name in random:
                apart = inference.difference(taught[name], random[name], one.sample)
                row |= {"over_random": apart.value, "over_random_low": apart.low, "over_random_high": apart.high}
            yield row


def measured(one: Asked) -> dict[str, inference.Measured]:
    """The correlations of a question that are defined, by proxy."""
    scores = {name: pair for name, pair in standings.scores_of(one).items() if not standings.mostly_failed(pair[1])}
    found = {name: inference.measured(to_be_ranked(*pair), one.sample) for name, pair in scores.items()}
    return {name: every for name, every in found.items() if np.isfinite(every.value)}


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
