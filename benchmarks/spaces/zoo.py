"""torchvision's classification networks as a space, by their names there; built without weights, nothing is downloaded.

Their measured accuracies are the truth `torchvision`: benchmarks/truth/zoo.py.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from benchmarks.reading.late import Late
from benchmarks.reading.naming import meant
from benchmarks.spaces.modules import ModuleSpace
from benchmarks.spaces.space import Choices, Size
from proxies.probing.admitting import FAILURES

models, flop_counter = Late("torchvision.models"), Late("torch.utils.flop_counter")

AUXILIARY = ("googlenet", "inception_v3")  # have heads beside the classifier, for training alone


@cache
def names() -> tuple[str, ...]:
    """What torchvision calls its classifiers."""
    return tuple(models.list_models(module=import_module("torchvision.models")))


class Torchvision(ModuleSpace):
    """torchvision's 80 classification networks, from alexnet to wide_resnet101_2, by name; --dataset imagenet."""

    name = "torchvision"
    whole = False

    def __init__(self) -> None:
        self.choices = (names(),)

    def read(self, arch: str) -> Choices:
        """The name as it is. Raises ValueError for what is none."""
        if arch not in names():
            said = f"torchvision has no classifier called {arch[:80]!r}"
            raise ValueError(f"no candidate of {self.name}: {said}{meant(arch, names())}")
        return (arch,)

    def module(self, chosen: Choices, classes: int, resolution: int) -> nn.Module:
        """The network of this name, without auxiliary heads, for square images."""
        return built(chosen[0], classes, resolution)

    def family(self, arch: str) -> str:
        """The file of torchvision that builds it."""
        return str(models.get_model_builder(arch).__module__).rpartition(".")[2]

    def count(self, arch: str, classes: int, resolution: int) -> Size:
        """Its size. Raises ValueError where it can't be built for, or run on, images of this size."""
        try:
            return counted(arch, classes, resolution)
        except FAILURES as error:
            said = " ".join(str(error).split())
            raise ValueError(f"{self.name} {arch}: not for {resolution}x{resolution} images ({said})") from error


def built(name: str, classes: int, resolution: int) -> nn.Module:
    """One of torchvision's networks, with the weights that its constructor draws."""
    options: dict[str, Any] = {}
    if name in AUXILIARY:
        options = {"aux_logits": False, "init_weights": True}
    elif name.startswith("vit_"):
        options = {"image_size": resolution}
    elif name.startswith("maxvit_"):
        options = {"input_size": (resolution, resolution)}
    network: nn.Module = models.get_model(name, weights=None, num_classes=classes, **options)
    return network


class _WithoutNumbers(TorchFunctionMode):
    """Weights are made without memory for their numbers: they are counted alone."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        return func(*args, **(kwargs | {"device": "meta"} if func is torch.empty else kwargs))


@cache
def counted(name: str, classes: int, resolution: int) -> Size:
    """The size of a network, by PyTorch's own flop counter on tensors without numbers."""
    with torch.random.fork_rng([]), _WithoutNumbers():
        network = built(name, classes, resolution)
    network = network.to("meta").eval()
    with torch.no_grad(), flop_counter.FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, resolution, resolution, device="meta"))
    convolutions = sum(isinstance(one, nn.Conv2d) for one in network.modules())
    classifier = 0 if name.startswith("squeezenet") else 1  # there it is a convolution
    params = sum(value.numel() for value in network.parameters())
    macs = counter.get_total_flops() // 2 + classes  # and the additions of the classifier's bias
    return Size(params, macs, convolutions + classifier)
