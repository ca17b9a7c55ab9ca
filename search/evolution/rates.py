"""How many candidates a second a search goes through: by a table of accuracies, and by a proxy with an empty store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

from benchmarks.conditions.batches import DATASETS
from benchmarks.conditions.drawing import generator
from benchmarks.scoring.jobs import Job
from benchmarks.scoring.scorer import Scorer
from benchmarks.scoring.store import Store
from benchmarks.spaces.nasbench201 import NasBench201
from benchmarks.truth import embedded
from proxies import Proxy
from search.evolution import searching, strategies
from search.evolution.fitness import ByProxy, Known

TABULAR = ("evolution", "aging", "local", "random")
TABULAR_BUDGET = 5000


def tabular_rate(name: str, repeats: int) -> float:
    """Evaluations a second of a search of NAS-Bench-201 by the embedded accuracies: the median over repeats."""
    space = NasBench201()
    table = embedded.retrained()
    ground = searching.terrain(space, *DATASETS["cifar10"], searching.Limits())
    taken = []
    for repeat in range(repeats + 1):
        search = searching.Search(name, "accuracy", repeat, TABULAR_BUDGET)
        random, start = generator(repeat, "search", name), perf_counter()
        steps = searching.history(
            search, strategies.find(name), ground, strategies.Settings(), Known(table.accuracy), table, random
        )
        taken.append((perf_counter() - start) / len(steps))
    return 1 / median(taken[1:])  # the first counts the sizes


def scored_rate(job: Job, proxy: Proxy, budget: int) -> tuple[float, float]:
    """Evaluations a second of an evolution by a proxy with an empty store, and the share of them that is scoring."""
    own = replace(job, proxies=[proxy], archs=())
    ground = searching.terrain(job.space, *job.source.dataset, searching.Limits())
    search = searching.Search("evolution", proxy.name, job.seeds[0], budget)
    settings = strategies.Settings(population=max(2, budget // 2), sample=2, top=1)
    with TemporaryDirectory() as folder, Store(Path(folder) / "store.sqlite") as store:
        fitness = ByProxy(Scorer(own, store))
        random, start = generator(job.seeds[0], "search"), perf_counter()
        steps = searching.history(search, strategies.evolution, ground, settings, fitness, None, random)
        taken = perf_counter() - start
    return len(steps) / taken, sum(step.seconds for step in steps) / taken
