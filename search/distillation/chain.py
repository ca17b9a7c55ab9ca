"""Who is trained before the students are: the teacher, where its weights are not there or not of these classes, and the
assistants between them, each taught by the one before it (Mirzadeh et al., AAAI 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from benchmarks.output.terminal import Advance
from benchmarks.scoring.engines import Engine
from search.distillation import pairing, runs, students, sweep, teaching
from search.distillation.loop import WEIGHTS
from search.distillation.recipes import Recipe
from search.distillation.runs import Conditions, Row, Run
from search.distillation.students import Student
from search.distillation.sweep import Plan

TEACHER, ASSISTANT = "teacher", "assistant"  # folders in --out
GENTLY = 0.1  # of the recipe's learning rate, where trained weights are trained on


class Link(NamedTuple):
    """A network that is trained to teach, and for how many epochs; `role` is its folder's name."""

    role: str
    run: Run
    epochs: int

    def own(self, conditions: Conditions) -> Conditions:
        """Where and how it is trained itself: in its folder, for its epochs, trained weights gently."""
        recipe = replace(conditions.recipe, epochs=self.epochs)
        if conditions.start is not None and self.role == TEACHER:
            recipe = replace(recipe, learning_rate=GENTLY * recipe.learning_rate)
        return replace(conditions, recipe=recipe, out=conditions.out / self.role, stages="")

    def teaches(self, conditions: Conditions, resolution: int | None) -> Conditions:
        """The conditions where it teaches, trained, images of this size. Raises ValueError where it is not trained."""
        weights = conditions.out / self.role / self.run.name / WEIGHTS
        if not weights.exists():
            raise ValueError(f"the {self.role} is not trained, there is no {weights}")
        named = pairing.parse(conditions.stages)
        stages = named.names(named.teacher)
        about = (conditions.data, conditions.precision, None, resolution, stages)  # inputs stand beside the weights
        return replace(conditions, teacher=teaching.load_teacher(self.run.student, weights, *about), start=None)


def links(plan: Plan, planned: Sequence[Run], teacher_epochs: int | None) -> list[Link]:
    """Those of a plan that have to be trained, in order."""
    teacher = students.find(plan.teacher) if plan.teacher_weights is None else None
    return linked(teacher, assistants_of(plan), planned, plan.recipe, teacher_epochs)


def assistants_of(plan: Plan) -> list[Student]:
    """Those that a plan names."""
    return [students.find(name, role="assistant") for name in plan.assistants]


def linked(
    teacher: Student | None,
    assistants: Sequence[Student],
    planned: Sequence[Run],
    recipe: Recipe,
    teacher_epochs: int | None,
) -> list[Link]:
    """The teacher, where it is to be trained, then the assistants; none where no student learns from a teacher.

    Assistants are taught by the first method that needs a teacher.
    """
    methods = [run.method for run in planned if run.distilled]
    if not methods:
        return []
    seed, epochs = recipe.seed, recipe.epochs
    found = [] if teacher is None else [Link(TEACHER, Run(teacher, runs.VANILLA, seed), teacher_epochs or epochs)]
    return found + [Link(ASSISTANT, Run(student, methods[0], seed), epochs) for student in assistants]


def check(
    teacher: Student,
    assistants: Sequence[Student],
    planned: Sequence[Run],
    resolution: int | None,
    conditions: Conditions,
) -> list[str]:
    """What is held against what, from the teacher by the assistants to the students; see runs.check_fits."""
    lines = list[str]()
    method = next(run.method for run in planned if run.distilled)
    conditions = replace(conditions, start=None)
    names = [assistant.name for assistant in assistants]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two assistants are called {twice[0]}, and a folder is kept by name")
    for assistant in assistants:
        run = Run(assistant, method, conditions.recipe.seed)
        lines += runs.check_fits([run], teacher, resolution, conditions)
        teacher, resolution = assistant, None
    return lines + runs.check_fits(planned, teacher, resolution, conditions)


def follow(link: Link, plan: Plan, conditions: Conditions) -> tuple[Plan, Conditions]:
    """Plan and conditions where a link that is trained teaches. Raises ValueError where its weights are not there."""
    resolution = plan.teacher_resolution if link.role == TEACHER else None
    taught = link.teaches(conditions, resolution)
    weights = plan.out / link.role / link.run.name / WEIGHTS
    after = replace(plan, teacher=link.run.student.name, teacher_weights=weights, published=False, start=None)
    return replace(after, teacher_normalisation=None, teacher_resolution=resolution), taught


def train(
    link: Link, plan: Plan, conditions: Conditions, engine: Engine, advance: Advance, warn: Callable[[str], None]
) -> tuple[Plan, Conditions, Row]:
    """Train a link; plan and conditions with it as the teacher, and the row of its run."""
    own = link.own(conditions)
    where = replace(plan, recipe=own.recipe, out=own.out, stages="")
    (row,) = sweep.perform(where, [link.run], own, engine, advance, warn)
    if row["status"] != "done":
        advice = "lower --learning-rate" if row["status"] == "diverged" else "the same command tries again"
        raise ValueError(f"the {link.role} {row['status']} ({own.out / link.run.name}): {advice}")
    return (*follow(link, plan, conditions), row)
