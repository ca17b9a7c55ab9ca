"""Many machines, by Ray."""

from __future__ import annotations

import logging
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cloudpickle

from benchmarks.scoring.engines.engine import ATTEMPTS, Engine, Lost, R, T
from benchmarks.scoring.engines.process import settle

TOKEN = "; if it asks for a token, set RAY_AUTH_MODE=token (docs/scaling.md)"
QUEUED = 2  # tasks a place in the Ray cluster, so that none waits for the driver


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
            hint = "" if os.environ.get("RAY_AUTH_MODE") == "token" else TOKEN
            raise ValueError(f"--engine ray --address {address}: {' '.join(str(error).split()):.200}{hint}") from None
        there = ray.cluster_resources()
        if gpus and not there.get("GPU"):
            self.close()
            raise ValueError("--device cuda --engine ray: no node of the cluster has a GPU")
        self._places = max(1, int(there["GPU"] / gpus if gpus else there.get("CPU", 1)))

    def map(self, work: Callable[[T], R], tasks: Sequence[T]) -> Iterator[tuple[T, R | Lost]]:
        """See Engine."""
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
        settle(0)  # of the GPUs that Ray lets it see
        _resident.clear()
        _resident[shipped[0]] = pickle.loads(ray.get(shipped[0]))
    return _resident[shipped[0]](task)
