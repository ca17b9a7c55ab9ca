"""NAS-Bench-201's own files, in the small table that they became: accuracies by data set, split, epochs and seed.

`select` takes a column of it, `verify` checks all of it. importing.py makes it; nothing else reads the big file.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import statistics
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.stats import ranking
from benchmarks.output.naming import said
from benchmarks.reading.limits import file_digest
from benchmarks.spaces.nasbench201 import NasBench201
from benchmarks.truth.accuracies import noise_of

NOTE = "nasbench201.json"  # names the table that is installed, and says where it came from
LARGEST_NOTE = 1 << 16
FEWEST_SHARED = 10 * ranking.FEWEST_IN_TENTH  # cells trained with both seeds, for their noise to say anything
DIGITS = 4  # of a percentage: beyond is float32's rounding; one image counts .001 or more in a mean of three seeds
SPLITS = ("x-valid", "x-test", "ori-test")

# By data set of --dataset and split: what the benchmark calls the data set that the network was trained on.
TRAINED_ON = {
    "cifar10": {"x-valid": "cifar10-valid", "ori-test": "cifar10"},
    "cifar100": dict.fromkeys(SPLITS, "cifar100"),
    "ImageNet16-120": dict.fromkeys(SPLITS, "ImageNet16-120"),
}


@dataclass(frozen=True)
class Installed:
    """What the note beside an imported table says."""

    table: str
    sha256: str
    cells: int
    source: str
    source_sha256: str
    trusted: bool


@dataclass(frozen=True)
class Column:
    """Accuracies in percent by arch, where they come from, and how noisy trainings are.

    `ceiling` is what another seed reaches in the top tenth (or NaN), `noise` an accuracy's deviation over trainings.
    """

    accuracy: dict[str, float]
    source: str
    ceiling: float
    noise: float | None


def tables(folder: Path) -> list[Path]:
    """Every imported table in a folder."""
    return [path for path in folder.glob("nasbench201-*.csv") if re.fullmatch(r"nasbench201-[0-9a-f]{12}", path.stem)]


def installed(folder: Path) -> Installed:
    """What is imported. Raises ValueError where nothing is, or the note beside it is not ours."""
    note = folder / NOTE
    if not note.is_file():
        raise ValueError(said("no NAS-Bench-201 file is imported yet: python benchmarks/data.py import FILE"))
    again = "import the file again"
    if note.stat().st_size > LARGEST_NOTE:
        raise ValueError(f"{note}: larger than {LARGEST_NOTE} bytes; {again}")
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
        found = Installed(**content)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"{note}: not what an import leaves ({type(error).__name__}); {again}") from None
    types = {"table": str, "sha256": str, "cells": int, "source": str, "source_sha256": str, "trusted": bool}
    sound = all(type(getattr(found, name)) is kind for name, kind in types.items())
    if (
        not sound
        or found.table != f"nasbench201-{found.sha256[:12]}.csv"
        or not re.fullmatch("[0-9a-f]{64}", found.sha256)
    ):
        raise ValueError(f"{note}: not what an import leaves; {again}")
    return found


def columns(folder: Path) -> list[str]:
    """The header of the imported table, which is checked first. Raises ValueError where it is not what was written."""
    path = checked(folder)
    with path.open(encoding="utf-8") as file:
        return file.readline().strip().split(",")


def checked(folder: Path) -> Path:
    """The imported table's path. Raises ValueError where its digest is not that of the import."""
    note = installed(folder)
    path = folder / note.table
    if not path.is_file() or file_digest(path) != note.sha256:
        raise ValueError(f"{path}: missing, or not the table that was imported; import the file again")
    return path


def splits(folder: Path) -> dict[str, list[str]]:
    """By data set of --dataset, what --truth nasbench201:... can select in the imported table, without seeds."""
    header = [column.rpartition(":")[0] for column in columns(folder)]
    found: dict[str, list[str]] = {}
    for dataset, trained_on in TRAINED_ON.items():
        names = [f"{split}:{epochs}" for split in trained_on for epochs in ("12", "200")]
        found[dataset] = [name for name in names if f"{trained_on[name.split(':')[0]]}:{name}" in header]
    return found


def verify(folder: Path) -> list[str]:
    """Read the whole imported table; what is wrong with it, nothing where all is well.

    Names against the official index, accuracies against 0..100, parameters against their closed form.
    """
    table = pd.read_csv(checked(folder))
    space = NasBench201()
    if table["arch"].tolist() != [space.arch(int(index)) for index in table["index"]]:
        return ["cells under other indices than the official ones"]
    problems = []
    for column in table.columns[2:]:
        values = table[column].dropna()
        dataset, what = column.split(":")[:2]
        if what in SPLITS and not values.between(0, 100).all():
            problems.append(f"{column}: accuracies outside 0..100")
        if what == "params":
            classes = {"cifar100": 100, "ImageNet16-120": 120}.get(dataset, 10)
            counted = [space.count(arch, classes, 32)[0] / 1e6 for arch in table.loc[values.index, "arch"]]
            off = int((abs(values - counted) > 1e-6).sum())
            problems += [f"{column}: {off:,} cells of another size than counted"] if off else []
    return problems


def wanted_column(name: str) -> tuple[str, str, str | None]:
    """Split, epochs and seed of a truth's name, nasbench201:SPLIT[:12|:200][:SEED]. Raises ValueError."""
    found = re.fullmatch(r"nasbench201:(x-valid|x-test|ori-test)(?::(12|200))?(?::([0-9]{1,9}))?", name)
    if found is None:
        raise ValueError(
            f"--truth {name[:80]}: write nasbench201:x-valid, :x-test or :ori-test, then :12 or :200 (epochs; 200 if "
            "left out), then :SEED (the mean over seeds if left out)"
        )
    return found[1], found[2] or "200", found[3]


def select(name: str, dataset: str, folder: Path) -> Column:
    """The column that nasbench201:SPLIT[:EPOCHS][:SEED] names. Raises ValueError, naming what there is.

    Without a seed: the mean over those that a cell was trained with.
    """
    split, epochs, seed = wanted_column(name)
    splits = TRAINED_ON.get(dataset, {})
    if split not in splits:
        raise ValueError(
            f"--truth {name}: NAS-Bench-201 has no {split} for {dataset}; there are: {', '.join(splits) or 'none'}"
        )
    prefix = f"{splits[split]}:{split}:{epochs}:"
    seeds = [column for column in columns(folder) if column.startswith(prefix)]
    chosen = seeds if seed is None else [column for column in seeds if column == prefix + seed]
    if not chosen:
        known = ", ".join(column.removeprefix(prefix) for column in seeds) or "none"
        wanted = f"{dataset} {split}, {epochs} epochs" + (f", seed {seed}" if seed else "")
        raise ValueError(f"--truth {name}: the imported file has no {wanted}; seeds there: {known}")
    note = installed(folder)
    table = pd.read_csv(folder / note.table, usecols=["arch", *seeds], index_col="arch")
    accuracy = table[chosen].mean(axis=1).dropna()
    over = (
        f"mean over seeds {', '.join(one.removeprefix(prefix) for one in chosen)}" if seed is None else f"seed {seed}"
    )
    over += _how_many(table[chosen])
    source = (
        f"NAS-Bench-201 ({note.source}; {dataset} {split}, {epochs} epochs, {over}; table sha256 {note.sha256[:12]})"
    )
    found = {str(arch): round(float(value), DIGITS) for arch, value in accuracy.items()}
    return Column(found, source, noise_ceiling(table[seeds]), noise_of(table[seeds], table[chosen]))


def _how_many(accuracies: pd.DataFrame) -> str:
    """How many cells lack a seed; of a mean, how many cells have how many of the seeds."""
    counts = accuracies.notna().sum(axis=1)
    lacking = int((counts == 0).sum())
    told = f"; {lacking:,} of {len(counts):,} imported cells lack it" if lacking else ""
    if accuracies.shape[1] > 1:
        by_number = counts[counts > 0].value_counts().sort_index(ascending=False)
        told += "; " + ", ".join(f"{number:,} cells have {seeds}" for seeds, number in by_number.items())
    return told


def noise_ceiling(accuracies: pd.DataFrame) -> float:
    """What one seed's accuracies say of another's: Spearman in the other's top tenth, mean over ordered pairs of seeds.

    accuracies [cells, seeds], NaN where a cell was not trained with a seed. NaN where no two seeds share enough cells.
    """
    found = []
    for one, other in itertools.permutations(accuracies.columns, 2):
        both = accuracies[[one, other]].dropna().to_numpy(dtype=float)
        if len(both) >= FEWEST_SHARED:
            found.append(ranking.top_tenth_spearman(both[:, 0], both[:, 1]))
    defined = [value for value in found if not math.isnan(value)]
    return statistics.fmean(defined) if defined else math.nan
