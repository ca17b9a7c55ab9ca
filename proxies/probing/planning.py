"""Plan: which calls of a module a pass looks at, and the pass that does.

A call is known by its number, which is that of the record (looking.py): a module calls the same functions each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from proxies.probing.attending import maps, seen_in
from proxies.probing.looking import FIRST_BIT, UNKNOWN, Boundary, Call, Record
from proxies.probing.network import Layer, Layout, Tap, Taps, Weights
from proxies.probing.structure import channel_axis, image_axis
from proxies.probing.watching import Function, Watch
from proxies.probing.writes import Handed

OF_INPUT = ("norm", "relu")  # kinds whose value is what a call gets


class Planned(NamedTuple):
    """A tap to be made at a call. `axes` begin a Layout; None for a map [N, C, H, W]."""

    kind: str
    layer: Layer | None = None
    axes: tuple[int, int, bool] | None = None
    before: int = UNKNOWN
    grid: bool = False


@dataclass
class Plan:
    """Taps by the number of their call; the calls whose values are kept; the functions that the calls are known by."""

    taps: dict[int, list[Planned]] = field(default_factory=dict)
    functions: dict[int, str] = field(default_factory=dict)
    sources: dict[int, int] = field(default_factory=dict)
    overwritten: frozenset[int] = frozenset()
    views: frozenset[int] = frozenset()
    held: set[int] = field(default_factory=set)
    norms: dict[int, Layer] = field(default_factory=dict)
    head: int = UNKNOWN
    features: Planned | None = None
    features_at: int = UNKNOWN

    def add(self, call: Call, planned: Planned) -> None:
        """Tap a call."""
        self.taps.setdefault(call.number, []).append(planned)
        self.functions[call.number] = call.function
        self.sources[call.number] = call.source

    @property
    def kinds(self) -> set[str]:
        """The kinds of which there is a tap."""
        return {planned.kind for taps in self.taps.values() for planned in taps}


def axes(call: Call, images: int) -> tuple[int, int, bool] | None:
    """The axes of images and channels in what a call gives, and whether rows are woven; None for a map [N, C, H, W]."""
    found = image_axis(call, images), channel_axis(call), bool(call.woven)
    return None if found[:2] == (0, 1) and len(call.shape) == 4 and call.shape[0] == images else found


def plan_layers(plan: Plan, record: Record, layers: dict[str, Layer], module: nn.Module, images: int) -> None:
    """Tap what layers, normalisations, activations, pools and skips give and get, where it depends on the images."""
    skips = {one.after for one in record.boundaries if type(module.get_submodule(one.name)) is nn.Identity}
    for call in record.calls:
        if not call.depends & FIRST_BIT:
            continue
        if call.number in skips and len(call.shape) > 2:
            plan.add(call, Planned("map", axes=axes(call, images)))
        if call.kind not in ("conv", "linear", "batch_norm", "norm", "activation", "pool"):
            continue
        place = axes(call, images)
        if call.weight is not None:
            plan.add(call, Planned("conv", layers[call.weight], place))
        if call.kind == "batch_norm":
            plan.add(call, Planned("norm", axes=place))
        if call.kind == "activation":
            plan.add(call, Planned("relu", axes=place))
        if len(call.shape) > 2 and (call.kind != "pool" or call.shape == call.before):
            plan.add(call, Planned("map", axes=place))


def plan_blocks(plan: Plan, record: Record, blocks: Sequence[Boundary], stages: Sequence[int], images: int) -> None:
    """Tap what the stem, the blocks and the stages give."""
    if blocks and blocks[0].before >= 0:
        stem = record.calls[blocks[0].before]
        plan.add(stem, Planned("block", axes=axes(stem, images)))
    for block in blocks:
        call = record.calls[block.after]
        plan.add(call, Planned("block", axes=axes(call, images), before=block.before))
        plan.held.add(block.before)
    for number in stages:
        call = record.calls[number]
        plan.add(call, Planned("stage", axes=axes(call, images), grid=True))


def plan_attention(plan: Plan, record: Record) -> None:
    """Tap the maps of attention."""
    for call, woven in seen_in(record):
        plan.add(call, Planned("attention", axes=(0, 0, woven)))


class Pass(Watch):
    """One run of a module by a plan: the taps that are wanted, the last map, and what the head gets."""

    def __init__(self, plan: Plan, weights: Weights, batch: int, *, batch_norm: bool, taps: Taps | None) -> None:
        kinds = frozenset() if taps is None else taps.kinds
        super().__init__(twice="twice" in kinds)
        self.plan = plan
        self.weights = weights
        self.batch = batch
        self.normalises = batch_norm
        self.taps = taps
        self.kinds = kinds
        self.held: dict[int, Tensor] = {}
        self.head_input: Tensor | None = None
        self._shown = Handed()

    def check(self) -> None:
        """Raises ValueError where something that was tapped or kept has been written to since."""
        if self._shown.altered():
            raise ValueError(
                "the network writes over a tensor that is looked at, in a way that can't be followed:"
                " let it make a new one"
            )

    def seen(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
        """Tap a call where that is planned and wanted; what is overwritten later is tapped as it is now."""
        number, plan = self.number, self.plan
        if not (isinstance(out, Tensor) and out.is_floating_point()):
            return out
        if number == plan.head:
            self.head_input = self._got(args)
            self._shown.out(f"input of call {number}", self.head_input)
        wanted = [one for one in plan.taps.get(number, ()) if one.kind in self.kinds]
        kept = (number in plan.held and "block" in self.kinds) or number == plan.features_at
        if not wanted and not kept:
            return out
        if kept:
            self.held[number] = out
            self._shown.out(f"output of call {number}", out)
        name = getattr(function, "__name__", str(function))
        if plan.functions.get(number, name) != name:
            raise ValueError(f"the network calls {name} where it called {plan.functions[number]} when it was looked at")
        for place, planned in enumerate(wanted):
            assert self.taps is not None
            tap = self._tap(planned, function, args, kwargs, out)
            self._shown.out(f"tap {place} of call {number}", [tap.value, tap.before])
            self.taps.found.append(tap)
        return out.clone() if number in plan.overwritten and number not in plan.views else out

    def _tap(
        self, planned: Planned, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
    ) -> Tap:
        value, again = out, None
        if planned.kind == "attention":
            assert planned.axes is not None
            return Tap("attention", (0,), maps(function, args, kwargs, out, self.batch, woven=planned.axes[2]))
        if planned.kind in OF_INPUT:
            value = self._got(args)
        before = self.held.get(planned.before)
        if planned.kind == "conv":
            before, again = self._got(args), _again(function, args, kwargs)
        layout = None if planned.axes is None else Layout(*planned.axes, self.batch, planned.grid)
        return Tap(planned.kind, (0,), value, before, planned.layer, None, layout, again)

    def _got(self, args: tuple[Any, ...]) -> Tensor:
        """What a call gets; as it is now, where that is overwritten later."""
        got: Tensor = args[0]
        return got.clone() if self.plan.sources.get(self.number) in self.plan.overwritten else got

    def batch_norm(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Batch normalisation by the batch's statistics, by those of trained weights, or left out."""
        if not self.normalises:
            return x.clone() if self.number + 1 in self.plan.overwritten else x
        layer = self.plan.norms.get(self.number + 1)
        trained = None if layer is None else self.weights.norms.get(layer)
        if trained is None:
            return F.batch_norm(x, None, None, weight, bias, training=True, momentum=0.0, eps=eps)
        scale, shift, mean, variance = (tensor[0] for tensor in trained)
        return F.batch_norm(x, mean, variance, scale, shift, training=False, momentum=0.0, eps=eps)


def _again(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[Tensor, Tensor], Tensor]:
    """A convolution or linear layer once more, with the geometry of its call and no bias."""
    rest = {name: value for name, value in kwargs.items() if name not in ("input", "weight", "bias")}

    def call(before: Tensor, weight: Tensor) -> Tensor:
        given: Tensor = function(before, weight, None, *args[3:], **rest)
        return given

    return call
