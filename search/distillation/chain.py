"""Who is trained before the students are: the teacher, where its weights are not there or not of these classes, and the
assistants between them, each taught by the one before it (Mirzadeh et al., AAAI 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from benchmarks.output.terminal import Advance
from benchmarks.scoring.engines import Engine
from search.distillation import runs, students, sweep
from search.distillation.loop import WEIGHTS
from search.distillation.runs import Conditions, Row, Run
from search.distillation.sweep import Plan

TEACHER, ASSISTANT = "teacher", "assistant"  # folders in --out
GENTLY = 0.1  # of the recipe's learning rate, where trained weights are trained on


class Link(NamedTuple):
    """A network that is trained to teach, and for how many epochs; `role` is its folder's name."""

    role: str
    run: Run
    epochs: int


def links(plan: Plan, planned: Sequence[Run], teacher_epochs: int | None) -> list[Link]:
    """Those that have to be trained, in order; none where no student learns from a teacher.

    Assistants are taught by the first method that needs a teacher.
    """
    methods = [run.method for run in planned if run.distilled]
    if not methods:
        return []
    seed, epochs = plan.recipe.seed, plan.recipe.epochs
    found = []
    if plan.teacher_weights is None:
        found.append(Link(TEACHER, Run(students.find(plan.teacher), runs.VANILLA, seed), teacher_epochs or epochs))
    named = [students.find(name, role="assistant") for name in plan.assistants]
    return found + [Link(ASSISTANT, Run(student, methods[0], seed), epochs) for student in named]


def follow(link: Link, plan: Plan, conditions: Conditions) -> tuple[Plan, Conditions]:
    """Plan and conditions where a link that is trained teaches. Raises ValueError where its weights are not there."""
    weights = plan.out / link.role / link.run.name / WEIGHTS
    if not weights.exists():
        raise ValueError(f"the {link.role} is not trained, there is no {weights}")
    after = replace(plan, teacher=link.run.student.name, teacher_weights=weights, published=False, start=None)
    after = replace(after, teacher_normalisation=None)  # it stands beside the weights
    if link.role == ASSISTANT:
        after = replace(after, teacher_resolution=None)
    return after, after.taught(replace(conditions, start=None))


def train(
    link: Link, plan: Plan, conditions: Conditions, engine: Engine, advance: Advance, warn: Callable[[str], None]
) -> tuple[Plan, Conditions, Row]:
    """Train a link; plan and conditions with it as the teacher, and the row of its run."""
    recipe = replace(plan.recipe, epochs=link.epochs)
    if plan.start is not None and link.role == TEACHER:
        recipe = replace(recipe, learning_rate=GENTLY * recipe.learning_rate)
    out = plan.out / link.role
    own = replace(plan, recipe=recipe, out=out), replace(conditions, recipe=recipe, out=out)
    (row,) = sweep.perform(own[0], [link.run], own[1], engine, advance, warn)
    if row["status"] != "done":
        advice = "lower --learning-rate" if row["status"] == "diverged" else "the same command tries again"
        raise ValueError(f"the {link.role} {row['status']} ({out / link.run.name}): {advice}")
    return (*follow(link, plan, conditions), row)
