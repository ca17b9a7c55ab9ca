"""The state of a training run on disk: written so that a killed run finds a whole one, and never a damaged one.

The newest checkpoint and the one before it are kept, each behind a checksum of its content.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

NEWEST, BEFORE = "checkpoint.pt", "checkpoint-before.pt"
DIGEST_BYTES = 32


def save(content: Mapping[str, Any], folder: Path) -> None:
    """Write a checkpoint: tensors, numbers and texts in dicts and lists."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    data = buffer.getvalue()
    temporary = folder / f".{NEWEST}"
    temporary.write_bytes(hashlib.sha256(data).digest() + data)
    if (folder / NEWEST).exists():
        (folder / NEWEST).replace(folder / BEFORE)
    temporary.replace(folder / NEWEST)


def load(folder: Path, device: torch.device, warn: Callable[[str], None]) -> dict[str, Any] | None:
    """The newest checkpoint that is whole, None where there is none; a damaged one is set aside, and warned of."""
    for name in (NEWEST, BEFORE):
        path = folder / name
        if not path.exists():
            continue
        data = path.read_bytes()
        if hashlib.sha256(data[DIGEST_BYTES:]).digest() == data[:DIGEST_BYTES]:
            content: dict[str, Any] = torch.load(
                io.BytesIO(data[DIGEST_BYTES:]), map_location=device, weights_only=True
            )
            return content
        aside = path.with_suffix(".damaged")
        path.replace(aside)
        warn(f"{path} is damaged; set aside as {aside.name}, the one before it is used")
    return None
