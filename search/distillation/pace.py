"""What the training loop costs beside a bare PyTorch loop over the same network, and beside many students in a stack.

Step by step in one process.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.conditions.batches import Batch as Noise
from benchmarks.reading.late import Late
from benchmarks.spaces.cells import parse_cell
from benchmarks.spaces.nasbench201 import NasBench201
from benchmarks.timing.plain import PlainCellNetwork, plain_state, with_weights
from benchmarks.timing.tasks import LAYOUTS
from search.distillation import students
from search.distillation.data import BORDER, Batch, Data, Split
from search.distillation.loop import Stepper
from search.distillation.methods import parse
from search.distillation.models import Model, fresh, trained
from search.distillation.objective import Objective
from search.distillation.recipes import Recipe
from search.distillation.students import Student

v2 = Late("torchvision.transforms.v2")

BARE = "bare loop"  # over a module
AUGMENTED = "bare loop, torchvision's crops"


def noise_data(noise: Noise, classes: int, device: torch.device) -> Data:
    """Training images made of a batch of noise, and as many test images."""
    pixels = (noise.images * 40 + 128).clamp(0, 255).to(torch.uint8).to(device)
    split = Split(pixels, noise.labels.to(device))
    mean, deviation = (torch.full((3, 1, 1), value, device=device) for value in (128.0, 40.0))
    return Data("noise", classes, split, split, mean, deviation, flip=True)


def training_steps(arch: str, data: Data, seed: int) -> dict[str, Callable[[], object]]:
    """One step of training a cell by cross entropy, called again and again: ours, and a bare loop in two layouts.

    Ours counts what its loop does: the batch with its augmentation, the step, the sums for the metrics. The bare
    loop is given its batch: forward, backward, and the same SGD.
    """
    recipe, device = Recipe(), data.device
    student = Student(NasBench201(), arch)
    model = Model.fresh(student.build(data.name, data.classes, data.resolution), student.name, seed, "kaiming", device)
    state = plain_state(model.stack, model.weights, 0)
    tasks: dict[str, Callable[[], object]] = {}
    for layout, memory in LAYOUTS.items():
        network = PlainCellNetwork(parse_cell(arch), data.classes).to(device)
        with_weights(network, state, torch.float32).to(memory_format=memory)
        images = data.normalised(data.train.images).contiguous(memory_format=memory)
        tasks[f"bare loop, {layout}"] = _bare(network, partial(_same, images), data.train.labels, recipe)
    objective = Objective(parse("ce"), model, None, data, seed)
    scaler = torch.amp.GradScaler(device.type, enabled=False)
    stepper = Stepper(model, objective, _sgd(model.parameters(), recipe), scaler, print)
    batches = (batch for epoch in count() for batch in data.epoch(len(data.train.labels), seed, epoch))
    return {**tasks, "ours": lambda: stepper.step(next(batches))}


def module_steps(name: str, data: Data, seed: int) -> dict[str, Callable[[], object]]:
    """One step of training a module by cross entropy, called again and again: bare loops, ours, and ours watched.

    One bare loop is given its batch; one crops, mirrors and normalises it by torchvision, image by image as a data set
    does. Watched, the module also shows its stages and last map, which no method compares.
    """
    recipe = Recipe()

    def ours(*, watched: bool) -> Callable[[], object]:
        network = students.find(name).network(data.name, data.classes, data.resolution, seed=seed, device=data.device)
        objective = Objective(parse("ce"), network, None, data, seed)
        objective.stages = objective.maps = watched
        scaler = torch.amp.GradScaler(data.device.type, enabled=False)
        stepper = Stepper(network, objective, _sgd(network.parameters(), recipe), scaler, print)
        batches = (batch for epoch in count() for batch in data.epoch(len(data.train.labels), seed, epoch))
        return lambda: stepper.step(next(batches))

    module = students.find(name).module(data.classes, data.resolution, seed).to(data.device).train()
    bare = {
        BARE: _bare(module, partial(_same, data.normalised(data.train.images)), data.train.labels, recipe),
        AUGMENTED: _bare(copy.deepcopy(module), _augmented(data), data.train.labels, recipe),
    }
    return {**bare, "ours": ours(watched=False), "ours, watched": ours(watched=True)}


def _augmented(data: Data) -> Callable[[], Tensor]:
    """Batches of all training images, each cropped, mirrored and normalised by torchvision."""
    side = data.resolution
    mean, deviation = (part.flatten().tolist() for part in (data.mean, data.deviation))
    change = v2.Compose([
        v2.RandomCrop(side, padding=side // BORDER), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32),
        v2.Normalize(mean, deviation),
    ])  # fmt: skip
    return lambda: torch.stack([change(image) for image in data.train.images])


def stacked_steps(archs: Sequence[str], sizes: Sequence[int], data: Data, seed: int) -> dict[str, Callable[[], object]]:
    """One step of training the first so many cells as one stack, for each size: what `ours` does, for all at once."""
    tasks: dict[str, Callable[[], object]] = {}
    for size in sizes:
        stepper = StackStepper(archs[:size], data, Recipe(), seed)
        batches = (batch for epoch in count() for batch in data.epoch(len(data.train.labels), seed, epoch))
        tasks[stacked_name(size)] = partial(_next_step, stepper, batches)
    return tasks


def stacked_name(size: int) -> str:
    """What the step of a stack is called."""
    return f"stack of {size}"


class StackStepper:
    """Trains A cells of NAS-Bench-201 at once by cross entropy, all on the same batches.

    Their weights meet in no sum, so the gradient of the sum of their losses is each one's own, and SGD's step is too.
    """

    def __init__(self, archs: Sequence[str], data: Data, recipe: Recipe, seed: int) -> None:
        space = NasBench201()
        self.stack = space.build(archs, data.classes, data.resolution)
        names = [Student(space, arch).name for arch in archs]
        self.weights = fresh(self.stack, names, seed, "kaiming", data.device)
        self.optimizer = _sgd(trained(self.weights), recipe)

    def step(self, batch: Batch) -> Tensor:
        """Train on a batch; the losses and the numbers of right answers of the A cells, [2, A]."""
        self.optimizer.zero_grad()
        logits = self.stack(batch.images, self.weights, training=True).logits
        labels = batch.labels.expand(len(logits), -1)
        losses = cross_entropy(logits.movedim(-1, 1), labels, reduction="none").mean(-1)
        losses.sum().backward()
        self.optimizer.step()
        return torch.stack([losses.detach(), (logits.detach().argmax(-1) == labels).sum(-1)])


def _next_step(stepper: StackStepper, batches: Iterator[Batch]) -> Tensor:
    return stepper.step(next(batches))


def _same(images: Tensor) -> Tensor:
    return images


def _bare(network: nn.Module, batch: Callable[[], Tensor], labels: Tensor, recipe: Recipe) -> Callable[[], object]:
    optimizer = _sgd(list(network.parameters()), recipe)

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(network(batch()), labels).backward()
        optimizer.step()

    return step


def _sgd(parameters: list[Tensor] | list[nn.Parameter], recipe: Recipe) -> torch.optim.SGD:
    return torch.optim.SGD(parameters, recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
