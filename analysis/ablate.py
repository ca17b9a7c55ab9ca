"""Ablations of the DisWOT measures and those they compete with: a CSV and a figure each. See --help.

Scores come from the one scoring loop and its store, so that a second run scores nothing and a killed one goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.output.command import argument, option, parse, reported
from benchmarks.output.options import EngineOptions, ScoringOptions, check_range
from benchmarks.output.terminal import progress, show_table, typed
from benchmarks.scoring.asked import scoring_job
from benchmarks.scoring.engines import open_engine

if TYPE_CHECKING:
    from analysis.stats.ablations import Rows, Scores
    from benchmarks.scoring.engines import Engine
    from benchmarks.scoring.jobs import Job
    from benchmarks.scoring.store import Store
    from benchmarks.truth import Truth

PROG = "ablate.py"
CONTROL = f"{Path(__file__).resolve().parent / 'validation' / 'controls.py'}:fc_weights"
FORMS = f"diswot_semantic,diswot_relation,diswot,diswot_fcgrad_semantic,diswot_gram_relation,diswot_released,{CONTROL}"
LOSSES = "kd,dkd,fitnets,at,sp,rkd,cc,pkt,nst,ickd,kdsvd,cka,dist"
SIZES = "params,macs"
BATCHES = (8, 16, 32, 64, 128, 256)
AVERAGED = (1, 2, 4, 8)  # seeds whose ranks are averaged


@dataclass
class Options(EngineOptions, ScoringOptions):
    """Score the candidates under many conditions; leave a CSV and a figure for each ablation."""

    name: Literal["metrics", "draw", "init", "teacher", "batch", "target", "size", "all"] = argument(
        "metrics, draw, init, teacher, batch, target, size, or all of them"
    )
    proxy: str | None = option(None, "proxies to ablate, instead of each ablation's own")
    sample: int | str = option("auto", "how many candidates to sample by --seed; auto (200, or all there are) or all")
    seed: int = option(0, "first seed, and that of the sample")
    seeds: int = option(3, "number of proxy seeds; tables give mean and spread")
    images: str | None = option(
        None, "real images for the batch ablation: cifar10, cifar100 or a .npz; else noise alone"
    )
    trained: str | None = option(
        None, "trained teachers for the teacher ablation: NAME=FILE of a state dict, separated by blanks"
    )
    out: str = option("runs/ablations", "folder for NAME.csv, NAME.png, NAME.pdf and NAME.json")
    store: str | None = option(None, "file of scores already computed [store.sqlite in --out]")


@dataclass(frozen=True)
class Setting:
    """A line of an ablation: its label, and the options that differ from the command's."""

    label: str
    changes: dict[str, Any] = field(default_factory=dict)
    seeds: int | None = None


@dataclass(frozen=True)
class Ablation:
    """Which settings, which proxies, and what becomes of the scores under one setting."""

    settings: Callable[[Options], list[Setting]]
    proxies: str
    rows: Callable[[str, Scores, Callable[[], Any]], Rows] | None = None  # by default a row per proxy


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)
    return reported(PROG, lambda: ablate(options))


def ablate(options: Options) -> None:
    """Run the ablations that are asked for, one after the other."""
    from benchmarks.output import record
    from benchmarks.scoring.store import Store

    check_range("seeds", options.seeds, 1, 1000)
    out = Path(options.out)
    record.check_writable(out)
    names = list(ABLATIONS) if options.name == "all" else [options.name]
    job, _ = prepare(options, "params")
    path = Path(options.store) if options.store else out / "store.sqlite"
    with open_engine(options, tasks=len(job), cuda=job.on_gpu) as engine, Store(path) as store:
        for name in names:
            run(name, options, store, engine, out)


def run(name: str, options: Options, store: Store, engine: Engine, out: Path) -> None:
    """One ablation: score, write, draw, print."""
    import pandas as pd

    from analysis.pages import tables
    from analysis.pictures import charts, figures
    from benchmarks.conditions.drawing import generator
    from benchmarks.output import record

    ablation = ABLATIONS[name]
    rows: list[dict[str, Any]] = []
    for setting in ablation.settings(options):
        chosen = replace(options, **setting.changes, seeds=setting.seeds or options.seeds)
        job, truth = prepare(chosen, options.proxy or ablation.proxies)
        scores = scored(job, truth, store, engine, f"{name}: {setting.label}")
        conditions = {key: getattr(chosen, key) for key in ("space", "dataset", "target")}
        conditions |= {**job.conditions.columns(job.source), "seed": chosen.seed, "truth_source": truth.source}
        found = rows_of(ablation, setting)(setting.label, scores, lambda: generator("bootstrap"))
        rows += [{"ablation": name, **row, **conditions} for row in found]
    table = pd.DataFrame(rows)
    tables.write_csv(table, out / f"{name}.csv")
    figure = charts.ablation(table, f"{name}: {options.space}, {options.dataset}, {options.target}")
    figures.save_both(figure, out, name)
    record.write_json({"command": sys.argv, "options": asdict(options), **record.environment()}, out / f"{name}.json")
    show(table, f"{name}: {options.space} on {options.dataset}, {len(job.archs)} candidates")
    print(f"  written: {out / name}.csv, .png, .pdf, .json\n  again: {typed()}")


def prepare(options: Options, proxies: str) -> tuple[Job, Truth]:
    """The job of one setting and its truth, checked before anything is scored."""
    import proxies as registry
    from benchmarks import spaces, truth
    from benchmarks.scoring import selection

    space = spaces.find(options.space)
    table = truth.load(options.truth, space, options.dataset, options.target)
    archs = selection.sampled(space, table, str(options.sample), options.seed)
    seeds = range(options.seed, options.seed + options.seeds)
    return scoring_job(options, space, archs, registry.select(proxies), seeds), table


def rows_of(ablation: Ablation, setting: Setting) -> Callable[[str, Scores, Callable[[], Any]], Rows]:
    """What makes a setting's scores into rows."""
    from analysis.stats import ablations

    if ablation.rows is not None:
        return ablation.rows
    if setting.seeds is not None:
        return partial(ablations.averaged, counts=AVERAGED)
    return ablations.correlated


def without_size(label: str, scores: Scores, generator: Callable[[], Any]) -> Rows:
    """Rows with and without size."""
    from analysis.stats import ablations

    return ablations.without_size(scores, generator)


def scored(job: Job, truth: Truth, store: Store, engine: Engine, text: str) -> Scores:
    """The scores of a job as arrays."""
    import numpy as np

    from analysis.stats.ablations import Scores
    from benchmarks.scoring import scorer
    from benchmarks.scoring.cohorts import cohort

    with progress(text, len(job)) as advance:
        rows = scorer.score(job, store, advance, engine)
    shape = (len(job.seeds), len(job.proxies), len(job.archs))
    ok = np.array([row.status == "ok" for row in rows]).reshape(shape)
    values = np.array([row.score for row in rows]).reshape(shape)
    known = cohort(job.archs, job.space, job.conditions.dataset)
    return Scores(
        names=[proxy.name for proxy in job.proxies],
        ranked=np.where(ok, values, -np.inf).transpose(1, 0, 2),
        failed=[int(count) for count in (~ok).sum((0, 2))],
        truth=np.array([truth.accuracy[arch] for arch in job.archs]),
        size=known.size,
        clusters=known.clusters,
    )


def as_asked(options: Options) -> list[Setting]:
    """The command's own conditions."""
    return [Setting(f"{options.draw}, {options.init}, {options.teacher}")]


def draws(options: Options) -> list[Setting]:
    """Who shares weights, by how they are drawn."""
    from benchmarks.conditions.drawing import INITS, MODES

    return [Setting(f"{draw}, {init}", {"draw": draw, "init": init}) for draw in MODES for init in INITS]


def inits(options: Options) -> list[Setting]:
    """How weights are drawn, whoever shares them."""
    from benchmarks.conditions.drawing import INITS

    return [Setting(init, {"init": init}) for init in INITS]


def teachers(options: Options) -> list[Setting]:
    """All teachers for small images with random weights, each beside its trained self where weights are given."""
    from benchmarks.conditions.teachers import NASBENCH201_BEST, RESNET_DEPTHS

    known = [*RESNET_DEPTHS, *(["nasbench201-best"] if options.dataset in NASBENCH201_BEST else [])]
    given = trained_teachers(options, known)
    found = []
    for name in known:
        found.append(Setting(f"{name}, random", {"teacher": name, "teacher_weights": None}))
        if name in given:
            found.append(Setting(f"{name}, trained", {"teacher": name, "teacher_weights": given[name]}))
    return found


def trained_teachers(options: Options, known: Sequence[str]) -> dict[str, str]:
    """Files of weights by teacher, of --trained and --teacher-weights. Raises ValueError for what names none."""
    given = {options.teacher: options.teacher_weights} if options.teacher_weights else {}
    for text in (options.trained or "").split():
        name, equals, path = text.partition("=")
        if name not in known or not equals or not path:
            raise ValueError(f"--trained {text}: NAME=FILE is expected, NAME one of {', '.join(known)}")
        given[name] = path
    return given


def batches(options: Options) -> list[Setting]:
    """Noise and images by size of the batch, and noise with the ranks of several seeds averaged."""
    sources = ["noise", *([options.images] if options.images else [])]
    found = [
        Setting(f"{Path(source).stem} {size}", {"batch": source, "batch_size": size})
        for source in sources
        for size in BATCHES
    ]
    return [*found, Setting(f"{Path(options.batch).stem} {options.batch_size}", {}, seeds=max(AVERAGED))]


def targets(options: Options) -> list[Setting]:
    """Every target that there are accuracies of; the command's own in any case, so that none at all is an error."""
    from benchmarks import spaces, truth

    space, found = spaces.find(options.space), [options.target]
    for target in truth.TARGETS:
        with suppress(ValueError):
            truth.load(options.truth, space, options.dataset, target)
            found.append(target)
    return [Setting(target, {"target": target}) for target in truth.TARGETS if target in found]


ABLATIONS = {
    "metrics": Ablation(as_asked, f"{FORMS},{LOSSES},{SIZES}"),
    "draw": Ablation(draws, FORMS),
    "init": Ablation(inits, f"{FORMS},{LOSSES},{SIZES}"),
    "teacher": Ablation(teachers, FORMS),
    "batch": Ablation(batches, FORMS),
    "target": Ablation(targets, f"{FORMS},{LOSSES},{SIZES}"),
    "size": Ablation(as_asked, f"{FORMS},{LOSSES}", without_size),
}


def show(table: Any, title: str) -> None:
    """Print a table: a row a setting and proxy."""
    from analysis.pages.tables import number

    rows = [
        [
            row["setting"],
            row["proxy"],
            number(row["spearman"]) + ("" if row["seeds"] == 1 else f" ± {number(row['spearman_sd'])}"),
            "n/a" if row["low"] != row["low"] else f"{number(row['low'])} to {number(row['high'])}",
            number(row["partial_spearman"]),
            number(row["band_spearman"]),
            str(row["failed"]),
        ]
        for row in table.to_dict("records")
    ]
    headers: Sequence[str] = ["setting", "proxy", "spearman", "95 % interval", "given params", "in bands", "failed"]
    show_table(headers, rows, title, texts=2)


if __name__ == "__main__":
    sys.exit(main())
