"""A set of training runs, each in a folder of its own: students x methods x seeds under one teacher, and their rows.

A run that is done is not done again; one that was killed goes on.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from benchmarks.conditions import teachers
from benchmarks.conditions.drawing import Init
from benchmarks.output import record
from benchmarks.spaces.space import counted
from search.distillation import methods, normalisation, objective
from search.distillation.group import ALONE, Group
from search.distillation.images import Data
from search.distillation.loop import WEIGHTS, Outcome, Recipe, Watch, accuracy, check_settings, train
from search.distillation.methods import Terms
from search.distillation.normalisation import Normalisation
from search.distillation.objective import Objective
from search.distillation.students import Model, Precision, Student

Row = dict[str, object]  # of runs.csv

VANILLA = "ce"
NAMED = "named"  # the space of students that teachers.py names
LONGEST_NAME = 60  # of a run's folder; of a longer name a digest stands at its end


@dataclass(frozen=True)
class Teacher:
    """A trained network that does not change: its test accuracy in percent, its weights' digest, how inputs come."""

    name: str
    model: Model
    accuracy: float
    digest: str
    normalisation: Normalisation

    def guesses(self, data: Data) -> bool:
        """Whether it is no better than chance: within three standard errors of what guessing would have right."""
        chance = 1 / data.classes
        error = math.sqrt(chance * (1 - chance) / len(data.test.labels))
        return self.accuracy <= 100 * (chance + 3 * error)


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


@dataclass(frozen=True)
class Run:
    """One student, one method and one seed."""

    student: Student
    method: str
    seed: int

    @property
    def name(self) -> str:
        """Its folder."""
        return folder_name(f"{self.student.name}_{self.method}_seed{self.seed}")

    @property
    def distilled(self) -> bool:
        """Whether it learns from a teacher."""
        return set(methods.parse(self.method)) != {methods.CE}


def folder_name(text: str) -> str:
    """A text as the name of a folder."""
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-")
    if len(name) <= LONGEST_NAME and name.replace("-", "") == re.sub(r"[:,-]", "", text):
        return name
    return f"{name[:LONGEST_NAME]}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def load_teacher(
    name: str, path: Path, data: Data, precision: Precision, normalised: Normalisation | None = None
) -> Teacher:
    """A teacher with trained weights, shown images normalised as it knows them.

    That is by `normalised`, else by what the file beside its weights says, else as the students' are. Raises ValueError
    naming the first thing in a file that does not fit.
    """
    stack, device = Student(None, name).build(data.name, data.classes, data.resolution), data.train.labels.device
    wanted = normalised or normalisation.read(normalisation.beside(path)) or data.normalisation
    retouch = normalisation.retouch(data.normalisation, wanted, device)
    model = Model(stack, teachers.load(stack, path, device), precision, retouch)
    return Teacher(name, model, accuracy(model, data, data.test), teachers.digest(path)[:12], wanted)


def perform(run: Run, conditions: Conditions, watch: Watch) -> Row:
    """The row of a run, trained now, from its checkpoint where there is one."""
    data, folder, settings = conditions.data, conditions.out / run.name, _settings(run, conditions)
    if conditions.group.main:
        record.check_writable(folder)
    stack = run.student.build(data.name, data.classes, data.resolution)
    device = data.train.labels.device
    student = Model.fresh(stack, run.student.name, run.seed, conditions.init, device, conditions.precision)
    teacher = conditions.teacher.model if conditions.teacher and run.distilled else None
    loss = Objective(terms(run, conditions), student, teacher, data, run.seed)
    recipe = replace(conditions.recipe, seed=run.seed)
    outcome = train(student, loss, data, recipe, folder, settings, watch, conditions.group)
    if conditions.group.main:
        inputs = data.normalisation._asdict()
        if outcome.status == "done":
            about = {"network": run.student.name, "classes": data.classes, "resolution": data.resolution, **inputs}
            record.write_json(about, normalisation.beside(folder / WEIGHTS))
        content = {"settings": settings, "normalisation": inputs, "status": outcome.status, "history": outcome.history}
        record.write_json(content, folder / "outcome.json")
    return row(run, conditions, outcome)


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
        "params": counted(run.student.build(data.name, data.classes, data.resolution)).params,
        "last": outcome.last,
        "best": outcome.best,
        "status": outcome.status,
        "seconds": sum(epoch["seconds"] for epoch in outcome.history),
        "folder": run.name,
    }


def _settings(run: Run, conditions: Conditions) -> dict[str, object]:
    """All that the outcome of a run depends on."""
    data, teacher = conditions.data, conditions.teacher if run.distilled else None
    return {
        "student": run.student.name,
        "loss": methods.text_of(terms(run, conditions)),
        "teacher": None if teacher is None else f"{teacher.name} {teacher.digest}",
        "teacher's inputs": None if teacher is None else teacher.normalisation.text,
        "data": f"{data.name} {data.digest}",
        "resolution": data.resolution,
        **asdict(replace(conditions.recipe, seed=run.seed)),
        "init": conditions.init,
        "precision": conditions.precision,
        "processes": conditions.group.size,
    }


def check_fits(planned: Sequence[Run], teacher: Student, conditions: Conditions) -> None:
    """Raises ValueError where a student can't learn from this teacher by one of the methods; trains nothing."""
    data, device = conditions.data, conditions.data.train.labels.device
    size = (data.name, data.classes, data.resolution)
    other = Model.fresh(teacher.build(*size), teacher.name, 0, conditions.init, device)
    wanted: dict[Student, list[str]] = {}
    for run in planned:
        wanted.setdefault(run.student, []).extend(name for name in methods.parse(run.method) if name != methods.CE)
    for student, names in wanted.items():
        if not names:
            continue
        own = Model.fresh(student.build(*size), student.name, 0, conditions.init, device)
        shown = objective.glances(own, other, data, stages=True)
        for name in dict.fromkeys(names):
            objective.check_fit(name, *shown)
            if methods.METHODS[name].alone and conditions.group.size > 1:
                raise ValueError(f"method {name} keeps a memory of all images, and one process has to see them all")


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


def truth_table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a student, as `rank.py --truth` reads it: mean last accuracies in percent over seeds.

    `vanilla` is the method ce; `distilled` the first other method; each method also has a column under its own name
    and, with several seeds, one of its deviation and one a seed ("ce seed 0"). `params`, and `found_by` where searches
    found the students, stand at the end. Students with a method of which no run is done are left out.
    """
    done = rows[rows["status"].eq("done")]
    names = list(dict.fromkeys(rows["method"]))
    means = done.pivot_table(index=["space", "arch"], columns="method", values="last", aggfunc="mean", sort=False)
    spread = done.pivot_table(index=["space", "arch"], columns="method", values="last", aggfunc="std", sort=False)
    table = means.reindex(columns=names).dropna()
    distilled = [name for name in names if name != VANILLA]
    for number, (column, method) in enumerate((("vanilla", VANILLA), ("distilled", (distilled or [""])[0]))):
        if method in table:
            table.insert(number, column, table[method])
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
