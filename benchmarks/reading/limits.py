"""What comes from outside: how large a file may be, which is known before it is read, its digest, how it is printed.

Light: it imports nothing of the project.
"""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

MEBIBYTE = 1 << 20
LONGEST = 1000  # signs of an error's line: what it quotes may be as long as a file
LARGEST = {
    "config": 1 * MEBIBYTE,
    "table": 256 * MEBIBYTE,
    "scores": 2048 * MEBIBYTE,
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


def file_digest(path: Path) -> str:
    """sha256 of a file of any size. OSError where there is none."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shown(text: str) -> str:
    """A text from outside as it is printed: one line, not endless, without signs that could command a terminal."""
    line = " ".join(text[: 2 * LONGEST].split())
    if len(line) > LONGEST:
        line = f"{line[:LONGEST]}... (cut)"
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
