"""Module: any nn.Module that classifies images, behind the contract of a stack of one (network.py).

It is looked at once (looking.py), what is found can be named by the user (structure.py), and from then on it is run by
given weights under a mode (planning.py). The module itself is left as it is: parameters, buffers, hooks, mode,
gradients, random state. Not for building networks, nor for drawing their weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.func import functional_call

from proxies.probing import admitting
from proxies.probing.layers import layers_of, running_statistics
from proxies.probing.looking import UNKNOWN, Record, look
from proxies.probing.network import Layer, Layout, NormState, Outputs, Taps, Undefined, Weights
from proxies.probing.planning import Pass, Plan, Planned, axes, plan_attention, plan_blocks, plan_layers
from proxies.probing.structure import Found, Named, find

MOST_NAMED = 4  # weights, in a message
LOOKED_AT = 3  # images, so that their axis is told from others
MISSING = {
    "head": "no layer of it gives the logits; `head` names the classifier",
    "features": "no feature map was found before its head; `features` names the submodule that gives it",
    "block": "no submodules of it repeat as blocks do; `blocks` names them",
    "stage": "no stages were found in it; `stages` names the submodules that end them",
    "relu": "it has no activation that switches at 0",
    "norm": "it has no batch normalisation",
    "attention": "it has no attention: no softmax of a product, times something, was seen in it",
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
        self._dtype, self._device, self._size = images.dtype, images.device, images.shape[1:]
        example = admitting.example(images, LOOKED_AT)
        named = Named(features, head, tuple(stages), tuple(blocks))
        with admitting.aside(module, images.device), admitting.nothing_drawn(images.device):
            record = admitting.tried(lambda: look(module, example), example)
            logits = admitting.logits_of(record.given, example)
            admitting.check_logits(logits)
            admitting.check_record(record)
            self.classes = logits.shape[1]
            found = find(record, module, self.classes, named)
            self._take(record, found)
            self._find_form(example, logits)

    def _take(self, record: Record, found: Found) -> None:
        """The layers, the plan of taps, and what is lacking, of a module with these parts."""
        weight = "" if found.head is None else str(found.head.weight)
        self.layers, by_name = layers_of(self.module, record, weight, LOOKED_AT)
        self._head = by_name.get(weight)
        self._bias = record.biases.get(weight, "")
        self._norms = {layer.role: layer for layer in self.layers if layer.is_norm}
        self._sizes = record.sizes
        self._normalised = any(call.kind == "batch_norm" for call in record.calls)
        self._plan = plan = Plan(overwritten=frozenset(record.overwritten), views=frozenset(record.views))
        plan.norms = {number: self._norms[name] for number, name in record.norms.items()}
        plan_layers(plan, record, by_name, self.module, LOOKED_AT)
        plan_blocks(plan, record, found.blocks, found.stages, LOOKED_AT)
        plan_attention(plan, record)
        plan.head = UNKNOWN if found.head is None else found.head.number
        if found.features is not None:
            call = record.calls[found.features]
            plan.features = Planned("features", axes=axes(call, LOOKED_AT), grid=True)
            plan.features_at = found.features
            plan.add(call, plan.features)
        if found.head is not None and found.head.source == found.features and by_name[weight].shape[2:] == (1, 1):
            plan.add(found.head, Planned("channels", by_name[weight]))
        has = plan.kinds | ({"head"} if self._head is not None else set())
        lacks = {kind: reason for kind, reason in MISSING.items() if kind not in has}
        self.lacks: Mapping[str, str] = lacks | ({"weights": _unread(record)} if record.unread else {})
        self.twice_alone = any(call.function == "scaled_dot_product_attention" for call in record.calls)
        self.features = "" if found.features is None else _name_of(record, found.features)
        self.stages = [_name_of(record, number) for number in found.stages]
        self.blocks = [one.name for one in found.blocks]

    @property
    def head(self) -> Layer:
        """The classifier. Raises Undefined where none is found."""
        if self._head is None:
            raise Undefined(self.lacks["head"])
        return self._head

    def keeps(self, needs: frozenset[str]) -> int:
        """Bytes a pass holds for each image, in float32: all that is made where there is a graph; else what is tapped.

        To the latter comes what is being worked on. Read off the look at the module: what no function shows (a softmax
        inside attention) is not counted, and most of what is counted is kept.
        """
        if "graph" in needs:
            held = sum(self._sizes.values())
        else:
            tapped = {number for number, taps in self._plan.taps.items() if any(one.kind in needs for one in taps)}
            held = sum(self._sizes.get(number, 0) for number in tapped) + 3 * max(self._sizes.values(), default=0)
        return held * 4 // (LOOKED_AT * self._dtype.itemsize)

    def apart(self, weights: Weights) -> bool:
        """Whether no batch statistics are in the way, and an image alone gives what it gives beside others."""
        if self._normalised and not weights.norms:
            return False
        example = torch.linspace(-2, 2, 2 * prod(self._size), dtype=self._dtype, device=self._device)
        images = example.reshape(2, *self._size)
        with torch.no_grad():
            return _equal(self(images, weights).logits[:, :1], self(images[:1], weights).logits)

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
        tensors = {layer.role: _foldable(kernel[0]) for layer, kernel in weights.kernels.items()} | dict(weights.others)
        if self._bias:
            tensors[self._bias] = weights.bias[0]
        for name, buffer in self.module.named_buffers():
            tensors[name] = buffer.to(images.dtype) if buffer.is_floating_point() else buffer
            if tensors[name] is buffer:
                tensors[name] = buffer.clone()
        run = Pass(self._plan, weights, len(images), batch_norm=batch_norm, taps=taps)
        with admitting.evaluating(self.module), run:
            try:
                logits = functional_call(self.module, tensors, (images,))
            except admitting.SLIPS as error:  # it ran on others: on one image alone it may not
                raise admitting.not_run(error, images) from error
        run.check()
        if logits.ndim != 2 or len(logits) != len(images):
            made = list(logits.shape)
            raise ValueError(f"of {len(images)} images the network makes {made}; logits [N, K] are wanted")
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
        return Layout(*(self._plan.features.axes or (0, 1, False)), batch, grid=True)

    def _find_form(self, example: Tensor, logits: Tensor) -> None:
        """See whether the head is linear, and in the average of the last map; raises ValueError where a run differs."""
        self.linear_head, self.average_head = False, False
        taps = Taps("features")
        with torch.no_grad():
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


def _foldable(weight: Tensor) -> Tensor:
    """The weight; without a graph as a leaf of one, for which PyTorch multiplies rows that do not lie in order as one.

    Else attention's first product is one for each position, at about twice the time.
    """
    return weight if torch.is_grad_enabled() else weight.detach().requires_grad_()


def _unread(record: Record) -> str:
    """Which weights scores by weights would leave out."""
    names = list(record.unread)
    said = ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
    return f"scores by weights read those of convolutions and linear layers alone, and would leave out {said}"


def _name_of(record: Record, number: int) -> str:
    """The submodule that gives what a call gives; the function where none does."""
    names = [one.name for one in record.boundaries if one.after == number]
    return min(names, key=len) if names else f"{record.calls[number].function} (call {number})"


def _equal(one: Tensor, other: Tensor) -> bool:
    """Equal but for rounding."""
    size = float(other.abs().max())
    return bool((one - other).abs().max() <= 1e-4 * size) if size < float("inf") else False
