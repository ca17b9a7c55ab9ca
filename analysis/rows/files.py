"""Files that a reader never sees half of, whoever else writes them at the same time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write meanwhile: it takes the place of `path` once all is written, and is gone where that fails."""
    meanwhile = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield meanwhile
        meanwhile.replace(path)
    finally:
        meanwhile.unlink(missing_ok=True)
