"""The steps of benchmarks/rank.py: score what is not scored yet, rank, write, print."""

from __future__ import annotations

import hashlib
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

import proxies
from analysis.pictures import figures
from analysis.rows.runs import subject
from analysis.rows.tables import markdown, number, write_csv
from benchmarks import spaces, truth
from benchmarks.conditions import batches
from benchmarks.output import record
from benchmarks.output.naming import said
from benchmarks.output.options import MOST_SEEDS, RankingOptions, check_range
from benchmarks.output.terminal import progress, show_table, typed
from benchmarks.ranking import summary
from benchmarks.scoretables import recalling
from benchmarks.scoretables.recalling import Recalled
from benchmarks.scoring import scorer, selection
from benchmarks.scoring.asked import scoring_job
from benchmarks.scoring.engines import open_engine
from benchmarks.scoring.jobs import Job, code_digest
from benchmarks.scoring.scorer import Scorer
from benchmarks.scoring.store import Score, Store
from benchmarks.truth import Truth
from benchmarks.truth.accuracies import VANILLA
from proxies import Combination, Proxy

LONGEST_NAME = 150  # of a run's folder; what is cut off is in the digest behind it


def rank(options: RankingOptions) -> None:
    """Score what is not scored yet, rank, write, print."""
    started = datetime.now(UTC)
    start = time.perf_counter()
    job, chosen, table, known = prepare(options)
    out = Path(options.out) if options.out else Path("runs") / run_name(options, len(job.archs))
    record.check_writable(out)
    stand_ins = selection.stand_ins(job.space, job.archs) if options.unique else {arch: arch for arch in job.archs}
    scored = list(dict.fromkeys(stand_ins.values()))
    with opened_scorer(options, job, out, known) as opened:
        if options.shard is not None:
            score_shard(options, opened, scored)
            return
        with progress(f"scoring {job.space.name}", opened.size(scored)) as advance:
            rows = scorer.shared(opened.rows(scored, advance), job, stand_ins)
    combinations = [one for one in chosen if isinstance(one, Combination)]
    rows += scorer.combined(rows, job, combinations)
    if any(row.status == "undefined" for row in rows):
        scorer.refuse_undefined(rows, [one.name for one in proxies.select(options.proxy)])
    names = [one.name for one in chosen]
    seconds = time.perf_counter() - start
    notes = noted(options, combinations, job, len(scored), known)
    if table is None:
        leave_scores(rows, names, job, options, out, notes)
    else:
        leave_ranking(rows, names, job, table, options, out, notes)
    times = {"started": started.isoformat(), "scoring_seconds": seconds, "seconds": time.perf_counter() - start}
    record.write_json({**conditions(options, job, table), **tabled(known), **times}, out / "run.json")


def tabled(known: Recalled | None) -> dict[str, object]:
    """What run.json says of scores that come from a table."""
    if known is None:
        return {}
    made = {name: known.table.columns[key].made for name, key in known.keys.items()}
    return {"scores": {"told": known.told, "sha256": known.table.digest, "used": known.count, "made": made}}


def noted(
    options: RankingOptions, combinations: Sequence[Combination], job: Job, scored: int, known: Recalled | None
) -> list[str]:
    """What has to be known of how the scores came about."""
    notes = []
    if options.max_params is not None:
        notes.append(f"--max-params {selection.limit('max_params', options.max_params):,.0f}: none has more parameters")
    if known is not None:
        whole = scored * len(job.proxies) * len(job.seeds)
        rest = "" if known.count == whole else f"; {known.count:,} of {whole:,} scores, the others computed here"
        notes.append(known.told + rest)
    if options.unique:
        notes.append(f"--unique: {scored:,} scored, each for all cells that compute its function; sizes are their own")
    if combinations:
        names = ", ".join(one.name for one in combinations)
        notes.append(f"combined by ranks over these {len(job.archs):,} candidates, and defined for them alone: {names}")
    return notes


def leave_ranking(
    rows: list[Score],
    names: list[str],
    job: Job,
    table: Truth,
    options: RankingOptions,
    out: Path,
    notes: Sequence[str],
) -> None:
    """Rank the scores against accuracies; write and print."""
    if table.vanilla.keys() >= set(job.archs):
        rows, names = rows + summary.vanilla_rows(job, table), [*names, VANILLA]
    scores = summary.scores_table(rows, job, table)
    sample = summary.sample_of(job, table)
    rankings = summary.rankings(scores, names, job, options.target, table, sample, options.given)
    summary.write_tables(scores, rankings, out)
    draw_figure(scores, rankings, job, options, out)
    wanted = "the gain by distillation" if options.target == "gain" else f"{options.target} accuracy"
    notes = [*summary.notes(job, options.target, table, sample, scores, options.given), *notes]
    files = "scores.csv, ranking.csv, seconds.csv, ranking.png, ranking.pdf, run.json"
    show(summary.headline(rankings), f"rank correlation with {wanted}", notes, files, options, out)


def leave_scores(
    rows: list[Score], names: list[str], job: Job, options: RankingOptions, out: Path, notes: Sequence[str]
) -> None:
    """Write the scores, and print that there are no accuracies to rank them against."""
    scores = summary.scores_table(rows, job, None)
    write_csv(scores.drop(columns="seconds"), out / "scores.csv")
    notes = [*summary.blind_notes(job, options.target, scores), *notes]
    show(summary.blind_headline(scores, names), "scores", notes, "scores.csv, run.json", options, out)


def prepare(options: RankingOptions) -> tuple[Job, list[Proxy | Combination], Truth | None, Recalled | None]:
    """Everything that the options name, checked before anything is scored; None for no accuracies, for no table."""
    space = spaces.find(options.space)
    options.dataset = batches.named_dataset(options.dataset, options.batch)
    dataset = batches.find_dataset(options.dataset, space)
    chosen = proxies.select(f"{options.proxy},{options.baselines}")
    if not chosen:
        raise ValueError("--proxy names no proxy; --list shows them")
    check_range("seeds", options.seeds, 1, MOST_SEEDS)
    blind = options.truth == "none" or (
        options.truth == "auto" and truth.lacking(space, options.dataset, options.target)
    )
    table = None if blind else truth.load(options.truth, space, options.dataset, options.target)
    allowed = selection.within(space, selection.limit("max_params", options.max_params), *dataset)
    seeds = range(options.seed, options.seed + options.seeds)
    given = recalling.asked(options, space)
    if given is not None and options.anew:
        raise ValueError("--anew scores in place of a table, --scores is a table in place of scoring: leave out one")
    if options.archs is None:
        among = given.candidates(proxies.parts(chosen), seeds, space) if given and options.scores_only else None
        archs = selection.sampled(space, table, str(options.sample), options.seed, among, allowed)
    else:
        archs = selection.listed(space, table, Path(options.archs), allowed)
    job = scoring_job(options, space, archs, chosen, seeds)
    return job, chosen, table, recalling.chosen(options, given, job, whole=whole(options) and not options.anew)


def whole(options: RankingOptions) -> bool:
    """Whether all candidates are asked for: what a table that comes with the project may answer."""
    return str(options.sample) == "all" and options.archs is None and options.shard is None


@contextmanager
def opened_scorer(options: RankingOptions, job: Job, out: Path, known: Recalled | None) -> Iterator[Scorer]:
    """A scorer over the run's store, and over the shard's own where there is one."""
    part = shard(options.shard)
    name = "store.sqlite" if options.shard is None else f"store-{part[0]}-of-{part[1]}.sqlite"
    store = Path(options.store) if options.store else (out if options.out else out.parent) / name
    with open_engine(options, tasks=len(job), cuda=job.on_gpu) as engine, Store(store) as opened:
        yield Scorer(job, opened, engine, known)


def shard(text: str | None) -> tuple[int, int]:
    """--shard I/N as numbers. Raises ValueError for what is none."""
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text or "1/1")
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise ValueError(f"--shard {text}: I/N with I from 1 to N, such as 2/5")
    return int(found[1]), int(found[2])


def score_shard(options: RankingOptions, opened: Scorer, archs: Sequence[str]) -> None:
    """Score a part, and say how the parts come together."""
    part = shard(options.shard)
    text = f"part {part[0]} of {part[1]}"
    with progress(f"scoring {opened.job.space.name}, {text}", opened.size(archs, part)) as advance:
        done = opened.fill(archs, advance, part)
    print(f"{text}: {done:,} of {opened.size(archs):,} candidates scored, in {opened.store.path}")
    print(said("when all parts are there: python benchmarks/data.py merge STORE... --into FILE"))
    print("and the table: the same command with --store FILE and without --shard")


def run_name(options: RankingOptions, candidates: int) -> str:
    """The default folder's name: the main conditions, and a digest of the others where one is not at its default."""
    cells = Path(options.archs).stem if options.archs else f"n{candidates}"
    seeds = f"seed{options.seed}" + (f"x{options.seeds}" if options.seeds > 1 else "")
    batch = f"{Path(options.batch).stem}{options.batch_size}"
    named = [options.proxy, options.space, options.dataset, options.target, cells, seeds, batch]
    named += [options.draw, options.init, options.teacher]
    name = re.sub(r"[^A-Za-z0-9_.+-]+", "-", "_".join(named))
    more = ["baselines", "truth", "teacher_weights", "teacher_resolution", "unique", "precision", "given", "scores"]
    more += ["scores_only", "max_params"]
    rest, usual = [getattr(options, name) for name in more], [getattr(RankingOptions, name) for name in more]
    exact = [options.proxy, options.archs, options.batch, *rest]
    plain = rest == usual and options.archs is None and not options.batch.endswith(".npz") and "*" not in options.proxy
    plain = plain and len(name) <= LONGEST_NAME
    exact += named
    return name if plain else f"{name[:LONGEST_NAME]}_{hashlib.sha256(repr(exact).encode()).hexdigest()[:6]}"


def conditions(options: RankingOptions, job: Job, table: Truth | None) -> dict[str, object]:
    """What run.json says beside the times."""
    c = job.conditions
    digests = {seed: job.source.batch(c.batch_size, seed).digest for seed in job.seeds}
    inputs = {} if c.teacher_inputs is None else {"inputs": c.teacher_inputs.text}
    return {
        "command": sys.argv,
        "options": asdict(options),
        "seeds": list(job.seeds),
        "candidates": len(job.archs),
        "proxies": [proxy.name for proxy in job.proxies],
        "batch": {"source": job.source.name, "size": c.batch_size, "sha256": digests},
        "teacher": {"name": c.teacher, "weights": c.weights(), "resolution": c.teacher_resolution, **inputs},
        "draw": c.draw,
        "init": c.init,
        "truth_source": None if table is None else table.source,
        "ceiling": None if table is None else table.ceiling,
        "noise": None if table is None else {"points": table.noise, "from": table.noise_from},
        "device": record.device_name(c.device),
        "code": code_digest(),
        **record.environment(),
    }


def draw_figure(
    scores: pd.DataFrame, rankings: Sequence[Mapping[str, Any]], job: Job, options: RankingOptions, out: Path
) -> None:
    """ranking.png and ranking.pdf: a panel for each proxy, of the first seed's scores; of many the PDF has pages."""
    first = scores[scores["seed"] == job.seeds[0]]
    panels = {}
    for row in rankings:
        own = first[first["proxy"] == row["proxy"]]
        remark = f"rho {number(row['spearman'])}" + (f", seed {job.seeds[0]} shown" if len(job.seeds) > 1 else "")
        panels[row["proxy"]] = (own["score"].to_numpy(dtype=float), remark)
    truth = own["truth"].to_numpy(dtype=float)
    unit = "distillation gain, points" if options.target == "gain" else f"{options.target} accuracy, %"
    label, about = f"{unit}, {options.dataset}", subject(list(panels), options.proxy)
    figures.save_both(figures.score_against_truth(panels, truth, label, about), out, "ranking")


def show(
    headline: tuple[list[str], list[list[str]]],
    what: str,
    notes: Sequence[str],
    files: str,
    options: RankingOptions,
    out: Path,
) -> None:
    """Print the table, what has to be known beside it, and where everything lies."""
    headers, rows = headline
    if options.markdown:
        print(markdown(headers, rows, notes))
    else:
        show_table(headers, rows, f"{options.space} on {options.dataset}: {what}")
        print("\n".join(f"  {note}" for note in notes))
        print(f"  written: {out}/{files}")
        print(f"  again: {typed()}")
