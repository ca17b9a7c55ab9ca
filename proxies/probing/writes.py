"""Whether tensors that were handed out have been written to since: PyTorch counts what is written to each in place.

What is written through numpy, or through `.data`, is not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from proxies.probing.network import Taps, Weights


class Handed:
    """Tensors that were handed out, by name, each with the number of writes to it so far."""

    def __init__(self) -> None:
        self._out: dict[str, list[tuple[Tensor, int]]] = {}

    def out(self, name: str, value: object) -> None:
        """The tensors of a value are handed out, in place of what this name had before.

        Under torch.inference_mode nobody counts what is written to them.
        """
        self._out.pop(name, None)  # which is the last one from now on
        self._out[name] = [(tensor, tensor._version) for tensor in tensors(value) if not tensor.is_inference()]

    def altered(self) -> str:
        """What was written to since; empty where nothing was. Of what share memory, that which was handed out last."""
        return next(
            (name for name, out in reversed(self._out.items()) if any(one._version != writes for one, writes in out)),
            "",
        )


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors that a value holds: one, a list or tuple of such, weights, or taps."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Weights | Taps):
        yield from tensors(vars(value))
    elif isinstance(value, Mapping):
        yield from tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from tensors(one)
