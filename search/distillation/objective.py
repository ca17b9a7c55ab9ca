"""The loss of a run: the weighted sum of its terms for one student, one teacher and one training set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from search.distillation import pairing
from search.distillation.data import Batch, Data
from search.distillation.methods import CE, METHODS, Loss, Terms
from search.distillation.models import Network, Seen
from search.distillation.pairing import Named, Pairs
from search.distillation.recipes import Recipe

WORDS = {"features": "last map", "pooled": "vector that the classifier gets", "head": "classifier on the averaged map"}
LACKING = {"features": "features", "pooled": "head", "head": "head", "stages": "stage"}  # as a module's `lacks` has it


class Objective(nn.Module):
    """The weighted sum of cross entropy and distillation terms, for one student, one teacher and one training set.

    `smoothing`: of the labels; `named`: what the user says of the stages.
    """

    def __init__(
        self,
        terms: Terms,
        student: Network,
        teacher: Network | None,
        data: Data,
        seed: int,
        smoothing: float = 0.0,
        named: Named = Named(),  # noqa: B008, a tuple
    ) -> None:
        super().__init__()
        self.terms = dict(terms)
        self.teacher = teacher
        self.smoothing = smoothing
        self.stages = any(METHODS[name].stages for name in self.distilled)
        self.maps = self.stages or any(METHODS[name].reads for name in self.distilled)
        self.pairs: Pairs = []
        self.adapters = nn.ModuleDict()
        if not self.distilled:
            return
        if teacher is None:
            raise ValueError(f"method {self.distilled[0]} needs a teacher")
        check_apart(student.tensors(), teacher.state_dict())
        shown = glances(student, teacher, data, stages=self.stages, maps=self.maps)
        self.pairs = pairing.paired(*shown, named) if self.stages else []
        own, other = (self._paired(seen, side) for side, seen in enumerate(shown))
        for name in self.distilled:
            check_fit(name, own, other, student, teacher)
            loss = METHODS[name].loss
            if isinstance(loss, type):
                made = loss(own, other, data.train.labels.cpu(), seed, **self.terms[name].values)
                self.adapters[name] = made.to(own.logits.device)

    @property
    def distilled(self) -> list[str]:
        """The terms that need a teacher."""
        return [name for name in self.terms if name != CE]

    def forward(self, student: Seen, batch: Batch) -> Tensor:
        """The loss of what a student shows on a batch, a scalar."""
        return self.weighted(self.losses(student, batch))

    def losses(self, student: Seen, batch: Batch) -> list[Tensor]:
        """The terms of the loss, unweighted scalars, in their order."""
        targets = batch.labels if batch.targets is None else batch.targets
        found = [cross_entropy(student.logits, targets, label_smoothing=self.smoothing)]
        if self.distilled:
            own, other = self._paired(student, 0), self._paired(self._teacher(batch.images), 1)
            found += [self._loss(name, own, other, batch) for name in self.distilled]
        return found

    def weighted(self, losses: list[Tensor]) -> Tensor:
        """Their weighted sum."""
        first, *others = self.terms.values()
        total = first.weight * losses[0]
        for term, loss in zip(others, losses[1:], strict=True):
            total = total + term.weight * loss
        return total

    def _paired(self, seen: Seen, side: int) -> Seen:
        """What is seen with those stages alone that are compared, in the order of their pairs."""
        return seen._replace(stages=[seen.stages[pair[side]] for pair in self.pairs])

    def _loss(self, name: str, student: Seen, teacher: Seen, batch: Batch) -> Tensor:
        if name in self.adapters:
            return cast(Tensor, self.adapters[name](student, teacher, batch))
        return cast(Loss, METHODS[name].loss)(student, teacher, batch, self.terms[name].values)

    def _teacher(self, images: Tensor) -> Seen:
        assert self.teacher is not None
        with torch.no_grad():
            return self.teacher.look(images, stages=self.stages, maps=self.maps)


def glances(student: Network, teacher: Network, data: Data, *, stages: bool, maps: bool = True) -> tuple[Seen, Seen]:
    """What both networks show on two images: their shapes."""
    with torch.no_grad():
        own, other = (model.look(data.example, stages=stages, maps=maps) for model in (student, teacher))
    return own, other


def check_apart(student: Iterable[Tensor], teacher: Mapping[str, Tensor]) -> None:
    """Raises ValueError where both have weights in common, so that training the one would change the other."""
    places = {tensor.data_ptr() for tensor in student if tensor.numel()}
    shared = [name for name, value in teacher.items() if value.numel() and value.data_ptr() in places]
    if shared:
        raise ValueError(
            f"student and teacher share weights ({shared[0]}, of {len(shared)}): training the student would change the "
            "teacher; give each its own, such as copy.deepcopy(module)"
        )


def check_terms(terms: Terms, recipe: Recipe) -> None:
    """Raises ValueError where a method reads the labels one by one, and the recipe mixes images."""
    for name in terms:
        if name != CE and METHODS[name].labels and recipe.mixes:
            free = ", ".join(key for key, one in METHODS.items() if not one.labels)
            raise ValueError(
                f"method {name} reads each image's own label, which mixup and cutmix leave it none of: --mixup 0 "
                f"--cutmix 0, or a method that reads none: {free}"
            )


def check_fit(
    name: str, student: Seen, teacher: Seen, own: Network | None = None, other: Network | None = None
) -> None:
    """Raises ValueError where a method can't compare two networks, naming methods that can."""
    method = METHODS[name]
    if student.logits.shape != teacher.logits.shape:
        raise ValueError(f"the student has {student.logits.shape[1]} classes and the teacher {teacher.logits.shape[1]}")
    sides = (("student", student, own), ("teacher", teacher, other))
    for who, seen, network in sides:
        for part in (*method.reads, *(["stages"] if method.stages else [])):
            has = bool(seen.stages) if part == "stages" else getattr(seen, part).shape[1] > 0
            if not has:
                why = network.lacks.get(LACKING[part], "") if network else ""
                free = ", ".join(key for key, one in METHODS.items() if part not in one.reads and not one.stages)
                raise ValueError(
                    f"method {name} compares {WORDS.get(part, part)}, and the {who} shows none"
                    f"{f' ({why})' if why else ''}; methods that need none: {free}"
                )
    if method.stages and len(student.stages) != len(teacher.stages):
        free = ", ".join(other for other, one in METHODS.items() if not one.stages and not one.equal)
        raise ValueError(
            f"method {name} compares stages: the student has {len(student.stages)}, the teacher "
            f"{len(teacher.stages)}; methods that need none: {free}"
        )
    if method.equal:
        channels = [[m.shape[1] for m in seen.stages] for _, seen, _ in sides]
        if channels[0] != channels[1]:
            free = ", ".join(key for key, one in METHODS.items() if not one.equal)
            raise ValueError(
                f"method {name} needs equal channels of the {method.equal}: the student has {channels[0]}, the teacher "
                f"{channels[1]}; methods that don't: {free}"
            )
