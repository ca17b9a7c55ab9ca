"""Who computes: this process, workers beside it, or a Ray cluster. An engine maps tasks and knows nothing of scores.

    with open_engine(options, tasks=len(tasks)) as engine:
        for task, result in engine.map(work, tasks):

`work` is anything callable on one task that cloudpickle can carry. It travels to each worker once, and stays there
until other work comes, so that what it keeps (a teacher, weights drawn) serves all tasks after the first. Results come
in any order, each with its task. A task whose worker died is given to another; the second time its result is `Lost`. An
exception that the work raises ends the map, here as there. Every process computes with one thread on a CPU: floating
point sums depend on the number of threads, and results must not depend on how many workers there are.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import signal
import tempfile
import traceback
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from benchmarks.command import option

AUTO_WORKERS = 16  # at most, by themselves
TASKS_A_WORKER = 8  # fewer are done before another process has started
ATTEMPTS = 2
QUEUED = 2  # tasks a place in the Ray cluster, so that none waits for the driver

T = TypeVar("T")
R = TypeVar("R")


@dataclass
class EngineOptions:
    """Who computes."""

    workers: int | str = option("auto", "processes on this machine: auto (its cores, or its GPUs) or a number")
    engine: Literal["local", "ray"] = option(
        "local", "local, or ray: tasks on a Ray cluster (pip install '.[cluster]')"
    )
    address: str | None = option(None, "of the Ray cluster: auto, or HOST:PORT; without it one is started here")
    gpus_per_task: float = option(1.0, "--engine ray on GPUs: share of one that a task takes; .25 lets four share it")


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
        for task in tasks:
            with one_thread():
                result = work(task)
            yield task, result


class Workers(Engine):
    """Processes on this machine; worker i has the GPU i modulo their number, where there are any."""

    def __init__(self, count: int) -> None:
        methods = multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        if "forkserver" in methods:  # loads torch once, and forks before any thread is there
            self._context.set_forkserver_preload(["torch", "numpy"])
        self._folder = tempfile.TemporaryDirectory(prefix="diswot-")
        self._work: object = None
        self._version = 0
        self._count = count
        self._lanes: list[_Lane] = []  # started when there is something to do

    def _lane(self, number: int) -> _Lane:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, number), daemon=True)
        process.start()
        theirs.close()
        return _Lane(number, process, ours)

    def map(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[T, R | Lost]]:
        """See Engine."""
        place = self._ship(work)
        while len(self._lanes) < min(self._count, len(tasks)):
            self._lanes.append(self._lane(len(self._lanes)))
        waiting, tried = deque(range(len(tasks))), [0] * len(tasks)
        running: dict[Connection, int] = {}  # by lane, the task that it is at
        lanes = {lane.connection: lane for lane in self._lanes}
        free = deque(lanes)
        while waiting or running:
            while waiting and free:
                connection = free.popleft()
                running[connection] = waiting.popleft()
                with suppress(OSError):  # of a worker that died in idleness: read below
                    connection.send((place, tasks[running[connection]]))
            for ready in wait(list(running)):
                connection = cast(Connection, ready)
                number = running.pop(connection)
                try:
                    done, result = connection.recv()
                except (EOFError, OSError):
                    lane = self._replace(lanes.pop(connection))
                    lanes[lane.connection] = lane
                    free.append(lane.connection)
                    tried[number] += 1
                    if tried[number] < ATTEMPTS:
                        waiting.appendleft(number)
                    else:
                        yield tasks[number], Lost(f"{ATTEMPTS} workers died of it")
                    continue
                if not done:
                    raise result
                free.append(connection)
                yield tasks[number], result

    def _ship(self, work: object) -> Path:
        """The file from which workers read the work; the work that was shipped last is not shipped again."""
        import cloudpickle

        if work is not self._work:
            self._work = work
            self._version += 1
            (Path(self._folder.name) / str(self._version)).write_bytes(cloudpickle.dumps(work))
        return Path(self._folder.name) / str(self._version)

    def _replace(self, dead: _Lane) -> _Lane:
        dead.end()
        self._lanes[dead.number] = self._lane(dead.number)
        return self._lanes[dead.number]

    def close(self) -> None:
        """See Engine."""
        for lane in self._lanes:
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
    _settle(number)
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


def _settle(number: int) -> None:
    """One thread, and a GPU of its own where there are several."""
    import torch

    torch.set_num_threads(1)
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())


def _portable(error: Exception) -> Exception:
    """The exception with its traceback as a note; where it can't be pickled, what it says."""
    error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


class Ray(Engine):
    """Tasks of a Ray cluster: placement, retries and the loss of nodes are Ray's, and only results come back."""

    def __init__(self, address: str | None, workers: int | None, gpus: float) -> None:
        try:
            import ray
        except ImportError:
            raise ValueError("--engine ray: Ray is not installed; pip install 'diswot-bench[cluster]'") from None
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a measurement tells nobody of itself
        self._ray = ray
        self._gpus = gpus
        self._work: object = None
        self._shipped: Any = None
        here: dict[str, Any] = {} if address else {"num_cpus": workers, "include_dashboard": False}
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **here)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ValueError(f"--engine ray --address {address}: {' '.join(str(error).split()):.200}") from None
        there = ray.cluster_resources()
        if gpus and not there.get("GPU"):
            self.close()
            raise ValueError("--device cuda --engine ray: no node of the cluster has a GPU")
        self._places = max(1, int(there["GPU"] / gpus if gpus else there.get("CPU", 1)))

    def map(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[T, R | Lost]]:
        """See Engine."""
        import cloudpickle

        ray = self._ray
        died = (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError, ray.exceptions.NodeDiedError)
        if work is not self._work:
            self._work, self._shipped = work, ray.put(cloudpickle.dumps(work))
        settings = {"num_cpus": 1, "num_gpus": self._gpus, "max_retries": ATTEMPTS - 1}
        compute = ray.remote(**settings)(_compute)
        waiting = deque(tasks)
        running: dict[Any, T] = {}
        while waiting or running:
            while waiting and len(running) < QUEUED * self._places:
                task = waiting.popleft()
                running[compute.remote([self._shipped], task)] = task  # in a list: fetched by those who lack it
            done, _ = ray.wait(list(running))
            task = running.pop(done[0])
            try:
                result = ray.get(done[0])
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except died as error:
                result = Lost(f"{ATTEMPTS} workers died of it ({type(error).__name__})")
            yield task, result

    def close(self) -> None:
        """See Engine."""
        self._ray.shutdown()


_resident: dict[Any, Callable[[Any], Any]] = {}  # in a Ray worker: the work that came last


def _compute(shipped: list[Any], task: Any) -> Any:
    """What a Ray worker does with a task."""
    import ray

    if shipped[0] not in _resident:
        _settle(0)  # of the GPUs that Ray lets it see
        _resident.clear()
        _resident[shipped[0]] = pickle.loads(ray.get(shipped[0]))
    return _resident[shipped[0]](task)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute with one thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def open_engine(options: EngineOptions, *, tasks: int, cuda: bool = False) -> Engine:
    """The engine that the options name, for about so many tasks, on GPUs if `cuda`.

    Raises ValueError for what can't be had.
    """
    count = None if options.workers == "auto" else _number(str(options.workers))
    if options.engine == "ray":
        if not 0 < options.gpus_per_task <= 64:
            raise ValueError(f"--gpus-per-task {options.gpus_per_task}: above 0, such as .25, 1 or 2")
        return Ray(options.address, count, options.gpus_per_task if cuda else 0)
    if options.address is not None:
        raise ValueError("--address is of a Ray cluster: it goes with --engine ray")
    count = count or min(_cores(cuda), AUTO_WORKERS, max(1, tasks // TASKS_A_WORKER))
    return Workers(count) if count > 1 else Serial()


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= 1024):
        raise ValueError(f"--workers {text}: auto, or a number from 1 to 1,024")
    return int(text)


def _cores(cuda: bool) -> int:
    """GPUs, or processor cores that this process may use."""
    if cuda:
        import torch

        return torch.cuda.device_count()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
