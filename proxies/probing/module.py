"""Module: any nn.Module that classifies images, behind the contract of a stack of one (network.py).

It is looked at once (looking.py), what is found can be named by the user (structure.py), and from then on it is run by
given weights under a mode (planning.py). The module itself is left as it is: parameters, buffers, hooks, mode,
gradients, random state. Not for building networks, nor for drawing their weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from proxies.probing import admitting
from proxies.probing.layers import layers_of, running_statistics
from proxies.probing.looking import UNKNOWN, Record, look
from proxies.probing.network import Layer, Layout, NormState, Outputs, Taps, Undefined, Weights
from proxies.probing.planning import Pass, Plan, Planned, axes, plan_blocks, plan_layers
from proxies.probing.structure import find_blocks, find_features, find_head, find_stages

LOOKED_AT = 3  # images, so that their axis is told from others
MISSING = {
    "head": "no layer of it gives the logits; name the classifier with head=",
    "features": "no feature map was found before its head; name the submodule that gives it with features=",
    "block": "no submodules of it repeat as blocks do; name them with blocks=",
    "stage": "no stages were found in it; name the submodules that end them with stages=",
    "relu": "it has no activation that switches at 0",
    "norm": "it has no batch normalisation",
    "map": "no operation of it gives a map",
}


class Module:
    """A module as a stack of one.

    `images` [N, C, H, W] tell the size, type and device of what it will be run on; noise of that size is what it is
    looked at with. `features`, `head`, `stages`, `blocks` name submodules (patterns with * and ? for the latter two)
    where what is found is not what is wanted. Raises ValueError for a module that can't be scored, or a name of none.
    """

    candidates = 1

    def __init__(
        self,
        module: nn.Module,
        images: Tensor,
        *,
        features: str = "",
        head: str = "",
        stages: Sequence[str] = (),
        blocks: Sequence[str] = (),
    ) -> None:
        admitting.check(module, images)
        self.module = module
        self._dtype, self._device = images.dtype, images.device
        example = admitting.example(images, LOOKED_AT)
        with admitting.aside(module, images.device):
            record = admitting.tried(lambda: look(module, example), example)
        logits = admitting.logits_of(record.given, example)
        admitting.check_record(record)
        names = [name for name, _ in module.named_modules() if name]
        found_head = find_head(record, logits.shape[1], head, names)
        found_features = find_features(record, found_head, features, names)
        found_blocks = find_blocks(record, module, blocks, names)
        self.layers, by_name = layers_of(module, record, None if found_head is None else found_head.weight, LOOKED_AT)
        self.blocks = [one.name for one in found_blocks]
        self._bias = "" if found_head is None else record.biases.get(str(found_head.weight), "")
        self._norms = {layer.role: layer for layer in self.layers if layer.is_norm}
        self._head = None if found_head is None else by_name[str(found_head.weight)]
        self._plan = Plan(overwritten=frozenset(record.overwritten))
        self._plan.norms = {number: self._norms[name] for number, name in record.norms.items()}
        plan_layers(self._plan, record, by_name, module, LOOKED_AT)
        numbers = find_stages(record, found_blocks, stages, names)
        plan_blocks(self._plan, record, found_blocks, numbers, LOOKED_AT)
        self._place(record, found_head.number if found_head else UNKNOWN, found_features)
        lacking = {"head": self._head is None, "features": found_features is None}
        lacking |= {kind: kind not in self._plan.kinds for kind in ("block", "stage", "relu", "norm", "map")}
        self.lacks = {kind: MISSING[kind] for kind, lacks in lacking.items() if lacks}
        self.twice_alone = any(call.function == "scaled_dot_product_attention" for call in record.calls)
        self.stages = [self._name_of(record, number) for number in numbers]
        self.features = "" if found_features is None else self._name_of(record, found_features)
        self.linear_head, self.average_head = False, False
        self._find_form(example, logits)

    @property
    def head(self) -> Layer:
        """The classifier. Raises Undefined where none is found."""
        if self._head is None:
            raise Undefined(self.lacks["head"])
        return self._head

    def weights(self, *, running: bool = False) -> Weights:
        """The module's own weights, in its own memory; `running`: with the statistics of its batch normalisations."""
        own = {name: value.detach() for name, value in self.module.named_parameters()}
        kernels = {layer: own.pop(layer.role)[None] for layer in self.layers if layer.kind == "kernel"}
        bias = own.pop(self._bias)[None] if self._bias else torch.zeros(1, 0, dtype=self._dtype, device=self._device)
        norms: dict[Layer, NormState] = running_statistics(self.module, self._norms) if running else {}
        return Weights(kernels, bias, norms, own)

    def __call__(
        self, images: Tensor, weights: Weights, *, batch_norm: bool = True, taps: Taps | None = None
    ) -> Outputs:
        """images [N, C, H, W] -> what the module makes of them with these weights; see proxies.probing.network."""
        tensors = {layer.role: kernel[0] for layer, kernel in weights.kernels.items()} | dict(weights.others)
        if self._bias:
            tensors[self._bias] = weights.bias[0]
        for name, buffer in self.module.named_buffers():
            tensors[name] = buffer.to(images.dtype) if buffer.is_floating_point() else buffer
            if tensors[name] is buffer:
                tensors[name] = buffer.clone()
        run = Pass(self._plan, weights, len(images), batch_norm=batch_norm, taps=taps)
        with admitting.evaluating(self.module), run:
            logits = functional_call(self.module, tensors, (images,))
        return self._outputs(run, logits)

    def _outputs(self, run: Pass, logits: Tensor) -> Outputs:
        features = logits.new_zeros(1, len(logits), 0, 1, 1)
        if self._plan.features is not None:
            features = self._layout(len(logits)).map(run.held[self._plan.features_at])
        pooled = features.mean((-2, -1))
        if run.head_input is not None and run.head_input.ndim == 2:
            pooled = run.head_input[None]
        return Outputs(features, pooled, logits[None])

    def _layout(self, batch: int) -> Layout:
        assert self._plan.features is not None
        return Layout(*(self._plan.features.axes or (0, 1)), batch, grid=True)

    def _place(self, record: Record, head: int, features: int | None) -> None:
        """Plan where the head and the last map are."""
        self._plan.head = head
        if features is not None:
            call = record.calls[features]
            self._plan.features = Planned("features", axes=axes(call, LOOKED_AT), grid=True)
            self._plan.features_at = features
            self._plan.add(call, self._plan.features)

    def _find_form(self, example: Tensor, logits: Tensor) -> None:
        """See whether the head is linear, and in the average of the last map; raises ValueError where a run differs."""
        taps = Taps("features")
        with admitting.aside(self.module, example.device), torch.no_grad():
            weights = self.weights(running=True)
            outputs = admitting.tried(lambda: self(example, weights, taps=taps), example)
        admitting.check_repeats(outputs.logits[0], logits)
        if self._head is None or self._head.operation != "linear":
            return
        weight, pooled = weights.kernels[self._head][0], outputs.pooled[0]
        if pooled.shape[1] != weight.shape[1]:
            return
        bias = weights.bias[0] if self._bias else 0.0
        self.linear_head = _equal(pooled @ weight.mT + bias, logits)
        for tap in taps.found:
            positions = self._layout(len(logits)).arrange(tap.value)[0].flatten(2)
            means = [positions.mean(-1), positions[..., 0], positions[..., 1:].mean(-1)]
            self.average_head = self.linear_head and any(m.shape == pooled.shape and _equal(m, pooled) for m in means)

    def _name_of(self, record: Record, number: int) -> str:
        """The submodule that gives what a call gives; the function where none does."""
        names = [one.name for one in record.boundaries if one.after == number]
        return min(names, key=len) if names else f"{record.calls[number].function} (call {number})"


def _equal(one: Tensor, other: Tensor) -> bool:
    """Equal but for rounding."""
    size = float(other.abs().max())
    return bool((one - other).abs().max() <= 1e-4 * size) if size < float("inf") else False
