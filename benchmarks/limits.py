"""How large a file from outside may be: more is refused before it is read. Light: it imports nothing."""

from __future__ import annotations

import stat
from pathlib import Path

MEBIBYTE = 1 << 20
LARGEST = {
    "config": 1 * MEBIBYTE,
    "table": 256 * MEBIBYTE,
    "list": 64 * MEBIBYTE,
    "images": 8192 * MEBIBYTE,
    "weights": 4096 * MEBIBYTE,
    "benchmark": 65536 * MEBIBYTE,
    "picture": 64 * MEBIBYTE,
}


def check_size(path: Path, kind: str) -> None:
    """Raises ValueError for what is no regular file (a pipe may never end) or larger than its kind may be.

    OSError where there is none.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise ValueError("not a regular file")
    if found.st_size > LARGEST[kind]:
        raise ValueError(f"{found.st_size / MEBIBYTE:,.0f} MiB; {LARGEST[kind] // MEBIBYTE:,} are the most")
