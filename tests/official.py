"""Small benchmark files in the official layouts, made through nas_201_api's own classes."""

from __future__ import annotations

import bz2
import hashlib
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nas_201_api.api_utils import ArchResults, ResultsCount

from benchmarks.spaces.nasbench201 import NasBench201

SPACE = NasBench201()
EVALUATED = {  # by data set: the splits that are evaluated after every epoch
    "cifar10-valid": ("x-valid", "ori-test"),
    "cifar10": ("ori-test",),
    "cifar100": ("x-valid", "x-test", "ori-test"),
    "ImageNet16-120": ("x-valid", "x-test", "ori-test"),
}
CLASSES = {"cifar10-valid": 10, "cifar10": 10, "cifar100": 100, "ImageNet16-120": 120}
SEEDS = (777, 888, 999)


def accuracy(index: int, dataset: str, split: str, epochs: int, seed: int) -> float:
    """What the file says: rises with the number of convolutions, with a little noise between seeds."""
    noise = np.random.default_rng([index, sum(map(ord, dataset + split)), epochs, seed]).random()
    return round(10 + 12 * SPACE.arch(index).count("conv") + epochs / 100 + float(noise), 4)


def training(index: int, dataset: str, epochs: int, seed: int, *, old: bool, scalars: bool) -> ResultsCount:
    """One training. `old`: as in v1_0, accuracies of the last epoch alone, without times; `scalars`: of numpy."""
    number = np.float64 if scalars else float
    params, flops = SPACE.count(SPACE.arch(index), CLASSES[dataset], 16 if "ImageNet" in dataset else 32)[:2]
    every = range(epochs)
    curve = {epoch: number(50.0 + epoch / epochs) for epoch in every}
    config = {"channel": 16, "num_cells": 5, "arch_str": SPACE.arch(index), "class_num": CLASSES[dataset]}
    made = ResultsCount(dataset, None, curve, curve, params / 1e6, flops / 1e6, config, seed, epochs, None)
    for split in EVALUATED[dataset]:
        last = number(accuracy(index, dataset, split, epochs, seed))
        if old:
            made.update_OLD_eval(split, {epochs - 1: last}, {epochs - 1: number(0.5)})
        else:
            accuracies = {f"{split}@{epoch}": last if epoch == epochs - 1 else number(20.0) for epoch in every}
            losses = {key: number(0.5) for key in accuracies}
            made.update_eval(accuracies, losses, dict.fromkeys(accuracies, number(1.5)))
    if not old:
        made.update_train_info(curve, curve, curve, OrderedDict((epoch, number(2.0)) for epoch in every))
        made.update_latency([0.01])
    return made


def results(index: int, epochs: int, seeds: tuple[int, ...], **options: bool) -> dict[str, Any]:
    """The state of one cell's trainings on all data sets."""
    made = ArchResults(index, SPACE.arch(index))
    for dataset in EVALUATED:
        for seed in seeds:
            made.update(dataset, seed, training(index, dataset, epochs, seed, **options))
    made.clear_params()
    state: dict[str, Any] = made.state_dict()
    return state


def content(number: int = 3, *, old: bool = False, scalars: bool = False) -> dict[str, Any]:
    """A whole file: some cells out of the official list, trained with one to three seeds, and once for 12 epochs."""
    options = {"old": old, "scalars": scalars}
    cells = {
        index: {
            "full": results(index, 200, SEEDS[: 1 + index % 3], **options),
            "less": results(index, 12, (111,), **options),
        }
        for index in range(number)
    }
    archs = [SPACE.arch(index) for index in range(len(SPACE))]
    return {"meta_archs": archs, "arch2infos": cells, "evaluated_indexes": set(cells)}


def write(made: object, folder: Path, *, version: str = "1", legacy: bool = False) -> Path:
    """A file of torch.save with its digest in its name."""
    path = folder / "new.pth"
    torch.save(made, path, _use_new_zipfile_serialization=not legacy)
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return path.rename(folder / f"NAS-Bench-201-v1_{version}-{digest[:6]}.pth")


def write_simple(made: dict[str, Any], folder: Path) -> Path:
    """NATS-Bench's topology files in simple form."""
    folder = folder / "NATS-tss-v1_0-3ffb9-simple"
    folder.mkdir()
    meta = {"meta_archs": made["meta_archs"], "evaluated_indexes": made["evaluated_indexes"]}
    parts = {"meta": meta}
    for index, cell in made["arch2infos"].items():
        parts[f"{index:06d}"] = {{"less": "12", "full": "200"}[key]: state for key, state in cell.items()}
    for name, part in parts.items():
        (folder / f"{name}.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(part, protocol=4)))
    return folder
