"""Attending: where a module attends, and its maps. Attention is PyTorch's own function, or a softmax of a product that
is the first factor of another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from proxies.probing.looking import FIRST_BIT, Call, Record
from proxies.probing.watching import Function, argument

OWN = "scaled_dot_product_attention"
PASSING = ("other", "flatten")  # kinds that change no more than a scale, a mask or a shape on the way


def seen_in(record: Record) -> Iterator[tuple[Call, bool]]:
    """The calls that attend, and whether the images take turns in their rows; those whose rows can't be told are not
    among them.
    """
    products = [call for call in record.calls if call.kind == "product"]
    found = {call.number for call in products if call.function == OWN}
    for call in products:
        softmax = _behind(record, call.source, "softmax")
        if softmax is not None and _behind(record, softmax.source, "product") is not None:
            found.add(softmax.number)
    for number in sorted(found):
        woven, call = record.turns.get(number), record.calls[number]
        if woven is not None and call.depends & FIRST_BIT:
            yield call, woven


def _behind(record: Record, number: int, kind: str) -> Call | None:
    """The call of a kind that a call's first argument comes from, by nothing but what keeps its numbers' places."""
    while number >= 0:
        call = record.calls[number]
        if call.kind == kind:
            return call
        if call.kind not in PASSING:
            return None
        number = call.source
    return None


def maps(
    function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor, batch: int, *, woven: bool
) -> Tensor:
    """The maps of a call that attends, by image: [N, heads, L, L]; heads are those of all windows of an image.

    Of PyTorch's function they are what it makes of the identity in place of the values.
    """
    found = out.detach()
    if getattr(function, "__name__", "") == OWN:
        query, key = argument(args, kwargs, 0, "query"), argument(args, kwargs, 1, "key")
        rest = {name: value for name, value in kwargs.items() if name not in ("query", "key", "value")}
        identity = torch.eye(key.shape[-2]).to(key).expand(*key.shape[:-1], -1)
        with torch.no_grad():
            found = function(query, key, identity, *args[3:], **rest)
    rows = found.flatten(0, -3)
    by_image: Tensor = rows.unflatten(0, (-1, batch)).transpose(0, 1) if woven else rows.unflatten(0, (batch, -1))
    return by_image
