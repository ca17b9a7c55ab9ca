"""Memory: what is free, and passes that would not fit into it. What a pass holds: `keeps` of a network."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import torch

LARGE = 2**28  # bytes: before a pass that takes more, what was freed is given back, so that others have it too
# Of the control groups of Linux, new and old: the limit, what is used of it, what of that is cache of files.
CGROUPS = (
    ("memory.max", "memory.current", "memory.stat"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
)
UNTOLD = 2**62  # bytes: of a system that does not say


class TooLarge(MemoryError):  # noqa: N818, a state of a score, not a fault
    """A pass would take more memory than is free; the message says how much."""


def check_room(wanted: int, what: str, device: torch.device) -> None:
    """Refuse what would take more bytes than are free, before it is tried: a process that tries is killed.

    Workers look each for itself: two that look at once may find the same room, and one of them is killed after all, and
    its task tried again. A share for each would make a score depend on how many work. Raises TooLarge, which says how
    many bytes it would take.
    """
    if wanted > LARGE and device.type == "cpu":
        give_back()
    if wanted > 2**20 and wanted > free(device):
        raise TooLarge(
            f"{what} takes some {wanted / 2**20:,.0f} MiB, and so much is not free; --batch-size makes it less"
        )


def free(device: torch.device) -> int:
    """Bytes that are free on a device, or can be made so; UNTOLD where the system does not say."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + reserved
    return min(_available(Path("/proc/meminfo")), *(_within(Path("/sys/fs/cgroup"), *names) for names in CGROUPS))


def give_back() -> None:
    """Give the system the memory that this process has freed and kept (workers keep it), where glibc allocates it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _available(path: Path) -> int:
    """What Linux says is available to new work."""
    try:
        lines = dict(line.split(":", 1) for line in path.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 2**10
    except (OSError, ValueError, LookupError):
        return UNTOLD


def _within(folder: Path, limit: str, used: str, told: str) -> int:
    """What a control group's limit leaves; files that it caches make room."""
    try:
        cached = dict(line.split() for line in (folder / told).read_text().splitlines())["inactive_file"]
        return int((folder / limit).read_text()) - int((folder / used).read_text()) + int(cached)
    except (OSError, ValueError, LookupError):  # no group, or "max"
        return UNTOLD
