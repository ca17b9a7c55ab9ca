"""Ground truth: measured accuracies by space, data set and target. Which table was used is part of every result.

retrained   NAS-Bench-201 on CIFAR-10, in the data of the package analog-nasbench: the embedded default
official    NAS-Bench-201 test accuracy after 200 epochs, mean over seeds: benchmarks/data.py fetch brings it
nasbench201:SPLIT[:EPOCHS][:SEED]   a column of the authors' own file: benchmarks/data.py import brings it
published   S0 on CIFAR-100, vanilla and distilled, by DisWOT's authors: part of the project
trial       a few NAS-Bench-201 cells, vanilla and distilled, trained for a moment by search/distill.py: embedded too
a path      a CSV of `arch` or `index`, and `accuracy` (or a column called like the target)

Targets are vanilla accuracy, distilled accuracy, and gain: what distillation adds, distilled - vanilla in points.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import pickle
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import pandas as pd
import pooch

from benchmarks import imported
from benchmarks.limits import check_size, shown
from benchmarks.spaces.nasbench201 import NasBench201
from benchmarks.spaces.resnet import S0

if TYPE_CHECKING:
    from benchmarks.spaces import Space

Target = Literal["vanilla", "distilled", "gain"]
TARGETS: tuple[Target, ...] = get_args(Target)

RETRAINED_SHA256 = "85f3435b877aa2d36268d55ce07f6ff6d73643d17a840f1941745da5eb80db32"

FREEREA = "https://raw.githubusercontent.com/NiccoloCavagnero/FreeREA/9c2a726cd3adf526c43ae52a515a8fc5ea927fe7/"
OFFICIAL_SHA256 = {
    "cifar10": "a41e06dbbd097df080ee6eb3eb8c6a92d589a0f53d51d66147155fcddbcacd2d",
    "cifar100": "f6487d29eb75cfa40dd1741d7d77f36e935828613576f8ea2d838482f1e10169",
    "ImageNet16-120": "b2c6c6b30cb9dd429106cdca913bf908680a4dc1d53199e062aa1ffae1a9bf9a",
}

CEILING = "another training"  # what its accuracies are called where they are ranked as a proxy

# What one training seed's accuracy reaches as a predictor of another's inside the space's top tenth (Spearman).
SEED_CEILING = {"cifar10": 0.66, "cifar100": 0.79, "ImageNet16-120": 0.85}

# The same between the two tables of CIFAR-10: the official means as predictor of the retraining, and the other way.
RETRAINED = "analog-nasbench"
OFFICIAL_OF_RETRAINED, RETRAINED_OF_OFFICIAL = 0.79, 0.76

PUBLISHED_S0 = Path(__file__).parent / "results" / "s0-cifar100.csv"
TRIAL = Path(__file__).parent / "results" / "nasbench201-cifar10_5k-8x8.csv"  # its protocol: the .json beside it


@dataclass(frozen=True)
class Truth:
    """Accuracies in percent by canonical arch (of the target gain: points), and where they come from.

    `vanilla` holds the accuracies without distillation where the target is another and the table has them: a predictor
    that costs a training, ranked beside the proxies. `ceiling` says what other trainings of the same candidates predict
    inside the top tenth, where that is known.
    """

    accuracy: dict[str, float]
    source: str
    vanilla: dict[str, float] = field(default_factory=dict)
    ceiling: str | None = None


@dataclass(frozen=True)
class Table:
    """A named table: what it covers, and how to read it for a data set and target."""

    space: str
    datasets: Sequence[str]
    targets: Sequence[str]
    read: Callable[[str, str], Truth]
    text: str
    usual: bool = True  # whether `auto` may choose it

    def covers(self, space: str, dataset: str, target: str) -> bool:
        """Whether it has such accuracies."""
        return space == self.space and dataset in self.datasets and target in self.targets


def load(name: str, space: Space, dataset: str, target: str) -> Truth:
    """The table that `--truth` names. Raises ValueError, saying how to get one, where there is none."""
    if target not in TARGETS:
        raise ValueError(f"no target is called {target!r}; there are: {', '.join(TARGETS)}")
    if name.startswith(f"{NasBench201.name}:"):
        return from_import(name, space, dataset, target)
    if name not in (*TABLES, "auto"):
        return from_csv(Path(name), space, target)
    fitting = [one for one, table in TABLES.items() if table.covers(space.name, dataset, target)]
    usual = [one for one in fitting if TABLES[one].usual]
    if name in fitting or (name == "auto" and usual):
        return TABLES[usual[0] if name == "auto" else name].read(dataset, target)
    if fitting and name != "auto":
        raise ValueError(f"--truth {name} is {TABLES[name].text}; for {space.name} on {dataset}: {', '.join(fitting)}")
    columns = "vanilla and distilled" if target == "gain" else f"{target} or accuracy"
    raise ValueError(
        f"there is no table of {target} accuracies for {space.name} on {dataset}: give your own as --truth FILE.csv "
        f"(columns arch or index, and {columns})"
    )


def others(space: Space, dataset: str, target: str) -> dict[str, Truth]:
    """The usual tables that are here of the space's other data sets and targets, by what they hold."""
    found = {}
    for table in TABLES.values():
        for other in table.datasets if table.usual and table.space == space.name else ():
            for wanted in table.targets:
                if (other, wanted) != (dataset, target) and wanted != "gain":
                    with suppress(ValueError):  # not fetched
                        found[f"{other} {wanted}"] = table.read(other, wanted)
    return found


def another(name: str, space: Space, dataset: str, target: str, source: str, archs: Sequence[str]) -> Truth | None:
    """Accuracies of another training of the same candidates: ranked as a proxy, they are what a proxy could reach.

    `name` as --truth takes it, or auto: the first usual table that is here, is not that of `source`, and has them all;
    None for none, or where auto finds nothing. Raises ValueError where what is named can't be had or lacks a candidate.
    """
    if name == "none":
        return None
    if name != "auto":
        found = load(name, space, dataset, target)
        missing = [arch for arch in archs if arch not in found.accuracy]
        if missing:
            raise ValueError(f"--ceiling {name}: has no accuracy of {missing[0]} ({len(missing)} such candidates)")
        return found
    for table in TABLES.values():
        if table.usual and table.covers(space.name, dataset, target):
            with suppress(ValueError):  # not fetched
                found = table.read(dataset, target)
                if found.source != source and found.accuracy.keys() >= set(archs):
                    return found
    return None


def how_to_fetch(dataset: str) -> str:
    """What a user types to get the official table."""
    return f"get the official table with: python benchmarks/data.py fetch {dataset}"


def cache_folder() -> Path:
    """Where fetched tables lie: the user's cache, or the folder that DISWOT_CACHE names."""
    return Path(os.environ.get("DISWOT_CACHE") or pooch.os_cache("diswot-bench"))


def official_path(dataset: str) -> Path:
    """The fetched official table of a data set, there or not."""
    return cache_folder() / f"nats-{dataset}-{OFFICIAL_SHA256[dataset][:12]}.csv"


def official(dataset: str) -> Truth:
    """The official table. Raises ValueError where it was not fetched, or is not what was fetched."""
    path = official_path(dataset)
    if not path.is_file():
        raise ValueError(f"the official table of {dataset} is not here yet; {how_to_fetch(dataset)}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != OFFICIAL_SHA256[dataset]:
        raise ValueError(f"{path}: not the table that was fetched (its checksum differs); delete it and fetch again")
    accuracy = pd.read_csv(path, index_col="index")["accuracy"]
    space = NasBench201()
    table = {space.arch(int(index)): float(value) for index, value in accuracy.items()}  # type: ignore[call-overload]
    source = f"official ({dataset} test accuracy, 200 epochs, mean over seeds)"
    again = f", the retraining of {RETRAINED} {RETRAINED_OF_OFFICIAL} of this mean" if dataset == "cifar10" else ""
    return Truth(table, source, ceiling=between_seeds(SEED_CEILING[dataset]) + again)


def between_seeds(reached: float) -> str:
    """The noise of training as a sentence, by the Spearman that one seed's accuracy reaches of another's."""
    return f"inside the top tenth one training seed's accuracy reaches {reached:.2f} of another's"


def fetch_official(dataset: str, source: str | None = None) -> Path:
    """Bring the official table into the cache, from where it is published or from another folder, file or address.

    Raises ValueError for an unknown data set, where nothing is found, or where the checksum differs.
    """
    if dataset not in OFFICIAL_SHA256:
        raise ValueError(f"no official table for {dataset!r}; there are: {', '.join(OFFICIAL_SHA256)}")
    path = official_path(dataset)
    where = source or f"{FREEREA}cached_metrics/nats/{dataset}/accuracies.csv"
    local = not where.startswith(("http://", "https://", "ftp://"))
    if local and Path(where).is_dir():
        where = str(Path(where) / dataset / "accuracies.csv")
    if local and not Path(where).is_file():
        raise ValueError(f"{where}: no such file, nor an http address; the published table comes without --source")
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(
            where,
            known_hash=f"sha256:{OFFICIAL_SHA256[dataset]}",
            fname=path.name,
            path=path.parent,
            downloader=_copied if local else None,
            progressbar=False,
        )
    except ValueError:
        raise ValueError(
            f"{where}: its checksum is not that of the official {dataset} table; nothing was kept"
        ) from None
    except OSError as error:  # requests' errors among them
        raise ValueError(f"{where}: can't be fetched ({str(error).splitlines()[0]})") from None
    return path


def _copied(where: str, output: str, _: pooch.Pooch) -> None:
    shutil.copyfile(where, output)


def retrained() -> Truth:
    """The embedded table: `baseline_accuracy` of analog-nasbench, an independent retraining of every cell on CIFAR-10.

    Spearman with the official CIFAR-10 test accuracy .991 over the space; inside the top tenth see its ceiling.
    """
    accuracy = {NasBench201().from_tuple(cell): value.baseline_accuracy for cell, value in _analog_table().items()}
    source = f"retrained ({RETRAINED} baseline_accuracy, CIFAR-10, one training each)"
    means = f", the official mean over seeds {OFFICIAL_OF_RETRAINED} of this one"
    return Truth(accuracy, source, ceiling=between_seeds(SEED_CEILING["cifar10"]) + means)


def from_import(name: str, space: Space, dataset: str, target: str) -> Truth:
    """A column of the imported NAS-Bench-201 file. Raises ValueError where it has none for this."""
    if space.name != NasBench201.name or target != "vanilla":
        raise ValueError(f"--truth {name}: has vanilla accuracies of nasbench201, not {target} ones of {space.name}")
    column = imported.select(name, dataset, cache_folder())
    ceiling = None if math.isnan(column.ceiling) else between_seeds(column.ceiling)
    return Truth(column.accuracy, column.source, ceiling=ceiling)


def published(target: str) -> Truth:
    """The S0 accuracies on CIFAR-100 that DisWOT's authors published, one training each; teacher unstated."""
    table = from_csv(PUBLISHED_S0, S0(), target)
    source = (
        f"published ({target}; DisWOT's authors, one training each, CIFAR-100; lilujunai/DisWOT-CVPR2023, exps/s1-gt)"
    )
    return replace(table, source=source)


def trial(target: str) -> Truth:
    """Our own small table of distilled accuracies, by search/distill.py; see docs/distilled_truth.md."""
    protocol = json.loads(TRIAL.with_suffix(".json").read_text(encoding="utf-8"))
    return replace(from_csv(TRIAL, NasBench201(), target), source=f"trial ({target}; {protocol['summary']})")


class _Record:
    """Stands in for the two classes of analog-nasbench: holds attributes, runs nothing."""

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)


class _TwoClassesOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Record]:
        """Admit the package's two classes as plain records, and nothing else."""
        if module == "analognasbench.data" and name in ("Architecture", "DriftMeasurement"):
            return _Record
        raise pickle.UnpicklingError(f"{module}.{name} is not admitted")


def _analog_table() -> dict[tuple[int, ...], Any]:
    """The package's data file, found through its metadata: the package itself is never imported."""
    try:
        files = metadata.files("analog-nasbench") or []
    except metadata.PackageNotFoundError:
        raise ValueError("the package analog-nasbench is not installed: pip install analog-nasbench") from None
    data = next((Path(str(file.locate())) for file in files if file.parts[-2:] == ("analognasbench", "data.anb")), None)
    if data is None or not data.is_file():
        raise ValueError("analog-nasbench is installed without its data file: reinstall it")
    content = data.read_bytes()
    if hashlib.sha256(content).hexdigest() != RETRAINED_SHA256:
        raise ValueError(f"{data}: not the data of analog-nasbench 0.1.3 (its checksum differs)")
    table: dict[tuple[int, ...], Any] = _TwoClassesOnly(io.BytesIO(content)).load()
    return table


TABLES = {
    "retrained": Table(
        *("nasbench201", ("cifar10",), ("vanilla",)),
        lambda dataset, target: retrained(),
        "NAS-Bench-201, cifar10, vanilla: every cell retrained once (package analog-nasbench); embedded",
    ),
    "official": Table(
        *("nasbench201", tuple(OFFICIAL_SHA256), ("vanilla",)),
        lambda dataset, target: official(dataset),
        "NAS-Bench-201, 3 data sets, vanilla: test accuracy after 200 epochs, mean over seeds (FreeREA's CSV)",
    ),
    "published": Table(
        *("s0", ("cifar100",), TARGETS),
        lambda dataset, target: published(target),
        "s0, cifar100, vanilla and distilled: 64 ResNets, one training each, by DisWOT's authors; embedded",
    ),
    "trial": Table(
        *("nasbench201", ("cifar10",), TARGETS),
        lambda dataset, target: trial(target),
        "NAS-Bench-201, cifar10, vanilla and distilled: a few cells, small images; a trial of the way, embedded",
        usual=False,
    ),
}
TRUTHS = {name: table.text for name, table in TABLES.items()}
TRUTHS["nasbench201:SPLIT"] = (
    "NAS-Bench-201's own file, vanilla: SPLIT x-valid, x-test or ori-test; then :12 or :200, then :SEED, if wanted; "
    "benchmarks/data.py import"
)
TRUTHS["PATH"] = "a CSV with a column arch or index, and a column accuracy (or vanilla, distilled; gain needs both)"


def from_csv(path: Path, space: Space, target: str) -> Truth:
    """A user's table. Raises ValueError naming the file, the row and what is wrong with it."""
    columns, rows = _csv(path)
    if len(set(columns)) < len(columns):
        raise ValueError(f"--truth {path}: a column stands there twice: {', '.join(columns)}")
    key = next((column for column in ("arch", "index") if column in columns), None)
    values = ["vanilla", "distilled"] if target == "gain" else [target if target in columns else "accuracy"]
    missing = [] if key else ["arch or index"]
    missing += [
        column if column != "accuracy" else f"{target} or accuracy" for column in values if column not in columns
    ]
    if missing:
        raise ValueError(f"--truth {path}: no column {missing[0]}; it has: {', '.join(columns) or 'nothing'}")
    if not rows:
        raise ValueError(f"--truth {path}: no rows")
    if target == "distilled" and "vanilla" in columns:
        values.append("vanilla")
    found: dict[str, dict[str, float]] = {}
    for line, row in rows:
        if len(row) != len(columns):
            raise ValueError(f"--truth {path}, line {line}: {len(row)} fields under {len(columns)} columns")
        entry = dict(zip(columns, row, strict=True))
        try:
            arch = space.parse(entry[str(key)])
        except ValueError as error:
            raise ValueError(f"--truth {path}, line {line}: {error}") from None
        if arch in found:
            raise ValueError(f"--truth {path}, line {line}: {entry[str(key)]!r} stands there twice")
        if {"arch", "index"} <= set(columns) and entry["index"] != str(space.index(arch)):
            raise ValueError(f"--truth {path}, line {line}: arch and index name different candidates")
        found[arch] = {v: _number(entry[v], f"--truth {path}, line {line}, column {v}") for v in values}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    name = shown(path.name)
    source = f"{name} (column {values[0]}, sha256 {digest})"
    vanilla = {arch: row["vanilla"] for arch, row in found.items() if target != "vanilla" and "vanilla" in row}
    if target == "gain":
        gain = {arch: row["distilled"] - row["vanilla"] for arch, row in found.items()}
        return Truth(gain, f"{name} (distilled - vanilla, sha256 {digest})", vanilla)
    return Truth({arch: row[values[0]] for arch, row in found.items()}, source, vanilla)


def _csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header, and rows with the line they end on, blank lines left out. Raises ValueError where there is no table."""
    try:
        check_size(path, "table")
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, [field.strip() for field in row]) for row in reader if row]
    except OSError as error:
        known = ", ".join(TRUTHS)
        raise ValueError(f"--truth {path}: {error.strerror or error} (it takes {known})") from None
    except (csv.Error, ValueError) as error:
        raise ValueError(f"--truth {path}: no CSV table ({error})") from None
    return (lines[0][1], lines[1:]) if lines else ([], [])


def _number(text: str, where: str) -> float:
    try:
        number = float(text) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        number = math.nan
    if not 0 <= number <= 100:
        raise ValueError(f"{where}: {text!r} is no number of percent, 0 to 100")
    return number
