"""The loss of a run: the weighted sum of its terms for one student, one teacher and one training set."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from search.distillation.images import Batch, Data
from search.distillation.methods import CE, METHODS, Loss, Method, Terms
from search.distillation.students import Model, Seen


class Objective(nn.Module):
    """The weighted sum of cross entropy and distillation terms, for one student, one teacher and one training set."""

    def __init__(self, terms: Terms, student: Model, teacher: Model | None, data: Data, seed: int) -> None:
        super().__init__()
        self.terms = dict(terms)
        self.teacher = teacher
        self.stages = any(METHODS[name].stages for name in self.distilled)
        self.adapters = nn.ModuleDict()
        if not self.distilled:
            return
        if teacher is None:
            raise ValueError(f"method {self.distilled[0]} needs a teacher")
        own, other = glances(student, teacher, data, stages=self.stages)
        for name in self.distilled:
            check_fit(name, own, other)
            loss = METHODS[name].loss
            if isinstance(loss, type):
                made = loss(own, other, data.train.labels.cpu(), seed, **self.terms[name].values)
                self.adapters[name] = made.to(own.head.device)

    @property
    def distilled(self) -> list[str]:
        """The terms that need a teacher."""
        return [name for name in self.terms if name != CE]

    def forward(self, student: Seen, batch: Batch) -> Tensor:
        """The loss of what a student shows on a batch, a scalar."""
        total = self.terms[CE].weight * cross_entropy(student.logits, batch.labels)
        if self.distilled:
            teacher = self._teacher(batch.images)
            for name in self.distilled:
                total = total + self.terms[name].weight * self._loss(name, student, teacher, batch)
        return total

    def _loss(self, name: str, student: Seen, teacher: Seen, batch: Batch) -> Tensor:
        if name in self.adapters:
            return cast(Tensor, self.adapters[name](student, teacher, batch))
        return cast(Loss, METHODS[name].loss)(student, teacher, batch, self.terms[name].values)

    def _teacher(self, images: Tensor) -> Seen:
        assert self.teacher is not None
        with torch.no_grad():
            return self.teacher.look(images, stages=self.stages)


def glances(student: Model, teacher: Model, data: Data, *, stages: bool) -> tuple[Seen, Seen]:
    """What both networks show on two images: their shapes."""
    few = data.normalised(data.test.images[:1].expand(2, -1, -1, -1))
    with torch.no_grad():
        own, other = (model.look(few, stages=stages) for model in (student, teacher))
    return own, other


def check_fit(name: str, student: Seen, teacher: Seen) -> None:
    """Raises ValueError where a method can't compare two networks, naming methods that can."""
    method = METHODS[name]
    if student.logits.shape != teacher.logits.shape:
        raise ValueError(f"the student has {student.logits.shape[1]} classes and the teacher {teacher.logits.shape[1]}")
    if method.stages and len(student.stages) != len(teacher.stages):
        free = ", ".join(other for other, one in METHODS.items() if not one.stages and not one.equal)
        raise ValueError(
            f"method {name} compares stages: the student has {len(student.stages)}, the teacher "
            f"{len(teacher.stages)}; methods that need none: {free}"
        )
    own, other = ([m.shape[1] for m in _compared(method, seen)] for seen in (student, teacher))
    if own != other:
        free = ", ".join(key for key, one in METHODS.items() if not one.equal)
        raise ValueError(
            f"method {name} needs equal channels of the {method.equal}: the student has {own}, the teacher {other}; "
            f"methods that don't: {free}"
        )


def _compared(method: Method, seen: Seen) -> list[Tensor]:
    """The maps whose channels have to be as many."""
    return seen.stages if method.equal else []
