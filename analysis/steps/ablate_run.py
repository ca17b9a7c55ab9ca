"""The steps of analysis/ablate.py: score each setting, write rows and a figure, print.

Scores come from the one scoring loop and its store, so that a second run scores nothing and a killed one goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import proxies as registry
from analysis.pictures import charts, figures
from analysis.rows import tables
from analysis.rows.tables import interval, number
from analysis.rows.ties import to_be_ranked
from analysis.stats.ablations import Scores
from analysis.stats.inference import about
from analysis.steps.ablation_settings import ABLATIONS, rows_of
from analysis.steps.options import AblateOptions
from benchmarks import spaces, truth
from benchmarks.output import record
from benchmarks.output.options import check_range
from benchmarks.output.terminal import progress, show_table, typed
from benchmarks.scoring import scorer, selection
from benchmarks.scoring.asked import scoring_job
from benchmarks.scoring.cohorts import cohort
from benchmarks.scoring.engines import Engine, open_engine
from benchmarks.scoring.jobs import Job
from benchmarks.scoring.store import Store
from benchmarks.truth import Truth
from proxies import Combination, Proxy


def ablate(options: AblateOptions) -> None:
    """Run the ablations that are asked for, one after the other."""
    check_range("seeds", options.seeds, 1, 1000)
    out = Path(options.out)
    record.check_writable(out)
    names = list(ABLATIONS) if options.name == "all" else [options.name]
    job, _, _ = prepare(options, "params")
    path = Path(options.store) if options.store else out / "store.sqlite"
    with open_engine(options, tasks=len(job), cuda=job.on_gpu) as engine, Store(path) as store:
        for name in names:
            run(name, options, store, engine, out)


def run(name: str, options: AblateOptions, store: Store, engine: Engine, out: Path) -> None:
    """One ablation: score, write, draw, print."""
    ablation = ABLATIONS[name]
    rows: list[dict[str, Any]] = []
    said: dict[str, list[str]] = {}  # of intervals, by what they are about: the settings
    for setting in ablation.settings(options):
        chosen = replace(options, **setting.changes, seeds=setting.seeds or options.seeds)
        job, known, proxies = prepare(chosen, options.proxy or ablation.proxies)
        scores = scored(job, known, proxies, store, engine, f"{name}: {setting.label}")
        conditions = {key: getattr(chosen, key) for key in ("space", "dataset", "target")}
        conditions |= {**job.conditions.columns(job.source), "seed": chosen.seed, "truth_source": known.source}
        found = rows_of(ablation, setting)(setting.label, scores)
        rows += [{"ablation": name, **row, **conditions} for row in found]
        for label, seeds in dict.fromkeys((row["setting"], row["seeds"]) for row in found):
            said.setdefault(about(scores.sample, seeds, known.noise_from), []).append(label)
    table = pd.DataFrame(rows)
    tables.write_csv(table, out / f"{name}.csv")
    figure = charts.ablation(table, f"{name}: {options.space}, {options.dataset}, {options.target}")
    figures.save_both(figure, out, name)
    record.write_json({"command": sys.argv, "options": asdict(options), **record.environment()}, out / f"{name}.json")
    numbers = " or ".join(f"{n:,}" for n in table["n"].unique())
    show(table, f"{name}: {options.space} on {options.dataset}, {numbers} candidates")
    for text, labels in said.items():
        of = f" of {'; '.join(labels)}" if len(said) > 1 else ""
        print(f"  interval{of}: {text}")
    print(f"  written: {out / name}.csv, .png, .pdf, .json\n  again: {typed()}")


def prepare(options: AblateOptions, proxies: str) -> tuple[Job, Truth, list[Proxy | Combination]]:
    """The job of one setting, its truth and what is asked for, checked before anything is scored."""
    space = spaces.find(options.space)
    table = truth.load(options.truth, space, options.dataset, options.target)
    archs = selection.sampled(space, table, str(options.sample), options.seed)
    seeds = range(options.seed, options.seed + options.seeds)
    chosen = registry.select(proxies)
    return scoring_job(options, space, archs, chosen, seeds), table, chosen


def scored(
    job: Job, known: Truth, proxies: Sequence[Proxy | Combination], store: Store, engine: Engine, text: str
) -> Scores:
    """The scores of a job as arrays, by the proxies and combinations that are asked for."""
    with progress(text, len(job)) as advance:
        rows = scorer.score(job, store, advance, engine)
    rows += scorer.combined(rows, job, [one for one in proxies if isinstance(one, Combination)])
    found = {(row.seed, row.proxy, row.arch): row for row in rows}
    rows = [found[seed, one.name, arch] for seed in job.seeds for one in proxies for arch in job.archs]
    shape = (len(job.seeds), len(proxies), len(job.archs))
    ok = np.array([row.status == "ok" for row in rows]).reshape(shape)
    values = np.array([row.score for row in rows]).reshape(shape)
    among = cohort(job.archs, job.space, job.conditions.dataset)
    return Scores(
        names=[one.name for one in proxies],
        ranked=to_be_ranked(values, ok).transpose(1, 0, 2),
        failed=[int(count) for count in (~ok).sum((0, 2))],
        sample=known.sample(job.archs, among.share),
        sizes=among.sizes,
    )


def show(table: Any, title: str) -> None:
    """Print a table: a row a setting and proxy."""
    rows = [
        [
            row["setting"],
            row["proxy"],
            number(row["spearman"]) + ("" if row["seeds"] == 1 else f" ± {number(row['spearman_sd'])}"),
            interval(row["low"], row["high"]),
            number(row["given_size"]),
            interval(row["given_size_low"], row["given_size_high"]),
            str(row["failed"]),
        ]
        for row in table.to_dict("records")
    ]
    headers = ["setting", "proxy", "spearman", "95 % interval", "given size", "95 % interval", "failed"]
    show_table(headers, rows, title, texts=2)
