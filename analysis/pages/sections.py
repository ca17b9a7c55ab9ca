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
from analysis.rows.runs import FORMERLY, MEASURED, Run, given
from analysis.rows.tables import checked, read_csv
from analysis.stats import comparison
from analysis.stats.comparison import Ranked
from analysis.stats.influence import Array

MAPS = {
    "maps": "Class activation maps of each image's own class, high where bright",
    "relations": "Relations among the batch's images that DisWOT compares, images sorted by class",
}


def ranking_table(run: Run) -> Table:
    """The run's own ranking.csv, its bytes as they are."""
    fixed = given(run.ranking)
    shown = run.ranking[["proxy", *MEASURED, fixed, f"{fixed}_low", f"{fixed}_high"]].copy()
    shown["ms_per_arch"] = 1000 * run.ranking["seconds_per_arch"]
    content = (run.folder / "ranking.csv").read_bytes()
    return table(shown, "Rank correlation with accuracy", "ranking.csv", content=content)


def pictures(run: Run, names: Sequence[str], scores: Array, ranked: Ranked, draw: Drawer) -> Iterator[Picture]:
    """The pictures of a run; `ranked` are its proxies, those that rank alike as one."""
    rows = run.ranking.set_index("proxy").loc[list(names)]
    fixed = given(run.ranking)
    rho, low, high, partial, seconds = (
        rows[column].to_numpy(dtype=float)
        for column in ("spearman", "spearman_low", "spearman_high", fixed, "seconds_per_arch")
    )
    folder = run.folder.name
    held = fixed.replace("_", " ")
    bars = charts.correlation_bars(names, rho, low, high, partial, held)
    yield draw(bars, f"{folder}-correlations", f"Correlation with accuracy; hollow: {held}")
    yield draw(
        charts.cost_against_quality(names, seconds, rho), f"{folder}-cost", "Cost against correlation, Pareto front"
    )
    if len(names) > 1:
        shown = [i for i, one in enumerate(ranked.found) if np.isfinite(one.value)]
        best, values = [ranked.names[i] for i in shown], np.array([ranked.found[i].value for i in shown])
        if best:
            told = apart.critical_difference(best, values, comparison.undecided(best, ranked.pairs))
            yield draw(
                told, f"{folder}-apart", "Proxies with a dot on one line are not told apart (Holm over all pairs, 5 %)"
            )
        among = heatmaps.proxy_matrix(names, comparison.correlations_among(scores), "Spearman", low=-1, high=1)
        yield draw(among, f"{folder}-among", "Rank correlation among proxies")
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
    columns = ["setting", "proxy", "n", "seeds", "failed", "spearman", "spearman_sd", "low", "high"]
    left = ["given_size", "given_size_low", "given_size_high", "given_params"]  # the last of earlier tables
    texts = ["setting", "proxy", "space", "dataset", "target", "batch", "truth_source"]
    sections = []
    for path in sorted(folder.rglob("*.csv")):
        frame = read_csv(path).rename(columns=FORMERLY)
        if not needed <= set(frame.columns):
            continue
        shown = [*columns, *(name for name in left if name in frame.columns)]
        frame = checked(frame, path, shown[2:], texts)
        first = frame.iloc[0]
        targets = ", ".join(frame["target"].unique())
        title = f"Ablation {path.stem}: {first['space']} on {first['dataset']}, {targets}"
        name = "-".join(["ablation", *path.relative_to(folder).with_suffix("").parts])
        figure = draw(charts.ablation(frame, title), name, title, wide=True)
        held = table(frame[shown], "Settings", path.name, content=path.read_bytes())
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
