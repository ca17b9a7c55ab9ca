"""Closed forms and invariances of the similarities. Golden values were worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.testing import assert_close

from proxies.formulas import similarity


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_relation_of_orthogonal_samples_against_equal_ones() -> None:
    student = torch.eye(2, dtype=torch.float64)  # rows e1, e2
    teacher = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)  # rows e1, e1
    found = similarity.row_gram_distance(similarity.gram(student), similarity.gram(teacher))
    assert_close(found.item(), 1 - 1 / math.sqrt(2))  # .2928932: (2 - 2 / sqrt 2) / 2, twice, over 4


def test_frobenius_distance_of_orthogonal_samples_against_equal_ones() -> None:
    found = similarity.gram_distance(torch.eye(2, dtype=torch.float64), torch.ones(2, 2, dtype=torch.float64))
    assert_close(found.item(), math.sqrt(2 - math.sqrt(2)))  # cosine of I and ones is 2 / (sqrt 2 * 2)


def test_semantic_distance_of_one_class_with_one_sign_turned() -> None:
    student, teacher = torch.tensor([[1.0, 1.0]]).double(), torch.tensor([[1.0, -1.0]]).double()
    assert similarity.outer_product_distance(student, teacher).item() == 2  # cosine 0: (2 + 2 - 0) / (C K = 2)


def literal_outer_product_distance(a: Tensor, b: Tensor) -> Tensor:
    """The released definition: outer products, rows divided by max(norm, 1e-12), squared difference over C K."""
    outer = [normalize(x.unsqueeze(-1) * x.unsqueeze(-2), dim=-1) for x in (a, b)]
    return (outer[0] - outer[1]).square().sum() / a.numel()


def test_outer_product_distance_equals_the_released_form_where_no_clamp_fires() -> None:
    a, b = randn(5, 7), randn(5, 7, seed=1)
    a[2, 3] = 0  # a dead channel
    b[4] = 0  # a class without gradient
    assert_close(similarity.outer_product_distance(a, b), literal_outer_product_distance(a, b))


def test_outer_product_distance_stays_scale_free_where_the_released_form_does_not() -> None:
    a, b = randn(5, 7), randn(5, 7, seed=1)
    tiny = a.clone()
    tiny[1] *= 1e-8  # row norms of the outer product are then near 1e-16, under the clamp of 1e-12
    expected = similarity.outer_product_distance(a, b)
    assert_close(similarity.outer_product_distance(tiny, b), expected)
    assert abs(literal_outer_product_distance(tiny, b) - expected) > 0.01


def test_class_activation_maps_of_one_pixel() -> None:
    features = torch.tensor([2.0, 3.0]).reshape(1, 2, 1, 1)
    weight = torch.tensor([[1.0, 0.0], [1.0, -1.0]])
    assert_close(similarity.class_activation_maps(features, weight), torch.tensor([[[2.0], [-1.0]]]).double())


def test_the_distance_of_many_vectors_is_that_of_their_gram_matrices() -> None:
    random = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, 5, 40, size, generator=random, dtype=torch.float64) for size in (3, 4))
    a[1, 2], b[1, 2:4] = 0, 0
    b[0, 0] = b[0, 0] * 1e-3  # no scale counts
    found = similarity.gram_distance_of_many(a, b)
    assert_close(found, similarity.gram_distance(a @ a.mT, b @ b.mT), rtol=1e-12, atol=1e-12)
    assert found[1, 2:4].tolist() == [0, 1]
    assert similarity.gram_distance_of_many(a, 3 * a).abs().max() < 1e-7
    assert similarity.are_many(a, b)
    assert not similarity.are_many(a[..., :27, :], b[..., :27, :])
    with pytest.raises(ValueError, match="Gram matrices of student and teacher differ in shape"):
        similarity.gram_distance_of_many(a, b[:, :, 1:])


@pytest.mark.parametrize("distance", [similarity.gram_distance, similarity.row_gram_distance])
def test_gram_distances_have_their_invariances(distance: object) -> None:
    a, b = randn(6, 9), randn(6, 9, seed=1)
    rotation = torch.linalg.qr(randn(9, 9, seed=2)).Q
    order = torch.tensor([4, 2, 0, 5, 1, 3])

    def between(x: Tensor, y: Tensor) -> Tensor:
        return distance(similarity.gram(x), similarity.gram(y))  # type: ignore[operator,no-any-return]

    expected = between(a, b)
    assert_close(between(b, a), expected)
    assert_close(between(3 * a, b), expected)
    assert_close(between(a @ rotation, b), expected)
    assert_close(between(a[order], b[order]), expected)
    assert between(a, a).item() == 0


def test_leading_axes_pass_through() -> None:
    a, b = randn(3, 5, 7), randn(3, 5, 7, seed=1)
    for distance in (similarity.outer_product_distance, lambda x, y: similarity.gram_distance(x @ x.mT, y @ y.mT)):
        assert_close(distance(a, b), torch.stack([distance(x, y) for x, y in zip(a, b, strict=True)]))


def test_zero_matrices_stay_zero() -> None:
    zero = torch.zeros(3, 3, dtype=torch.float64)
    assert similarity.gram_distance(zero, zero).item() == 0
    assert_close(similarity.gram_distance(zero, torch.eye(3).double()).item(), 1.0)
    assert similarity.row_gram_distance(zero, zero).item() == 0


def test_shapes_that_would_only_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 2\) against \(3, 3\)"):
        similarity.gram_distance(torch.eye(2), torch.eye(3))
    with pytest.raises(ValueError, match=r"\(5, 7\) against \(5, 1\)"):
        similarity.outer_product_distance(randn(5, 7), randn(5, 1))
