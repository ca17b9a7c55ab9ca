"""Everything that needs a GPU, in one go and in the order of its worth: the steps of benchmarks/speed.py --gpu.

A step that fails is told and the next one begins; none begins that would not end in time. Each leaves a JSON file.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Literal, NamedTuple

import torch

from analysis.rows.tables import number
from benchmarks.output import record
from benchmarks.output.terminal import show_table
from benchmarks.scoring.engines import keep_memory, one_thread
from benchmarks.scoring.jobs import find_device
from benchmarks.timing import gpu_steps, gpu_ways
from benchmarks.timing.gpu_steps import GROUPS, Bench, Finding, computing
from benchmarks.timing.measuring import how_measured, prepare
from benchmarks.timing.options import SpeedOptions
from search.distillation import pace

USUAL = SpeedOptions()
OWN = SpeedOptions(cells=48, proxy="all")  # what --gpu takes where an option is left as it is
ON_CPU = replace(OWN, batch_size=4, repeats=1)  # there the way is walked, and no figure counts
FOLDER = "runs/gpu"
ROOT = Path(__file__).resolve().parent.parent.parent
FAILURES = (RuntimeError, ValueError, TypeError, LookupError, OSError, ArithmeticError, AssertionError, ImportError)
TRAINED = (1, 8, 64)  # students in a stack


class Step(NamedTuple):
    """What is measured, how many seconds it is expected to take on an H100, and how."""

    name: str
    seconds: float
    measure: Callable[[], Finding]


class Outcome(NamedTuple):
    """How a step ended."""

    name: str
    status: Literal["done", "failed", "skipped"]
    seconds: float
    text: str


def measure(options: SpeedOptions) -> None:
    """Go through the steps while `--minutes` last, print a line each, and a table at the end."""
    start = monotonic()
    if not 0 < options.minutes <= 24 * 60:
        raise ValueError(f"--minutes {options.minutes}: above 0, {24 * 60} the most")
    out = Path(options.out or FOLDER)
    record.check_writable(out)
    asked = with_defaults(options)
    bench = Bench(prepare(asked), asked.repeats)
    keep_memory()
    outcomes = []
    for position, step in enumerate(steps(bench, asked, start + 60 * options.minutes), 1):
        outcomes.append(perform(step, start + 60 * options.minutes - monotonic(), out, position))
        one = outcomes[-1]
        print(f"  {one.name}: {one.status}, {one.seconds:.0f} s; {one.text}", flush=True)
    rows = [[one.name, one.status, one.text, number(one.seconds, 1)] for one in outcomes]
    show_table(["step", "", "found", "seconds"], rows, "everything that needs a GPU", texts=3)
    print(f"  {how_measured(asked, bench.job, of='least')}\n  {monotonic() - start:.0f} s; a JSON file a step: {out}/")


def with_defaults(options: SpeedOptions) -> SpeedOptions:
    """The options, those that are left as they are for other modes replaced by what --gpu takes."""
    own = OWN if find_device(options.device).type == "cuda" else ON_CPU
    left = [field.name for field in fields(USUAL) if getattr(options, field.name) == getattr(USUAL, field.name)]
    return replace(options, **{name: getattr(own, name) for name in left})


def steps(bench: Bench, options: SpeedOptions, end: float) -> list[Step]:
    """All steps, what is worth most first."""

    def of_bench(step: Callable[[Bench], Finding]) -> Callable[[], Finding]:
        return partial(step, bench)

    def space(names: str) -> Callable[[], Finding]:
        return partial(whole_space, bench, names, options, end)

    first, *others = GROUPS
    return [
        Step("machine", 10, of_bench(gpu_steps.machine)),
        Step("agreement", 60, of_bench(gpu_steps.agreement)),
        Step("stacks", 90, of_bench(gpu_steps.stacks)),
        Step(f"space {first}", 75, space(first)),
        Step("ways", 45, of_bench(gpu_ways.ways)),
        Step("profile", 15, of_bench(gpu_steps.profiled)),
        *(Step(f"space {names}", 75, space(names)) for names in others),
        Step("training", 30, partial(training, bench, options)),
    ]


def perform(step: Step, left: float, out: Path, position: int) -> Outcome:
    """Do a step for which there is time, and write what became of it."""
    began, figures = monotonic(), gpu_steps.Figures()
    status: Literal["done", "failed", "skipped"] = "done"
    if step.seconds > left:
        status, text = "skipped", f"needs about {step.seconds:.0f} s, {max(left, 0):.0f} are left"
    else:
        try:
            with one_thread(), computing():
                text, figures = step.measure()
        except (*FAILURES, subprocess.SubprocessError) as error:
            status, text = "failed", f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
    taken = monotonic() - began
    about = {"step": step.name, "status": status, "seconds": taken, "text": text}
    name = f"{position:02}-{step.name.replace('*', '').replace(' ', '-').replace(',', '-')}.json"
    record.write_json({**about, **figures, **record.environment()}, out / name)
    return Outcome(step.name, status, taken, text)


def whole_space(bench: Bench, names: str, options: SpeedOptions, end: float) -> Finding:
    """Seconds of rank.py for the whole space, start-up included; on a CPU for `--cells` candidates."""
    count = len(bench.job.space) if bench.cuda else options.cells
    command = [sys.executable, str(ROOT / "benchmarks" / "rank.py"), "--proxy", names, "--baselines", ""]
    command += ["--sample", "all" if bench.cuda else str(count), "--truth", "none", "--device", options.device]
    command += ["--dataset", options.dataset, "--batch-size", str(options.batch_size), "--workers", "1"]
    if bench.cuda:
        torch.cuda.empty_cache()  # what earlier steps keep, rank.py would lack
    with TemporaryDirectory() as folder:
        began = monotonic()
        try:
            subprocess.run(
                [*command, "--out", folder], capture_output=True, text=True, check=True, timeout=end - monotonic()
            )
        except subprocess.CalledProcessError as error:
            raise ValueError(f"rank.py: {error.stderr[-300:]}") from None
        seconds = monotonic() - began
    text = f"{count:,} candidates in {seconds:.1f} s, {1000 * seconds / count:.2f} ms each, start-up included"
    return text, {"candidates": count, "wall_seconds": seconds, "command": command[2:]}


def training(bench: Bench, options: SpeedOptions) -> Finding:
    """Milliseconds of a student's step of training, alone and in stacks."""
    job = bench.job
    sizes = TRAINED if bench.cuda else bench.sizes
    noise = job.source.batch(options.batch_size, options.seed)
    data = pace.noise_data(noise, job.source.dataset.classes, job.conditions.device)
    archs = bench.archs(max(sizes))
    tasks = {1: pace.training_steps(archs[0], data, options.seed)["ours"]}
    stacked = pace.stacked_steps(archs, sizes[1:], data, options.seed)
    tasks |= {size: stacked[pace.stacked_name(size)] for size in sizes[1:]}
    seconds = {size: bench.best(task) / size for size, task in tasks.items()}
    told = ", ".join(f"{1000 * took:.2f} in {size}" for size, took in seconds.items())
    return f"ms a step of a student: {told}", {"seconds_per_step": seconds}
