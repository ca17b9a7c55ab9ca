"""Distillation methods: which sum a text names, every loss's gradient, adapters by hand, networks that don't fit."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus
from torch.testing import assert_close

from proxies.formulas import losses, similarity
from search.distillation import methods
from search.distillation.adapters import Contrast, Embedding, Information, Regressor
from search.distillation.data import Batch
from search.distillation.loop import part
from search.distillation.methods import METHODS, Term
from search.distillation.models import Seen
from search.distillation.objective import Objective, check_fit
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


def loss_of(text: str, student: Seen, teacher: Seen, epoch: int = 100) -> Tensor:
    """The loss of one method, past every warm-up, with parameters as a user gives them."""
    (name, term), one = [*methods.parse(text).items()][1], batch()._replace(epoch=epoch)
    loss = METHODS[name].loss
    if isinstance(loss, type):
        return loss(student, teacher, LABELS, 0, **term.values)(student, teacher, one)  # type: ignore[no-any-return]
    return loss(student, teacher, one, term.values)


def weights(text: str) -> dict[str, float]:
    return {name: term.weight for name, term in methods.parse(text).items()}


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


ZERO = [name for name, method in METHODS.items() if not isinstance(method.loss, type) and name != "kd_hard"]


@pytest.mark.parametrize("name", ZERO)
def test_a_student_that_is_the_teacher_has_no_loss(name: str) -> None:
    assert_close(loss_of(name, seen(0), seen(0)).item(), 0.0, atol=1e-5, rtol=0)


def test_what_a_text_names() -> None:
    assert weights("ce") == {"ce": 1}
    assert weights("kd") == {"ce": pytest.approx(0.1), "kd": 0.9}
    assert weights("sp") == {"ce": 1, "sp": 3000}
    assert weights("ce:0.5, at:7") == {"ce": 0.5, "at": 7}
    assert weights("ce:0.5,kd:0.9") == {"ce": 0.5, "kd": 0.9}
    article = {"ce": 1, "kd": 1, "diswot_semantic": 1, "diswot_relation": 1}
    assert weights("diswot") == article
    assert weights("kd:0.9,diswot:2") == {"ce": 1, "kd": 0.9, "diswot_semantic": 2, "diswot_relation": 2}


def test_a_term_beside_diswot_has_the_weight_that_it_is_given() -> None:
    terms = methods.parse("diswot,diswot_semantic:7,kd:3")
    assert {name: term.weight for name, term in terms.items()} == {
        **{"ce": 1, "kd": 3, "diswot_semantic": 7, "diswot_relation": 1}
    }


def test_cross_entropy_gives_way_to_plain_kd_alone() -> None:
    """RepDistiller: -r .1 -a .9 for kd; CRD + KD is -a 1 -b .8, with gamma at its default of 1."""
    assert weights("kd:1,crd") == {"ce": 1, "kd": 1, "crd": 0.8}
    assert weights("crd,kd:1")["ce"] == 1
    assert weights("kd:1") == {"ce": 0, "kd": 1}


@pytest.mark.parametrize("text", ["", "kdd", "kd:", "kd:-1", "kd:nan", "kd,kd", "kd:1:2", "ce:inf", "kd(T=2", "kd)"])
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
    with pytest.raises(ValueError, match=r"kdsvd needs equal channels of the stages.*methods that don't: kd, "):
        check_fit("kdsvd", seen(0), wide)
    with pytest.raises(ValueError, match="the student has 3, the teacher 2; methods that need none"):
        check_fit("at", seen(0), wide._replace(stages=wide.stages[1:]))
    with pytest.raises(ValueError, match="4 classes and the teacher 5"):
        check_fit("kd", seen(0), wide._replace(logits=torch.zeros(IMAGES, 5)))
    for name in ("kd", "at", "fitnets", "vid", "crd", "nst", "ickd", "diswot_semantic"):
        check_fit(name, seen(0), wide)


def test_adapters_meet_other_channels_and_sizes() -> None:
    student, teacher = seen(0), seen(100, (3, 7, 9))
    teacher = teacher._replace(stages=[m.repeat_interleave(2, -1).repeat_interleave(2, -2) for m in teacher.stages])
    for kind in (Regressor, Embedding, Information, Contrast):
        assert kind(student, teacher, LABELS, 0)(student, teacher, batch()).isfinite()


def test_adapters_depend_on_their_seed_alone() -> None:
    student, teacher = seen(0), seen(100)
    first, second, other = (Contrast(student, teacher, LABELS, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["own_memory"], other["own_memory"])


def identity(adapter: torch.nn.Module, channels: int) -> None:
    """Let an adapter's one convolution pass its input on."""
    (conv,) = (module for module in adapter.modules() if isinstance(module, torch.nn.Conv2d))
    with torch.no_grad():
        conv.weight.copy_(torch.eye(channels)[:, :, None, None])


def normed(maps: Tensor) -> Tensor:
    """Batch normalisation without scale and shift, by hand."""
    mean, variance = maps.mean((0, 2, 3), keepdim=True), maps.var((0, 2, 3), unbiased=False, keepdim=True)
    return (maps - mean) / (variance + 1e-5).sqrt()


def test_the_regressor_is_the_recipes() -> None:
    """A convolution that is the identity leaves the mean squares of a normalised, rectified middle map."""
    student, teacher = seen(0), seen(100)
    adapter = Regressor(student, teacher, LABELS, 0)
    identity(adapter, 4)
    expected = (normed(student.stages[1]).relu() - teacher.stages[1]).square().mean()
    assert_close(adapter(student, teacher, batch()), expected)


def test_the_embedding_is_the_authors() -> None:
    """ICKD's loss of the student's normalised last map; it takes a student to a teacher of other channels."""
    student, teacher = seen(0), seen(100)
    adapter = Embedding(student, teacher, LABELS, 0)
    identity(adapter, 5)
    assert_close(adapter(student, teacher, batch()), losses.ickd_loss(normed(student.features), teacher.features))
    wide = seen(100, (3, 4, 9))
    assert Embedding(student, wide, LABELS, 0)(student, wide, batch()).isfinite()


@pytest.mark.parametrize("kind", [Regressor, Embedding, Information])
def test_convolutions_of_adapters_begin_as_pytorchs_do(kind: type[Regressor]) -> None:
    """Uniform in +-1/sqrt(fan in): nothing beyond, and the deviation of a uniform number."""
    student, teacher = seen(0, (3, 32, 40)), seen(100, (48, 64, 64))
    convs = [one for one in kind(student, teacher, LABELS, 0).modules() if isinstance(one, torch.nn.Conv2d)]
    scaled = torch.cat([conv.weight.detach().flatten() * math.sqrt(conv.in_channels) for conv in convs])
    assert scaled.abs().max() <= 1
    assert_close(scaled.std().item(), 1 / math.sqrt(3), rtol=0.03, atol=0)


def test_predictors_begin_with_the_variance_of_the_article() -> None:
    """With predictions of 0: half the mean of f_T^2 / 5 + log 5, summed over the stages; 5 to rounding."""
    student, teacher = seen(0), seen(100)
    adapter = Information(student, teacher, LABELS, 0)
    for parameter in adapter.predictors.parameters():
        torch.nn.init.zeros_(parameter)
    expected = sum((m.square().mean() / 5 + math.log(5)) / 2 for m in teacher.stages)
    assert_close(adapter(student, teacher, batch()).item(), float(expected), rtol=5e-7, atol=0)


def test_contrasts_are_images_of_other_classes_each_equally_likely() -> None:
    labels = torch.tensor([2, 0, 1, 0, 2, 0, 1, 2, 0, 0])
    adapter = Contrast(seen(0), seen(100), labels, 0, negatives=10)
    assert adapter.negatives == 5  # ten images less the five of the largest class
    counts = torch.zeros(3, 10)
    for step in range(2000):
        one = Batch(torch.zeros(3, 3, 8, 8), torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0]), step)
        for row, drawn in enumerate(adapter._others(one)):
            assert len(drawn.unique()) == 5, "none twice"
            counts[row] += drawn.bincount(minlength=10)
    for label in range(3):
        others = labels != label
        assert (counts[label][~others] == 0).all()
        share = counts[label][others] / counts[label].sum() * others.sum()
        assert ((share - 1).abs() < 0.1).all()


def test_parts_of_a_batch_draw_contrasts_of_their_own() -> None:
    adapter = Contrast(seen(0), seen(100), torch.arange(10), 0, negatives=5)
    one = Batch(torch.zeros(1, 3, 8, 8), torch.tensor([0]), torch.tensor([0]), 0)
    drawn = [adapter._others(one._replace(part=number)).tolist() for number in (0, 1, 2)]
    assert drawn[0] != drawn[1] != drawn[2] != drawn[0]


def test_memories_move_half_way_and_stay_on_the_sphere() -> None:
    student, teacher = seen(0), seen(100)
    adapter = Contrast(student, teacher, LABELS, 0)
    before = adapter.own_memory.clone()
    adapter(student, teacher, batch())
    weight, bias = adapter.get_parameter("own_embedding"), adapter.get_parameter("own_bias")
    assert (bias != 0).any()
    embedded = torch.nn.functional.normalize(student.pooled @ weight.mT + bias)
    expected = torch.nn.functional.normalize((before[:IMAGES] + embedded) / 2)
    assert_close(adapter.own_memory[:IMAGES], expected)
    assert torch.equal(adapter.own_memory[IMAGES:], before[IMAGES:])


def test_parameters_are_given_in_parentheses() -> None:
    assert methods.parse("kd(T=2):0.9")["kd"] == Term(0.9, {"T": 2})
    assert methods.parse("kd( T = 2 ) : 0.9") == methods.parse("kd(T=2):0.9")
    assert methods.parse("rkd(angle=50,distance=25)") == methods.parse("rkd")
    summed = methods.parse("kd(T=2),dkd(beta=2,alpha=.5):3,ce:2")
    assert summed["dkd"] == Term(3, {"alpha": 0.5, "beta": 2, "T": 4, "warmup": 20})
    assert (summed["ce"].weight, summed["kd"].values) == (2, {"T": 2})
    assert methods.several(" ce  rkd(angle=5, distance=2):3,kd ") == ["ce", "rkd(angle=5, distance=2):3,kd"]


def test_a_loss_is_written_so_that_it_can_be_read_again() -> None:
    assert methods.text_of(methods.parse("kd")) == "ce:0.1,kd(T=4):0.9"
    for text in (*METHODS, "ce", "diswot", "kd(T=2):0.9,dist(tau=1)", "dkd(beta=2)"):
        written = methods.text_of(methods.parse(text))
        assert methods.text_of(methods.parse(written)) == written


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kd(temperature=2)", r"kd has these parameters, each once: T=4"),
        ("rkd(T=2)", r"rkd has these parameters, each once: distance=25, angle=50"),
        ("sp(T=2)", r"sp has these parameters, each once: none"),
        ("kd(T=2,T=3)", r"each once: T=4"),
        ("kd(2)", r"each once: T=4"),
        ("kd(T=0)", r"T is a number from 0\.01"),
        ("kd(T=x)", r"T is a number from 0\.01"),
        ("crd(negatives=1.5)", r"negatives is a whole number from 1"),
        ("crd(momentum=2)", r"momentum is a number from 0 to 1"),
        ("ce(T=2)", r"ce has these parameters, each once: none"),
        ("kd(T=2)x", r"write a method as NAME, NAME:WEIGHT or NAME\(PARAMETER=NUMBER,...\):WEIGHT"),
    ],
)
def test_unknown_parameters_are_refused_with_the_list(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        methods.parse(text)


def test_parameters_reach_the_loss() -> None:
    own, other = seen(0), seen(100)
    assert_close(loss_of("kd(T=2)", own, other), losses.kd_loss(own.logits, other.logits, 2.0))
    assert_close(loss_of("rkd(angle=0,distance=1)", own, other), losses.rkd_distance(own.pooled, other.pooled))
    assert_close(loss_of("rkd(angle=2,distance=0)", own, other), 2 * losses.rkd_angle(own.pooled, other.pooled))
    assert_close(loss_of("cc(gamma=.2,order=3)", own, other), losses.cc_loss(own.pooled, other.pooled, 0.2, 3))
    decoupled = losses.dkd_loss(own.logits, other.logits, batch().labels, 0.5, 2.0, 3.0)
    assert_close(loss_of("dkd(alpha=.5,beta=2,T=3)", own, other), decoupled)
    spread = softplus(Information(own, other, LABELS, 0, variance=2.0).scales[0]) + 1e-5
    assert_close(spread, torch.full((3,), 2.0))
    assert Contrast(own, other, LABELS, 0, negatives=3, size=7).own_memory.shape == (20, 7)


def test_dist_is_cifars_recipe_and_imagenets_can_be_asked_for() -> None:
    """tau 4: 16 times the loss of logits divided by 4; tau 1 is the loss of the logits."""
    own, other = seen(0), seen(100)
    assert_close(loss_of("dist", own, other), 16 * losses.dist_loss(own.logits / 4, other.logits / 4))
    assert_close(loss_of("dist(tau=1)", own, other), losses.dist_loss(own.logits, other.logits))
    assert weights("dist")["dist"] == 2


def test_dkd_warms_up_as_a_whole() -> None:
    """The first epoch has 1/20 of it, the tenth half, the twentieth and all later ones all."""
    own, other = seen(0), seen(100)
    whole = losses.dkd_loss(own.logits, other.logits, batch().labels)
    for epoch, share in ((0, 0.05), (9, 0.5), (19, 1), (200, 1)):
        assert_close(loss_of("dkd", own, other, epoch), share * whole)
    assert_close(loss_of("dkd(warmup=1)", own, other, 0), whole)


def test_batches_know_their_epoch() -> None:
    data = small_data()
    assert {one.epoch for one in data.epoch(8, 0, 3)} == {3}
    assert part(next(data.epoch(8, 0, 3)), 1, 2).epoch == 3


def test_dkds_beta_depends_on_the_pair() -> None:
    """mdistiller's configurations: 2 for resnet56 -> resnet20 and resnet110 -> resnet32, 8 elsewhere."""

    def beta(teacher: str, student: str, text: str = "dkd") -> float:
        return methods.parse(text, (teacher, student))["dkd"].values["beta"]

    assert beta("resnet56", "resnet20") == beta("resnet56", "s0:333") == beta("resnet110", "resnet32") == 2
    assert beta("resnet56", "s0:111") == beta("resnet20", "resnet20") == 8
    assert beta("resnet56", "resnet20", "dkd(beta=3)") == 3


def test_nst_is_over_all_stages() -> None:
    own, other = seen(0), seen(100)
    pairs = zip(own.stages, other.stages, strict=True)
    assert_close(loss_of("nst", own, other), torch.stack([losses.nst_loss(*pair) for pair in pairs]).sum())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kd", lambda s, t: losses.kd_loss(s.logits, t.logits)),
        (
            "at",
            lambda s, t: torch.stack([losses.at_loss(*pair) for pair in zip(s.stages, t.stages, strict=True)]).sum(),
        ),
        ("sp", lambda s, t: similarity.row_gram_distance(*(similarity.sample_gram(x.features) for x in (s, t)))),
        ("rkd", lambda s, t: 25 * losses.rkd_distance(s.pooled, t.pooled) + 50 * losses.rkd_angle(s.pooled, t.pooled)),
        ("cc", lambda s, t: losses.cc_loss(s.pooled, t.pooled)),
        ("pkt", lambda s, t: losses.pkt_loss(s.pooled, t.pooled)),
        ("kdsvd", lambda s, t: losses.kdsvd_loss(s.stages, t.stages)),
        ("cka", lambda s, t: losses.cka_loss(s.stages, t.stages)),
    ],
)
def test_a_method_at_its_usual_parameters_is_its_loss_to_the_bit(
    name: str, expected: Callable[[Seen, Seen], Tensor]
) -> None:
    assert torch.equal(loss_of(name, seen(0), seen(100)), expected(seen(0), seen(100)))
