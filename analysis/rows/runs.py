"""What a run of benchmarks/rank.py left behind, as arrays: scores by proxy, seed and candidate, and the truth."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.rows.tables import UNDEFINED, checked, read_csv
from analysis.rows.ties import to_be_ranked

COLUMNS: dict[Hashable, str] = {
    "arch": "str",
    "proxy": "category",
    "seed": "int64",
    "score": "float64",
    "status": "category",
    "truth": "float64",
}
NUMBERS = {
    str(name): [UNDEFINED] for name, kind in COLUMNS.items() if kind == "float64"
}  # a candidate may be called None
OUTPUT_ONLY = {"out", "store", "markdown", "list", "explain", "download", "stack", "workers", "engine"}
OUTPUT_ONLY |= {"address", "gpus_per_task"}  # options that change no score
CONDITIONS = ("seeds", "candidates", "batch", "teacher", "truth_source", "device", "versions", "commit", "dirty")
SAID = {"options": ("space", "dataset", "target"), "batch": ("source", "size"), "teacher": ("name", "weights")}
MEASURED = ["spearman", "spearman_sd", "spearman_low", "spearman_high", "kendall", "top_tenth_spearman"]
MEASURED += ["top_10_truth", "regret", "failed"]
GIVEN = ("given_size", "given_params", "given_macs")  # what was held fixed, with its interval beside it
FORMERLY = {  # columns of earlier runs
    "top10_spearman": "top_tenth_spearman",
    "top10_mean_truth": "top_10_truth",
    "partial_spearman": "given_params",
}
FILES = ("run.json", "ranking.csv", "seconds.csv", "scores.csv")


@dataclass(frozen=True)
class Run:
    """One run: conditions as in run.json, ranking.csv with seconds.csv, scores [P, S, n] and their truth [n].

    `ok` [P, S, n] says which scores are numbers; proxies are in ranking.csv's order, best first.
    """

    folder: Path
    conditions: dict[str, Any]
    ranking: pd.DataFrame
    proxies: list[str]
    seeds: list[int]
    archs: list[str]
    scores: NDArray[np.float64]
    ok: NDArray[np.bool_]
    truth: NDArray[np.float64]

    @property
    def options(self) -> dict[str, Any]:
        """The options that the run was started with."""
        options: dict[str, Any] = self.conditions["options"]
        return options

    @property
    def noise(self) -> tuple[float | None, str]:
        """Deviation of an accuracy over trainings in points, None where it is unknown, and how it is known."""
        said = self.conditions.get("noise") or {}
        return said.get("points"), str(said.get("from", ""))

    @cached_property
    def ranked(self) -> NDArray[np.float64]:
        """Scores to be ranked, ties made equal, failed ones last: [P, S, n]."""
        return to_be_ranked(self.scores, self.ok)

    def of(self, archs: Sequence[str]) -> Run:
        """The same run over some of its candidates, in the order given."""
        place = {arch: number for number, arch in enumerate(self.archs)}
        chosen = [place[arch] for arch in archs]
        scores, ok = self.scores[:, :, chosen], self.ok[:, :, chosen]
        return replace(self, archs=list(archs), scores=scores, ok=ok, truth=self.truth[chosen])

    def one(self, proxy: str) -> NDArray[np.float64]:
        """What is ranked of one proxy: [S, n]."""
        return np.asarray(self.ranked[self.proxies.index(proxy)])


def missing(folder: Path) -> list[str]:
    """The files of a run that a folder lacks, or what is no folder."""
    return [name for name in FILES if not (folder / name).is_file()]


def _blind(folder: Path) -> bool:
    """Whether it is a run that had no accuracies."""
    try:
        return json.loads((folder / "run.json").read_text(encoding="utf-8"))["truth_source"] is None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def subject(names: Sequence[str], asked: str) -> list[str]:
    """Of some proxies those that a run is about: what its --proxy names first. None where it asks for all of them."""
    first = re.match(r"[^,()]*(\([^()]*\))?", asked.replace(" ", ""))
    pattern = first[0].rpartition("/")[2] if first else ""  # of a user's file tables have the last part
    return [name for name in names if fnmatchcase(name, pattern)]


def read(folder: str | Path) -> Run:
    """The run that a folder holds. Raises ValueError where it holds none, or one that does not fit together."""
    folder = Path(folder)
    if lacks := missing(folder):
        if _blind(folder):
            raise ValueError(f"{folder}: a run without accuracies, so nothing is ranked; rank.py --truth FILE.csv")
        raise ValueError(f"{folder}: no {lacks[0]}; the folder of a run of benchmarks/rank.py is expected")
    try:
        conditions = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        _check(conditions)
        ranking = with_names_of_today(read_csv(folder / "ranking.csv"))
        ranking = checked(ranking, folder / "ranking.csv", MEASURED, ["proxy"])
        seconds = read_csv(folder / "seconds.csv", ["seconds_per_arch"], ["proxy"])
        ranking = ranking.merge(seconds, on="proxy", how="left", validate="one_to_one")
        rows = pd.read_csv(
            folder / "scores.csv", usecols=list(COLUMNS), na_values=NUMBERS, keep_default_na=False, dtype=COLUMNS
        )
        if np.isinf(ranking[MEASURED].to_numpy(float)).any():
            raise ValueError("ranking.csv holds infinities")
        proxies, seeds = list(ranking["proxy"]), conditions["seeds"]
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{folder}: not a run that can be read ({' '.join(str(error).split())})") from None
    archs = [str(arch) for arch in rows["arch"].unique()]
    shape = (len(proxies), len(seeds), len(archs))
    at = tuple(
        pd.Index(labels).get_indexer(pd.Index(rows[column]))
        for labels, column in ((proxies, "proxy"), (seeds, "seed"), (archs, "arch"))
    )
    if len(rows) != np.prod(shape) or any((index < 0).any() for index in at):
        expected = f"{shape[0]} proxies x {shape[1]} seeds x {shape[2]} candidates"
        raise ValueError(f"{folder}/scores.csv: {len(rows):,} rows do not make {expected}")
    if rows.duplicated(["arch", "proxy", "seed"]).any():
        raise ValueError(f"{folder}/scores.csv: a row stands there twice")
    scores, ok, truth = np.full(shape, np.nan), np.zeros(shape, dtype=bool), np.empty(len(archs))
    scores[at] = rows["score"]
    ok[at] = rows["status"] == "ok"
    truth[at[2]] = rows["truth"]
    if not np.isfinite(truth).all() or not np.isfinite(scores[ok]).all():
        raise ValueError(f"{folder}/scores.csv: a truth, or a score of status ok, is no number")
    return Run(folder, conditions, ranking, proxies, seeds, archs, scores, ok, truth)


def with_names_of_today(ranking: pd.DataFrame) -> pd.DataFrame:
    """A ranking.csv under the names that columns have now; earlier runs have no interval of what is left of size."""
    ranking = ranking.rename(columns=FORMERLY)
    fixed = given(ranking)
    for bound in (f"{fixed}_low", f"{fixed}_high"):
        if bound not in ranking.columns:
            ranking[bound] = np.nan
    return ranking


def given(ranking: pd.DataFrame) -> str:
    """The column of what was held fixed. Raises ValueError where there is none."""
    found = next((name for name in GIVEN if name in ranking.columns), None)
    if found is None:
        raise ValueError(f"no column {', '.join(GIVEN[:-1])} or {GIVEN[-1]}")
    return found


def _check(conditions: Any) -> None:
    """Raises ValueError where a run.json lacks what every run says of itself."""
    if not isinstance(conditions, dict):
        raise ValueError(f"run.json holds a {type(conditions).__name__}")
    for name, parts in SAID.items():
        within = conditions.get(name)
        for part in parts:
            if not isinstance(within, dict) or not isinstance(within.get(part), str | int):
                raise ValueError(f"run.json says no {name}.{part}")
    for name in ("draw", "init", "truth_source", "device"):
        if not isinstance(conditions.get(name), str):
            raise ValueError(f"run.json says no {name}")
    noise = conditions.get("noise") or {}
    if not isinstance(noise, dict) or not isinstance(points := noise.get("points"), float | int | None):
        raise ValueError("run.json says of noise what is no number")
    if points is not None and not 0 <= points < np.inf:
        raise ValueError("run.json says of noise what is no deviation")
    seeds = conditions.get("seeds")
    if not isinstance(seeds, list) or {type(seed) for seed in seeds} != {int} or len(seeds) > len(set(seeds)):
        raise ValueError("run.json says no seeds")


def changed(a: Run, b: Run) -> list[tuple[str, str, str]]:
    """The conditions in which two runs differ, nested ones by their full name: name, value in a, value in b."""
    left, right = _flattened(a.conditions), _flattened(b.conditions)
    names = [name for name in {**left, **right} if left.get(name) != right.get(name)]
    return [(name, str(left.get(name, "")), str(right.get(name, ""))) for name in names]


def _flattened(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """What a score or a correlation may depend on, out of run.json."""
    options = {name: value for name, value in conditions["options"].items() if name not in OUTPUT_ONLY}
    found = {f"--{name.replace('_', '-')}": value for name, value in options.items()}
    for name in CONDITIONS:
        value = conditions.get(name)
        found |= {f"{name}.{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
    return found


def digest(path: Path) -> str:
    """The first digits of a file's sha256, by which a table can be told from another of its name."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
