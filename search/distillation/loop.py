"""The training loop: one student, from its first weights to its last epoch. It reads from top to bottom.

Every epoch has its order of images and its augmentation from seed and number alone, and ends with a checkpoint: a run
that was killed goes on as if it had not been, on a CPU to the last bit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import torch
from torch import Tensor

from analysis.rows.files import replacing
from benchmarks.scoring.worker import out_of_memory
from benchmarks.spaces.modules import forked
from search.distillation import checkpoint
from search.distillation.augmenting import augmented, drawn_seed, resized_crops
from search.distillation.data import Batch, Data, Split, rows
from search.distillation.group import ALONE, Group
from search.distillation.models import Network
from search.distillation.objective import Objective
from search.distillation.recipes import Recipe, optimizer_of

WEIGHTS = "weights.pt"  # a state dict that --teacher-weights reads
EVALUATED = 256  # images in a batch of an evaluation

# epoch, learning_rate, loss, each term of it, train_accuracy, test_accuracy, test_top5, images_per_second, seconds
Epoch = dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and its epochs: `done`, `diverged` where the loss was not finite, `lost` with its process."""

    status: Literal["done", "diverged", "lost"]
    history: list[Epoch]

    @property
    def last(self) -> float:
        """Test accuracy after the last epoch, in percent: the headline."""
        return self.history[-1]["test_accuracy"] if self.status == "done" else math.nan

    @property
    def best(self) -> float:
        """The best test accuracy of any epoch, in percent: chosen on the test images, so no headline."""
        return max(epoch["test_accuracy"] for epoch in self.history) if self.status == "done" else math.nan


@dataclass(frozen=True)
class Watch:
    """Who is told what: `epoch` after each epoch, `warn` when something was put right."""

    epoch: Callable[[Epoch], None] = lambda _: None
    warn: Callable[[str], None] = print


def train(
    student: Network,
    objective: Objective,
    data: Data,
    recipe: Recipe,
    folder: Path,
    settings: Mapping[str, object],
    watch: Watch,
    group: Group = ALONE,
) -> Outcome:
    """Train a student in place, from the checkpoint in the folder where there is one.

    Leaves metrics.jsonl, checkpoints and, at the end, the weights, weights.pt. `settings` is all that the outcome
    depends on. The processes of a group all call this, take the same steps, and one of them writes. Raises ValueError
    where the folder holds a run with other settings.
    """
    device = data.device
    average = student.copy() if recipe.ema else student
    adapters = list(objective.parameters())
    vectors = [*student.vectors(), *(one for one in adapters if one.ndim < 2)]
    optimizer = optimizer_of(recipe, [*student.parameters(), *adapters], vectors)
    scaler = torch.amp.GradScaler(device.type, enabled=student.precision == "fp16")
    parts: dict[str, Any] = {
        "student": student,
        "average": average,
        "objective": objective,
        "optimizer": optimizer,
        "scaler": scaler,
    }
    with group.main_first():  # who finds a damaged checkpoint moves it
        history = resume(parts, folder, settings, device, watch)
    stepper = Stepper(student, objective, optimizer, scaler, watch.warn, group, recipe)

    for epoch in range(len(history), recipe.epochs):
        start = perf_counter()
        for weights in optimizer.param_groups:
            weights["lr"] = recipe.rate(epoch)
        drawn = drawn_seed(recipe.seed, "training", epoch, group.index)  # of dropout and its like
        sums = forked(partial(an_epoch, stepper, average, data, recipe, epoch), drawn)
        group.add([sums])
        loss, right, images, *parts_of_loss = sums.tolist()  # waits until a GPU has done what it was told
        trained = perf_counter() - start
        for model in [student, average] if recipe.ema else [student]:
            group.average(model.statistics())
        history.append(
            {
                "epoch": epoch + 1,
                "learning_rate": recipe.rate(epoch),
                "loss": loss / images,
                **{f"loss {name}": part / images for name, part in zip(objective.terms, parts_of_loss, strict=True)},
                "train_accuracy": 100 * right / images,
                **accuracies(average, data, data.test, group),
                "images_per_second": images / trained,
                "seconds": perf_counter() - start,
            }
        )
        if group.main:
            write_metrics(history, folder)
        if not math.isfinite(loss):
            return Outcome("diverged", history)
        if group.main:
            states = {name: part.state_dict() for name, part in parts.items()}
            checkpoint.save({"settings": dict(settings), "history": history, **states}, folder)
            watch.epoch(history[-1])

    if group.main:
        with replacing(folder / WEIGHTS) as meanwhile:  # who looks for it takes it for whole
            torch.save(average.state_dict(), meanwhile)
    group.wait()  # some read what one writes
    return Outcome("done", history)


def an_epoch(stepper: Stepper, average: Network, data: Data, recipe: Recipe, epoch: int) -> Tensor:
    """Train for an epoch; what Stepper.step gives, summed."""
    sums = torch.zeros(3 + len(stepper.objective.terms), device=data.device)
    cropped = resized_crops if recipe.crop == "resized" else None
    turn = stepper.group.index, stepper.group.size
    for batch in data.epoch(recipe.batch_size, recipe.seed, epoch, cropped, turn):
        sums += stepper.step(augmented(batch, recipe, data.classes))
        if recipe.ema:
            follow(average, stepper.student, recipe.ema)
    return sums


class Stepper:
    """One step, the batch in equal parts whose gradients add up: one a process, more where memory is short."""

    def __init__(
        self,
        student: Network,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        warn: Callable[[str], None],
        group: Group = ALONE,
        recipe: Recipe = Recipe(),  # noqa: B008, frozen
    ) -> None:
        self.student, self.objective = student, objective
        self.optimizer, self.scaler = optimizer, scaler
        self.warn, self.group = warn, group
        self.clip, self.parts = recipe.clip, recipe.accumulate

    def step(self, batch: Batch) -> Tensor:
        """Train on a batch; the loss times the images, the right answers and the images of this process's part.

        And then each term of the loss, unweighted, times the images: [3 + terms].
        """
        images = batch.whole or len(batch.labels)
        own = batch if batch.whole else part(batch, self.group.index, self.group.size)
        sums = self._gradients(own, images)
        while sums is None:
            self._halve(len(own.labels))
            sums = self._gradients(own, images)
        every = [weight for weights in self.optimizer.param_groups for weight in weights["params"]]
        self.group.add([weight.grad for weight in every])
        if self.clip:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(every, self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return sums

    def _gradients(self, batch: Batch, images: int) -> Tensor | None:
        """Gradients of the loss summed over a batch, by `images`; None where memory does not suffice."""
        self.optimizer.zero_grad()
        sums = torch.zeros(3 + len(self.objective.terms), device=batch.labels.device)
        shown = {"stages": self.objective.stages, "maps": self.objective.maps}
        try:
            for some in (part(batch, number, self.parts) for number in range(self.parts)):
                seen = self.student.look(some.images, training=True, **shown)
                losses = self.objective.losses(seen, some)
                loss = self.objective.weighted(losses) * len(some.labels)
                self.scaler.scale(loss / images).backward()
                right = (seen.logits.detach().argmax(-1) == some.labels).sum()
                each = [one.detach() * len(some.labels) for one in losses]
                sums += torch.stack([loss.detach(), right, right.new_tensor(len(some.labels)), *each])
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            return None
        return sums

    def _halve(self, images: int) -> None:
        if 4 * self.parts > images:
            raise ValueError(f"out of memory even with {images // self.parts} images at a time")
        self.parts *= 2
        self.warn(
            f"out of memory: batches of {images} now run in {self.parts} parts, their gradients added up; batch "
            "statistics and relations between images see one part at a time"
        )


def part(batch: Batch, number: int, count: int) -> Batch:
    """One of `count` parts of a batch, equal but for the first ones, which have an image more where it can't be."""
    own = rows(len(batch.labels), number, count)
    targets = None if batch.targets is None else batch.targets[own]
    images, labels, places = (tensor[own] for tensor in (batch.images, batch.labels, batch.places))
    return batch._replace(images=images, labels=labels, places=places, targets=targets, part=number)


def accuracies(model: Network, data: Data, split: Split, group: Group = ALONE) -> dict[str, float]:
    """Percent of a split's images that a network classifies rightly, with its running statistics.

    Of more than five classes also how often the right one is among the five that the network likes best.
    """
    right = torch.zeros(2 if data.classes > 5 else 1, dtype=torch.int64, device=split.labels.device)
    every = torch.arange(len(split.labels), device=split.labels.device)
    places = every.split(EVALUATED)[group.index :: group.size]
    with torch.no_grad():
        for own, images in zip(places, data.read(split, places), strict=True):
            labels, logits = split.labels[own], model.look(data.normalised(images), maps=False).logits
            right[0] += (logits.argmax(-1) == labels).sum()
            right[1:] += (logits.topk(min(5, data.classes)).indices == labels[:, None]).sum()
    group.add([right])
    percent = [100 * number / len(split.labels) for number in right.tolist()]
    return dict(zip(("test_accuracy", "test_top5"), percent, strict=False))


def accuracy(model: Network, data: Data, split: Split, group: Group = ALONE) -> float:
    """Percent of a split's images that a network classifies rightly."""
    return accuracies(model, data, split, group)["test_accuracy"]


def follow(average: Network, student: Network, decay: float) -> None:
    """Move the exponential moving average towards the student, running statistics included."""
    with torch.no_grad():
        for own, new in zip(average.tensors(), student.tensors(), strict=True):
            if own.is_floating_point():
                own.lerp_(new, 1 - decay)
            else:  # a count of batches
                own.copy_(new)


def resume(
    parts: Mapping[str, Any], folder: Path, settings: Mapping[str, object], device: torch.device, watch: Watch
) -> list[Epoch]:
    """Bring everything to where the folder's checkpoint stands; the epochs until then, none without a checkpoint."""
    found = checkpoint.load(folder, device, watch.warn)
    if found is None:
        return []
    check_settings(found["settings"], settings, folder)
    for name, part in parts.items():
        part.load_state_dict(found[name])
    history: list[Epoch] = found["history"]
    return history


def check_settings(there: Mapping[str, object], here: Mapping[str, object], folder: Path) -> None:
    """Raises ValueError where a folder's run is not the one that is asked for, saying what differs.

    A setting that either side has no word of is as usual there.
    """
    differing = [key for key in {**here, **there} if there.get(key) != here.get(key)]
    if differing:
        was, now = (", ".join(f"{key} {values.get(key, 'as usual')}" for key in differing) for values in (there, here))
        raise ValueError(f"{folder} holds a run with {was}, not {now}; give another --out, or delete it")


def write_metrics(history: list[Epoch], folder: Path) -> None:
    """All epochs, a JSON object a line, written so that a reader never sees half of them."""
    with replacing(folder / "metrics.jsonl") as meanwhile:
        meanwhile.write_text("".join(json.dumps(epoch) + "\n" for epoch in history), encoding="utf-8")
