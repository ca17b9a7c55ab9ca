"""What a student is trained for: cross entropy and distillation losses with weights, as `kd:0.9,diswot` names them.

The losses are those of proxies/formulas/, which the proxies negate. What is trained beside the student (FitNets'
regressor, VID's predictors, CRD's embeddings and memory) is in adapters.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from proxies.formulas import losses, similarity
from search.distillation.adapters import Adapter, Contrast, Information, Regressor
from search.distillation.images import Batch, Data
from search.distillation.students import Model, Seen

Loss = Callable[[Seen, Seen, Batch], Tensor]


@dataclass(frozen=True)
class Method:
    """A loss of student, teacher and batch, its usual weight, and where it comes from.

    `stages`: whether it reads the stages' maps; `equal`: which channels of student and teacher have to be as many.
    `alone`: whether one process has to see all images. `loss` may be the class of an adapter, which is then built for
    the two networks.
    """

    loss: Loss | type[Adapter]
    weight: float
    source: str
    stages: bool = False
    equal: Literal["", "last map", "stages"] = ""
    alone: bool = False


def _semantic(student: Seen, teacher: Seen, _: Batch) -> Tensor:
    """The article's L_Ms: M_s / K^2, the class activation maps compared as proxies/teacher.py does."""
    own, other = (
        similarity.gram(similarity.class_activation_maps(seen.features, seen.head)) for seen in (student, teacher)
    )
    return similarity.gram_distance(own, other).mean() / own.shape[-1] ** 2


def _relation(student: Seen, teacher: Seen, _: Batch) -> Tensor:
    """The article's L_Mr: M_r / N^2."""
    own, other = (similarity.sample_gram(seen.features) for seen in (student, teacher))
    return similarity.gram_distance(own, other) / len(own) ** 2


def _sp(student: Seen, teacher: Seen, _: Batch) -> Tensor:
    return similarity.row_gram_distance(*(similarity.sample_gram(seen.features) for seen in (student, teacher)))


def _at(student: Seen, teacher: Seen, _: Batch) -> Tensor:
    pairs = zip(student.stages, teacher.stages, strict=True)
    return torch.stack([losses.at_loss(*pair) for pair in pairs]).sum()


# RepDistiller's weights where it has the method, else the article's; of cc it has another form, docs/distillation.md
METHODS = {
    "kd": Method(lambda s, t, _: losses.kd_loss(s.logits, t.logits), 0.9, "Hinton et al. 2015"),
    "dkd": Method(lambda s, t, b: losses.dkd_loss(s.logits, t.logits, b.labels), 1.0, "Zhao et al., CVPR 2022"),
    "dist": Method(lambda s, t, _: losses.dist_loss(s.logits, t.logits), 2.0, "Huang et al., NeurIPS 2022"),
    "at": Method(_at, 1000.0, "Zagoruyko & Komodakis, ICLR 2017", stages=True),
    "sp": Method(_sp, 3000.0, "Tung & Mori, ICCV 2019"),
    "rkd": Method(lambda s, t, _: losses.rkd_loss(s.pooled, t.pooled), 1.0, "Park et al., CVPR 2019"),
    "cc": Method(lambda s, t, _: losses.cc_loss(s.pooled, t.pooled), 0.02, "Peng et al., ICCV 2019"),
    "pkt": Method(lambda s, t, _: losses.pkt_loss(s.pooled, t.pooled), 30000.0, "Passalis & Tefas, ECCV 2018"),
    "nst": Method(lambda s, t, _: losses.nst_loss(s.features, t.features), 50.0, "Huang & Wang 2017"),
    "ickd": Method(
        lambda s, t, _: losses.ickd_loss(s.features, t.features), 2.5, "Liu et al., ICCV 2021", equal="last map"
    ),
    "kdsvd": Method(
        lambda s, t, _: losses.kdsvd_loss(s.stages, t.stages), 1.0, "Lee et al., ECCV 2018", True, "stages"
    ),
    "cka": Method(lambda s, t, _: losses.cka_loss(s.stages, t.stages), 1.0, "RMI-NAS, 2022", stages=True),
    "fitnets": Method(Regressor, 100.0, "Romero et al., ICLR 2015", stages=True),
    "vid": Method(Information, 1.0, "Ahn et al., CVPR 2019", stages=True),
    "crd": Method(Contrast, 0.8, "Tian et al., ICLR 2020", alone=True),
    "diswot_semantic": Method(_semantic, 1.0, "Dong, Li & Wei, CVPR 2023"),
    "diswot_relation": Method(_relation, 1.0, "Dong, Li & Wei, CVPR 2023"),
}

CE = "ce"
DISWOT = "diswot"
DISWOT_TERMS = ("diswot_semantic", "diswot_relation")


def parse(text: str) -> dict[str, float]:
    """The terms of the loss and their weights that `kd:0.9,diswot` names.

    Cross entropy counts 1, less what kd counts (RepDistiller's gamma = 1 - alpha), unless `ce:W` says otherwise.
    `diswot` adds the article's semantic and relation terms; without kd beside it, it is the article's whole loss,
    cross entropy + KL + both. Raises ValueError for what is no method or no weight.
    """
    given: dict[str, float] = {}
    for part in (part.strip() for part in text.split(",") if part.strip()):
        name, colon, number = part.partition(":")
        if name not in {*METHODS, CE, DISWOT}:
            raise ValueError(f"no method is called {name!r}; there are: {', '.join([CE, DISWOT, *METHODS])}")
        if name in given:
            raise ValueError(f"--method {text}: {name} stands there twice")
        usual = METHODS[name].weight if name in METHODS else 1.0
        given[name] = _weight(number, part) if colon else usual
    if not given:
        raise ValueError("--method names no method; ce is training without a teacher")
    terms = {name: weight for name, weight in given.items() if name not in (CE, DISWOT)}
    entropy = max(0.0, 1 - terms.get("kd", 0.0))
    if DISWOT in given:
        terms = {"kd": 1.0, **terms, **dict.fromkeys(DISWOT_TERMS, given[DISWOT])}
    return {CE: given.get(CE, entropy), **terms}


def _weight(number: str, part: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ValueError(f"--method {part}: a weight is a number from 0, as in kd:0.9")
    return value


class Objective(nn.Module):
    """The weighted sum of cross entropy and distillation terms, for one student, one teacher and one training set."""

    def __init__(
        self, terms: Mapping[str, float], student: Model, teacher: Model | None, data: Data, seed: int
    ) -> None:
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
                self.adapters[name] = loss(own, other, data.train.labels.cpu(), seed).to(own.head.device)

    @property
    def distilled(self) -> list[str]:
        """The terms that need a teacher."""
        return [name for name in self.terms if name != CE]

    def forward(self, student: Seen, batch: Batch) -> Tensor:
        """The loss of what a student shows on a batch, a scalar."""
        total = self.terms[CE] * cross_entropy(student.logits, batch.labels)
        if self.distilled:
            teacher = self._teacher(batch.images)
            for name in self.distilled:
                loss = self.adapters[name] if name in self.adapters else METHODS[name].loss
                total = total + self.terms[name] * cast(Loss, loss)(student, teacher, batch)
        return total

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
    return {"": [], "last map": [seen.features], "stages": seen.stages}[method.equal]
