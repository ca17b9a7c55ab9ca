"""ImageNet top-1 accuracies of torchvision's networks, as torchvision records them beside its weights; no download."""

from __future__ import annotations

from enum import EnumMeta

from benchmarks.reading.late import Late
from benchmarks.spaces.zoo import names
from benchmarks.truth.accuracies import Truth

torchvision = Late("torchvision")
models = Late("torchvision.models")

RECIPES = ("V1", "V2")
REMARK = (
    "each accuracy is of one training, with the recipe and image size of its family: recipes differ between families, "
    "so that a difference between families is not one of networks alone"
)


def recorded(recipe: str) -> Truth:
    """Top-1 accuracy in percent, on ImageNet's validation images, of the weights IMAGENET1K_V1 or IMAGENET1K_V2."""
    name = f"IMAGENET1K_{recipe}"
    found = {}
    for network in names():
        weights: EnumMeta = models.get_model_weights(network)
        if name in weights.__members__:
            found[network] = float(weights[name].meta["_metrics"]["ImageNet-1K"]["acc@1"])
    version = torchvision.__version__.partition("+")[0]
    return Truth(found, f"torchvision {version}, {name} (ImageNet top-1, one training each)", remark=REMARK)
