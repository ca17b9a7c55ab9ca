"""What the training loop costs beside a bare PyTorch loop over the same network, step by step in one process."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.batches import Batch as Noise
from benchmarks.plain import PlainCellNetwork, plain_state, with_weights
from benchmarks.spaces.nasbench201 import NasBench201, parse_cell
from search.images import Data, Split
from search.methods import Objective
from search.students import Model, Student
from search.training import Recipe, Stepper

LAYOUTS = {"default layout": torch.contiguous_format, "channels_last": torch.channels_last}


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
    recipe, device = Recipe(), data.train.labels.device
    student = Student(NasBench201(), arch)
    model = Model.fresh(student.build(data.name, data.classes, data.resolution), student.name, seed, "kaiming", device)
    state = plain_state(model.stack, model.weights, 0)
    tasks: dict[str, Callable[[], object]] = {}
    for layout, memory in LAYOUTS.items():
        network = PlainCellNetwork(parse_cell(arch), data.classes).to(device)
        with_weights(network, state, torch.float32).to(memory_format=memory)
        images = data.normalised(data.train.images).contiguous(memory_format=memory)
        tasks[f"bare loop, {layout}"] = _bare(network, images, data.train.labels, recipe)
    objective = Objective({"ce": 1.0}, model, None, data, seed)
    scaler = torch.amp.GradScaler(device.type, enabled=False)
    stepper = Stepper(model, objective, _sgd(model.parameters(), recipe), scaler, print)
    batches = (batch for epoch in count() for batch in data.epoch(len(data.train.labels), seed, epoch))
    return {**tasks, "ours": lambda: stepper.step(next(batches))}


def _bare(network: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe) -> Callable[[], object]:
    optimizer = _sgd(list(network.parameters()), recipe)

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step


def _sgd(parameters: list[Tensor] | list[nn.Parameter], recipe: Recipe) -> torch.optim.SGD:
    return torch.optim.SGD(parameters, recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
