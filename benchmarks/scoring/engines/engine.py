"""What an engine is: it maps tasks, and knows nothing of scores. The simplest one is this process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from benchmarks.scoring.engines.process import keep_memory, one_thread

ATTEMPTS = 2

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Lost:
    """In place of a result: every worker that had the task died."""

    reason: str


class Engine(ABC):
    """Maps tasks; a context manager, so that no worker outlives it."""

    @abstractmethod
    def map(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[T, R | Lost]]:
        """Each task with its result, in the order in which they are done. Raises what the work raises."""

    def close(self) -> None:  # noqa: B027, most need it not
        """End the workers, whatever they are at."""

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Serial(Engine):
    """This process, one task after the other in their order."""

    def map(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[T, R | Lost]]:
        """See Engine."""
        keep_memory()
        for task in tasks:
            with one_thread():
                result = work(task)
            yield task, result
