"""The NAS-Bench-201 space: codes, indices, counts, functions. Counts and examples from the benchmark's own facts."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from benchmarks.spaces import find, space
from benchmarks.spaces.cells import parse_cell, print_cell
from benchmarks.spaces.nasbench201 import NasBench201
from benchmarks.timing.plain import PlainCellNetwork
from tests.cases import DEAD, MIXED

SPACE = NasBench201()
EVERY = [SPACE.arch(index) for index in range(len(SPACE))]


def test_the_space_has_15625_different_cells_of_6466_functions_and_341_are_disconnected() -> None:
    assert len(SPACE) == len(set(EVERY)) == 15_625
    assert len({SPACE.function_class(arch) for arch in EVERY}) == 6_466
    assert sum(not SPACE.connected(arch) for arch in EVERY) == 341


def test_official_indices() -> None:
    best = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|"
    assert SPACE.arch(13714) == best
    assert SPACE.from_tuple((2, 2, 0, 2, 3, 2)) == best
    assert SPACE.from_tuple((0, 2, 2, 3, 3, 2)) == SPACE.arch(3558)


@given(st.integers(0, 15_624))
def test_codes_lead_back_to_the_cell(index: int) -> None:
    arch = SPACE.arch(index)
    assert SPACE.index(arch) == index
    assert SPACE.parse(str(index)) == SPACE.parse(arch) == SPACE.parse(f"  {arch}\n") == arch
    assert print_cell(parse_cell(arch)) == arch


def test_six_tuples_name_every_cell_once() -> None:
    codes = list(product(range(5), repeat=6))
    assert {SPACE.from_tuple(code) for code in codes} == set(EVERY)
    assert all(SPACE.parse(str(code)) == SPACE.from_tuple(code) for code in codes[::100])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "15625",
        "-1",
        "(1,2,3)",
        "(0,0,0,0,0,9)",
        "(1,2,",
        "|none~0|",
        "1.5",
        "({[1]:1})",
        "9" * 5000,
        "(" + "-" * 9999 + ")",
    ],
)
def test_what_is_no_cell_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"cell|six-tuple"):
        SPACE.parse(text)


def test_params_and_macs_of_every_cell_equal_the_published_closed_forms() -> None:
    for arch in EVERY:
        n3, n1 = arch.count("3x3~") - arch.count("avg_pool"), arch.count("nor_conv_1x1")
        for classes, size in ((10, 32), (100, 32), (120, 16)):
            macs = 7_782_400 + 35_389_440 * n3 + 3_932_160 * n1
            expected = (72_656 + 65 * classes + 243_040 * n3 + 28_000 * n1, macs * size**2 // 1024 + 65 * classes)
            assert SPACE.count(arch, classes, size)[:2] == expected


@pytest.mark.parametrize(
    ("cell", "classes", "size", "params", "macs"),
    [  # from the benchmark's API
        ((4, 3, 3, 3, 2, 3), 100, 32, 434_196, 58_906_980),
        ((3, 3, 2, 1, 3, 2), 100, 32, 649_236, 90_364_260),
        ((2, 2, 2, 2, 2, 2), 10, 32, 1_531_546, 220_119_690),
        ((2, 2, 0, 2, 3, 2), 120, 16, 1_080_616, 38_325_880),
        ((1, 1, 1, 1, 1, 1), 10, 32, 73_306, 7_783_050),
    ],
)
def test_published_sizes(cell: tuple[int, ...], classes: int, size: int, params: int, macs: int) -> None:
    assert SPACE.count(SPACE.from_tuple(cell), classes, size)[:2] == (params, macs)


@pytest.mark.parametrize("arch", MIXED + DEAD)
def test_counts_equal_what_torch_counts_and_what_the_stack_declares(arch: str) -> None:
    params, macs, layers_of_it = SPACE.count(arch, 10, 16)
    network = PlainCellNetwork(parse_cell(arch), 10)
    assert sum(value.numel() for value in network.parameters()) == params
    counted = 0

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal counted
        counted += output.numel() * module.weight[0].numel() + (module.bias is not None) * output.numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    network.eval()(torch.zeros(1, 3, 16, 16))
    assert counted == macs
    assert layers_of_it == sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules())
    assert space.counted(SPACE.build([arch], 10, 16)) == (params, macs, layers_of_it)


def test_declared_sizes_equal_the_closed_forms_for_every_cell() -> None:
    """All 15,625 in stacks of 125, without building a weight."""
    for start in range(0, len(EVERY), 125):
        archs = EVERY[start : start + 125]
        totals = [[0, 0] for _ in archs]
        for layer in SPACE.build(archs, 10, 32).layers:
            for member in layer.members:
                totals[member][0] += layer.parameters
                totals[member][1] += layer.macs
        assert [tuple(total) for total in totals] == [SPACE.count(arch, 10, 32)[:2] for arch in archs]


def test_equal_functions() -> None:
    """The first and the second compute one 3x3 convolution of the input; the third a pool of it."""
    first = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
    second = "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|none~0|skip_connect~1|none~2|"
    third = "|avg_pool_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
    assert SPACE.function_class(first) == SPACE.function_class(second)
    assert SPACE.function_class(first) != SPACE.function_class(third)


def test_an_effective_cell_has_no_edge_that_nothing_depends_on() -> None:
    assert len({SPACE.effective(arch) for arch in EVERY}) == 9_445
    first = "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|none~0|skip_connect~1|none~2|"
    assert SPACE.effective(first) == "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
    assert SPACE.effective(SPACE.effective(first)) == SPACE.effective(first)


def test_samples_are_nested_uniform_and_different() -> None:
    small, large = (SPACE.sample(n, np.random.default_rng(3)) for n in (50, 500))
    assert large[:50] == small
    assert len(set(large)) == 500


@given(st.integers(0, 15_624), st.integers(0, 2**32))
def test_mutation_changes_one_edge(index: int, seed: int) -> None:
    arch = SPACE.arch(index)
    other = SPACE.mutate(arch, np.random.default_rng(seed))
    changed = [a != b for a, b in zip(parse_cell(arch), parse_cell(other), strict=True)]
    assert sum(changed) == 1
    assert SPACE.index(other) >= 0


def test_unknown_spaces_are_refused() -> None:
    with pytest.raises(ValueError, match="nasbench201"):
        find("nasbench101")


def test_a_string_with_edges_in_another_order_is_put_in_order() -> None:
    for index in (0, 13714, 6111):
        arch = SPACE.arch(index)
        nodes = [node.strip("|").split("|") for node in arch.split("+")]
        turned = "+".join("|" + "|".join(reversed(node)) + "|" for node in nodes)
        assert SPACE.parse(f" {turned} ") == arch
    with pytest.raises(ValueError, match="no NAS-Bench-201 cell"):
        SPACE.parse("|none~0|+|none~0|none~0|+|none~0|none~1|none~2|")
    with pytest.raises(ValueError, match="no NAS-Bench-201 cell"):
        SPACE.parse("|none~0|+|none~0|none~1|none~2|+|none~0|none~1|")


def test_2290_cells_have_a_convolution_that_only_zeros_reach() -> None:
    """Node 1 is zero where 01 is none, node 2 where 02 is and 12 is too or starts at a zero."""
    found = 0
    for op01, op02, op12, _, op13, op23 in map(parse_cell, EVERY):
        first = op01 == "none"
        second = op02 == "none" and (op12 == "none" or first)
        found += "conv" in f"{op12}{op13}" * first + op23 * second
    assert found == 2_290


@pytest.mark.parametrize("resolution", [6, 10, 13])
def test_images_that_can_not_be_halved_twice_are_refused(resolution: int) -> None:
    for asked in (SPACE.count, lambda arch, *size: SPACE.build([arch], *size)):
        with pytest.raises(ValueError, match=rf"nasbench201: images of {resolution}x{resolution}; .* a multiple of 4"):
            asked(SPACE.arch(0), 10, resolution)
