"""A set of training runs, each in a folder of its own: students x methods x seeds under one teacher, and their rows.

A run that is done is not done again; one that was killed goes on.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from benchmarks.conditions.drawing import Init
from benchmarks.output import record
from search.distillation import exporting, methods, normalisation, objective, pairing, teaching
from search.distillation.data import Data
from search.distillation.group import ALONE, Group
from search.distillation.loop import WEIGHTS, Outcome, Watch, check_settings, train
from search.distillation.methods import Terms
from search.distillation.models import Model, Network, Precision
from search.distillation.modules import Net
from search.distillation.objective import Objective
from search.distillation.recipes import Recipe
from search.distillation.students import Student
from search.distillation.teaching import Start, Teacher

Row = dict[str, object]  # of runs.csv

VANILLA = "ce"
NAMED = "named"  # the space of students that teachers.py names
LONGEST_NAME = 60  # of a run's folder; of a longer name a digest stands at its end


@dataclass(frozen=True)
class Conditions:
    """What all runs of a set have in common; the recipe's seed is the first one."""

    data: Data
    recipe: Recipe
    teacher: Teacher | None
    out: Path
    init: Init = "kaiming"
    precision: Precision = "float32"
    group: Group = ALONE
    stages: str = ""  # as --stages has them
    start: Start | None = None  # of a teacher that is trained on

    @property
    def size(self) -> int:
        """Side of the images that what is trained sees."""
        return (self.start.resolution if self.start else None) or self.data.resolution


@dataclass(frozen=True)
class Run:
    """One student, one method and one seed."""

    student: Student
    method: str
    seed: int

    @property
    def name(self) -> str:
        """Its folder; another version of a user's own code is trained in another."""
        student = "-".join(filter(None, (self.student.name, self.student.code)))
        return folder_name(f"{student}_{self.method}_seed{self.seed}")

    @property
    def distilled(self) -> bool:
        """Whether it learns from a teacher."""
        return learns(self.method)


def folder_name(text: str) -> str:
    """A text as the name of a folder."""
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-")
    if len(name) <= LONGEST_NAME and name.replace("-", "") == re.sub(r"[:,-]", "", text):
        return name
    return f"{name[:LONGEST_NAME]}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def perform(run: Run, conditions: Conditions, watch: Watch) -> Row:
    """The row of a run, trained now, from its checkpoint where there is one."""
    data, folder, settings = conditions.data, conditions.out / run.name, _settings(run, conditions)
    if conditions.group.main:
        record.check_writable(folder)
    student = network_of(run.student, conditions, run.seed)
    teacher = conditions.teacher.model if conditions.teacher and run.distilled else None
    recipe = replace(conditions.recipe, seed=run.seed)
    named = pairing.parse(conditions.stages)
    loss = Objective(terms(run, conditions), student, teacher, data, run.seed, recipe.label_smoothing, named)
    outcome = train(student, loss, data, recipe, folder, settings, watch, conditions.group)
    if conditions.group.main:
        inputs = data.normalisation._asdict()
        if outcome.status == "done":
            about = exporting.inputs(run.student.name, data)
            if conditions.start:
                inputs = (conditions.start.normalisation or data.normalisation)._asdict()
                about |= {"resolution": conditions.size, **inputs}
            record.write_json(about, normalisation.beside(folder / WEIGHTS))
        ended = {"status": outcome.status, "history": outcome.history, "skipped_images": len(data.skipped)}
        content = {"settings": settings, "normalisation": inputs, **ended}
        record.write_json(content, folder / "outcome.json")
    return row(run, conditions, outcome)


def network_of(student: Student, conditions: Conditions, seed: int) -> Model | Net:
    """A student with its first weights, on the device."""
    data, named = conditions.data, pairing.parse(conditions.stages)
    made = student.network(
        data.name,
        data.classes,
        conditions.size,
        seed=seed,
        init=conditions.init,
        device=data.device,
        precision=conditions.precision,
        stages=named.names(named.student),
    )
    if conditions.start:
        teaching.begin(made, student, conditions.start, data)
    return made


def terms(run: Run, conditions: Conditions) -> Terms:
    """A run's loss, with every weight and parameter, the usual ones being those of its teacher and student."""
    teacher = conditions.teacher.name if conditions.teacher else ""
    return methods.parse(run.method, (teacher, run.student.name))


def done(run: Run, conditions: Conditions) -> Row | None:
    """The row of a run that ended before, None where it did not. Raises ValueError where its folder holds another."""
    outcome = finished(conditions.out / run.name, _settings(run, conditions))
    return None if outcome is None else row(run, conditions, outcome)


def row(run: Run, conditions: Conditions, outcome: Outcome) -> Row:
    """What runs.csv says of a run, and how long it took."""
    data = conditions.data
    return {
        "space": run.student.space.name if run.student.space else NAMED,
        "arch": run.student.arch,
        "student": run.student.short,
        "found_by": run.student.found_by,
        "method": run.method,
        "loss": methods.text_of(terms(run, conditions)),
        "seed": run.seed,
        "params": run.student.params(data.name, data.classes, conditions.size),
        "last": outcome.last,
        "best": outcome.best,
        "status": outcome.status,
        "seconds": sum(epoch["seconds"] for epoch in outcome.history),
        "folder": run.name,
    }


def _settings(run: Run, conditions: Conditions) -> dict[str, object]:
    """All that the outcome of a run depends on."""
    data, teacher = conditions.data, conditions.teacher if run.distilled else None
    others: dict[str, object] = {}  # what older runs have no word of stands only where it is unusual
    if teacher is not None and teacher.resolution:
        others["teacher's resolution"] = teacher.resolution
    if run.student.code:
        others["code"] = run.student.code
    if conditions.start:
        others["begins with"] = conditions.start.text
    if conditions.stages and run.distilled:
        others["stages"] = conditions.stages
    return {
        "student": run.student.name,
        "loss": methods.text_of(terms(run, conditions)),
        "teacher": None if teacher is None else f"{teacher.name} {teacher.digest}",
        "teacher's inputs": None if teacher is None else teacher.normalisation.text,
        "data": f"{data.name} {data.digest}",
        "resolution": data.resolution,
        **replace(conditions.recipe, seed=run.seed).settings(),
        "init": "its constructor's" if run.student.is_module else conditions.init,
        "precision": conditions.precision,
        "processes": conditions.group.size,
        **others,
    }


def check_fits(planned: Sequence[Run], teacher: Student, resolution: int | None, conditions: Conditions) -> list[str]:
    """What is held against what, a line a student where a method compares stages; trains nothing.

    Raises ValueError where a student can't learn from this teacher by one of the methods.
    """
    data, named = conditions.data, pairing.parse(conditions.stages)
    size = resolution or data.resolution
    other = teacher.network(data.name, data.classes, size, device=data.device, stages=named.names(named.teacher))
    other.resolution = resolution
    lines: dict[str, None] = {}
    for student in dict.fromkeys(run.student for run in planned if run.distilled):
        own = network_of(student, conditions, conditions.recipe.seed)
        every = {run.method: run for run in planned if run.student == student and run.distilled}
        for run in every.values():
            lines |= dict.fromkeys(check_run(run, own, other, teacher.short, conditions))
    return list(lines)


def check_run(run: Run, own: Network, other: Network, teacher: str, conditions: Conditions) -> list[str]:
    """What is held against what, a line where the method compares stages. Raises ValueError where it can't be."""
    wanted = methods.parse(run.method)
    ways = {name: methods.METHODS[name] for name in wanted if name != methods.CE}
    for name, way in ways.items():
        if way.alone and conditions.group.size > 1:
            raise ValueError(f"method {name} keeps a memory of all images, and one process has to see them all")
    objective.check_terms(wanted, conditions.recipe)
    loss = Objective(wanted, own, other, conditions.data, 0, named=pairing.parse(conditions.stages))
    if not loss.stages:
        return []
    shown = objective.glances(own, other, conditions.data, stages=True)
    told = pairing.told(own, other, shown, loss.pairs)
    return [f"stages of {run.student.short} and of its teacher {teacher}: {told}"]


def finished(folder: Path, settings: dict[str, object]) -> Outcome | None:
    """The outcome of a run that ended in this folder before. Raises ValueError where it had other settings."""
    path = folder / "outcome.json"
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        there, outcome = dict(content["settings"].items()), Outcome(content["status"], content["history"])
        _ = outcome.last + outcome.best + sum(epoch["seconds"] for epoch in outcome.history)  # all that a row reads
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None  # damaged: the checkpoint has it all
    check_settings(there, settings, folder)
    return outcome


def learns(method: str) -> bool:
    """Whether a method learns from a teacher."""
    return set(methods.parse(method)) != {methods.CE}


def distilled_of(names: Iterable[str]) -> str:
    """The method whose accuracies a table calls distilled: the first of these that learns from a teacher; or empty."""
    return next(filter(learns, names), "")


def truth_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a student, as `rank.py --truth` reads it: mean last accuracies in percent over seeds.

    `vanilla` is the method ce; `distilled` the first that learns from a teacher, both over the seeds that a student has
    of both. Each method also has a column under its own name and, with several seeds, one of its deviation and one a
    seed ("ce seed 0"). `params`, and `found_by` where searches found the students, stand at the end. Students with a
    method of which no run is done, or without a seed in common, are left out.
    """
    done = rows[rows["status"].eq("done")]
    names = list(dict.fromkeys(rows["method"]))
    targets = {"vanilla": VANILLA, "distilled": distilled_of(names)}
    targets = {column: method for column, method in targets.items() if method in names}
    means = done.pivot_table(index=["space", "arch"], columns="method", values="last", aggfunc="mean", sort=False)
    spread = done.pivot_table(index=["space", "arch"], columns="method", values="last", aggfunc="std", sort=False)
    table = means.reindex(columns=names).dropna()
    every = done.groupby(["space", "arch", "seed"])["method"].transform(lambda of: {*targets.values()} <= {*of})
    shared = done.assign(last=done["last"].where(every.astype(bool)))
    pairs = shared.groupby(["space", "arch", "method"])["last"].mean().unstack("method").reindex(columns=names)
    for number, (column, method) in enumerate(targets.items()):
        table.insert(number, column, pairs[method])
    table = table.dropna(subset=list(targets))
    if rows["seed"].nunique() > 1:
        table = table.join(spread.add_suffix(" sd"))
        own = done.assign(run=done["method"] + " seed " + done["seed"].astype(str))
        table = table.join(own.pivot_table(index=["space", "arch"], columns="run", values="last", sort=False))
    known = ["params", *(["found_by"] if rows["found_by"].any() else [])]
    return table.join(done.groupby(["space", "arch"])[known].first()).reset_index()


def by_student(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a student and method: means over the seeds, the standard deviation of `last`, seconds in all."""
    rows = rows.assign(seeds=1, sd=rows["last"])
    how = {
        "student": "first",
        "found_by": "first",
        "params": "first",
        "last": "mean",
        "sd": "std",
        "best": "mean",
        "seconds": "sum",
        "seeds": "sum",
    }
    groups = rows.groupby(["space", "arch", "method"], sort=False)
    worst = groups["status"].agg(lambda found: next((status for status in found if status != "done"), "done"))
    return groups.agg(how).join(worst).reset_index()
