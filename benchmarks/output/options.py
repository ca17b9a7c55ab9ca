"""What commands that score let their users choose, in groups that a door puts together.

What comes of it is made in scoring/asked.py. Light on purpose: no torch, so that --help answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.output.command import option

LARGEST_BATCH = 100_000
LARGEST_SEED = 2**31
MOST_SEEDS = 1000


@dataclass
class ScoringOptions:
    """Under which conditions candidates are scored."""

    dataset: str = option(
        "cifar10",
        "cifar10, cifar100, ImageNet16-120, imagenet, flowers, chaoyang, NAME:CLASSESxRESOLUTION, or auto: off a .npz",
    )
    space: str = option("nasbench201", "search space; rank.py --list names them; or path/to/file.py:Name, which is run")
    target: str = option("vanilla", "accuracy to predict: vanilla, distilled, or gain (distilled - vanilla)")
    truth: str = option("auto", "table of accuracies: auto, a name (rank.py --list), or the path of a CSV")
    batch: str = option("noise", "images: noise, cifar10, cifar100, or the path of a .npz of images and labels")
    batch_size: int = option(64, "images in the batch")
    data_dir: str | None = option(None, "folder of CIFAR images for torchvision [$DISWOT_DATA, or data]")
    download: bool = option(False, "let torchvision download images or weights")
    draw: Literal["independent", "common", "shared"] = option("shared", "who shares random weights (docs/rank.md)")
    init: Literal["kaiming", "normal", "default"] = option("kaiming", "how weights are drawn")
    teacher: str = option(
        "resnet56", "rank.py --list names them; or torchvision:resnet50, s0:333, path/to/file.py:Name, which is run"
    )
    teacher_weights: str | None = option(
        None,
        "state dict of a trained teacher, its input mean and std in the .json beside it; or torchvision; else random",
    )
    teacher_resolution: int | None = option(
        None, "size of the images as the teacher sees them, scaled [as candidates do; autoformer, pit: resnetN at 32]"
    )
    precision: Literal["float32", "bf16", "float64"] = option(
        "float32", "of the networks' passes; bf16 is faster, and rounds to 3 digits; float64 shows what float32 rounds"
    )
    device: str = option("auto", "auto, cpu, cuda or cuda:i")
    stack: int | str = option("auto", "candidates scored together: auto or a number; scores differ by rounding alone")


@dataclass
class EngineOptions:
    """Who computes."""

    workers: int | str = option("auto", "processes on this machine: auto (its cores, or its GPUs) or a number")
    engine: Literal["local", "ray"] = option(
        "local", "local, or ray: tasks on a Ray cluster (pip install '.[cluster]')"
    )
    address: str | None = option(None, "of the Ray cluster: auto, or HOST:PORT; without it one is started here")
    gpus_per_task: float = option(1.0, "--engine ray on GPUs: share of one that a task takes; .25 lets four share it")


@dataclass
class TableOptions:
    """Which score tables stand in place of scoring."""

    scores: str | None = option(
        None, "score tables (data.py export) to be used in place of scoring; several separated by commas"
    )
    scores_only: bool = option(False, "only what --scores holds: nothing is scored, samples are of its candidates")


@dataclass
class RankingOptions(TableOptions, EngineOptions, ScoringOptions):
    """What is ranked, under which seeds, and where it is left."""

    proxy: str = option(
        "diswot",
        "proxies to rank, separated by commas: names, wildcards, all, file.py:name, which is run; -name leaves out",
    )
    baselines: str = option("grad_norm,synflow,params,macs", "proxies always ranked beside them; '' for none")
    sample: int | str = option("auto", "how many candidates to sample by --seed; auto (200, or all there are) or all")
    archs: str | None = option(None, "score just the candidates that this file lists, a code or index a line")
    max_params: float | str | None = option(None, "most trainable scalars of a candidate, such as 100M or 1e8")
    seed: int = option(0, "seed of sample, batch and weights")
    seeds: int = option(1, "number of proxy seeds, counted up from --seed; tables give mean and spread")
    out: str | None = option(None, "folder for results [runs/ with the conditions in its name]")
    store: str | None = option(None, "file of scores already computed [store.sqlite in --out, else in runs/]")
    shard: str | None = option(None, "I/N: score only the I-th of N parts, for `data.py merge`; no table is made")
    anew: bool = option(
        False, "score, also where --sample all could be answered from a table that comes with the project"
    )
    given: Literal["size", "params", "macs"] = option("size", "what the partial correlation holds fixed; size is both")
    unique: bool = option(False, "score each class of cells that compute one function once, its first cell for all")
    markdown: bool = option(False, "print the table as Markdown")


def check_range(name: str, value: int, least: int, most: int) -> None:
    """Raises ValueError for a number out of its range."""
    if not least <= value <= most:
        raise ValueError(f"--{name} {value}: {least} is the least, {most} the most")
