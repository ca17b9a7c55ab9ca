"""What all modes of benchmarks/speed.py share: their options checked, the job, and how figures are shown."""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import proxies
from analysis.rows.tables import markdown
from benchmarks import spaces
from benchmarks.conditions import batches
from benchmarks.conditions.drawing import generator
from benchmarks.output import record
from benchmarks.output.terminal import show_table
from benchmarks.scoring import jobs
from benchmarks.scoring.jobs import Job
from benchmarks.timing.options import SpeedOptions

CLASSIC_NAMES = "grad_norm,snip,grasp,fisher,jacob_cov,plain,synflow,naswot"


def check(options: SpeedOptions) -> None:
    """Raises ValueError for options that can't be."""
    if options.cells < 1 or options.repeats < 1 or options.seed < 0:
        raise ValueError("--cells and --repeats: 1 is the least; --seed: 0")
    if options.classic and options.proxy != SpeedOptions().proxy:
        raise ValueError(f"--classic measures {CLASSIC_NAMES}: it goes without --proxy")
    if options.json:
        record.check_file("--json", Path(options.json))


def prepare(options: SpeedOptions) -> Job:
    """The cells, proxies and conditions to measure."""
    space = spaces.find("nasbench201")
    return jobs.Job(
        space=space,
        archs=space.sample(options.cells, generator(options.seed, "sample")),
        proxies=proxies.parts(proxies.select(options.proxy)),
        seeds=[options.seed],
        source=batches.open_source("noise", options.dataset),
        conditions=jobs.Conditions(options.dataset, options.batch_size, device=jobs.find_device(options.device)),
    )


def whole_numbers(name: str, options: SpeedOptions) -> list[int]:
    """An option that lists numbers. Raises ValueError for one that is none."""
    text = str(getattr(options, name))
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and 0 < int(part) <= 10**6 for part in parts):
        raise ValueError(f"--{name} {text}: whole numbers from 1, separated by commas")
    return sorted({int(part) for part in parts})


def stack_sizes(options: SpeedOptions) -> list[int]:
    """The sizes of --stacks. Raises ValueError where there are fewer cells."""
    sizes = whole_numbers("stacks", options)
    if max(sizes) > options.cells:
        raise ValueError(f"--stacks {options.stacks}: --cells {options.cells} are fewer")
    return sizes


def how_measured(options: SpeedOptions, job: Job, threads: int = 1, of: str = "median") -> str:
    """What has to be known beside the figures."""
    return (
        f"{of} over {options.repeats} runs, mean over {options.cells} cells; batch {options.batch_size}, "
        f"{options.dataset}, {record.device_name(job.conditions.device)}, threads: {threads}"
    )


def peak_memory() -> str:
    """The most memory that this process held so far, as a line."""
    return f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:,.0f} MiB"


def show(
    options: SpeedOptions,
    title: str,
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    notes: Sequence[str],
    content: Mapping[str, object],
) -> None:
    """Print a table, and write the figures where that is wanted."""
    if options.markdown:
        print(markdown(headers, rows, notes))
    else:
        show_table(headers, rows, title)
        print("\n".join(f"  {note}" for note in notes))
    if options.json:
        record.write_json({"options": asdict(options), **content, **record.environment()}, Path(options.json))
