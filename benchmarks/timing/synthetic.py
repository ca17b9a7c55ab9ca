"""A made-up run over a whole space, to measure what reads runs: real candidates and sizes, random scores.

Its run.json says so; no figure of it means anything.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import spaces, truth
from benchmarks.conditions import batches
from benchmarks.conditions.drawing import generator
from benchmarks.output import record
from benchmarks.ranking import summary
from benchmarks.scoring.jobs import Conditions, Job

TRUTH = "retrained"


def write_run(folder: Path, proxies: int, seeds: int) -> int:
    """Leave a run of NAS-Bench-201 on CIFAR-10 with scores that are the accuracy and noise; the number of its rows."""
    space = spaces.find("nasbench201")
    known = truth.load(TRUTH, space, "cifar10", "vanilla")
    archs = list(known.accuracy)
    source = batches.open_source("noise", "cifar10")
    job = Job(space, archs, [], range(seeds), source, Conditions("cifar10"))
    accuracy = np.array([known.accuracy[arch] for arch in archs])
    random = generator("synthetic")
    parts = []
    for number in range(proxies):
        for seed in job.seeds:
            noise = random.standard_normal(len(archs)) * accuracy.std() * (1 + number) / 5
            part = {"space": space.name, "arch": archs, "proxy": f"synthetic{number:02d}", "seed": seed}
            parts.append(pd.DataFrame({**part, "score": accuracy + noise, "status": "ok", "seconds": 0.001}))
    scores = pd.concat(parts, ignore_index=True)
    scores["truth"] = scores["arch"].map(known.accuracy)
    names = [f"synthetic{number:02d}" for number in range(proxies)]
    rankings = summary.rankings(scores, names, job, "vanilla", known, summary.sample_of(job, known))
    folder.mkdir(parents=True, exist_ok=True)
    summary.write_tables(scores, rankings, folder)
    conditions = {
        "options": {"space": space.name, "dataset": "cifar10", "target": "vanilla", "draw": "none: synthetic scores"},
        "seeds": list(job.seeds),
        "batch": {"source": "none", "size": 0},
        "teacher": {"name": "none", "weights": "none"},
        "draw": "none: synthetic scores",
        "init": "none",
        "truth_source": known.source,
        "device": "none",
    }
    record.write_json(conditions, folder / "run.json")
    return len(scores)
