"""What a recipe does to the images of a batch beside the border crop: torchvision's transforms, a seed a step.

They draw from torch's own generator, which is forked; so every process and every resume sees the same images.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.conditions.drawing import generator
from benchmarks.reading.late import Late
from benchmarks.spaces.modules import forked
from search.distillation.data import Batch
from search.distillation.recipes import Recipe

v2 = Late("torchvision.transforms.v2")

MOST_SEED = 2**31


def drawn_seed(seed: int, *keys: str | int) -> int:
    """A seed for torch's generator, by seed and keys."""
    return int(generator(seed, *keys).integers(MOST_SEED))


def augmented(batch: Batch, recipe: Recipe, classes: int) -> Batch:
    """A batch with parts of its images erased, and images mixed with others of it; as it is where neither is wanted.

    Mixed images get targets [N, K] in place of labels: shares of two classes.
    """
    if not (recipe.erasing or recipe.mixes):
        return batch
    keys = [batch.step, *([int(batch.places[0])] if batch.whole else [])]  # each process's part is mixed by itself
    return forked(lambda: _augmented(batch, recipe, classes), drawn_seed(recipe.seed, "augmentation", *keys))


def _augmented(batch: Batch, recipe: Recipe, classes: int) -> Batch:
    images = batch.images
    if recipe.erasing:
        erase = v2.RandomErasing(recipe.erasing, value="random")
        images = torch.stack([erase(image) for image in images])
    ways = []
    if recipe.mixup:
        ways.append(v2.MixUp(alpha=recipe.mixup, num_classes=classes))
    if recipe.cutmix:
        ways.append(v2.CutMix(alpha=recipe.cutmix, num_classes=classes))
    if not ways:
        return batch._replace(images=images)
    images, targets = v2.RandomChoice(ways)(images, batch.labels)  # one or the other, as DeiT's
    return batch._replace(images=images, targets=targets.to(images.dtype))


def resized_crops(images: Tensor, mirrored: Tensor, seed: int) -> Tensor:
    """Random parts of images uint8 [N, 3, S, S], scaled to their size; mirrored [N]."""
    turned = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    crop = v2.RandomResizedCrop(images.shape[-1], antialias=True)
    return forked(lambda: torch.stack([crop(image) for image in turned]), seed)
