"""Late: a package that is imported when something of it is first used: torchvision is a third of a command's start.

Written at the head of a file, in the import's place: `models = Late("torchvision.models")`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Late:
    """Stands for a module by its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, one: str) -> Any:
        return getattr(import_module(self._name), one)
