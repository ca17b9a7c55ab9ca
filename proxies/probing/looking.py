"""Look: one run of a module as it is, written down. Which calls it makes, of which layers, what depends on what.

What is made of the record (head, features, stages, blocks) stands in structure.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks

from proxies.probing.watching import WEIGHING, Function, Watch, argument, kind_of, out_of_place

IMAGES = -1  # the number of what no call gave: the images
UNKNOWN = -2  # of a tensor that nobody saw being made
FIRST_BIT = 1  # of what depends on the images


class Call(NamedTuple):
    """A call that gave a tensor of floats: its kind (see watching.py), the name of its weight, if it has one.

    `source` is the number of the call that gave its first argument that shows the images (its first of all, where none
    does), of shape `before`; `channels` the axis of the channels in what it gave, of shape `shape`, where it is known;
    `woven` whether rows of the images take turns in it, None where that can't be told; `depends` a bit for the images
    and for each layer.
    """

    number: int
    kind: str
    function: str
    weight: str | None
    source: int
    before: tuple[int, ...]
    shape: tuple[int, ...]
    channels: int | None
    woven: bool | None
    depends: int

    @property
    def is_transposed(self) -> bool:
        """Whether this is a transposed convolution."""
        return self.function.startswith("conv_transpose")


class Boundary(NamedTuple):
    """A submodule that was run: the numbers of the calls that gave its first argument and its result."""

    name: str
    before: int
    after: int
    shape: tuple[int, ...]


@dataclass
class Record:
    """What one run of a module showed; `bits` tells a layer's bit, `overwritten` what was written to afterwards.

    `views` are the calls that give a view of what they got.
    """

    calls: list[Call] = field(default_factory=list)
    boundaries: list[Boundary] = field(default_factory=list)
    bits: dict[str, int] = field(default_factory=dict)
    biases: dict[str, str] = field(default_factory=dict)  # the name of a layer's bias, by that of its weight
    overwritten: set[int] = field(default_factory=set)
    views: set[int] = field(default_factory=set)
    products: dict[int, int] = field(default_factory=dict)  # multiply-accumulates of a call, over the batch
    norms: dict[int, str] = field(default_factory=dict)  # the batch normalisation of a call, by its module
    sizes: dict[int, int] = field(default_factory=dict)  # bytes that a call made anew, over the batch
    turns: dict[int, bool | None] = field(default_factory=dict)  # as Call.woven, of what may be maps of attention
    depends: int = 0  # of the logits
    computed: list[str] = field(default_factory=list)  # functions whose weight is no parameter
    unread: dict[str, None] = field(default_factory=dict)  # names of weights that are no layer's
    given: Any = None


class Recorder(Watch):
    """Writes down what it sees. Everything is done as the module has it."""

    def __init__(self, module: nn.Module, images: Tensor) -> None:
        super().__init__(rewrite=False)
        self.record = Record()
        self._images = len(images)
        self._names = {id(value): name for name, value in module.named_parameters()}
        self._weights = {_place(value): name for name, value in module.named_parameters() if value.ndim > 1}
        self._norms = {id(one): name for name, one in module.named_modules()}
        self._numbers = {id(images): IMAGES}
        self._depends = {id(images): FIRST_BIT}
        self._sharing = defaultdict(set, {_place(images): {IMAGES}})  # the calls whose tensors lie there

    def producer(self, tensor: object) -> int:
        """The number of the call that gave a tensor last."""
        return self._numbers.get(id(tensor), UNKNOWN)

    def _shows_images(self, tensor: Tensor) -> bool:
        """Whether a tensor came from the images by calls that were written down."""
        return self.producer(tensor) != UNKNOWN and bool(self._depends.get(id(tensor), 0) & FIRST_BIT)

    def seen(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
        """Write down a call."""
        name = getattr(function, "__name__", str(function))
        kind = kind_of(function, args, kwargs)
        rewritten = out_of_place(function, args, kwargs) is not None or bool(kwargs.get("inplace"))
        depends = 0
        for one in _tensors((*args, *kwargs.values())):
            depends |= self._depends.get(id(one), 0)
        if function in WEIGHING:
            places = [_place(one) for one in _tensors((*args, *kwargs.values()))]
            self.record.unread |= {self._weights[place]: None for place in places if place in self._weights}
        first = next(_tensors(args), None)
        shown = next((one for one in _tensors(args) if self._shows_images(one)), first)
        source, before = self.producer(shown), () if shown is None else tuple(shown.shape)
        if first is not None and (kind == "set" or (name.endswith("_") and not name.endswith("__"))):
            self._depends[id(first)] = depends
            if not rewritten:  # which a pass does out of place
                self.record.overwritten |= {self.producer(first)} | self._sharing.get(_place(first), set())
        self._share((*args, *kwargs.values()), out, rewritten=rewritten)
        if isinstance(out, Tensor) and out.is_floating_point():
            weight = self._weight(kind, function, args, kwargs)
            if weight is not None:
                depends |= self.record.bits.setdefault(weight, FIRST_BIT << (len(self.record.bits) + 1))
            if kind == "product":
                self.record.products[self.number] = _multiplications(name, args, out)
            channels = _channels(kind, name, args, shown, out, self._channels_of(source))
            shape, woven = tuple(out.shape), _woven(out, self._images)
            self.record.calls.append(
                Call(self.number, kind, name, weight, source, before, shape, channels, woven, depends)
            )
            self._numbers[id(out)] = self.number
            rows = out if kind == "softmax" else first if name == "scaled_dot_product_attention" else None
            if rows is not None and rows.ndim > 2:
                self.record.turns[self.number] = _turns(rows.flatten(0, -3), self._images)
        for one in _tensors((out,)):
            self._depends[id(one)] = depends
            if one is not out or not one.is_floating_point():  # nor that of a tensor that was there before it
                self._numbers[id(one)] = UNKNOWN
        return out

    def _share(self, given: tuple[Any, ...], out: Any, *, rewritten: bool) -> None:
        """Write down what lies in the memory of what a call gives, and how many bytes of that it makes in a pass.

        That is all but views of what it got, and what it got where it writes to that.
        """
        old = set() if rewritten else {_place(one) for one in _tensors(given)}
        made = {_place(one): one.untyped_storage().nbytes() for one in _tensors((out,))}
        new = sum(size for place, size in made.items() if place not in old)
        self.record.sizes[self.number] = self.record.sizes.get(self.number, 0) + new
        self._sharing |= {place: set() for place in made.keys() - old}
        if isinstance(out, Tensor) and out.is_floating_point():
            self._sharing[_place(out)].add(self.number)
            if _place(out) in old and not any(out is one for one in _tensors(given)):
                self.record.views.add(self.number)

    def _channels_of(self, number: int) -> int | None:
        return self.record.calls[number].channels if number >= 0 else None

    def _weight(self, kind: str, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """The name of the weight that a convolution, a linear layer or a batch normalisation is called with."""
        if kind not in ("conv", "linear"):
            return None
        weight = argument(args, kwargs, 1, "weight")
        name = self._names.get(id(weight))
        if name is None:
            self.record.computed.append(function.__name__)
            return None
        bias = self._names.get(id(argument(args, kwargs, 2, "bias")))
        if bias is not None:
            self.record.biases[name] = bias
        return name

    @contextmanager
    def boundaries(self) -> Iterator[None]:
        """While open, submodules are noted as they are run, by hooks of PyTorch's own list and none of a module's."""
        entered: list[int] = []

        def enter(module: nn.Module, args: Any) -> None:
            entered.append(self.producer(args[0]) if args else UNKNOWN)

        def leave(module: nn.Module, args: Any, out: Any) -> None:
            before, name = entered.pop(), self._norms.get(id(module))
            if name is not None and isinstance(out, Tensor):
                self.record.boundaries.append(Boundary(name, before, self.producer(out), tuple(out.shape)))
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    self.record.norms[self.producer(out)] = name

        handles = [hooks.register_module_forward_pre_hook(enter), hooks.register_module_forward_hook(leave)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def look(module: nn.Module, images: Tensor) -> Record:
    """Run a module that is in evaluation mode on some images [n, C, H, W], and write down what it does.

    The first two images are to be the same and the third another: by that an image's rows are known.
    """
    recorder = Recorder(module, images)
    with torch.no_grad(), recorder.boundaries(), recorder:
        given = module(images)
    record = recorder.record
    record.given = given
    record.depends = recorder._depends.get(id(given), 0)
    return record


def _tensors(values: Any) -> Iterator[Tensor]:
    """The tensors among some values, also in lists, tuples and dicts."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from _tensors(tuple(values.values()))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)


def _place(tensor: Tensor) -> int:
    """Where in memory a tensor lies, that of which it is a view."""
    return tensor.untyped_storage().data_ptr()


def _woven(out: Tensor, images: int) -> bool | None:
    """Whether the images take turns in the rows of a tensor, or each has its rows together; None if neither."""
    if images in out.shape[:2] or out.ndim < 2 or len(out) % images:
        return False
    return _turns(out, images)


def _turns(out: Tensor, images: int) -> bool | None:
    """Whether the images take turns in the rows; None where neither holds."""
    if len(out) % images:
        return None
    together, turns = out.unflatten(0, (images, -1)), out.unflatten(0, (-1, images)).transpose(0, 1)
    size = 1e-4 * float(out.abs().max())
    for rows, woven in ((together, False), (turns, True)):
        if float((rows[0] - rows[1]).abs().max()) <= size:
            return woven
    return None


def _channels(
    kind: str, name: str, args: tuple[Any, ...], shown: Tensor | None, out: Tensor, before: int | None
) -> int | None:
    """The axis of the channels in what a call gives, where it is known; `before` is that in the tensor `shown`."""
    if kind in ("conv", "batch_norm", "pool") or name == "group_norm":
        return 1
    if kind == "linear" or name in ("layer_norm", "rms_norm"):
        return out.ndim - 1
    if before is None or shown is None:
        return None
    if kind in ("permute", "transpose") and len(args) < 2:  # by name
        return None
    if kind == "permute":
        axes = args[1] if isinstance(args[1], list | tuple) else args[1:]
        return [axis % out.ndim for axis in axes].index(before)
    if kind == "transpose":
        one, other = int(args[1]) % out.ndim, int(args[2]) % out.ndim
        return {one: other, other: one}.get(before, before)
    return before if shown.shape == out.shape or (kind == "mean" and shown.ndim == out.ndim) else None


def _multiplications(name: str, args: tuple[Any, ...], out: Tensor) -> int:
    """Multiply-accumulates of a product of tensors."""
    tensors = list(_tensors(args))
    if name == "scaled_dot_product_attention":
        query, key, value = tensors[:3]
        return prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])
    if name == "einsum":
        terms = args[0].split("->")[0].replace(" ", "").split(",")
        sizes: dict[str, int] = {}
        for term, one in zip(terms, tensors, strict=True):
            sizes.update(zip(term, one.shape, strict=True))
        return prod(sizes.values())
    return out.numel() * tensors[-1 if name == "baddbmm" else 0].shape[-2 if name == "baddbmm" else -1]
