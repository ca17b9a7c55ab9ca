"""The layers of a module, each with its parameters and multiply-accumulates; together they hold all its parameters."""

from __future__ import annotations

from collections import defaultdict
from math import prod

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from proxies.probing.looking import Record
from proxies.probing.network import Layer, NormState

NORMS = {
    _BatchNorm: "batch_norm",
    _InstanceNorm: "instance_norm",
    nn.LayerNorm: "layer_norm",
    nn.GroupNorm: "group_norm",
}


def layers_of(module: nn.Module, record: Record, head: str | None, images: int) -> tuple[list[Layer], dict[str, Layer]]:
    """All layers: kernels as they are first run, normalisations, attention's products, what is left over.

    And the kernels by the names of their weights, which are their roles. A weight that is used twice is one layer, with
    the positions of both uses; one that never runs is a parameter.
    """
    own = dict(module.named_parameters())
    kernels = {name: _kernel(name, record, own, is_head=name == head, images=images) for name in record.bits}
    left = own.keys() - kernels.keys() - set(record.biases.values())
    norms = []
    for name, one in module.named_modules():
        operation = next((operation for kind, operation in NORMS.items() if isinstance(one, kind)), None)
        if operation is not None:
            norms.append(_norm(name, operation, one))
            left -= {f"{name}.weight", f"{name}.bias"}
    products = [
        Layer(f"product {number}", "product", (), (0,), count // images, kind="product")
        for number, count in record.products.items()
    ]
    others = [Layer(name, "parameter", tuple(own[name].shape), (0,), kind="parameter") for name in own if name in left]
    return [*kernels.values(), *norms, *products, *others], kernels


def _kernel(name: str, record: Record, own: dict[str, nn.Parameter], *, is_head: bool, images: int) -> Layer:
    calls = [call for call in record.calls if call.weight == name]
    shape = tuple(own[name].shape)
    transposed = calls[0].is_transposed  # whose kernels stand at each position of what it gets
    positions = sum(prod(call.before if transposed else call.shape) for call in calls) // (images * shape[0])
    name_of = "conv_transpose" if transposed else "conv"
    operation = "linear" if calls[0].kind == "linear" else f"{name_of}{'x'.join(map(str, shape[2:]))}"
    bias = record.biases.get(name)
    biases = 0 if bias is None else own[bias].numel()
    return Layer(name, operation, shape, (0,), positions, biases=biases, is_head=is_head)


def _norm(name: str, operation: str, module: nn.Module) -> Layer:
    sizes: dict[str, int] = defaultdict(int, {key: value.numel() for key, value in module.named_parameters()})
    return Layer(name, operation, (sizes["weight"],), (0,), kind="norm", biases=sizes["bias"])


def running_statistics(module: nn.Module, layers: dict[str, Layer]) -> dict[Layer, NormState]:
    """The state of every batch normalisation that keeps running statistics, each tensor [1, C], in its own memory."""
    found = {}
    for name, layer in layers.items():
        one = module.get_submodule(name)
        if isinstance(one, _BatchNorm) and one.running_mean is not None and one.running_var is not None:
            mean, variance = one.running_mean, one.running_var
            scale = torch.ones_like(mean) if one.weight is None else one.weight.detach()
            shift = torch.zeros_like(mean) if one.bias is None else one.bias.detach()
            found[layer] = NormState(scale[None], shift[None], mean[None], variance[None])
    return found
