"""Parts: a batch that is run piece by piece where no batch statistics are in the way, and passes that would not fit.

In how many pieces a batch is run follows from the network and the batch alone, never from the machine or from what
else is asked for, so that scores repeat. Which passes there are stands in passes.py.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LARGEST = 4 * 2**30  # bytes that a pass may keep before its batch is split
CGROUPS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


class TooLarge(MemoryError):  # noqa: N818, a state of a score, not a fault
    """A pass would take more memory than is free; the message says how much."""


def pieces(images: int, kept: int) -> list[slice]:
    """A batch of so many images, each of which keeps so many bytes, as pieces of like size that keep LARGEST at most.

    An image that keeps more is a piece of its own.
    """
    count = min(images, -(-images * kept // LARGEST)) or 1
    ends = [images * number // count for number in range(count + 1)]
    return [slice(*pair) for pair in pairwise(ends)]


def check_room(wanted: int, what: str, device: torch.device) -> None:
    """Refuse what would take more bytes than are free, before it is tried: a process that tries is killed.

    Raises TooLarge, which says how many.
    """
    if wanted > 2**20 and wanted > free(device):
        raise TooLarge(
            f"{what} takes some {wanted / 2**20:,.0f} MiB, and so much is not free; --batch-size makes it less"
        )


def free(device: torch.device) -> int:
    """Bytes that are free on a device; on a machine that does not tell, more than anyone asks for."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + reserved
    left = min(_available(Path("/proc/meminfo")), *(_within(Path("/sys/fs/cgroup"), *names) for names in CGROUPS))
    return left + _kept()


class _Mallinfo(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
    )]  # fmt: skip


def _kept() -> int:
    """Bytes that this process has freed and not given back to the system: workers keep them. 0 without a new glibc."""
    told = getattr(ctypes.CDLL(None), "mallinfo2", None) if sys.platform == "linux" else None
    if told is None:
        return 0
    told.restype = _Mallinfo
    return int(told().fordblks)


def _available(path: Path) -> int:
    """What Linux says is available to new work."""
    try:
        lines = dict(line.split(":", 1) for line in path.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 2**10
    except (OSError, ValueError, LookupError):
        return 2**62


def _within(folder: Path, limit: str, used: str) -> int:
    """What a control group's limit leaves."""
    try:
        return int((folder / limit).read_text()) - int((folder / used).read_text())
    except (OSError, ValueError):  # no group, or "max"
        return 2**62


def _images(values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """[A, n, ...] by piece -> [A, N, ...]."""
    return torch.cat(list(values), 1)


def _shared(values: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """Gradients [A, n, ...] of a mean over a piece -> of the mean over the batch, [A, N, ...]."""
    return torch.cat([value * share for value, share in zip(values, shares, strict=True)], 1)


def _each(join: Callable[[Sequence[Tensor], Sequence[float]], Tensor]) -> Callable[[Any, Any], Any]:
    """The same for lists of tensors."""
    return lambda values, shares: [join(column, shares) for column in zip(*values, strict=True)]


def _outputs(values: Sequence[Any], shares: Sequence[float]) -> Any:
    return type(values[0])(*(_images(column, shares) for column in zip(*values, strict=True)))


def _summed(values: Sequence[Any], shares: Sequence[float]) -> Any:
    """Gradients by weights of a mean over a piece -> of the mean over the batch."""
    return [
        column[0]._replace(gradient=sum(one.gradient * share for one, share in zip(column, shares, strict=True)))
        for column in zip(*values, strict=True)
    ]


# How the values of the pieces make that of the batch, by quantity; `shares`: a piece's part of the images.
JOINED: Mapping[str, Callable[[Sequence[Any], Sequence[float]], Any]] = {
    "outputs": _outputs,
    "gradients": _summed,
    "input_gradients": _images,
    "class_gradients": _images,
    "feature_gradients": _shared,
    "stages": _each(_images),
    "stage_gradients": _each(_shared),
    "attention_maps": _each(_images),
}
