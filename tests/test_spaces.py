"""What every space promises, the user's own included; the sizes and networks of s0, s1 and s2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models import resnet18, resnet50

from benchmarks.conditions.drawing import Drawing
from benchmarks.spaces import SPACES, find
from benchmarks.spaces.resnet import IMAGENET, Plan, ResNetStack, Stage
from benchmarks.spaces.space import Space, counted
from benchmarks.timing.plain import PlainResNet, plain_state, with_weights
from benchmarks.truth.ownfile import from_csv
from tests.test_stack import check_equals_plain

EVERY = pytest.mark.parametrize("space", [kind() for kind in SPACES.values()], ids=lambda space: space.name)

OWN = """
from benchmarks.spaces import Space
from benchmarks.spaces.resnet import ResNetStack

class Deep(Space):
    '''ResNets of three stages.'''
    name = "deep"
    choices = ((1, 2), (1, 2, 3), (1, 2))

    def build(self, archs, classes, resolution):
        return ResNetStack([self.read(arch) for arch in archs], classes, resolution)
"""


@EVERY
@given(data=st.data())
def test_codes_and_indices_lead_back(space: Space, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(space) - 1))
    arch = space.arch(index)
    assert space.index(arch) == index
    assert space.parse(arch) == space.parse(f" {index} ") == arch
    assert space.write(space.read(arch)) == arch


@EVERY
@given(data=st.data())
def test_a_mutation_is_a_neighbour(space: Space, data: st.DataObject) -> None:
    arch = space.arch(data.draw(st.integers(0, len(space) - 1)))
    neighbours = space.neighbours(arch)
    assert (
        len(set(neighbours))
        == len(neighbours)
        == sum(
            len(options) - 1
            for options, _ in zip(space.choices, space.read(arch), strict=False)  # a shallow one has fewer
        )
    )
    assert arch not in neighbours
    assert space.mutate(arch, np.random.default_rng(0)) in neighbours


@EVERY
@pytest.mark.parametrize("text", ["", "nonsense", "-1", "9" * 30, "1.5", "2-2-2", "35a", "basic-3x16k3-2x32k3-2x64k3"])
def test_what_is_no_candidate_is_refused(space: Space, text: str) -> None:
    with pytest.raises(ValueError, match=r"no .* cell|no candidate of|is outside 0\.\."):
        space.parse(text)


def test_s0_takes_three_digits_for_depths_and_fewer_for_an_index() -> None:
    assert find("s0").parse("357") == "357"
    assert find("s0").parse("63") == "777"
    with pytest.raises(ValueError, match="three digits out of 1, 3, 5, 7"):
        find("s0").parse("358")


def test_a_number_that_is_a_code_of_a_space_is_one(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN.replace("((1, 2), (1, 2, 3), (1, 2))", "((1, 2, 4),)"))
    space = find(f"{tmp_path / 'own.py'}:Deep")
    assert [space.parse(text) for text in ("2", "1", "0", "4")] == ["2", "1", "1", "4"]
    (tmp_path / "truth.csv").write_text("index,accuracy\n2,70\n1,60\n")
    assert from_csv(tmp_path / "truth.csv", space, "vanilla").accuracy == {"4": 70, "2": 60}
    (tmp_path / "truth.csv").write_text("index,accuracy\ntwo,70\n")
    with pytest.raises(ValueError, match=r"truth\.csv, line 2: 'two' is no index, a whole number from 0 to 2"):
        from_csv(tmp_path / "truth.csv", space, "vanilla")


def test_an_index_is_one_whatever_a_read_of_ones_own_raises_of_it(tmp_path: Path) -> None:
    text = OWN + "    def read(self, arch):\n        return tuple(map(int, arch['codes']))\n"
    (tmp_path / "own.py").write_text(text)
    assert find(f"{tmp_path / 'own.py'}:Deep").is_index("3")


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ("(('a-b', 'c'), (1, 2))", "the choice 'a-b' at position 1 holds a \"-\""),
        ("((1, 2), (3, -1))", 'the choice -1 at position 2 holds a "-"'),
        ("((1, '1'),)", "the choice 1 at position 1 has the text of another one"),
    ],
)
def test_choices_that_no_code_can_hold_are_refused(tmp_path: Path, choices: str, said: str) -> None:
    (tmp_path / "own.py").write_text(OWN.replace("((1, 2), (1, 2, 3), (1, 2))", choices))
    with pytest.raises(ValueError, match=rf"--space .*own.py:Deep: {said}"):
        find(f"{tmp_path / 'own.py'}:Deep")


def test_none_is_a_choice(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN.replace("((1, 2), (1, 2, 3), (1, 2))", "((None, 2), (1, 2))"))
    space = find(f"{tmp_path / 'own.py'}:Deep")
    assert [space.index(space.parse(space.arch(index))) for index in range(4)] == [0, 1, 2, 3]
    assert space.read("None-2") == (None, 2)


@EVERY
def test_samples_are_nested_and_different(space: Space) -> None:
    small, large = (space.sample(n, np.random.default_rng(3)) for n in (10, 60))
    assert large[:10] == small
    assert len(set(large)) == 60


@pytest.mark.parametrize("name", ["s0", "s1", "s2"])
def test_counts_equal_those_of_a_plain_network(name: str) -> None:
    space = find(name)
    for arch in space.sample(3, np.random.default_rng(1)):
        stack = space.build([arch], 10, 64)
        params, macs, layers = space.count(arch, 10, 64)
        assert isinstance(stack, ResNetStack)
        network = PlainResNet(stack.depths[0], 10, stack.plan)
        assert sum(value.numel() for value in network.parameters()) == params
        convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
        assert len(convolutions) + 1 == layers
        seen = 0

        def count(module: torch.nn.Conv2d, _: object, output: torch.Tensor) -> None:
            nonlocal seen
            seen += output[0].numel() * module.weight[0].numel()

        for module in convolutions:
            module.register_forward_hook(count)
        network.eval()(torch.zeros(1, 3, 64, 64))
        assert seen + network.fc.weight.numel() + 10 == macs


@pytest.mark.parametrize(("arch", "params", "macs"), [("111", 83_892, 12_507_392), ("777", 667_188, 97_442_048)])
def test_s0_has_the_published_sizes(arch: str, params: int, macs: int) -> None:
    """Published multiply-accumulates leave the classifier's 100 bias additions out; ours count them."""
    assert find("s0").count(arch, 100, 32)[:2] == (params, macs + 100)


def test_s0_sizes_follow_the_closed_forms() -> None:
    space = find("s0")
    for arch in map(space.arch, range(64)):
        n1, n2, n3 = map(int, arch)
        params = 83_892 + 4_672 * (n1 - 1) + 18_560 * (n2 - 1) + 73_984 * (n3 - 1)
        assert space.count(arch, 100, 32)[:2] == (params, 12_507_492 + 4_718_592 * (n1 + n2 + n3 - 3))


PLANS = [
    Plan((Stage(8, "bottleneck", 5, 4), Stage(16, "basic", 3, 12, 2)), stem=8, stem_kernel=7, stem_stride=2, last=20),
    Plan((Stage(8, "basic", 5), Stage(8, "bottleneck", 3, 4), Stage(12, stride=2)), stem=8, pool=True),
]


@pytest.mark.parametrize("plan", PLANS)
def test_stacked_plans_equal_plain_networks(plan: Plan) -> None:
    depths = [(1, 2, 1)[: len(plan.stages)], (2, 1, 3)[: len(plan.stages)]]
    stack = ResNetStack(depths, 10, 16, plan)
    weights = Drawing(0, "independent").candidates(stack, [str(depth) for depth in depths]).map(lambda w: w.double())
    plain = [PlainResNet(depth, 10, plan) for depth in depths]
    networks = [with_weights(net, plain_state(stack, weights, i), torch.float64) for i, net in enumerate(plain)]
    check_equals_plain(stack, weights, networks)


def test_imagenet_resnets_are_torchvisions() -> None:
    bottlenecks = tuple(
        stage._replace(out=4 * stage.out, kind="bottleneck", middle=stage.out) for stage in IMAGENET.stages
    )
    stages = ((2, 2, 2, 2), IMAGENET, resnet18), ((3, 4, 6, 3), IMAGENET._replace(stages=bottlenecks), resnet50)
    for depths, plan, network in stages:
        stack = ResNetStack([depths], 1000, 64, plan)
        weights = Drawing(0).candidates(stack, [""]).map(lambda w: w.double())
        plain = network()
        with_weights(plain, plain_state(stack, weights, 0), torch.float64)
        images = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3, 64, 64)))
        torch.testing.assert_close(stack(images, weights).logits[0], plain(images))
        assert counted(stack).params == sum(value.numel() for value in plain.parameters())


def test_a_users_space_is_a_class_with_a_name_choices_and_build(tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN)
    space = find(f"{path}:Deep")
    assert (len(space), space.arch(0), space.arch(11), space.version) == (12, "1-1-1", "2-3-2", space.version)
    assert len(space.version) == 12
    assert space.count("1-1-1", 100, 32)[:2] == find("s0").count("111", 100, 32)[:2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("class Deep(Space)", "class Deep"), "not a subclass of"),
        (("    def build", "    def make"), "the class lacks build"),
        (("    choices", "    options"), "the class lacks choices"),
        (('name = "deep"', 'name = "s0"'), "is that of a space of this project"),
        (("class Deep", "class Shallow"), "has no 'Deep'"),
        (("import Space", "import Spice"), "does not run"),
    ],
)
def test_a_users_space_that_lacks_something_is_refused(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "own.py"
    path.write_text(OWN.replace(*change))
    with pytest.raises(ValueError, match=message):
        find(f"{path}:Deep")
