"""Structure: what is found in the record of a module: its head, its last map, its blocks and stages.

Each by rules that are said here, or by names of submodules that the user gives. Nothing is run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import zip_longest
from typing import NamedTuple

from torch import nn

from proxies.probing.looking import FIRST_BIT, IMAGES, Boundary, Call, Record


class Named(NamedTuple):
    """Names of submodules that a user gives, patterns with * and ? allowed; empty where they are to be found."""

    features: str = ""
    head: str = ""
    stages: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()


class Found(NamedTuple):
    """What a module has: the call of its head, the numbers of the calls that give its last map and end its stages."""

    head: Call | None
    features: int | None
    blocks: list[Boundary]
    stages: list[int]


def find(record: Record, module: nn.Module, classes: int, named: Named) -> Found:
    """What is named, and where nothing is what is found. Raises ValueError for a name of none, and for two heads."""
    names = [name for name, _ in module.named_modules() if name]
    head = find_head(record, classes, named.head, names)
    blocks = find_blocks(record, module, named.blocks, names)
    stages = find_stages(record, blocks, named.stages, names)
    return Found(head, find_features(record, head, named.features, names), blocks, stages)


def find_head(record: Record, classes: int, named: str, names: Sequence[str]) -> Call | None:
    """The last layer that gives `classes` channels, which the logits depend on; None where there is none.

    A transposed convolution, which makes maps larger, is none.

    Raises ValueError where two such layers stand side by side and none is named, or a name is of no classifier.
    """
    layers = [call for call in record.calls if call.weight is not None and not call.is_transposed]
    if named:
        chosen = [call for call in layers if call.weight is not None and _inside(call.weight, named)]
        if not chosen:
            raise ValueError(f"head={named!r}: no layer that runs is called so{_near(named, names)}")
        if _width(chosen[-1]) != classes:
            raise ValueError(
                f"head={named!r}: is no classifier of the network: it gives {_width(chosen[-1])} channels,"
                f" and there are {classes} logits"
            )
        return chosen[-1]
    giving = [call for call in layers if _width(call) == classes and record.depends & record.bits[str(call.weight)]]
    last = [one for one in giving if not any(other is not one and _feeds(record, one, other) for other in giving)]
    heads = dict.fromkeys(str(call.weight) for call in last)
    if len(heads) > 1:
        raise ValueError(f"{len(heads)} classifiers give the logits: {', '.join(heads)}; name one with head=")
    return last[-1] if last else None


def _feeds(record: Record, one: Call, other: Call) -> bool:
    """Whether a later call depends on this one."""
    return other.number > one.number and bool(other.depends & record.bits[str(one.weight)])


def _width(call: Call) -> int:
    return call.shape[-1] if call.kind == "linear" else call.shape[1]


def find_features(record: Record, head: Call | None, named: str, names: Sequence[str]) -> int | None:
    """The number of the call that gives the last map; None where there is none.

    What a call gets that makes of a map one vector an image (a global pooling, a mean over positions, a token that is
    taken out, a flattening), of which the head gets what becomes: the last such on the way to its first argument. Where
    the head is a convolution, what that gets.
    """
    if named:
        return _boundary(record, named, "features", names).after
    if head is None:
        return None
    if head.kind == "conv":
        return head.source if head.source >= 0 else None
    reducing = [call for call in _vectors(record, head) if _reduces(call)]
    if not reducing:
        return None
    chosen = reducing[0]
    if chosen.kind in ("flatten", "index") and _one_position(chosen.before):
        chosen = next((call for call in reducing if call.kind in ("pool", "mean")), chosen)
    return chosen.source if chosen.source >= 0 else None


def _vectors(record: Record, head: Call) -> Iterator[Call]:
    """The calls on the way to the head, by `source` and the last one first, as far as they give vectors."""
    number = head.source
    while number >= 0:
        call = record.calls[number]
        if not _reduces(call) and sum(size > 1 for size in call.shape[1:]) > 1:
            return
        yield call
        number = call.source


def _reduces(call: Call) -> bool:
    """Whether a call makes of a map, or of tokens, one vector an image."""
    if not call.depends & FIRST_BIT or len(call.before) < 3:
        return False
    if call.kind in ("pool", "mean"):
        return len(call.shape) > 1 and _one_position(call.shape) and call.shape[1] in call.before[1:]
    if call.kind == "index":
        return len(call.shape) == 2 and call.shape[-1] == call.before[-1]
    return call.kind == "flatten" and len(call.shape) == 2 and call.shape[0] == call.before[0]


def _one_position(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or all(size == 1 for size in shape[2:])


def find_blocks(record: Record, module: nn.Module, named: Sequence[str], names: Sequence[str]) -> list[Boundary]:
    """The submodules that repeat, as they are run, none inside another.

    Of a class that occurs twice at least, that is no bare sequence, and of which one has two layers; and what else
    stands in one list with such.
    """
    if named:
        return _boundaries(record, named, "blocks", names)
    kinds = Counter(type(one) for _, one in module.named_modules() if _is_block(one))
    classes = {
        type(one) for _, one in module.named_modules() if _is_block(one) and kinds[type(one)] > 1 and _layers(one) > 1
    }
    found = {name for name, one in module.named_modules() if type(one) in classes}
    lists = {name.rpartition(".")[0] for name in found}
    lists = {name for name in lists if isinstance(module.get_submodule(name), nn.Sequential | nn.ModuleList)}
    found |= {name for name, one in module.named_modules() if name.rpartition(".")[0] in lists and _is_block(one)}
    outermost = {name for name in found if not any(name.startswith(f"{other}.") for other in found)}
    return [one for one in record.boundaries if one.name in outermost and one.after >= 0 and len(one.shape) > 2]


def _is_block(module: nn.Module) -> bool:
    sequence = isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
    return not sequence and any(True for _ in module.children())


def _layers(module: nn.Module) -> int:
    return sum(parameter.ndim > 1 for parameter in module.parameters())


def find_stages(record: Record, blocks: Sequence[Boundary], named: Sequence[str], names: Sequence[str]) -> list[int]:
    """The numbers of the calls that end the stages: the last map of each resolution.

    Of what the blocks give; in a network without blocks of what its layers and activations give.
    """
    if named:
        return [one.after for one in _boundaries(record, named, "stages", names)]
    maps = [record.calls[one.after] for one in blocks] or [
        call
        for call in record.calls
        if call.kind in ("conv", "batch_norm", "activation") and len(call.shape) == 4 and call.depends & FIRST_BIT
    ]
    ends = []
    for one, after in zip_longest(maps, maps[1:]):
        if after is None or _resolution(one) != _resolution(after):
            ends.append(one.number)
    return ends


def _resolution(call: Call) -> tuple[int, ...]:
    axis = channel_axis(call)
    return tuple(size for place, size in enumerate(call.shape) if place not in (0, axis))


def channel_axis(call: Call) -> int:
    """The axis of the channels: that which was seen, else the second of a map and the last of tokens."""
    if call.channels is not None:
        return call.channels
    return 1 if len(call.shape) in (2, 4) else len(call.shape) - 1


def image_axis(call: Call, images: int) -> int:
    """The axis of the images: the first or second that is as long as there are; else the first, of rows of them.

    Raises ValueError where none can be.
    """
    for axis in (0, 1):
        if len(call.shape) > axis and call.shape[axis] == images:
            return axis
    if not call.shape or call.shape[0] % images or call.woven is None:
        raise ValueError(
            f"{call.function} made of {images} images a tensor {call.shape}, whose rows can't be told apart"
        )
    return 0


def _matches(name: str, pattern: str) -> bool:
    """Whether a name is of a pattern, part by part: * stands for no dot."""
    parts, patterns = name.split("."), pattern.split(".")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


def _inside(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def _boundaries(record: Record, patterns: Iterable[str], option: str, names: Sequence[str]) -> list[Boundary]:
    """What ran of the submodules that are named, in the order of the run."""
    chosen = {pattern: [name for name in names if _matches(name, pattern)] for pattern in patterns}
    for pattern in chosen:
        _boundary(record, pattern, option, names)
    wanted = {name for found in chosen.values() for name in found}
    return [one for one in record.boundaries if one.name in wanted and one.after >= 0]


def _boundary(record: Record, pattern: str, option: str, names: Sequence[str]) -> Boundary:
    """The last that ran of the submodules of a name. Raises ValueError where there is none, or it gives no map."""
    if not any(_matches(name, pattern) for name in names):
        raise ValueError(f"{option}={pattern!r}: no submodule is called so{_near(pattern, names)}")
    found = [one for one in record.boundaries if _matches(one.name, pattern) and one.after > IMAGES]
    if not found or len(found[-1].shape) < 3:
        raise ValueError(
            f"{option}={pattern!r}: what this submodule gives is no map [N, C, H, W] and no tokens [N, L, C]"
        )
    return found[-1]


def _near(name: str, names: Sequence[str]) -> str:
    """The names that are most like one, for a message."""
    near = get_close_matches(name, names, n=8, cutoff=0.4) or list(names)[:8]
    return f"; there are, for instance: {', '.join(near)}"
