"""The processes that train one student together, as `accelerate launch` starts them. Most runs are one process, alone.

Each process takes its part of every batch; what they add up, gradients and counts, is then the same in all of them, and
so is every step that they take. Batch statistics, and relations between images, see one process's part at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class Group:
    """One process by itself: nothing to share, nobody to wait for."""

    index, size = 0, 1

    @property
    def main(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.index == 0

    def add(self, tensors: Sequence[Tensor | None]) -> None:
        """Put each tensor's sum over the processes in its place; None, a gradient that there is not, stays."""

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Put each tensor's mean over the processes in its place."""

    def wait(self) -> None:
        """Go on when all processes are here."""

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """What the main process does before the others do it."""
        yield


ALONE = Group()


class Launched(Group):
    """One of several processes, told by its environment which."""

    def __init__(self, *, cpu: bool) -> None:
        try:
            from accelerate import PartialState
        except ImportError:
            raise ValueError(
                "several processes were launched: that takes Accelerate; pip install 'diswot-bench[multi]'"
            ) from None
        self._state: Any = PartialState(cpu=cpu)
        self.index, self.size = self._state.process_index, self._state.num_processes

    def add(self, tensors: Sequence[Tensor | None]) -> None:
        """See Group; one message for all tensors."""
        self._reduce([tensor for tensor in tensors if tensor is not None], "sum")

    def average(self, tensors: Sequence[Tensor]) -> None:
        """See Group."""
        self._reduce(tensors, "mean")

    def _reduce(self, tensors: Sequence[Tensor], how: str) -> None:
        if not tensors:  # a network without batch normalisation has no statistics
            return
        from accelerate.utils import reduce

        together = reduce(torch.cat([tensor.flatten() for tensor in tensors]), how)
        for tensor, part in zip(tensors, together.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def wait(self) -> None:
        """See Group."""
        self._state.wait_for_everyone()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """See Group."""
        with self._state.main_process_first():
            yield


def join(*, cpu: bool) -> Group:
    """The group that this process was launched in, with a GPU of its own in it unless `cpu`; alone for most."""
    return Launched(cpu=cpu) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ALONE
