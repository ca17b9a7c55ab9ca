"""Distillation methods: which sum a text names, every loss's gradient, adapters by hand, networks that don't fit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from proxies.formulas import losses, similarity
from search.distillation import methods
from search.distillation.adapters import Contrast, Information, Regressor
from search.distillation.images import Batch
from search.distillation.methods import METHODS, Objective, check_fit
from search.distillation.students import Seen
from tests.cases import small_data, small_model

CLASSES, IMAGES = 4, 6


def randn(*shape: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def seen(seed: int, channels: tuple[int, ...] = (3, 4, 5)) -> Seen:
    """Rectified random maps of three stages, as a network could show them, one channel of the last one silent."""
    stages = [randn(IMAGES, c, 8 >> n, 8 >> n, seed=seed + n).relu() for n, c in enumerate(channels)]
    stages[-1][:, 0] = 0
    features = stages[-1]
    head = randn(CLASSES, channels[-1], seed=seed + 9)
    pooled = features.mean((-2, -1))
    return Seen(stages, features, pooled, pooled @ head.mT, head)


def batch() -> Batch:
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    return Batch(torch.zeros(IMAGES, 3, 8, 8), labels, torch.arange(IMAGES), 0)


LABELS = torch.tensor([0, 1, 2, 3] * 5)


def loss_of(name: str, student: Seen, teacher: Seen) -> Tensor:
    loss = METHODS[name].loss
    made = loss(student, teacher, LABELS, 0) if isinstance(loss, type) else loss
    return made(student, teacher, batch())  # type: ignore[return-value,arg-type]


@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_a_scalar_and_a_finite_gradient(name: str) -> None:
    student, teacher = seen(0), seen(100)
    leaves = [*student.stages, student.features, student.pooled, student.logits, student.head]
    for leaf in leaves:
        leaf.requires_grad_()
    loss = loss_of(name, student, teacher)
    assert loss.shape == ()
    found = torch.autograd.grad(loss, leaves, allow_unused=True)
    assert all(gradient.isfinite().all() for gradient in found if gradient is not None)
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in found)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not isinstance(method.loss, type)])
def test_a_student_that_is_the_teacher_has_no_loss(name: str) -> None:
    assert_close(loss_of(name, seen(0), seen(0)).item(), 0.0, atol=1e-5, rtol=0)


def test_what_a_text_names() -> None:
    assert methods.parse("ce") == {"ce": 1}
    assert methods.parse("kd") == {"ce": pytest.approx(0.1), "kd": 0.9}
    assert methods.parse("sp") == {"ce": 1, "sp": 3000}
    assert methods.parse("ce:0.5, at:7") == {"ce": 0.5, "at": 7}
    article = {"ce": 1, "kd": 1, "diswot_semantic": 1, "diswot_relation": 1}
    assert methods.parse("diswot") == article
    combined = methods.parse("kd:0.9,diswot:2")
    assert combined == {"ce": pytest.approx(0.1), "kd": 0.9, "diswot_semantic": 2, "diswot_relation": 2}


@pytest.mark.parametrize("text", ["", "kdd", "kd:", "kd:-1", "kd:nan", "kd,kd", "kd:1:2", "ce:inf"])
def test_what_names_no_method_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"method"):
        methods.parse(text)


def test_diswots_loss_is_the_articles() -> None:
    """CE + KL + M_s / K^2 + M_r / N^2, with the class activation maps and distances of the proxies."""
    data, student, teacher = small_data(), small_model("s0:111", 0), small_model("s0:311", 1)
    objective = Objective(methods.parse("diswot"), student, teacher, data, 0)
    one = next(data.epoch(6, 0, 0))
    own, other = (model.look(one.images) for model in (student, teacher))
    maps = [similarity.class_activation_maps(seen.features, seen.head) for seen in (own, other)]
    semantic = similarity.gram_distance(*(m @ m.mT for m in maps)).mean()
    relation = similarity.gram_distance(*(similarity.sample_gram(seen.features) for seen in (own, other)))
    expected = cross_entropy(own.logits, one.labels) + losses.kd_loss(own.logits, other.logits)
    expected = expected + semantic / data.classes**2 + relation / 6**2
    assert_close(objective(own, one), expected, check_dtype=False)


def pixels(*rows: list[float]) -> Seen:
    """One image a row, two channels of one pixel, and a head that passes them on."""
    pooled = torch.tensor(rows)
    features = pooled[:, :, None, None]
    return Seen([features], features, pooled, pooled, torch.eye(2))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sp", 1 - 1 / math.sqrt(2)),  # rows (1, 0) and (0, 1) against (1, 1)/sqrt 2 twice
        ("diswot_relation", math.sqrt(2 - math.sqrt(2)) / 4),  # I/sqrt 2 against ones/2; N = 2
        ("diswot_semantic", math.sqrt(2) / 2 / 4),  # the maps of image 1 agree, of image 2 are another class's; K = 2
    ],
)
def test_relations_of_two_images_by_hand(name: str, expected: float) -> None:
    own, other = pixels([1.0, 0.0], [0.0, 1.0]), pixels([1.0, 0.0], [1.0, 0.0])
    assert_close(loss_of(name, own, other).item(), expected)


def test_a_method_with_a_teacher_needs_one_and_ce_does_not() -> None:
    data, student = small_data(), small_model("s0:111", 0)
    with pytest.raises(ValueError, match="kd needs a teacher"):
        Objective(methods.parse("kd"), student, None, data, 0)
    one = next(data.epoch(6, 0, 0))
    shown = student.look(one.images)
    assert_close(
        Objective(methods.parse("ce"), student, None, data, 0)(shown, one), cross_entropy(shown.logits, one.labels)
    )


def test_networks_that_do_not_fit_are_refused_with_alternatives() -> None:
    wide = seen(0, (3, 4, 8))
    with pytest.raises(ValueError, match=r"ickd needs equal channels of the last map: .* \[5\], the teacher \[8\]"):
        check_fit("ickd", seen(0), wide)
    with pytest.raises(ValueError, match=r"kdsvd needs equal channels of the stages.*methods that don't: kd, "):
        check_fit("kdsvd", seen(0), wide)
    with pytest.raises(ValueError, match="the student has 3, the teacher 2; methods that need none"):
        check_fit("at", seen(0), wide._replace(stages=wide.stages[1:]))
    with pytest.raises(ValueError, match="4 classes and the teacher 5"):
        check_fit("kd", seen(0), wide._replace(logits=torch.zeros(IMAGES, 5)))
    for name in ("kd", "at", "fitnets", "vid", "crd", "nst", "diswot_semantic"):
        check_fit(name, seen(0), wide)


def test_adapters_meet_other_channels_and_sizes() -> None:
    student, teacher = seen(0), seen(100, (3, 7, 9))
    teacher = teacher._replace(stages=[m.repeat_interleave(2, -1).repeat_interleave(2, -2) for m in teacher.stages])
    for kind in (Regressor, Information, Contrast):
        assert kind(student, teacher, LABELS, 0)(student, teacher, batch()).isfinite()


def test_adapters_depend_on_their_seed_alone() -> None:
    student, teacher = seen(0), seen(100)
    first, second, other = (Contrast(student, teacher, LABELS, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["own_memory"], other["own_memory"])


def test_the_regressor_that_is_the_identity_leaves_the_difference_of_maps() -> None:
    student, teacher = seen(0), seen(100)
    adapter = Regressor(student, teacher, LABELS, 0)
    with torch.no_grad():
        adapter.regressor.weight.copy_(torch.eye(4)[:, :, None, None])
    expected = (student.stages[1] - teacher.stages[1]).square().mean()
    assert_close(adapter(student, teacher, batch()), expected)


def test_predictors_begin_with_the_variance_of_the_article() -> None:
    """With predictions of 0: half the mean of f_T^2 / 5 + log 5, summed over the stages."""
    student, teacher = seen(0), seen(100)
    adapter = Information(student, teacher, LABELS, 0)
    for parameter in adapter.predictors.parameters():
        torch.nn.init.zeros_(parameter)
    expected = sum((m.square().mean() / 5 + math.log(5)) / 2 for m in teacher.stages)
    assert_close(adapter(student, teacher, batch()).item(), float(expected), rtol=1e-4, atol=0)


def test_contrasts_are_images_of_other_classes_each_equally_likely() -> None:
    labels = torch.tensor([2, 0, 1, 0, 2, 0, 1, 2, 0, 0])
    adapter = Contrast(seen(0), seen(100), labels, 0, negatives=10)
    assert adapter.negatives == 5  # ten images less the five of the largest class
    counts = torch.zeros(3, 10)
    for step in range(2000):
        one = Batch(torch.zeros(3, 3, 8, 8), torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0]), step)
        for row, drawn in enumerate(adapter._others(one)):
            counts[row] += drawn.bincount(minlength=10)
    for label in range(3):
        others = labels != label
        assert (counts[label][~others] == 0).all()
        share = counts[label][others] / counts[label].sum() * others.sum()
        assert ((share - 1).abs() < 0.1).all()


def test_memories_move_half_way_and_stay_on_the_sphere() -> None:
    student, teacher = seen(0), seen(100)
    adapter = Contrast(student, teacher, LABELS, 0)
    before = adapter.own_memory.clone()
    adapter(student, teacher, batch())
    embedded = torch.nn.functional.normalize(student.pooled @ adapter.get_parameter("own_embedding").mT)
    expected = torch.nn.functional.normalize((before[:IMAGES] + embedded) / 2)
    assert_close(adapter.own_memory[:IMAGES], expected)
    assert torch.equal(adapter.own_memory[IMAGES:], before[IMAGES:])
