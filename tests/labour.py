"""Work for workers of tests: in a file of its own, as each of them imports it, and test files import a lot."""

from __future__ import annotations

import os
import signal
from pathlib import Path


class Work:
    """Multiplies, remembers how often it was called, and fails or dies of some tasks."""

    def __init__(self, factor: int, folder: Path | None = None) -> None:
        self.factor, self.folder, self.calls = factor, folder, 0

    def __call__(self, task: int) -> tuple[int, int]:
        self.calls += 1
        if task < 0:
            raise ZeroDivisionError(f"of {task}")
        if self.folder is not None and task % 5 == 0:
            marker = self.folder / str(task)
            if task == 0 or not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return task * self.factor, self.calls
