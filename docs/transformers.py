"""docs/transformers: tables.csv and ranks.png, what the accuracies of vision transformers say without any score;

and answers.csv, what the scores of the runs that stand there say of every target; picks.csv, what it costs to train the
student that a proxy likes best; conditions.csv, how all that changes with draw, init, teacher and images. Run by
`make readme`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from analysis.pictures import charts
from analysis.rows.tables import write_csv
from analysis.rows.ties import to_be_ranked
from analysis.stats import inference, ranking
from benchmarks import spaces, truth
from benchmarks.conditions.batches import find_dataset
from benchmarks.scoring.cohorts import cohort
from benchmarks.truth.accuracies import VANILLA
from benchmarks.truth.vitbench import DATASETS, SPACES

OUT = Path(__file__).resolve().parent / "transformers"


def facts() -> pd.DataFrame:
    """Spearman of size and of vanilla accuracy with each target, of all candidates that have one; without outliers."""
    rows = []
    for name in SPACES:
        space = spaces.find(name)
        for dataset in DATASETS:
            for target in truth.TARGETS:
                table = truth.load("vitbench", space, dataset, target)
                sizes = {arch: space.count(arch, *find_dataset(dataset, space)) for arch in table.accuracy}
                known = {
                    "params": {arch: float(size.params) for arch, size in sizes.items()},
                    "macs": {arch: float(size.macs) for arch, size in sizes.items()},
                    "vanilla": table.vanilla,
                    "depth": {arch: float(depth(space, arch)) for arch in table.accuracy},
                }
                row = {"space": name, "dataset": dataset, "target": target, "candidates": len(table.accuracy)}
                row |= {"noise at most": table.noise, "lowest": min(table.accuracy.values())}
                row |= {"highest": max(table.accuracy.values())}
                row |= {one: correlation(table, values) for one, values in known.items()}
                row |= {f"{one} without outlier": correlation(table, v, leave=True) for one, v in known.items()}
                archs = list(table.accuracy)
                x, y, *size = (
                    np.array([values[arch] for arch in archs])
                    for values in (known["depth"], table.accuracy, known["params"], known["macs"])
                )
                row |= {"depth given size": ranking.partial_spearman(x, y, *size)}
                rows.append(row)
    return pd.DataFrame(rows)


def depth(space: spaces.Space, arch: str) -> int:
    """How many blocks a transformer has."""
    chosen = space.read(arch)
    return int(chosen[1]) if space.name == "autoformer" else sum(chosen[2:5])


def correlation(table: truth.Truth, values: dict[str, float], *, leave: bool = False) -> float:
    """Spearman of some values with the accuracies, of the candidates that have both."""
    archs = [arch for arch in table.accuracy if arch in values and not (leave and arch in table.outliers)]
    if not archs:
        return np.nan
    return float(stats.spearmanr([values[arch] for arch in archs], [table.accuracy[arch] for arch in archs]).statistic)


def ranks() -> Figure:
    """A panel for each space and data set: ranks of vanilla against distilled accuracy, coloured by parameters."""
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    axes = figure.subplots(len(SPACES), len(DATASETS))
    for across, name in zip(axes, SPACES, strict=True):
        space = spaces.find(name)
        for panel, dataset in zip(across, DATASETS, strict=True):
            table = truth.load("vitbench", space, dataset, "distilled")
            archs = list(table.vanilla)
            pairs = [[side[arch] for arch in archs] for side in (table.vanilla, table.accuracy)]
            sizes = [space.count(arch, *find_dataset(dataset, space)).params / 1e6 for arch in archs]
            x, y = (stats.rankdata(side) for side in pairs)
            shown = panel.scatter(x, y, c=sizes, s=14, cmap="viridis")
            panel.set_title(f"{name}, {dataset}: rho {stats.spearmanr(*pairs).statistic:.2f}", fontsize=9)
            panel.set(xlabel="rank by vanilla accuracy", ylabel="rank by distilled accuracy")
            for place, arch in enumerate(archs):
                if arch in table.outliers:
                    panel.scatter(x[place], y[place], s=70, facecolors="none", edgecolors="tab:red")
        figure.colorbar(shown, ax=list(across), label="parameters, millions")
    return figure


def answers() -> pd.DataFrame:
    """A row for each run in a folder here, target and proxy: correlation, given size, paired test with params."""
    return pd.DataFrame([row for path in sorted(OUT.glob("*/scores.csv")) for row in answered(path)])


def answered(path: Path) -> Iterator[dict[str, object]]:
    """The rows of one run. Proxies that are undefined for some candidates are left out."""
    asked = json.loads((path.parent / "run.json").read_text(encoding="utf-8"))["options"]
    scores = pd.read_csv(path, na_values=["n/a"])
    space, seeds = spaces.find(asked["space"]), sorted(scores["seed"].unique())
    for target in truth.TARGETS:
        table = truth.load("vitbench", space, asked["dataset"], target)
        own = scores[scores["arch"].isin(table.accuracy)]
        archs = list(dict.fromkeys(own["arch"]))
        sample = table.sample(archs, space.share(len(archs)))
        sizes = list(cohort(archs, space, asked["dataset"]).sizes.values())
        ranked = {
            name: to_be_ranked(one["score"].to_numpy(float).reshape(len(seeds), len(archs)), np.array(True))
            for name, one in own.groupby("proxy", sort=False)
            if one["status"].eq("ok").all() and name != VANILLA
        }
        params = inference.measured(ranked["params"], sample)
        held = [*sizes, np.array([depth(space, arch) for arch in archs], dtype=float)]
        for name, values in ranked.items():
            found, given = inference.measured(values, sample), inference.measured(values, sample, sizes)
            rho, rest = inference.interval(found, sample), inference.interval(given, sample, len(sizes))
            apart = inference.difference(found, params, sample)
            regret = np.mean([ranking.regret(row, sample.truth) for row in values])
            yield {
                **{"run": path.parent.name, "target": target, "proxy": name, "n": len(archs), "seeds": len(seeds)},
                **{"spearman": rho.value, "low": rho.low, "high": rho.high},
                **{"given_size": rest.value, "given_low": rest.low, "given_high": rest.high},
                **{"over_params": apart.value, "over_low": apart.low, "over_high": apart.high, "p": apart.p},
                **{"given_size_and_depth": inference.measured(values, sample, held).value},
                **{"regret": regret, "at_random": sample.truth.max() - sample.truth.mean()},
            }


def picks(answers: pd.DataFrame) -> pd.DataFrame:
    """How far below the best distilled accuracy a proxy's favourite is: a row for each space and proxy, by data set."""
    own = answers[answers["target"].eq("distilled") & answers["spearman"].notna()]
    own = pd.concat(
        [own, own[own["proxy"].eq("params")].assign(proxy="at random", regret=lambda rows: rows["at_random"])]
    )
    own = own[own["run"].isin([f"{space}-{dataset}" for space in SPACES for dataset in DATASETS])]
    own[["space", "dataset"]] = own["run"].str.split("-", expand=True)
    return own.pivot(index=["space", "proxy"], columns="dataset", values="regret")[list(DATASETS)].reset_index()


FORMS = {  # of the ablation of conditions: what a column of the page is called
    "diswot_semantic": "semantic",
    "diswot_relation": "relation",
    "controls.py:blocks_relation": "blocks",
    "diswot": "sum",
    "params": "params",
}
MEASURES = {"": "spearman", "_sd": "spearman_sd", "_low": "low", "_high": "high", "_given": "given_size"}
MEASURES |= {"_given_low": "given_size_low", "_given_high": "given_size_high"}


def ablated() -> dict[str, pd.DataFrame]:
    """What `ablate.py conditions` left in conditions/, of the proxies that the page shows, by run."""
    tables = {path.stem: pd.read_csv(path, na_values=["n/a"]) for path in sorted((OUT / "conditions").glob("*.csv"))}
    return {run: table[table["proxy"].isin(FORMS)] for run, table in tables.items()}


def conditions(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A row for each run and setting, not one for each proxy too."""
    rows = []
    for run, table in tables.items():
        for setting, own in table.groupby("setting", sort=False):
            by_proxy = own.set_index("proxy")
            row = {"run": run, "setting": setting, "n": own["n"].iloc[0], "seeds": own["seeds"].iloc[0]}
            for proxy, short in FORMS.items():
                row |= {f"{short}{end}": by_proxy.loc[proxy, column] for end, column in MEASURES.items()}
            rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    """Write all."""
    OUT.mkdir(exist_ok=True)
    write_csv(found := answers(), OUT / "answers.csv")
    write_csv(picks(found), OUT / "picks.csv")
    write_csv(conditions(tables := ablated()), OUT / "conditions.csv")
    for run, table in tables.items():
        charts.ablation(table, run).savefig(OUT / "conditions" / f"{run}.png", dpi=110)
    write_csv(facts(), OUT / "tables.csv")
    ranks().savefig(OUT / "ranks.png", dpi=110)


if __name__ == "__main__":
    main()
