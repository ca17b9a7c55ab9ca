"""What a student is trained for: cross entropy and distillation losses, as `kd(T=2):0.9,diswot` names them.

The losses are those of proxies/formulas/, which the proxies negate. What is trained beside the student (FitNets'
regressor, ICKD's embedding, VID's predictors, CRD's embeddings and memory) is in adapters.py; the sum of it all for two
networks in objective.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf, isfinite
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from benchmarks.reading.naming import meant
from proxies.formulas import losses, similarity
from search.distillation.adapters import Adapter, Contrast, Embedding, Information, Locality, Regressor
from search.distillation.data import Batch
from search.distillation.models import Seen

Values = Mapping[str, float]  # of a method's parameters, by their names
Loss = Callable[[Seen, Seen, Batch, Values], Tensor]
Pair = tuple[str, str]  # teacher and student, by name


class Parameter(NamedTuple):
    """What a user may set of a method: its usual value, the least and the most it may be, and whether it counts."""

    usual: float
    least: float = 0.0
    most: float = inf
    whole: bool = False


@dataclass(frozen=True)
class Method:
    """A loss of student, teacher, batch and parameters, its usual weight, and where it comes from.

    `stages`: whether it reads the stages' maps; `reads`: what else beside the logits; `labels`: whether an image's own
    label; `equal`: which channels of student and teacher have to be as many.
    `alone`: whether one process has to see all images. `loss` may be the class of an adapter, which is then built for
    the two networks, with the parameters by name. `pairs`: other usual values for a teacher and a student.
    """

    loss: Loss | type[Adapter]
    weight: float
    source: str
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    stages: bool = False
    reads: tuple[Literal["features", "pooled", "head"], ...] = ()
    labels: bool = False
    equal: Literal["", "stages"] = ""
    alone: bool = False
    pairs: Mapping[Pair, Values] = field(default_factory=dict)

    def usual(self, pair: Pair | None = None) -> dict[str, float]:
        """The parameters' usual values, for a pair of networks where it is known."""
        others = self.pairs.get(pair, {}) if pair else {}
        return {name: others.get(name, parameter.usual) for name, parameter in self.parameters.items()}


def _dkd(student: Seen, teacher: Seen, batch: Batch, values: Values) -> Tensor:
    """DKD times min(epoch / warmup, 1), the first epoch being 1, as its authors have it."""
    loss = losses.dkd_loss(
        student.logits, teacher.logits, batch.labels, values["alpha"], values["beta"], temperature=values["T"]
    )
    return min((batch.epoch + 1) / values["warmup"], 1.0) * loss


def _hard(student: Seen, teacher: Seen, _: Batch, __: Values) -> Tensor:
    """Cross entropy with the class that the teacher likes best."""
    return cross_entropy(student.logits, teacher.logits.argmax(-1))


def _semantic(student: Seen, teacher: Seen, _: Batch, __: Values) -> Tensor:
    """The article's L_Ms: M_s / K^2, the class activation maps compared as proxies/teacher.py does."""
    own, other = (
        similarity.gram(similarity.class_activation_maps(seen.features, seen.head)) for seen in (student, teacher)
    )
    return similarity.gram_distance(own, other).mean() / own.shape[-1] ** 2


def _relation(student: Seen, teacher: Seen, _: Batch, __: Values) -> Tensor:
    """The article's L_Mr: M_r / N^2."""
    own, other = (similarity.sample_gram(seen.features) for seen in (student, teacher))
    return similarity.gram_distance(own, other) / len(own) ** 2


def _sp(student: Seen, teacher: Seen, _: Batch, __: Values) -> Tensor:
    return similarity.row_gram_distance(*(similarity.sample_gram(seen.features) for seen in (student, teacher)))


def _over_stages(loss: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """The sum of a loss over the stages' maps."""

    def summed(student: Seen, teacher: Seen, _: Batch, __: Values) -> Tensor:
        pairs = zip(student.stages, teacher.stages, strict=True)
        return torch.stack([loss(*pair) for pair in pairs]).sum()

    return summed


FEATURES: tuple[Literal["features"], ...] = ("features",)
POOLED: tuple[Literal["pooled"], ...] = ("pooled",)
LEAST_T = 0.01  # of temperatures, which logits are divided by
SIZES = {"negatives": Parameter(16384, 1, whole=True), "size": Parameter(128, 1, 65536, whole=True)}

# mdistiller's beta for its pairs; S0's candidates of three and five blocks a stage are resnet20 and resnet32
DKD_PAIRS: dict[Pair, Values] = {
    (teacher, student): {"beta": 2.0}
    for teacher, students in {"resnet56": ("resnet20", "s0:333"), "resnet110": ("resnet32", "s0:555")}.items()
    for student in students
}

# RepDistiller's weights where it has the method, else the article's; of cc it has another form, docs/distillation.md
METHODS = {
    "kd": Method(
        lambda s, t, _, v: losses.kd_loss(s.logits, t.logits, v["T"]),
        0.9,
        "Hinton et al. 2015",
        {"T": Parameter(4, LEAST_T)},
    ),
    "kd_hard": Method(_hard, 0.5, "Touvron et al., ICML 2021 (DeiT)"),
    "dkd": Method(
        _dkd,
        1.0,
        "Zhao et al., CVPR 2022",
        {"alpha": Parameter(1), "beta": Parameter(8), "T": Parameter(4, LEAST_T), "warmup": Parameter(20, 1)},
        pairs=DKD_PAIRS,
        labels=True,
    ),
    "dist": Method(
        lambda s, t, _, v: losses.dist_loss(s.logits, t.logits, v["tau"]),
        2.0,
        "Huang et al., NeurIPS 2022",
        {"tau": Parameter(4, LEAST_T)},
    ),
    "at": Method(_over_stages(losses.at_loss), 1000.0, "Zagoruyko & Komodakis, ICLR 2017", stages=True),
    "sp": Method(_sp, 3000.0, "Tung & Mori, ICCV 2019", reads=FEATURES),
    "rkd": Method(
        lambda s, t, _, v: losses.rkd_loss(s.pooled, t.pooled, v["distance"], v["angle"]),
        1.0,
        "Park et al., CVPR 2019",
        {"distance": Parameter(25), "angle": Parameter(50)},
        reads=POOLED,
    ),
    "cc": Method(
        lambda s, t, _, v: losses.cc_loss(s.pooled, t.pooled, v["gamma"], int(v["order"])),
        0.02,
        "Peng et al., ICCV 2019",
        {"gamma": Parameter(0.4), "order": Parameter(2, 1, 20, whole=True)},
        reads=POOLED,
    ),
    "pkt": Method(
        lambda s, t, _, __: losses.pkt_loss(s.pooled, t.pooled), 30000.0, "Passalis & Tefas, ECCV 2018", reads=POOLED
    ),
    "nst": Method(_over_stages(losses.nst_loss), 50.0, "Huang & Wang 2017", stages=True),
    "ickd": Method(Embedding, 2.5, "Liu et al., ICCV 2021", reads=FEATURES),
    "kdsvd": Method(
        lambda s, t, _, __: losses.kdsvd_loss(s.stages, t.stages),
        1.0,
        "Lee et al., ECCV 2018",
        stages=True,
        equal="stages",
    ),
    "cka": Method(lambda s, t, _, __: losses.cka_loss(s.stages, t.stages), 1.0, "RMI-NAS, 2022", stages=True),
    "fitnets": Method(Regressor, 100.0, "Romero et al., ICLR 2015", stages=True),
    "vid": Method(Information, 1.0, "Ahn et al., CVPR 2019", {"variance": Parameter(5, 0.001)}, stages=True),
    "crd": Method(
        Contrast,
        0.8,
        "Tian et al., ICLR 2020",
        {"tau": Parameter(0.07, LEAST_T), "momentum": Parameter(0.5, 0, 1), **SIZES},
        reads=POOLED,
        labels=True,
        alone=True,
    ),
    "lg": Method(Locality, 2.5, "Li et al., ECCV 2022", stages=True),
    "diswot_semantic": Method(_semantic, 1.0, "Dong, Li & Wei, CVPR 2023", reads=("features", "head")),
    "diswot_relation": Method(_relation, 1.0, "Dong, Li & Wei, CVPR 2023", reads=FEATURES),
}

CE = "ce"
SHARED = ("kd", "kd_hard")  # beside which alone cross entropy counts what is left of 1
DISWOT = "diswot"
DISWOT_TERMS = ("diswot_semantic", "diswot_relation")
OUTSIDE = r"(?![^()]*\))"  # what is followed by no closing parenthesis stands in none
PART = re.compile(r"\s*(?P<name>\w+)\s*(?:\((?P<values>[^()]*)\))?\s*(?::(?P<weight>.*))?")


@dataclass(frozen=True)
class Term:
    """A part of the loss: how much it counts, and its method's parameters."""

    weight: float
    values: Values = field(default_factory=dict)


Terms = dict[str, Term]


def several(text: str) -> list[str]:
    """The methods that `--method` names, which stand apart by blanks; blanks between parentheses are none."""
    return re.split(rf"\s+{OUTSIDE}", text.strip()) if text.strip() else []


def parse(text: str, pair: Pair | None = None) -> Terms:
    """The terms of the loss that `kd(T=2):0.9,diswot` names, by method, cross entropy first.

    Cross entropy counts 1, beside `kd` alone 1 less what kd counts (RepDistiller's recipe of plain KD; `kd_hard` alike,
    which is DeiT's), unless `ce:W` says otherwise. `diswot` adds the article's semantic and relation terms; without kd
    beside it, it is the article's whole loss, cross entropy + KL + both. Parameters that are not given have the values
    that are usual for the pair of teacher and student. Raises ValueError for what is no method, parameter or weight.
    """
    given: Terms = {}
    for part in (part.strip() for part in re.split(f",{OUTSIDE}", text) if part.strip()):
        name, term = _term(part, pair)
        if name in given:
            raise ValueError(f"--method {text}: {name} stands there twice")
        given[name] = term
    if not given:
        raise ValueError("--method names no method; ce is training without a teacher")
    terms = {name: term for name, term in given.items() if name not in (CE, DISWOT)}
    entropy = max(0.0, 1 - given[first].weight) if len(given) == 1 and (first := next(iter(given))) in SHARED else 1.0
    if DISWOT in given:
        added = {name: Term(given[DISWOT].weight) for name in DISWOT_TERMS if name not in terms}
        terms = {"kd": Term(1.0, METHODS["kd"].usual(pair)), **terms, **added}
    return {CE: given.get(CE, Term(entropy)), **terms}


def text_of(terms: Terms) -> str:
    """The whole loss, every weight and parameter in it, as `parse` reads it."""
    parts = []
    for name, term in terms.items():
        values = ",".join(f"{key}={value:.12g}" for key, value in term.values.items())
        parts.append(f"{name}({values}):{term.weight:.12g}" if values else f"{name}:{term.weight:.12g}")
    return ",".join(parts)


def _term(part: str, pair: Pair | None) -> tuple[str, Term]:
    """One part of a sum. Raises ValueError, saying what is allowed."""
    found = PART.fullmatch(part)
    if not found:
        raise ValueError(f"--method {part}: write a method as NAME, NAME:WEIGHT or NAME(PARAMETER=NUMBER,...):WEIGHT")
    name, inside, number = found["name"], found["values"], found["weight"]
    if name not in {*METHODS, CE, DISWOT}:
        known = [CE, DISWOT, *METHODS]
        raise ValueError(f"no method is called {name!r}; there are: {', '.join(known)}{meant(name, known)}")
    method = METHODS.get(name)
    weight = (method.weight if method else 1.0) if number is None else _weight(number, part)
    usual = method.usual(pair) if method else {}
    given = _values(name, inside, method.parameters if method else {}) if inside is not None else {}
    return name, Term(weight, {**usual, **given})


def _values(name: str, inside: str, parameters: Mapping[str, Parameter]) -> dict[str, float]:
    """The values between a method's parentheses. Raises ValueError, naming all parameters that it has."""
    known = ", ".join(f"{key}={parameter.usual:g}" for key, parameter in parameters.items()) or "none"
    given: dict[str, float] = {}
    for key, sign, number in (one.partition("=") for one in inside.split(",") if one.strip()):
        key = key.strip()
        if not sign or key not in parameters or key in given:
            raise ValueError(f"--method {name}({inside}): {name} has these parameters, each once: {known}")
        value, (_, least, most, whole) = _number(number), parameters[key]
        if value is None or not least <= value <= most or (whole and value != int(value)):
            kind = "a whole number" if whole else "a number"
            upper = "" if most == inf else f" to {most:g}"
            raise ValueError(f"--method {name}({inside}): {key} is {kind} from {least:g}{upper}")
        given[key] = value
    return given


def _weight(text: str, part: str) -> float:
    value = _number(text)
    if value is None or value < 0:
        raise ValueError(f"--method {part}: a weight is a number from 0, as in kd:0.9")
    return value


def _number(text: str) -> float | None:
    """A finite number, None for any other text."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None
