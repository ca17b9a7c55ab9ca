"""What a step of training an ordinary module costs beside a bare PyTorch loop over the same module, in one run.

On a CPU in processor time, which other work on the machine does not add to.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter, process_time

from analysis.rows.tables import number
from benchmarks.conditions import batches
from benchmarks.output import record
from benchmarks.scoring import jobs
from benchmarks.scoring.engines import keep_memory, one_thread
from benchmarks.timing.measuring import show
from benchmarks.timing.options import SpeedOptions
from benchmarks.timing.tasks import alternated
from search.distillation import pace

NETWORKS = ("torchvision:resnet18", "torchvision:mobilenet_v3_small", "pit:0", "autoformer:0")


def measure(options: SpeedOptions) -> None:
    """Measure and print."""
    device = jobs.find_device(options.device)
    cuda = device.type == "cuda"
    source = batches.open_source("noise", options.dataset)
    noise = source.batch(options.batch_size, options.seed)
    data = pace.noise_data(noise, source.dataset.classes, device)
    keep_memory()
    rows, content = [], {}
    with one_thread():
        for name in NETWORKS:
            steps = partial(pace.module_steps, data=data, seed=options.seed)
            seconds = alternated([name], steps, options.repeats, cuda, perf_counter if cuda else process_time)
            content[name] = seconds
            rows += [
                [
                    name,
                    step,
                    number(1000 * took, 1),
                    *(number(took / seconds[one], 2) for one in (pace.BARE, pace.AUGMENTED)),
                ]
                for step, took in seconds.items()
            ]
    notes = [
        f"median over {options.repeats} steps{'' if cuda else ', processor time'}; batch {options.batch_size}, "
        f"{options.dataset}, {record.device_name(device)}, threads: 1",
        "ours with crops, mirroring and metrics; a bare loop is given its batch, or crops it image by image",
        "watched: as for methods that read stages and last map, here without a teacher that they would be held against",
    ]
    headers = ["network", "", "ms/step", "x bare loop", "x bare loop with crops"]
    show(options, "a step of training a module by cross entropy", headers, rows, notes, {"seconds_per_step": content})
