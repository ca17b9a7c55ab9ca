"""What the leaderboard asks: which accuracies are to be predicted, and by which committed score tables.

A question whose table or accuracies are not here is left out with a reason; it appears once they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.stats.inference import Sample
from benchmarks import spaces, truth
from benchmarks.scoretables import archive
from benchmarks.scoretables.recalling import SHIPPED, paths
from benchmarks.scoretables.table import ScoreTable
from benchmarks.scoring.cohorts import Cohort, cohort
from benchmarks.scoring.selection import sampled
from benchmarks.spaces import Space
from benchmarks.truth import Target, Truth


@dataclass(frozen=True)
class Question:
    """Accuracies of a space: on `dataset`, of a target, by a truth; candidates were scored for `scored`."""

    name: str
    space: str
    dataset: str
    target: Target
    truth: str = "auto"
    scored: str = ""

    def told(self) -> str:
        """What is asked, by the words of rank.py."""
        found = f"--space {self.space} --dataset {self.dataset} --target {self.target}"
        return f"{found} --truth {self.truth}"

    @property
    def conditions(self) -> str:
        """The data set that the scores were made for."""
        return self.scored or self.dataset


TARGETS: Sequence[Target] = ("distilled", "gain")  # that a training of the student alone does not tell
TRANSFORMERS = [
    Question(f"{title} {data} {target}", space, data, target)
    for space, title in (("autoformer", "AutoFormer"), ("pit", "PiT"))
    for data in ("cifar100", "flowers", "chaoyang")
    for target in TARGETS
]
QUESTIONS: Sequence[Question] = (
    Question("NB201 C10", "nasbench201", "cifar10", "vanilla"),
    Question("NB201 C100", "nasbench201", "cifar100", "vanilla", "official", "cifar10"),
    Question("NB201 IN16", "nasbench201", "ImageNet16-120", "vanilla", "official", "cifar10"),
    *(Question(f"S0 {target}", "s0", "cifar100", target) for target in ("vanilla", "distilled", "gain")),
    *TRANSFORMERS,
    Question("zoo ImageNet", "torchvision", "imagenet", "vanilla"),
    Question("trial distilled", "nasbench201", "cifar10", "distilled", "trial"),
    *(Question(f"NB201 16x16 {target}", "nasbench201", "cifar10", target, "distilled") for target in TARGETS),
)


@dataclass(frozen=True)
class Asked:
    """A question that can be answered: scores of n candidates, their accuracies [n], and what is known of them."""

    question: Question
    table: ScoreTable
    space: Space
    archs: list[str]
    places: np.ndarray
    truth: Truth
    sample: Sample
    known: Cohort


def asked(question: Question, tables: Sequence[ScoreTable]) -> Asked:
    """A question with what answers it. Raises ValueError, saying what is missing, where it can't be answered yet."""
    table = fitting(question, tables)
    space = spaces.find(question.space)
    known = truth.load(question.truth, space, question.dataset, question.target)
    place = {arch: number for number, arch in enumerate(table.archs(space))}
    if (both := len(place.keys() & known.accuracy.keys())) < 3:
        raise ValueError(f"{both} of its candidates were scored")
    archs = sampled(space, known, "all", 0, place)  # in the order of rank.py, whose simulated trainings go by it
    sample = known.sample(archs, space.share(len(archs)))
    places = np.array([place[arch] for arch in archs])
    return Asked(question, table, space, archs, places, known, sample, cohort(archs, space, question.conditions))


def fitting(question: Question, tables: Sequence[ScoreTable]) -> ScoreTable:
    """The table of a question's candidates, that of shared draws before others. Raises ValueError for none."""
    found = [
        table
        for table in tables
        if (table.space, table.conditions.get("dataset")) == (question.space, question.conditions)
    ]
    if not found:
        raise ValueError("no score table of it is committed yet")
    return min(found, key=lambda table: table.conditions.get("draw") != "shared")


def committed(folder: Path = SHIPPED) -> list[ScoreTable]:
    """The score tables that come with the project."""
    return [archive.read(path) for path in paths(folder)]
