"""Drawing weights: each layer's from a generator of its own, keyed by what the layer is. No global random state.

The key is (seed, role, operation, shape) and, by mode, whose draw it is:
  independent  every candidate and the teacher have their own, as in the papers
  common       the candidates share theirs (common random numbers), the teacher has its own
  shared       the teacher shares them too where role, operation and shape agree, the classifier above all
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod, sqrt
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from benchmarks.spaces.modules import Made
from proxies.probing.network import Layer, Network, Weights

Mode = Literal["independent", "common", "shared"]
Init = Literal["kaiming", "normal", "default"]
AsIs = Literal["own", "trained"]  # a module's own weights, its running statistics left out or used
MODES: tuple[Mode, ...] = get_args(Mode)
INITS: tuple[Init, ...] = get_args(Init)
CACHE_BYTES = 2**30


def generator(*key: object) -> np.random.Generator:
    """A generator keyed by the text of its arguments, the same on every machine (numpy's Philox)."""
    text = "/".join(map(str, key))
    return np.random.Generator(np.random.Philox(key=int.from_bytes(hashlib.sha256(text.encode()).digest()[:16])))


def initial_weight(shape: tuple[int, ...], init: Init, random: np.random.Generator) -> Tensor:
    """One layer's weight [C_out, C_in, k, k] or [K, C], float32.

    kaiming: N(0, 2/fan_in) (He et al., ICCV 2015); normal: N(0, 1), as DisWOT's released scripts have it;
    default: U(-b, b) with b = 1/sqrt(fan_in), as PyTorch builds convolutions and linear layers.
    """
    fan_in = prod(shape[1:])
    if init == "default":
        return torch.from_numpy(_uniform(shape, 1 / sqrt(fan_in), random))
    values = random.standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(values * np.float32(sqrt(2 / fan_in)) if init == "kaiming" else values)


def initial_bias(shape: tuple[int, ...], init: Init, random: np.random.Generator) -> Tensor:
    """The head's bias [K] for a weight of shape [K, C]: uniform under `default`, else 0."""
    if init == "default":
        return torch.from_numpy(_uniform(shape[:1], 1 / sqrt(shape[1]), random))
    return torch.zeros(shape[0])


def _uniform(shape: tuple[int, ...], bound: float, random: np.random.Generator) -> np.ndarray:
    return ((2 * random.random(shape, dtype=np.float32) - 1) * np.float32(bound)).astype(np.float32)


@dataclass
class Drawing:
    """Draws the weights of stacks and of the teacher, for one seed, mode, init and device.

    Common draws are kept, up to a gigabyte of them.
    """

    seed: int
    mode: Mode = "shared"
    init: Init | AsIs = "kaiming"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    _kept: dict[tuple[object, ...], Tensor] = field(default_factory=dict, repr=False)
    _kept_bytes: int = field(default=0, repr=False)

    def candidates(self, stack: Network, archs: Sequence[str]) -> Weights:
        """The weights of a stack of candidates, named by their canonical codes in the stack's order."""
        if self.mode == "independent":
            return self._draw(stack, [f"candidate {arch}" for arch in archs])
        return self._draw(stack, [""] * len(archs))

    def teacher(self, stack: Network) -> Weights:
        """The weights of the teacher, a stack of one."""
        return self._draw(stack, ["" if self.mode == "shared" else "teacher"])

    def noise(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """N(0, 1) numbers for a proxy that needs some, float32, by seed, name and shape."""
        return self._keep(
            ("noise", name, shape),
            lambda: torch.from_numpy(
                generator(self.seed, "noise", name, shape).standard_normal(shape, dtype=np.float32)
            ),
        )

    def _draw(self, stack: Network, owners: Sequence[str]) -> Weights:
        if isinstance(stack, Made):
            return self._draw_module(stack, owners)
        kernels = {layer: self._stacked(layer, owners, "weight") for layer in stack.layers if layer.kind == "kernel"}
        return Weights(kernels, self._stacked(stack.head, owners, "bias"))

    def _draw_module(self, module: Made, owners: Sequence[str]) -> Weights:
        """A module's weights: as they are or its constructor makes them; or kernels and the head's bias drawn here.

        What is no kernel (other biases, scales, tokens) is its constructor's, and the module's own where there is none.
        """
        seed = int(generator(self.seed, "constructor", *owners).integers(2**31))
        if self.init == "own" or self.init == "trained":
            running = self.init == "trained"
            return module.fresh(seed, running=running) if module.can_be_made else module.own(running=running)
        made = module.fresh(seed) if module.can_be_made or self.init == "default" else module.own()
        if self.init == "default":
            return made
        kernels = {layer: self._stacked(layer, owners, "weight") for layer in made.kernels}
        has_bias = made.bias.shape[1] > 0
        return Weights(kernels, self._stacked(module.head, owners, "bias") if has_bias else made.bias, {}, made.others)

    def _stacked(self, layer: Layer, owners: Sequence[str], part: Literal["weight", "bias"]) -> Tensor:
        """One layer of its members: [a, *shape]; a common draw is expanded, not copied."""
        who = [owners[member] for member in layer.members]
        if not any(who):
            return self._common(layer, part).expand(len(who), *([-1] * (len(layer.shape) if part == "weight" else 1)))
        return torch.stack([self._one(layer, owner, part) for owner in who]).to(self.device)

    def _common(self, layer: Layer, part: Literal["weight", "bias"]) -> Tensor:
        key = (layer.role, layer.operation, layer.shape, part)
        return self._keep(key, lambda: self._one(layer, "", part).to(self.device).unsqueeze(0))

    def _keep(self, key: tuple[object, ...], make: Callable[[], Tensor]) -> Tensor:
        """A tensor that is made once, while there is room."""
        if key not in self._kept:
            if self._kept_bytes > CACHE_BYTES:
                self._kept.clear()
                self._kept_bytes = 0
            self._kept[key] = make()
            self._kept_bytes += self._kept[key].nbytes
        return self._kept[key]

    def _one(self, layer: Layer, owner: str, part: Literal["weight", "bias"]) -> Tensor:
        random = generator(self.seed, layer.role, layer.operation, layer.shape, part, owner)
        initial = initial_weight if part == "weight" else initial_bias
        # what has no weights of its own, a named teacher beside modules as they are, is drawn as usual
        init: Init = "kaiming" if self.init == "own" or self.init == "trained" else self.init
        return initial(layer.shape, init, random)
