"""Parts of the report's page that need files of results alone: tables and pictures of runs, ablations, searches."""

from __future__ import annotations

import json
import shlex
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.pages.inline import Drawer
from analysis.pages.page import Picture, Section, Table, table
from analysis.pictures import apart, charts, figures, heatmaps, searches
from analysis.rows import runs
from analysis.rows.runs import MEASURED, Run
from analysis.rows.tables import checked, read_csv
from analysis.stats import comparison
from analysis.stats.bootstrap import Array
from analysis.stats.comparison import Difference

MAPS = {
    "maps": "Class activation maps of each image's own class, high where bright",
    "relations": "Relations among the batch's images that DisWOT compares, images sorted by class",
}


def ranking_table(run: Run) -> Table:
    """The run's own ranking.csv, its bytes as they are."""
    shown = run.ranking[["proxy", *MEASURED]].copy()
    shown["ms_per_arch"] = 1000 * run.ranking["seconds_per_arch"]
    content = (run.folder / "ranking.csv").read_bytes()
    return table(shown, "Rank correlation with accuracy", "ranking.csv", content=content)


def pictures(
    run: Run, names: Sequence[str], scores: Array, found: Sequence[Difference], draw: Drawer
) -> Iterator[Picture]:
    """The pictures of a run."""
    rows = run.ranking.set_index("proxy").loc[list(names)]
    rho, low, high, partial, seconds = (
        rows[column].to_numpy(dtype=float)
        for column in ("spearman", "spearman_low", "spearman_high", "partial_spearman", "seconds_per_arch")
    )
    folder = run.folder.name
    bars = charts.correlation_bars(names, rho, low, high, partial)
    yield draw(bars, f"{folder}-correlations", "Correlation with accuracy; hollow: given params")
    yield draw(
        charts.cost_against_quality(names, seconds, rho), f"{folder}-cost", "Cost against correlation, Pareto front"
    )
    if len(names) > 1:
        order = [int(number) for number in np.argsort(-rho, kind="stable") if np.isfinite(rho[number])]
        best = [names[number] for number in order]
        told = apart.critical_difference(best, rho[order], comparison.undecided(best, found))
        text = "Proxies with a dot on one line are not told apart (Holm, 5 %)"
        yield draw(told, f"{folder}-apart", text)
        among = heatmaps.proxy_matrix(names, comparison.correlations_among(scores), "Spearman", low=-1, high=1)
        yield draw(among, f"{folder}-among", "Rank correlation among proxies")
        wins = heatmaps.proxy_matrix(names, comparison.wins(names, found), "share of resamples", low=0, high=1)
        yield draw(wins, f"{folder}-wins", "How often the row's proxy is ahead of the column's")
    yield _scores(run, names, rho, draw)


def _scores(run: Run, names: Sequence[str], rho: Array, draw: Drawer) -> Picture:
    """The first page of scores against the truth; all of them are in the files, where there are any."""
    shown = {
        name: (run.scores[run.proxies.index(name), 0], f"rho {rho[number]:.3f}") for number, name in enumerate(names)
    }
    label = f"{run.options['target']}, {run.options['dataset']}"
    subject = runs.subject(names, str(run.options.get("proxy", "")))
    pages = figures.score_against_truth(shown, run.truth, label, subject)
    text = f"Scores of seed {run.seeds[0]} against the truth"
    if len(names) > figures.PANELS:
        text += f": {figures.PANELS} of {len(names)} proxies, the best ones"
        text += " and the best that the run is about" if subject else ""
    return draw(pages, f"{run.folder.name}-scores", text, wide=True)


def of_ablations(folder: Path, draw: Drawer) -> list[Section]:
    """A section for each ablation in a folder and those inside it. Raises ValueError where there is none."""
    needed = {"ablation", "setting", "proxy", "spearman", "low", "high"}
    columns = ["setting", "proxy", "n", "seeds", "spearman", "spearman_sd", "low", "high"]
    columns += ["partial_spearman", "band_spearman", "failed"]
    texts = ["setting", "proxy", "space", "dataset", "target", "batch", "truth_source"]
    sections = []
    for path in sorted(folder.rglob("*.csv")):
        frame = read_csv(path)
        if not needed <= set(frame.columns):
            continue
        frame = checked(frame, path, columns[2:], texts)
        first = frame.iloc[0]
        targets = ", ".join(frame["target"].unique())
        title = f"Ablation {path.stem}: {first['space']} on {first['dataset']}, {targets}"
        name = "-".join(["ablation", *path.relative_to(folder).with_suffix("").parts])
        figure = draw(charts.ablation(frame, title), name, title, wide=True)
        held = table(frame[columns], "Settings", path.name, content=path.read_bytes())
        batches = ", ".join(frame["batch"].unique())
        truths = "; ".join(frame["truth_source"].unique())
        notes = [f"{path.relative_to(folder)}: {batches}; truth: {truths}"]
        sections.append(Section(title, notes, [held], [figure]))
    if not sections:
        raise ValueError(f"--ablation {folder}: no CSV of analysis/ablate.py there")
    return sections


def of_search(folder: Path, draw: Drawer) -> Section:
    """The winners of a search and its curves. Raises ValueError where the folder holds none."""
    missing = [name for name in ("history.csv", "best.csv") if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"--search {folder}: no {missing[0]}; the folder of a run of search/evolve.py is expected")
    history = read_csv(folder / "history.csv", ["seed", "step", "fitness", "truth", "seconds"], ["strategy", "proxy"])
    best = read_csv(folder / "best.csv", ["truth", "regret"], ["strategy", "proxy"])
    pictures = []
    if history["truth"].notna().any():
        curves = searches.curves(history, float((best["truth"] + best["regret"]).max()))
        pictures.append(draw(curves, f"search-{folder.name}", "Accuracy of the favourite so far", wide=True))
    winners = table(best, "Winners", "best.csv", content=(folder / "best.csv").read_bytes())
    return Section(f"Search: {folder.name}", [], [winners], pictures)


def of_maps(folder: Path) -> Section:
    """The pictures of analysis/maps.py, as they are. Raises ValueError where the folder holds none."""
    missing = [name for name in ("maps.json", *(f"{name}.png" for name in MAPS)) if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"--maps {folder}: no {missing[0]}; the folder of a run of analysis/maps.py is expected")
    try:
        said = json.loads((folder / "maps.json").read_text(encoding="utf-8"))
        options = said["options"]
        notes = [
            f"good student {said['good']}, bad student {said['bad']}, teacher {options['teacher']}",
            f"batch: {options['batch_size']} x {said['batch']}; draw {options['draw']}; init {options['init']}",
            f"made by: {shlex.join(['python', *said['command']])}",
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder}/maps.json: can't be read ({' '.join(str(error).split())})") from None
    shown = [
        Picture(text, b64encode((folder / f"{name}.png").read_bytes()).decode(), True) for name, text in MAPS.items()
    ]
    title = f"What the networks see: {options['space']} on {options['dataset']}"
    return Section(title, notes, [], shown, conditions(said))


def conditions(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """All of a run.json, nested names joined by dots."""

    def flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                yield from flat(f"{name}.{key}" if name else str(key), inner)
        else:
            yield name, str(value)

    return list(flat("", content))
