"""How a student is trained: recipes by name, each a frozen record, and the learning rate that follows from one.

What of them touches the images is done in augmenting.py.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any, Literal, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from benchmarks.output.options import LARGEST_BATCH

MOST_EPOCHS = 10_000
DIGITS_EPOCHS = 10  # of scikit-learn's digits: the default run takes about two minutes on two cores
FIELD_EPOCHS = 240  # RepDistiller's schedule: the rate falls tenfold at three of them
FIELD_MILESTONES = (150, 180, 210)
LEAST_RATE, FIRST_RATE = 1e-5, 1e-6  # DeiT's: where its cosine ends, and where its warm-up begins


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are the field's for CIFAR.

    `milestones` and `warmup` are epochs of `length`, and scale with `epochs`. `erasing` is a probability; `clip` the
    most that the gradient's norm may be, 0 for no limit; `accumulate` in how many parts a batch is run.
    """

    epochs: int = FIELD_EPOCHS
    batch_size: int = 64
    learning_rate: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    ema: float = 0.0
    seed: int = 0
    optimizer: Literal["sgd", "adamw"] = "sgd"
    schedule: Literal["step", "cosine"] = "step"
    length: int = FIELD_EPOCHS
    milestones: tuple[int, ...] = FIELD_MILESTONES
    warmup: int = 0
    label_smoothing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    erasing: float = 0.0
    crop: Literal["border", "resized"] = "border"
    clip: float = 0.0
    accumulate: int = 1

    def rate(self, epoch: int) -> float:
        """The learning rate of an epoch, 0 the first.

        Steps: a tenth from each milestone on. Cosine: lr_min + (lr - lr_min) (1 + cos(pi epoch / epochs)) / 2. Before
        either, through the warm-up's epochs, from almost nothing in equal steps.
        """
        scale = self.epochs / self.length
        if epoch < self.warmup * scale:
            return FIRST_RATE + (self.learning_rate - FIRST_RATE) * epoch / (self.warmup * scale)
        if self.schedule == "cosine":
            least = min(LEAST_RATE, self.learning_rate)
            return least + (self.learning_rate - least) * (1 + math.cos(math.pi * epoch / self.epochs)) / 2
        milestones = [milestone * self.epochs / self.length for milestone in self.milestones]
        return self.learning_rate * 0.1 ** bisect_right(milestones, epoch)

    @property
    def mixes(self) -> bool:
        """Whether images of a batch are mixed, so that an image has no one label."""
        return bool(self.mixup or self.cutmix)

    def settings(self) -> dict[str, Any]:
        """What a run's outcome depends on, for its checkpoint; what is no part of older ones only where it differs."""
        usual = asdict(Recipe())
        always = ("epochs", "batch_size", "learning_rate", "momentum", "weight_decay", "ema", "seed")
        own = asdict(self)
        others = {key: str(value) for key, value in own.items() if key not in always and value != usual[key]}
        return {key: own[key] for key in always} | others


RECIPES = {
    "cifar": Recipe(),  # RepDistiller's
    "imagenet": Recipe(  # of PyTorch's examples, as CRD and the article have it
        epochs=100,
        batch_size=256,
        learning_rate=0.1,
        weight_decay=1e-4,
        length=100,
        milestones=(30, 60, 90),
        crop="resized",
    ),
    "deit": Recipe(  # Touvron et al., ICML 2021, without RandAugment and repeated augmentation
        epochs=300,
        batch_size=128,
        learning_rate=5e-4,
        weight_decay=0.05,
        optimizer="adamw",
        schedule="cosine",
        length=300,
        warmup=20,
        label_smoothing=0.1,
        mixup=0.8,
        cutmix=1.0,
        erasing=0.25,
        crop="resized",
    ),
}


# What options of a recipe may be: whole numbers from the least to the most, numbers from 0 to below a bound, choices.
WHOLE = {
    "epochs": (1, MOST_EPOCHS),
    "batch_size": (2, LARGEST_BATCH),
    "warmup": (0, MOST_EPOCHS),
    "accumulate": (1, LARGEST_BATCH),
}
BELOW = dict.fromkeys(("momentum", "weight_decay", "ema", "label_smoothing"), 1.0)
BELOW |= dict.fromkeys(("learning_rate", "mixup", "cutmix", "clip"), 100.0)
CHOICES = {name: get_args(kind) for name, kind in get_type_hints(Recipe).items() if get_origin(kind) is Literal}


def check(given: Mapping[str, object], written: Callable[[str], str]) -> None:
    """Raises ValueError for an option of a recipe that is not what it may be. `written`: its name as a user has it."""
    for name, value in given.items():
        number = float(value) if isinstance(value, Real) else math.nan
        if name in WHOLE:
            least, most = WHOLE[name]
            fits = isinstance(value, Integral) and least <= number <= most
            allowed = f"{least} is the least, {most} the most"
        elif name in BELOW:
            fits, allowed = 0 <= number < BELOW[name], f"at least 0, less than {BELOW[name]:g}"
        elif name == "erasing":
            fits, allowed = 0 <= number <= 1, "a probability, 0 to 1"
        elif name in CHOICES:
            fits, allowed = value in CHOICES[name], f"there are {', '.join(CHOICES[name])}"
        else:
            continue
        if not fits:
            raise ValueError(f"{written(name)}{value!r}: {allowed}")


def usual_epochs(data: object, recipe: str) -> int | None:
    """How many epochs a data set is trained for where nothing is said; None for as many as the recipe has."""
    return DIGITS_EPOCHS if data == "digits" and recipe == "cifar" else None


def optimizer_of(recipe: Recipe, parameters: Iterable[Tensor], vectors: Iterable[Tensor]) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW, whose weight decay spares `vectors`: biases, scales and shifts, as DeiT's does.

    Which these are the network knows: in a stack they have an axis more.
    """
    every, spared = list(parameters), {id(one) for one in vectors}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            every, lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
    groups = [
        {"params": [one for one in every if id(one) not in spared], "weight_decay": recipe.weight_decay},
        {"params": [one for one in every if id(one) in spared], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=recipe.learning_rate)
