"""Ground truth: measured accuracies by space, data set and target. Which table was used is part of every result.

retrained   NAS-Bench-201 on CIFAR-10, in the data of the package analog-nasbench: the embedded default
official    NAS-Bench-201 test accuracy after 200 epochs, mean over seeds: benchmarks/data.py fetch brings it
nasbench201:SPLIT[:EPOCHS][:SEED]   a column of the authors' own file: benchmarks/data.py import brings it
published   S0 on CIFAR-100, vanilla and distilled, by DisWOT's authors: part of the project
distilled   NAS-Bench-201 cells, vanilla and distilled, trained under a declared protocol: there once it is measured
vitbench    vision transformers on three data sets, vanilla and distilled, by Auto-Prox's authors: part of the project
torchvision ImageNet top-1 of torchvision's networks, as it records them: with the dependency; :V2 of the second recipe
trial       a few NAS-Bench-201 cells, vanilla and distilled, trained for a moment by search/distill.py: embedded too
a path      a CSV of `arch` or `index`, and `vanilla` (or `accuracy`, which is the same), `distilled` or both

Targets are vanilla accuracy, distilled accuracy, and gain: what distillation adds, distilled - vanilla in points.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.reading.naming import meant
from benchmarks.spaces import Space
from benchmarks.spaces.nasbench201 import NasBench201
from benchmarks.truth import imported, official, vitbench, zoo
from benchmarks.truth.accuracies import TARGETS, Truth, between_seeds
from benchmarks.truth.embedded import DISTILLED, TRIAL, published, retrained
from benchmarks.truth.official import cache_folder
from benchmarks.truth.ownfile import from_csv
from benchmarks.truth.trained import trained

CEILING = "another training"  # what its accuracies are called where they are ranked as a proxy


@dataclass(frozen=True)
class Table:
    """A named table: what it covers, and how to read it for a data set and target."""

    spaces: Sequence[str]
    datasets: Sequence[str]
    targets: Sequence[str]
    read: Callable[[str, str, str], Truth]  # of space, data set, target
    text: str
    usual: bool = True  # whether `auto` may choose it

    def covers(self, space: str, dataset: str, target: str) -> bool:
        """Whether it has such accuracies."""
        return space in self.spaces and dataset in self.datasets and target in self.targets


def load(name: str, space: Space, dataset: str, target: str) -> Truth:
    """The table that `--truth` names. Raises ValueError, saying how to get one, where there is none."""
    if target not in TARGETS:
        known = ", ".join(TARGETS)
        raise ValueError(f"no target is called {target!r}; there are: {known}{meant(target, TARGETS)}")
    if name.startswith(f"{NasBench201.name}:"):
        return from_import(name, space, dataset, target)
    if name == "none":
        raise ValueError("--truth none: this needs accuracies")
    if name not in (*TABLES, "auto"):
        if not Path(name).exists():
            near = meant(name, (*TABLES, "auto"))
            raise ValueError(f"--truth {name}: No such file or directory (it takes {', '.join(TRUTHS)}){near}")
        return from_csv(Path(name), space, target)
    fitting = [one for one, table in TABLES.items() if table.covers(space.name, dataset, target)]
    usual = [one for one in fitting if TABLES[one].usual]
    if name in fitting or (name == "auto" and usual):
        return TABLES[usual[0] if name == "auto" else name].read(space.name, dataset, target)
    if fitting and name != "auto":
        raise ValueError(f"--truth {name} is {TABLES[name].text}; for {space.name} on {dataset}: {', '.join(fitting)}")
    columns = {"vanilla": "vanilla or accuracy", "gain": "vanilla and distilled"}.get(target, target)
    raise ValueError(
        f"there is no table of {target} accuracies for {space.name} on {dataset}{offered(space, dataset, target)}; "
        f"give your own as --truth FILE.csv (columns arch or index, and {columns})"
    )


def offered(space: Space, dataset: str, target: str) -> str:
    """Which accuracies of a space there are where `auto` finds none: by what other name, or of which other data set."""
    names = [name for name, table in TABLES.items() if table.covers(space.name, dataset, target)]
    if names:
        return f"; there are --truth {', '.join(names)}"
    found = [table.datasets for table in TABLES.values() if space.name in table.spaces and target in table.targets]
    elsewhere = dict.fromkeys(one for datasets in found for one in datasets if one != dataset)
    return f"; there are some for --dataset {', '.join(elsewhere)}" if elsewhere else ""


def lacking(space: Space, dataset: str, target: str) -> bool:
    """Whether accuracies are known to nobody here: no table, fetched or not, is of the space and data set.

    False where another target is asked for than the usual one: who wants that has a table in mind.
    """
    known = any(space.name in table.spaces and dataset in table.datasets for table in TABLES.values())
    return target == TARGETS[0] and not known


def others(space: Space, dataset: str, target: str) -> dict[str, Truth]:
    """The usual tables that are here of the space's other data sets and targets, by what they hold."""
    found = {}
    for table in TABLES.values():
        for other in table.datasets if table.usual and space.name in table.spaces else ():
            for wanted in table.targets:
                if (other, wanted) != (dataset, target) and wanted != "gain":
                    with suppress(ValueError):  # not fetched
                        found[f"{other} {wanted}"] = table.read(space.name, other, wanted)
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
                found = table.read(space.name, dataset, target)
                if found.source != source and found.accuracy.keys() >= set(archs):
                    return found
    return None


def from_import(name: str, space: Space, dataset: str, target: str) -> Truth:
    """A column of the imported NAS-Bench-201 file. Raises ValueError where it has none for this."""
    if space.name != NasBench201.name or target != "vanilla":
        raise ValueError(f"--truth {name}: has vanilla accuracies of nasbench201, not {target} ones of {space.name}")
    column = imported.select(name, dataset, cache_folder())
    ceiling = None if math.isnan(column.ceiling) else between_seeds(column.ceiling)
    return Truth(column.accuracy, column.source, {}, ceiling, column.noise, "the seeds of each cell")


TABLES = {
    "retrained": Table(
        *(("nasbench201",), ("cifar10",), ("vanilla",)),
        lambda space, dataset, target: retrained(),
        "NAS-Bench-201, cifar10, vanilla: every cell retrained once (package analog-nasbench); embedded",
    ),
    "official": Table(
        *(("nasbench201",), tuple(official.SHA256), ("vanilla",)),
        lambda space, dataset, target: official.read(dataset),
        "NAS-Bench-201, 3 data sets, vanilla: test accuracy after 200 epochs, mean over seeds (FreeREA's CSV)",
    ),
    "published": Table(
        *(("s0",), ("cifar100",), TARGETS),
        lambda space, dataset, target: published(target),
        "s0, cifar100, vanilla and distilled: 64 ResNets, one training each, by DisWOT's authors; embedded",
    ),
    "vitbench": Table(
        *(tuple(vitbench.SPACES), vitbench.DATASETS, TARGETS),
        vitbench.read,
        "autoformer and pit, cifar100, flowers and chaoyang, vanilla and distilled: 300 vision transformers, one "
        "training each, by Auto-Prox's authors; embedded",
    ),
    "trial": Table(
        *(("nasbench201",), ("cifar10",), TARGETS),
        lambda space, dataset, target: trained("trial", TRIAL, NasBench201(), target),
        "NAS-Bench-201, cifar10, vanilla and distilled: a few cells, small images; a trial of the way, embedded",
        usual=False,
    ),
    "distilled": Table(
        *(("nasbench201",), ("cifar10",), TARGETS),
        lambda space, dataset, target: trained("distilled", DISTILLED, NasBench201(), target),
        "NAS-Bench-201, cifar10, vanilla and distilled: cells by a declared protocol, 16x16 images; embedded",
        usual=False,
    ),
    "torchvision": Table(
        *(("torchvision",), ("imagenet",), ("vanilla",)),
        lambda space, dataset, target: zoo.recorded("V1"),
        "torchvision, imagenet, vanilla: ImageNet top-1 of its first weights (IMAGENET1K_V1), as it records them",
    ),
    "torchvision:V2": Table(
        *(("torchvision",), ("imagenet",), ("vanilla",)),
        lambda space, dataset, target: zoo.recorded("V2"),
        "torchvision, imagenet, vanilla: the same of its second, longer recipe, for the networks that have one",
        usual=False,
    ),
}
TRUTHS = {name: table.text for name, table in TABLES.items()}
TRUTHS["nasbench201:SPLIT"] = (
    "NAS-Bench-201's own file, vanilla: SPLIT x-valid, x-test or ori-test; then :12 or :200, then :SEED, if wanted; "
    "benchmarks/data.py import"
)
TRUTHS["none"] = "no accuracies: rank.py scores the candidates, and ranks nothing"
TRUTHS["PATH"] = "a CSV with a column arch or index, and a column vanilla (or accuracy), or distilled; gain needs both"
