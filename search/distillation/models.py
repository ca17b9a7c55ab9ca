"""Networks that are trained: a stack of one with weights of its own, and what every kind of them can do.

An ordinary nn.Module in training stands in modules.py; who is meant by a name in students.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Protocol, Self

import torch
from torch import Tensor

from benchmarks.conditions import teachers
from benchmarks.conditions.batches import scaled
from benchmarks.conditions.drawing import Drawing, Init
from benchmarks.spaces.stack import Stack
from proxies.probing.network import NormState, Taps, Weights

Precision = Literal["float32", "bf16", "fp16"]
TYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Seen(NamedTuple):
    """What a network shows on N images: the stages' maps and the last map [N, C, H, W], pooled [N, C], logits [N, K].

    `head` is the classifier's weight [K, C]. No leading axis: one network. What it has not got has no channels.
    """

    stages: list[Tensor]
    features: Tensor
    pooled: Tensor
    logits: Tensor
    head: Tensor


class Network(Protocol):
    """A network in training, whatever it is made of: a stack of one (Model, below) or any nn.Module (modules.py)."""

    precision: Precision

    @property
    def levels(self) -> Sequence[str]:
        """Names of its stages, where they have any."""

    @property
    def lacks(self) -> Mapping[str, str]:
        """By part of what is shown, why it has none."""

    @property
    def size(self) -> int:
        """Trainable scalars."""

    def parameters(self) -> list[Tensor]:
        """What is trained."""

    def vectors(self) -> list[Tensor]:
        """Of what is trained biases, scales and shifts."""

    def statistics(self) -> list[Tensor]:
        """What follows the batches without being trained: running means and variances."""

    def tensors(self) -> list[Tensor]:
        """All that makes the network: what is trained, and the running statistics."""

    def copy(self) -> Self:
        """The same network with weights of its own that nothing trains."""

    def state_dict(self) -> dict[str, Any]:
        """Named as its usual implementation names them; the tensors share their memory with the network."""

    def load_state_dict(self, state: Mapping[str, Any]) -> object:
        """Take over a state that `state_dict` gave."""

    def look(self, images: Tensor, *, training: bool = False, stages: bool = False, maps: bool = True) -> Seen:
        """Run it, as in training or as in use; mixed precision shows float32.

        `stages`: whether their maps are shown; `maps`: whether anything is beside the logits.
        """


def fresh(stack: Stack, names: Sequence[str], seed: int, init: Init, device: torch.device) -> Weights:
    """First weights of a stack's networks, each by seed and its own name; scales are 1 and shifts 0. To be trained."""
    drawn = Drawing(seed, "independent", init, device).candidates(stack, names)
    norms = {}
    for layer in stack.layers:
        if layer.is_norm:
            shape = (len(layer.members), *layer.shape)
            ones, zeros = (make(shape, device=device) for make in (torch.ones, torch.zeros))
            norms[layer] = NormState(ones, zeros, zeros.clone(), ones.clone())
    copied = drawn.map(torch.clone)
    weights = Weights(copied.kernels, copied.bias, norms)
    for parameter in trained(weights):
        parameter.requires_grad_()
    return weights


def trained(weights: Weights) -> list[Tensor]:
    """What is trained of a stack's weights: kernels, and vectors."""
    return [*weights.kernels.values(), *vectors(weights)]


def vectors(weights: Weights) -> list[Tensor]:
    """Of a stack's weights the heads' biases, scales and shifts."""
    return [weights.bias, *(part for norm in weights.norms.values() for part in (norm.scale, norm.shift))]


class Model:
    """A stack of one and its weights, trained in place; below float32 its passes run in mixed precision.

    `retouch`: scale and shift [3, 1, 1] of the images that it is shown, where it wants another input normalisation.
    `resolution`: the size that they are scaled to, where it wants another, as those of a scored batch are.
    """

    levels: Sequence[str] = ()
    lacks: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self,
        stack: Stack,
        weights: Weights,
        precision: Precision = "float32",
        retouch: tuple[Tensor, Tensor] | None = None,
        resolution: int | None = None,
    ) -> None:
        self.stack = stack
        self.weights = weights
        self.precision = precision
        self.retouch = retouch
        self.resolution = resolution

    @classmethod
    def fresh(
        cls, stack: Stack, name: str, seed: int, init: Init, device: torch.device, precision: Precision = "float32"
    ) -> Model:
        """Drawn weights, by seed and name; normalisations with scale 1 and shift 0."""
        return cls(stack, fresh(stack, [name], seed, init, device), precision)

    @property
    def size(self) -> int:
        """Trainable scalars."""
        return sum(layer.parameters for layer in self.stack.layers)

    def parameters(self) -> list[Tensor]:
        """What is trained: kernels, the head's bias, scales and shifts."""
        return trained(self.weights)

    def vectors(self) -> list[Tensor]:
        """The head's bias, scales and shifts."""
        return vectors(self.weights)

    def statistics(self) -> list[Tensor]:
        """Running means and variances."""
        return [part for norm in self.weights.norms.values() for part in (norm.mean, norm.variance)]

    def tensors(self) -> list[Tensor]:
        """All that makes the network: what is trained, and the running statistics."""
        return self.parameters() + self.statistics()

    def copy(self) -> Model:
        """The same network with weights of its own that nothing trains."""
        copied = self.weights.map(lambda w: w.detach().clone())
        norms = {
            layer: NormState(*(part.detach().clone() for part in norm)) for layer, norm in self.weights.norms.items()
        }
        return Model(
            self.stack, Weights(copied.kernels, copied.bias, norms), self.precision, self.retouch, self.resolution
        )

    def state_dict(self) -> dict[str, Tensor]:
        """As benchmarks/conditions/teachers.py loads it; the tensors share their memory with the network."""
        return teachers.state_dict(self.stack, self.weights)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over a state that `state_dict` gave."""
        for key, tensor in self.state_dict().items():
            tensor.copy_(state[key])

    def look(self, images: Tensor, *, training: bool = False, stages: bool = False, maps: bool = True) -> Seen:
        """Run it, in training by the batch's statistics, else by the running ones; mixed precision shows float32."""
        taps = Taps("stage") if stages else None
        if self.retouch is not None:
            scale, shift = self.retouch
            images = images * scale + shift
        images = scaled(images, self.resolution or images.shape[-1])
        with torch.autocast(images.device.type, TYPES[self.precision], enabled=self.precision != "float32"):
            outputs = self.stack(images, self.weights, taps=taps, training=training)
        mixed = self.precision != "float32"
        found, (features, pooled, logits) = (
            [part[0].float() if mixed else part[0] for part in parts]
            for parts in ([tap.stacked() for tap in taps.found] if taps else [], outputs)
        )
        return Seen(found, features, pooled, logits, self.weights.kernels[self.stack.head][0])
