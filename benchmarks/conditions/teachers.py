"""Named fixed teachers, with random weights by seed or trained ones from a state dict.

A teacher is a stack of one. At initialisation its normalisations use the batch's statistics, as a student's do; trained
weights bring running statistics, and those are used.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from benchmarks.conditions.drawing import Drawing
from benchmarks.reading import statedicts
from benchmarks.reading.limits import file_digest
from benchmarks.reading.naming import meant
from benchmarks.spaces.nasbench201 import NasBench201
from benchmarks.spaces.resnet import IMAGENET, ResNetStack
from benchmarks.spaces.stack import Stack
from proxies.probing.network import Layer, NormState, Weights

RESNET_DEPTHS = {"resnet20": 3, "resnet32": 5, "resnet44": 7, "resnet56": 9, "resnet110": 18}
IMAGENET_DEPTHS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}

# The cells with the best official test accuracy after 200 epochs: 94.37, 73.51, 47.31 %. On CIFAR-10 index 6111 ties.
NASBENCH201_BEST = {"cifar10": 13714, "cifar100": 9930, "ImageNet16-120": 857}

TEACHERS = {
    **{name: f"CIFAR ResNet of three stages of {depth} blocks" for name, depth in RESNET_DEPTHS.items()},
    **{name: f"ResNet for 224x224 images, four stages of {depths} blocks" for name, depths in IMAGENET_DEPTHS.items()},
    "nasbench201-best": "the NAS-Bench-201 cell with the best official test accuracy on the data set",
}


def check_name(name: str) -> None:
    """Raises ValueError for a teacher that there is none of."""
    if name not in TEACHERS:
        raise ValueError(f"no teacher is called {name!r}; there are: {', '.join(TEACHERS)}{meant(name, TEACHERS)}")


def build(name: str, dataset: str, classes: int, resolution: int) -> Stack:
    """The teacher's network, a stack of one. Raises ValueError for an unknown name."""
    check_name(name)
    if name in RESNET_DEPTHS:
        depth = RESNET_DEPTHS[name]
        return ResNetStack([(depth, depth, depth)], classes, resolution)
    if name in IMAGENET_DEPTHS:
        return ResNetStack([IMAGENET_DEPTHS[name]], classes, resolution, IMAGENET)
    if dataset not in NASBENCH201_BEST:
        raise ValueError(f"--teacher {name}: known for {', '.join(NASBENCH201_BEST)}, not for {dataset}")
    space = NasBench201()
    return space.build([space.arch(NASBENCH201_BEST[dataset])], classes, resolution)


def digest(path: Path) -> str:
    """sha256 of a weights file. Raises ValueError where it can't be read."""
    try:
        return file_digest(path)
    except OSError as error:
        raise ValueError(f"teacher weights {path}: {error.strerror or error}") from None


def weights(stack: Stack, drawing: Drawing, path: Path | None = None) -> Weights:
    """Drawn weights, or trained ones from a state dict. Raises ValueError naming the first thing that does not fit."""
    return drawing.teacher(stack) if path is None else load(stack, path, drawing.device)


NORM_PARTS = ("weight", "bias", "running_mean", "running_var")  # in the order of NormState


def known(stack: Stack) -> set[str]:
    """The keys of a network's state dict."""
    keys = {f"{stack.state_key(stack.head.role)}.bias"}
    for layer in stack.layers:
        parts = NORM_PARTS if layer.is_norm else ("weight",)
        keys |= {f"{stack.state_key(layer.role)}.{part}" for part in parts}
    return keys


def state_dict(stack: Stack, weights: Weights) -> dict[str, Tensor]:
    """The weights of a stack of one as a state dict that `load` reads; its tensors share their memory."""
    state = {f"{stack.state_key(layer.role)}.weight": kernel[0] for layer, kernel in weights.kernels.items()}
    state[f"{stack.state_key(stack.head.role)}.bias"] = weights.bias[0]
    for layer, norm in weights.norms.items():
        name = stack.state_key(layer.role)
        state.update((f"{name}.{part}", value[0]) for part, value in zip(NORM_PARTS, norm, strict=True))
    return {key: value.detach() for key, value in state.items()}


def load(stack: Stack, path: Path, device: torch.device) -> Weights:
    """Trained weights from a state dict in the field's naming (RepDistiller's ResNets, the NAS-Bench-201 networks').

    Loaded as tensors only, in any layout that benchmarks/reading/statedicts.py knows: nothing in the file is run.
    """
    where = f"teacher weights {path}"
    state = statedicts.read(path, device, where)
    kernels: dict[Layer, Tensor] = {}
    norms: dict[Layer, NormState] = {}
    for layer in stack.layers:
        name = stack.state_key(layer.role)
        if layer.is_norm:
            norms[layer] = NormState(*(_entry(state, f"{name}.{part}", layer.shape, where) for part in NORM_PARTS))
        else:
            note = " (classes x channels)" if layer is stack.head else ""
            kernels[layer] = _entry(state, f"{name}.weight", layer.shape, where, note)
    bias = _entry(state, f"{stack.state_key(stack.head.role)}.bias", stack.head.shape[:1], where)
    places = known(stack)
    surplus = [key for key in state if key not in places and not key.endswith("num_batches_tracked")]
    if surplus:
        raise ValueError(f"{where}: {surplus[0]} has no place in this teacher ({len(surplus)} such entries)")
    return Weights(kernels, bias, norms)


def _entry(state: dict[str, object], key: str, shape: tuple[int, ...], where: str, note: str = "") -> Tensor:
    """One tensor of the state dict as that of a stack of one, [1, *shape] in float32."""
    return statedicts.entry(state, key, shape, where, note=note).detach().float().unsqueeze(0)
