"""What a step of training takes, ours, a bare loop's, and that of several students in one stack."""

from __future__ import annotations

import torch

from analysis.rows.tables import number
from benchmarks.timing.measuring import how_measured, prepare, show, stack_sizes
from benchmarks.timing.options import SpeedOptions
from benchmarks.timing.tasks import Tasks, alternated
from search.distillation import pace


def measure(options: SpeedOptions) -> None:
    """Measure a step of training, ours, a bare loop's, and that of several students in one stack, and print."""
    sizes = [size for size in stack_sizes(options) if size > 1]
    job = prepare(options)
    noise = job.source.batch(options.batch_size, options.seed)
    data = pace.noise_data(noise, job.source.dataset.classes, job.conditions.device)
    around = {arch: [*job.archs[number:], *job.archs[:number]] for number, arch in enumerate(job.archs)}

    def tasks(arch: str) -> Tasks:
        single = pace.training_steps(arch, data, options.seed)
        return single | pace.stacked_steps(around[arch], sizes, data, options.seed)

    seconds = alternated(job.archs, tasks, options.repeats, job.on_gpu)
    for size in sizes:  # every cell is in as many stacks
        seconds[pace.stacked_name(size)] /= size
    bare = [seconds[f"bare loop, {layout}"] for layout in pace.LAYOUTS]
    rows = [[name, number(1000 * took, 1), *(number(took / one, 2) for one in bare)] for name, took in seconds.items()]
    headers = ["", "ms/step of a student", *(f"x bare, {layout}" for layout in pace.LAYOUTS)]
    notes = [
        how_measured(options, job, torch.get_num_threads()),
        "ours and stacks with augmentation and metrics; the bare loop is given its batch",
    ]
    show(options, "seconds per step of training by cross entropy", headers, rows, notes, {"seconds_per_step": seconds})
