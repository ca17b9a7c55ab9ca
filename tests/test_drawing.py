"""Weights are drawn by what a layer is, in three modes, without any global random state."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.conditions.drawing import INITS, Drawing, Init, Mode, generator, initial_bias, initial_weight
from benchmarks.spaces.stack import Stack
from proxies.probing.network import Layer, Weights
from tests.cases import MIXED, SPACE, teacher_of


def find(stack: Stack, role: str, operation: str | None = None) -> Layer:
    return next(one for one in stack.layers if one.role == role and operation in (None, one.operation))


def drawn(archs: list[str], mode: Mode, seed: int = 0) -> tuple[Stack, Weights]:
    stack = SPACE.build(archs, 10, 8)
    return stack, Drawing(seed, mode).candidates(stack, archs)


@pytest.mark.parametrize("mode", ["independent", "common", "shared"])
def test_weights_do_not_depend_on_neighbours(mode: Mode) -> None:
    stack, weights = drawn(MIXED[:4], mode)
    for member, arch in enumerate(MIXED[:4]):
        own_stack, own = drawn([arch], mode)
        for layer in own_stack.layers:
            if not layer.is_norm:
                there = find(stack, layer.role, layer.operation)
                assert torch.equal(own.kernels[layer][0], weights.kernels[there][there.members.index(member)])


def test_candidates_share_draws_only_where_the_mode_says_so() -> None:
    for mode, shared in (("independent", False), ("common", True), ("shared", True)):
        stack, weights = drawn(MIXED[:2], mode)  # type: ignore[arg-type]
        stem = weights.kernels[find(stack, "stem")]
        assert torch.equal(stem[0], stem[1]) is shared


@pytest.mark.parametrize(("mode", "shared"), [("independent", False), ("common", False), ("shared", True)])
def test_the_teacher_shares_stem_and_classifier_in_shared_mode_alone(mode: Mode, shared: bool) -> None:
    stack, weights = drawn(MIXED[:1], mode)
    teacher, own = teacher_of(mode=mode)
    for role in ("stem", "classifier"):
        there = own.kernels[find(teacher, role)].float()
        assert torch.equal(weights.kernels[find(stack, role)], there) is shared


def test_layers_seeds_and_operations_have_draws_of_their_own() -> None:
    stack, weights = drawn(MIXED[:1], "shared")
    _, other = drawn(MIXED[:1], "shared", seed=1)
    kernels = {layer.role: kernel for layer, kernel in weights.kernels.items()}
    assert not torch.equal(kernels["stage1.cell0.edge01"], kernels["stage1.cell1.edge01"])
    assert not torch.equal(kernels["stem"], next(iter(other.kernels.values())))
    assert len(stack.layers) > 90


@pytest.mark.parametrize("init", INITS)
def test_initialisations_have_their_moments(init: Init) -> None:
    shape = (64, 64, 3, 3)
    weight = initial_weight(shape, init, generator("moments"))
    expected = {"kaiming": math.sqrt(2 / 576), "normal": 1.0, "default": 1 / math.sqrt(3 * 576)}[init]
    assert weight.dtype == torch.float32
    assert abs(weight.mean()) < 5 * expected / math.sqrt(weight.numel())
    assert abs(weight.std() / expected - 1) < 0.01
    bias = initial_bias((10, 64), init, generator("bias"))
    assert bias.shape == (10,)
    assert bool(bias.any()) is (init == "default")
    assert bias.abs().max() <= 1 / 8


def test_draws_are_the_same_on_every_machine() -> None:
    """Golden numbers: a change here changes every published score."""
    golden = [[-0.27287814021110535, 1.4287525415420532], [0.822395920753479, -0.4157886505126953]]
    weight = initial_weight((2, 2), "normal", generator(0, "role", "op"))
    torch.testing.assert_close(weight, torch.tensor(golden), rtol=0, atol=0)


def test_drawing_uses_no_global_state() -> None:
    state = torch.get_rng_state()
    drawn(MIXED[:2], "independent")
    assert torch.equal(state, torch.get_rng_state())
