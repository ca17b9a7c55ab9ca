"""Processes on this machine, each with a pipe to the one that maps."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import tempfile
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

import cloudpickle

from benchmarks.scoring.engines.engine import ATTEMPTS, Engine, Lost, R, T
from benchmarks.scoring.engines.process import settle


class Workers(Engine):
    """Processes on this machine; worker i has the GPU i modulo their number, where there are any."""

    def __init__(self, count: int) -> None:
        methods = multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:  # loads them once, and forks before any thread is there
            self._context.set_forkserver_preload(["torch", "torchvision"])
        self._folder = tempfile.TemporaryDirectory(prefix="diswot-")
        self._work: object = None
        self._version = 0
        self._count = count
        self._lanes: dict[int, _Lane] = {}  # by number, started when there is something to do

    def _lane(self, number: int) -> _Lane:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, number), daemon=True)
        process.start()
        theirs.close()
        return _Lane(number, process, ours)

    def map(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[T, R | Lost]]:
        """See Engine."""
        place = self._ship(work)
        waiting, tried = deque(range(len(tasks))), [0] * len(tasks)
        for number in range(min(self._count, len(tasks))):
            if number not in self._lanes:
                self._lanes[number] = self._lane(number)
        free = deque(self._lanes.values())
        running: dict[Connection, tuple[_Lane, int]] = {}  # what is read next, and the task that it is of
        try:
            while waiting or running:
                while waiting and free:
                    lane, number = free.popleft(), waiting.popleft()
                    running[lane.connection] = lane, number
                    with suppress(OSError):  # of a worker that died in idleness, and not of the task: read below
                        lane.connection.send((place, tasks[number]))
                        tried[number] += 1
                for ready in wait(list(running)):
                    lane, number = running.pop(cast(Connection, ready))
                    try:
                        done, result = lane.connection.recv()
                    except (EOFError, OSError):
                        lane.end()
                        self._lanes[lane.number] = self._lane(lane.number)
                        free.append(self._lanes[lane.number])
                        if tried[number] < ATTEMPTS:
                            waiting.appendleft(number)
                        else:
                            yield tasks[number], Lost(f"{ATTEMPTS} workers died of it")
                        continue
                    free.append(lane)
                    if not done:
                        raise result
                    yield tasks[number], result
        finally:  # whoever is left in the middle of a task would answer the next map
            for lane, _ in running.values():
                self._lanes.pop(lane.number).end()

    def _ship(self, work: object) -> Path:
        """The file from which workers read the work; the work that was shipped last is not shipped again."""
        if work is not self._work:
            self._work = work
            self._place(self._version).unlink(missing_ok=True)  # nobody is at it any more
            self._version += 1
            self._place(self._version).write_bytes(cloudpickle.dumps(work))
        return self._place(self._version)

    def _place(self, version: int) -> Path:
        return Path(self._folder.name) / str(version)

    def close(self) -> None:
        """See Engine."""
        for lane in self._lanes.values():
            lane.end()
        self._folder.cleanup()


@dataclass(frozen=True)
class _Lane:
    """A worker, and our end of the pipe to it."""

    number: int
    process: Any
    connection: Connection

    def end(self) -> None:
        """Kill it: what it had not sent is not wanted any more."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(connection: Connection, number: int) -> None:
    """A worker's life: read a task, send what came of it, until nobody is at the other end."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches every process of the terminal; ours is told by the pipe
    settle(number)
    place, work = None, None
    while True:
        try:
            wanted, task = connection.recv()
        except (EOFError, OSError):
            return
        try:
            if wanted != place:
                place, work = wanted, pickle.loads(wanted.read_bytes())
            assert callable(work)
            result = (True, work(task))
        except Exception as error:
            result = (False, _portable(error))
        with suppress(OSError):
            connection.send(result)


def _portable(error: Exception) -> Exception:
    """The exception with its traceback as a note; where it can't be pickled, what it says."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
