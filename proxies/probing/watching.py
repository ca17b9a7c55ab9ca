"""Watch: the functions of PyTorch as a module calls them, whoever calls them, and some of them done otherwise.

A mode, on while a module runs: no hook, no copy and no replaced method. Not here: what a call means for a Probe (that
is planned in structure.py), and who runs the module (module.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

Function = Callable[..., Any]

CONVOLUTIONS: frozenset[Function] = frozenset({
    F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d,
})  # fmt: skip
# What switches at 0, and its smooth kin; a gate (sigmoid, hardsigmoid, tanh, softmax) scales.
ACTIVATIONS: frozenset[Function] = frozenset({
    F.relu, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_, F.relu6, F.hardtanh, F.leaky_relu, F.prelu, F.rrelu,
    F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.hardswish, F.leaky_relu_, F.hardtanh_, F.elu_,
    torch.selu, torch.selu_, torch.celu, torch.celu_, torch.rrelu, torch.rrelu_,
})  # fmt: skip
CLAMPS: frozenset[Function] = frozenset({
    torch.clamp, torch.clamp_, Tensor.clamp, Tensor.clamp_, torch.clip, torch.clip_, Tensor.clip, Tensor.clip_,
    torch.clamp_min, torch.clamp_min_, Tensor.clamp_min, Tensor.clamp_min_,
})  # fmt: skip
IN_PLACE: dict[Function, Function] = {
    torch.relu_: torch.relu, Tensor.relu_: torch.relu, F.leaky_relu_: F.leaky_relu, F.hardtanh_: F.hardtanh,
    F.elu_: F.elu, torch.selu_: torch.selu, torch.celu_: torch.celu, torch.rrelu_: torch.rrelu,
    torch.clamp_: torch.clamp, Tensor.clamp_: torch.clamp, torch.clip_: torch.clip, Tensor.clip_: torch.clip,
    torch.clamp_min_: torch.clamp_min, Tensor.clamp_min_: torch.clamp_min,
}  # fmt: skip
NORMS: frozenset[Function] = frozenset({F.layer_norm, F.group_norm, F.instance_norm, F.rms_norm})
POOLS: frozenset[Function] = frozenset({
    F.adaptive_avg_pool2d, F.adaptive_max_pool2d, F.avg_pool2d, F.max_pool2d, F.adaptive_avg_pool1d, F.avg_pool1d,
})  # fmt: skip
PRODUCTS: frozenset[Function] = frozenset({
    torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm, torch.baddbmm, Tensor.baddbmm, torch.einsum,
    F.scaled_dot_product_attention,
})  # fmt: skip
# What multiplies by a weight where it is given a parameter, beside convolutions and linear layers.
WEIGHING: frozenset[Function] = PRODUCTS | {
    torch.mm, Tensor.mm, torch.mv, Tensor.mv, torch.addmm, Tensor.addmm, Tensor.__rmatmul__, torch.tensordot,
    F.bilinear, torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu,
    torch.lstm_cell, torch.gru_cell, torch.rnn_tanh_cell, torch.rnn_relu_cell,
}  # fmt: skip
KINDS: dict[str, Iterable[Function]] = {
    "conv": CONVOLUTIONS,
    "linear": (F.linear,),
    "batch_norm": (F.batch_norm,),
    "norm": NORMS,
    "activation": ACTIVATIONS,
    "clamp": CLAMPS,
    "pool": POOLS,
    "product": PRODUCTS,
    "softmax": (F.softmax, torch.softmax, Tensor.softmax),
    "mean": (torch.mean, Tensor.mean, Tensor.amax, torch.amax),
    "flatten": (torch.flatten, Tensor.flatten, Tensor.view, Tensor.reshape, torch.reshape),
    "index": (Tensor.__getitem__, torch.select, Tensor.select),
    "permute": (Tensor.permute, torch.permute),
    "transpose": (Tensor.transpose, torch.transpose),
    "set": (Tensor.__setitem__,),
}
KIND: dict[Function, str] = {function: kind for kind, functions in KINDS.items() for function in functions}

# The function asks whether a mode is on, and would be sent back to it for ever: this copy of it does not ask.
_ATTENTION = FunctionType(
    F.multi_head_attention_forward.__code__,
    {**vars(F), "has_torch_function": lambda _: False},
    argdefs=F.multi_head_attention_forward.__defaults__,
)


class Watch(TorchFunctionMode):
    """Numbers the calls that give a tensor of floats, from 0, and shows each to `seen`.

    Activations that would overwrite their input give a new tensor; `batch_norm` is called in its place. `twice`: forms
    that can be differentiated twice, where others are faster.
    """

    def __init__(self, *, rewrite: bool = True, twice: bool = False) -> None:
        super().__init__()
        self.number = -1
        self.rewrite = rewrite
        self.twice = twice

    def seen(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
        """Look at the call that `number` counts, or at one that gives no tensor of floats; what it is to give."""
        raise NotImplementedError

    def batch_norm(self, *args: Any, **kwargs: Any) -> Tensor:
        """What takes the place of batch normalisation, with its arguments; by default that itself."""
        return F.batch_norm(*args, **kwargs)

    def __torch_function__(
        self, function: Function, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Do what is asked for, or its like; PyTorch calls this with the mode off."""
        kwargs = dict(kwargs or {})
        if not args and function in KIND and "input" in kwargs:  # by its name: all that looks reads it by its place
            args = (kwargs.pop("input"),)
        if function is F.multi_head_attention_forward:
            with self:
                return _ATTENTION(*args, **kwargs)
        out = self._run(function, args, kwargs)
        if isinstance(out, Tensor) and out.is_floating_point():
            self.number += 1
        return self.seen(function, args, kwargs, out)

    def _run(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not self.rewrite:
            return function(*args, **kwargs)
        if function is F.batch_norm:
            return self.batch_norm(*args, **kwargs)
        if function is F.hardsigmoid:  # which can't be differentiated twice
            return F.relu6(argument(args, kwargs, 0, "input") + 3) / 6
        if function is F.scaled_dot_product_attention and self.twice:
            with sdpa_kernel([SDPBackend.MATH]):
                return function(*args, **kwargs)
        if kwargs.get("inplace"):
            kwargs["inplace"] = False
        return (out_of_place(function, args, kwargs) or function)(*args, **kwargs)


def kind_of(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The kind of a call; a clamp that cuts at 0 is an activation, and any other nothing."""
    kind = KIND.get(function, "other")
    if kind != "clamp":
        return kind
    lowest = argument(args, kwargs, 1, "min")
    return "activation" if isinstance(lowest, int | float) and lowest == 0 else "other"


def out_of_place(function: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Function | None:
    """The function that gives a new tensor, where this one is an activation that would overwrite its input."""
    return IN_PLACE.get(function) if kind_of(function, args, kwargs) == "activation" else None


def argument(args: tuple[Any, ...], kwargs: dict[str, Any], index: int, name: str) -> Any:
    """An argument of a call by its place or its name, None where it is left out."""
    return args[index] if len(args) > index else kwargs.get(name)
