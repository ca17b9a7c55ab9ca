"""The training loop: it is plain PyTorch's, goes on where it was, and says what went wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from benchmarks.conditions.teachers import NORM_PARTS
from benchmarks.spaces.cells import EDGES, live_edges, parse_cell
from benchmarks.timing.plain import PlainCellNetwork, PlainResNet, plain_state, with_weights
from proxies.probing.network import NormState, Weights
from search.distillation import checkpoint, methods
from search.distillation.data import Batch
from search.distillation.loop import WEIGHTS, Outcome, Stepper, Watch, accuracy, check_settings, train
from search.distillation.models import Model, Precision, Seen
from search.distillation.objective import Objective
from search.distillation.pace import StackStepper
from search.distillation.recipes import Recipe
from tests.cases import DEAD, MIXED, killed_at, plain_cell, small_data, small_model, stack_of

RECIPE = Recipe(epochs=3, batch_size=12)
SETTINGS = {"epochs": 3}
UNTIMED = {"seconds": 0, "images_per_second": 0}


def run(folder: Path, *, method: str = "kd,crd", recipe: Recipe = RECIPE, watch: Watch | None = None) -> Outcome:
    folder.mkdir(exist_ok=True)
    data, student, teacher = small_data(), small_model("s0:111", 0), small_model("s0:111", 1)
    objective = Objective(methods.parse(method), student, teacher, data, 0)
    return train(student, objective, data, recipe, folder, SETTINGS, watch or Watch())


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(folder / WEIGHTS, weights_only=True)
    return state


def same(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def double(model: Model) -> Model:
    """The same network in float64."""
    w = model.weights
    norms = {layer: NormState(*(part.detach().double() for part in norm)) for layer, norm in w.norms.items()}
    kernels = w.map(lambda kernel: kernel.detach().double())
    made = Model(model.stack, Weights(kernels.kernels, kernels.bias, norms))
    for parameter in made.parameters():
        parameter.requires_grad_()
    return made


def dead(name: str, key: str) -> bool:
    """Whether a name in a cell's state dict belongs to an edge that the output does not depend on."""
    parts = key.split(".")
    if "nasbench201:" not in name or "layers" not in parts:
        return False
    return EDGES[int(parts[3])] not in live_edges(parse_cell(name.removeprefix("nasbench201:")))


@pytest.mark.parametrize("name", ["s0:131", "resnet20", f"nasbench201:{MIXED[0]}", f"nasbench201:{MIXED[1]}"])
def test_steps_are_those_of_plain_pytorch(name: str) -> None:
    """Three steps of SGD with momentum and weight decay: weights, scales, shifts and running statistics."""
    model = double(small_model(name, 0))
    if name.startswith("nasbench201:"):
        plain: nn.Module = PlainCellNetwork(parse_cell(name.removeprefix("nasbench201:")), 3)
    else:
        plain = PlainResNet((1, 3, 1) if name == "s0:131" else (3, 3, 3), 3)
    with_weights(plain, plain_state(model.stack, model.weights, 0), torch.float64).train()
    data = small_data()
    optimizers = [torch.optim.SGD(p, 0.05, 0.9, weight_decay=5e-4) for p in (model.parameters(), plain.parameters())]
    stepper = Stepper(
        model,
        Objective(methods.parse("ce"), model, None, data, 0),
        optimizers[0],
        torch.amp.GradScaler(enabled=False),
        print,
    )
    for batch in data.epoch(8, 0, 0):
        batch = batch._replace(images=batch.images.double())
        stepper.step(batch)
        optimizers[1].zero_grad()
        cross_entropy(plain(batch.images), batch.labels).backward()
        optimizers[1].step()
    expected = plain.state_dict()
    for key, tensor in model.state_dict().items():
        if not dead(name, key):  # plain PyTorch's weights decay there, ours are left alone
            assert_close(tensor, expected[key], rtol=1e-7, atol=1e-9)
    with torch.no_grad():
        assert_close(model.look(batch.images).logits, plain.eval()(batch.images), rtol=1e-6, atol=1e-8)


def test_running_statistics_of_a_stack_are_those_of_its_networks() -> None:
    """Also where only some members of a layer take part."""
    archs = [MIXED[0], DEAD[1], MIXED[1]]
    stack, drawn = stack_of(archs)
    shape = {layer: (len(layer.members), *layer.shape) for layer in stack.layers if layer.is_norm}
    ones, zeros = ({layer: make(*s).double() for layer, s in shape.items()} for make in (torch.ones, torch.zeros))
    norms = {layer: NormState(ones[layer], zeros[layer], zeros[layer].clone(), ones[layer].clone()) for layer in shape}
    images = small_data().normalised(small_data().train.images).double()
    stack(images, Weights(drawn.kernels, drawn.bias, norms), training=True)
    for member, arch in enumerate(archs):
        plain = plain_cell(arch, stack, drawn, member)
        plain(images)
        expected = plain.state_dict()
        for layer, norm in norms.items():
            key = stack.state_key(layer.role)
            if member in layer.members and not dead(f"nasbench201:{arch}", key):
                row = layer.members.index(member)
                assert_close(norm.mean[row], expected[f"{key}.running_mean"])
                assert_close(norm.variance[row], expected[f"{key}.running_var"])


def test_students_in_a_stack_take_the_steps_that_they_take_alone() -> None:
    """Two steps of three cells of unlike operations: every kernel, scale, shift and running statistic, and the sums."""
    archs, data, recipe = [MIXED[0], DEAD[1], MIXED[1]], small_data(), Recipe()
    stacked = StackStepper(archs, data, recipe, 0)
    alone = [small_model(f"nasbench201:{arch}", 0) for arch in archs]
    off = torch.amp.GradScaler(enabled=False)
    steppers = []
    for model in alone:
        optimizer = torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=5e-4)
        steppers.append(Stepper(model, Objective(methods.parse("ce"), model, None, data, 0), optimizer, off, print))
    for number in range(2):
        batch = list(data.epoch(8, 0, 0))[number]
        losses, right = stacked.step(batch)
        single = [stepper.step(batch) for stepper in steppers]
        assert_close(losses, torch.stack([sums[0] / 8 for sums in single]))
        assert right.tolist() == [sums[1] for sums in single]
    for member, (arch, model) in enumerate(zip(archs, alone, strict=True)):
        own, there = model.state_dict(), plain_state(stacked.stack, stacked.weights, member)
        for layer, norm in stacked.weights.norms.items():
            if member in layer.members:
                name, row = stacked.stack.state_key(layer.role), layer.members.index(member)
                there |= {f"{name}.{part}": v[row] for part, v in zip(NORM_PARTS, norm, strict=True)}
        assert there.keys() == own.keys()
        for key, value in own.items():
            if not dead(f"nasbench201:{arch}", key):
                assert_close(there[key], value, rtol=1e-4, atol=1e-5)


def test_the_rate_falls_tenfold_at_the_fields_milestones_and_they_scale() -> None:
    full, short = Recipe(), Recipe(epochs=8)
    assert [full.rate(epoch) for epoch in (0, 149)] == [0.05, 0.05]
    assert [full.rate(epoch) for epoch in (150, 180, 210)] == pytest.approx([5e-3, 5e-4, 5e-5])
    assert [short.rate(epoch) for epoch in range(8)] == pytest.approx([0.05] * 5 + [5e-3, 5e-4, 5e-5])


def test_a_run_learns_and_leaves_metrics_checkpoints_and_weights(tmp_path: Path) -> None:
    outcome = run(tmp_path, method="kd", recipe=replace(RECIPE, epochs=8))
    assert outcome.status == "done"
    assert outcome.last == outcome.history[-1]["test_accuracy"] <= outcome.best
    assert outcome.history[-1]["loss"] < outcome.history[0]["loss"]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == outcome.history
    assert [row["epoch"] for row in rows] == list(range(1, 9))
    assert set(weights(tmp_path)) == set(small_model("s0:111", 0).state_dict())


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_killed_run_ends_to_the_last_bit_like_an_unbroken_one(tmp_path: Path, ema: float) -> None:
    recipe = replace(RECIPE, ema=ema)
    unbroken = run(tmp_path / "unbroken", recipe=recipe)
    with killed_at(4), pytest.raises(KeyboardInterrupt):  # in the middle of the second epoch
        run(tmp_path / "broken", recipe=recipe)
    resumed = run(tmp_path / "broken", recipe=recipe)
    assert same(tmp_path / "unbroken", tmp_path / "broken")
    for one, other in zip(unbroken.history, resumed.history, strict=True):
        assert {**one, **UNTIMED} == {**other, **UNTIMED}


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_used(tmp_path: Path, damage: str) -> None:
    run(tmp_path / "whole")
    run(tmp_path / "hurt")
    newest = tmp_path / "hurt" / checkpoint.NEWEST
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes({"cut": content[:1000], "changed": content, "empty": b""}[damage])
    (tmp_path / "hurt" / WEIGHTS).unlink()
    said: list[str] = []
    epochs: list[float] = []
    run(tmp_path / "hurt", watch=Watch(epoch=lambda row: epochs.append(row["epoch"]), warn=said.append))
    assert epochs == [3], "the last epoch is done again"
    assert "is damaged" in said[0]
    assert (tmp_path / "hurt" / "checkpoint.damaged").exists()
    assert same(tmp_path / "whole", tmp_path / "hurt")


def test_a_folder_with_another_run_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    data, student = small_data(), small_model("s0:111", 0)
    objective = Objective(methods.parse("ce"), student, None, data, 0)
    with pytest.raises(ValueError, match="holds a run with epochs 3, not epochs 5; give another --out"):
        train(student, objective, data, RECIPE, tmp_path, {"epochs": 5}, Watch())


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        ({"mixup": "0.8"}, {}, "holds a run with mixup 0.8, not mixup as usual"),
        ({}, {"mixup": "0.8"}, "holds a run with mixup as usual, not mixup 0.8"),
        (
            {"stages": "1=1", "teacher": None},
            {"teacher": "t"},
            "with teacher None, stages 1=1, not teacher t, stages as",
        ),
    ],
)
def test_a_setting_that_one_run_alone_names_tells_it_from_the_other(
    there: dict[str, object], here: dict[str, object], said: str, tmp_path: Path
) -> None:
    """Unusual settings stand in a run's record only where they are unusual: without them it is another run."""
    with pytest.raises(ValueError, match=said):
        check_settings({**SETTINGS, **there}, {**SETTINGS, **here}, tmp_path)
    check_settings({**SETTINGS, **there}, {**SETTINGS, **there}, tmp_path)


def test_a_run_whose_loss_is_not_finite_ends_and_has_no_accuracy(tmp_path: Path) -> None:
    outcome = run(tmp_path, method="kd:1e39")
    assert outcome.status == "diverged"
    assert len(outcome.history) == 1
    assert outcome.last != outcome.last
    assert not (tmp_path / WEIGHTS).exists()


class Cramped(Model):
    """A network that has no memory for more than three images."""

    error: RuntimeError = torch.OutOfMemoryError()

    def look(self, images: torch.Tensor, *, training: bool = False, stages: bool = False, maps: bool = True) -> Seen:
        if training and len(images) > 3:
            raise self.error
        return super().look(images, training=training, stages=stages, maps=maps)


def allocation_error() -> RuntimeError:
    """What PyTorch raises where a machine's own memory does not suffice."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    return caught.value


@pytest.mark.parametrize("error", [torch.OutOfMemoryError(), allocation_error()], ids=["gpu", "cpu"])
def test_out_of_memory_halves_the_batch_and_says_so(error: RuntimeError) -> None:
    data, model = small_data(), small_model("s0:111", 0)
    cramped = Cramped(model.stack, model.weights)
    cramped.error = error
    said: list[str] = []
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    objective = Objective(methods.parse("ce"), model, None, data, 0)
    stepper = Stepper(cramped, objective, optimizer, torch.amp.GradScaler(enabled=False), said.append)
    batch = next(data.epoch(8, 0, 0))
    loss, _, images, entropy = stepper.step(batch).tolist()
    assert entropy == loss, "the only term"
    assert images == 8
    assert stepper.parts == 4
    assert [text.split(":")[0] for text in said] == ["out of memory"] * 2
    assert "in 4 parts" in said[1]
    parts = [Batch(*(part[rows : rows + 2] for part in batch[:3]), 0) for rows in range(0, 8, 2)]
    fresh = small_model("s0:111", 0)
    separate = [cross_entropy(fresh.look(part.images, training=True).logits, part.labels) for part in parts]
    assert loss == pytest.approx(8 * torch.stack(separate).mean().item(), rel=1e-5)
    with pytest.raises(ValueError, match="out of memory even with 2 images"):
        stepper._halve(8)
    cramped.error = RuntimeError("something else")
    stepper.parts = 1
    with pytest.raises(RuntimeError, match="something else"):
        stepper.step(batch)


def test_the_average_follows_the_student(tmp_path: Path) -> None:
    run(tmp_path / "plain", recipe=replace(RECIPE, epochs=1))
    run(tmp_path / "average", recipe=replace(RECIPE, epochs=1, ema=0.999))
    start, plain, average = (
        small_model("s0:111", 0).state_dict(),
        weights(tmp_path / "plain"),
        weights(tmp_path / "average"),
    )
    for key, value in average.items():
        assert (value - start[key]).norm() <= 0.01 * (plain[key] - start[key]).norm() + 1e-6


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_trains(tmp_path: Path, precision: Precision) -> None:
    data, student = small_data(), small_model("s0:111", 0)
    student.precision = precision
    objective = Objective(methods.parse("ce"), student, None, data, 0)
    outcome = train(student, objective, data, RECIPE, tmp_path, SETTINGS, Watch())
    assert outcome.history[-1]["loss"] < outcome.history[0]["loss"]
    assert student.look(data.normalised(data.test.images)).logits.dtype == torch.float32
    left = checkpoint.load(tmp_path, torch.device("cpu"), print)
    assert left is not None
    assert bool(left["scaler"]) == (precision == "fp16"), "gradients of fp16 would vanish unless scaled"


def test_accuracy_is_percent_of_right_answers() -> None:
    data, model = small_data(), small_model("s0:111", 0)
    logits = model.look(data.normalised(data.test.images)).logits
    expected = 100 * (logits.argmax(1) == data.test.labels).double().mean().item()
    assert accuracy(model, data, data.test) == pytest.approx(expected)
