"""A sweep: runs handed to an engine, a student a task, and the rows that come back.

Every run writes into a folder of its own, wherever it is trained; only rows travel. On a cluster, images and --out lie
on a disk that all nodes see.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

from benchmarks.conditions.drawing import Init
from benchmarks.output.terminal import Advance
from benchmarks.scoring import jobs
from benchmarks.scoring.engines import ATTEMPTS, Engine, Lost
from search.distillation import images, pairing, runs, teaching
from search.distillation.group import ALONE, Group
from search.distillation.images import Reading
from search.distillation.loop import Epoch, Outcome, Watch
from search.distillation.models import Precision
from search.distillation.normalisation import Normalisation
from search.distillation.recipes import Recipe
from search.distillation.runs import Conditions, Row, Run
from search.distillation.teaching import Start

LOOKS = 0.5  # seconds between two looks at how far runs are


@dataclass(frozen=True)
class Plan:
    """The conditions as a user names them: what another process needs to find the same images and the same teacher."""

    data: str
    data_dir: str | None
    download: bool
    resolution: int | None
    device: str
    recipe: Recipe
    teacher: str
    teacher_weights: Path | None
    teacher_normalisation: Normalisation | None
    out: Path
    init: Init
    precision: Precision
    tensorboard: bool
    teacher_resolution: int | None = None
    stages: str = ""
    reading: Reading = field(default_factory=Reading)
    published: bool = False  # whether the teacher's weights are torchvision's
    start: Start | None = None  # where a teacher that is trained here begins
    assistants: tuple[str, ...] = ()

    def conditions(self, group: Group = ALONE) -> Conditions:
        """Images and teacher, loaded onto the device. Raises ValueError where there are none."""
        device = jobs.find_device(self.device)
        with group.main_first():  # one downloads
            data = images.load(
                self.data,
                device,
                data_dir=self.data_dir,
                download=self.download,
                resolution=self.resolution,
                reading=self.reading,
            )
        alone = Conditions(data, self.recipe, None, self.out, self.init, self.precision, group, self.stages, self.start)
        return alone if self.teacher_weights is None else self.taught(alone)

    def taught(self, conditions: Conditions) -> Conditions:
        """The conditions with the plan's teacher. Raises ValueError where its weights don't fit."""
        assert self.teacher_weights is not None
        named = pairing.parse(self.stages)
        teacher = teaching.load_teacher(
            teaching.find(self.teacher, published=self.published),
            self.teacher_weights,
            conditions.data,
            self.precision,
            self.teacher_normalisation,
            self.teacher_resolution,
            named.names(named.teacher),
        )
        return replace(conditions, teacher=teacher)


@dataclass(frozen=True)
class Report:
    """What comes back of a run: its row, and what was put right on the way."""

    row: Row
    warnings: list[str]


class Trainer:
    """Performs runs, by their number. It can be pickled: images and teacher are loaded anew where it arrives."""

    def __init__(self, plan: Plan, planned: Sequence[Run], conditions: Conditions) -> None:
        self.plan, self.planned = plan, planned
        self._folder = Path.cwd()  # relative paths mean the same in every process
        self._conditions: Conditions | None = conditions

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_conditions": None}

    def __call__(self, number: int) -> Report:
        """Train a run that is not done."""
        run, warnings = self.planned[number], list[str]()
        with chdir(self._folder), _tensorboard(self.plan) as writer:
            if self._conditions is None:
                self._conditions = self.plan.conditions()

            def epoch(row: Epoch) -> None:
                for key, value in row.items() if writer else ():
                    writer.add_scalar(f"{run.name}/{key}", value, int(row["epoch"]))

            return Report(runs.perform(run, self._conditions, Watch(epoch, warnings.append)), warnings)


@contextmanager
def _tensorboard(plan: Plan) -> Iterator[Any]:
    """TensorBoard's writer where it is wanted, else None."""
    if not plan.tensorboard:
        yield None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(plan.out / "tensorboard")) as writer:
        yield writer


def perform(
    plan: Plan,
    planned: Sequence[Run],
    conditions: Conditions,
    engine: Engine,
    advance: Advance,
    warn: Callable[[str], None],
) -> list[Row]:
    """The rows of all runs in their order; those that ended before are not done again.

    `advance` is told of epochs. Raises ValueError, before anything is trained, where a folder holds another run.
    """
    found = [runs.done(run, conditions) for run in planned]
    left = [number for number, row in enumerate(found) if row is None]
    advance(conditions.recipe.epochs * (len(planned) - len(left)))
    trainer = Trainer(plan, planned, conditions)
    with followed([planned[number] for number in left], conditions, advance):
        for number, report in engine.map(trainer, left):
            run = planned[number]
            if isinstance(report, Lost):
                found[number] = runs.row(run, conditions, Outcome("lost", []))
                warn(f"{run.name}: {ATTEMPTS} processes that trained it died; its checkpoint is kept")
                continue
            found[number] = report.row
            for text in report.warnings:
                warn(f"{run.name}: {text}")
    return [row for row in found if row is not None]


@contextmanager
def followed(trained: Sequence[Run], conditions: Conditions, advance: Advance) -> Iterator[None]:
    """Let a bar advance as the runs' metrics.jsonl grow, whoever writes them."""
    epochs = conditions.recipe.epochs
    seen = {run.name: 0 for run in trained}
    over = Event()

    def look() -> None:
        for name, before in seen.items():
            path = conditions.out / name / "metrics.jsonl"
            if before < epochs and path.exists():
                lines = path.read_text(encoding="utf-8").splitlines()[:epochs]
                if len(lines) > before:
                    last = json.loads(lines[-1])
                    text = f"{name} {len(lines)}: loss {last['loss']:.3f}, {last['test_accuracy']:.2f} %"
                    advance(len(lines) - before, text)
                    seen[name] = len(lines)

    def follow() -> None:
        while not over.wait(LOOKS):
            look()

    thread = Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    look()
    advance(sum(epochs - now for now in seen.values()))  # of runs that diverged
