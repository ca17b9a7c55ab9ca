"""What a user chooses of the commands here. Light: nothing here imports torch or pandas, as --help has to be quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.output.command import argument, option
from benchmarks.output.options import EngineOptions, ScoringOptions

CEILING = "another training's accuracies, as rank.py's --truth, ranked as a proxy; auto (any that is here) or none"
OWN_SPACE = "path/to/file.py:Name, where runs are of such a space of your own; it is run"


@dataclass
class CompareOptions:
    """Which two runs, and what is printed of them."""

    run_a: str = argument("folder that benchmarks/rank.py left")
    run_b: str = argument("folder of the other run")
    ceiling: str = option("auto", CEILING)
    space: str | None = option(None, OWN_SPACE)
    out: str | None = option(None, "also write the correlations to this CSV file")
    markdown: bool = option(False, "print the tables as Markdown")


@dataclass
class ReportOptions:
    """Which runs and other folders stand on the page, and how they are analysed."""

    runs: tuple[str, ...] = argument("folders that benchmarks/rank.py left")
    out: str = option("report.html", "the page")
    ablation: str | None = option(None, "folder of analysis/ablate.py, to be shown too")
    search: str | None = option(None, "folder of search/evolve.py, whose history.csv is to be shown too")
    maps: str | None = option(None, "folder of analysis/maps.py, whose pictures are to be shown too")
    top: int = option(10, "the k of precision, NDCG and regret at k")
    ceiling: str = option("auto", CEILING)
    figures: str | None = option(None, "also write the pictures to this folder, as PNG and PDF")
    title: str = option("Proxies against measured accuracy", "the page's title")
    space: str | None = option(None, OWN_SPACE)


@dataclass
class AblateOptions(EngineOptions, ScoringOptions):
    """Which ablations, of which proxies and candidates, and where they are left."""

    name: Literal["metrics", "draw", "init", "teacher", "conditions", "batch", "target", "size", "all"] = argument(
        "metrics, draw, init, teacher, conditions (each changed alone), batch, target, size, or all of them"
    )
    proxy: str | None = option(None, "proxies to ablate, instead of each ablation's own")
    sample: int | str = option("auto", "how many candidates to sample by --seed; auto (200, or all there are) or all")
    seed: int = option(0, "first seed, and that of the sample")
    seeds: int = option(3, "number of proxy seeds; tables give mean and spread")
    images: str | None = option(
        None, "real images for the batch ablation: cifar10, cifar100 or a .npz; else noise alone"
    )
    trained: str | None = option(
        None, "trained teachers for the teacher ablation: NAME=FILE of a state dict, separated by blanks"
    )
    out: str = option("runs/ablations", "folder for NAME.csv, NAME.png, NAME.pdf and NAME.json")
    store: str | None = option(None, "file of scores already computed [store.sqlite in --out]")


@dataclass
class ValidateOptions:
    """Which cells are scored on which images, and where the table goes."""

    batch: str = option("cifar10", "real images: cifar10 (by --data-dir) or the path of a .npz")
    data_dir: str | None = option(None, "folder of CIFAR images for torchvision [$DISWOT_DATA, or data]")
    download: bool = option(False, "let torchvision download the images")
    truth: str = option("official", "accuracies: official (fetch it once) or retrained")
    sample: int | str = option(1000, "how many cells, or all")
    seed: int = option(0, "seed of cells, batch and weights")
    device: str = option("auto", "auto, cpu, cuda or cuda:i")
    out: str = option("runs/validate", "folder for the scores and their ranking")
    store: str | None = option(None, "file of scores already computed [store.sqlite in --out]")
    write: str | None = option(None, "also write the table into its section of this Markdown file")


@dataclass
class MapsOptions(ScoringOptions):
    """Which students are looked at, and on how many images."""

    good: str | None = option(None, "a student, by code or index [the best of the truth]")
    bad: str | None = option(None, "another [the worst of the truth whose output sees its input]")
    images: int = option(4, "images to draw maps over, the first of the batch")
    seed: int = option(0, "seed of batch and weights")
    out: str = option("runs/maps", "folder for maps and relations, as PNG and PDF")


@dataclass
class LeaderboardOptions(EngineOptions):
    """Whose row is added, who scores it, and where the pages go."""

    proxy: str | None = option(
        None, "a proxy of your own, path/to/file.py:name, which is run: its row among the others"
    )
    quick: bool = option(False, "with --proxy: 30 candidates of each question, always the same")
    store: str = option("runs/leaderboard.sqlite", "with --proxy: file of its scores, from which a killed run goes on")
    out: str = option(
        "docs", "folder for leaderboard.md, leaderboard.csv and leaderboard.html; with --proxy none is written"
    )
