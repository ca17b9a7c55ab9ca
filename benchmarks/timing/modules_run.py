"""What scoring an ordinary module costs beside its bare passes, in one run: a ResNet and a vision transformer.

For each network, in turn and repeated: its bare forward pass, forward and backward, and proxies on a fresh probe of the
module, which is looked at once before (a row of its own: a network is looked at once, whatever is asked of it). Bare
passes run in training mode, as batch statistics are what a probe goes by; dropout of these networks is 0.
"""

from __future__ import annotations

from functools import partial

import torch
from torch.nn.functional import cross_entropy

import proxies
from analysis.rows.tables import number
from benchmarks import spaces
from benchmarks.conditions import batches
from benchmarks.output import record
from benchmarks.scoring import jobs
from benchmarks.scoring.engines import keep_memory, one_thread
from benchmarks.scoring.jobs import Job
from benchmarks.scoring.worker import SeedRun
from benchmarks.spaces.modules import ModuleSpace
from benchmarks.timing.measuring import peak_memory, show
from benchmarks.timing.options import SpeedOptions
from benchmarks.timing.tasks import Tasks, alternated, look_at
from proxies import Proxy
from proxies.probing.probe import Probe

NETWORKS = ("resnet18", "vit_b_32")
MEASURED = "diswot,grad_norm"
FORWARD, BOTH = "bare forward", "bare forward+backward"


def measure(options: SpeedOptions) -> None:
    """Measure and print."""
    job = prepare(options)
    keep_memory()
    run = SeedRun(job, options.seed)
    rows, content = [], {}
    with one_thread():
        look_at(run.teacher)
        for arch in job.archs:
            seconds = alternated([arch], partial(tasks, run), options.repeats, job.on_gpu)
            content[arch] = seconds
            rows += [
                [
                    arch,
                    name,
                    number(1000 * took, 1),
                    number(took / seconds[FORWARD], 2),
                    number(took / seconds[BOTH], 2),
                ]
                for name, took in seconds.items()
            ]
    device = record.device_name(job.conditions.device)
    notes = [
        f"median over {options.repeats} runs; batch {options.batch_size}, imagenet, {device}, threads: 1",
        f"teacher {job.conditions.teacher}, looked at before; diswot reads it",
        peak_memory(),
    ]
    headers = ["network", "", "ms", "x forward", "x forward+backward"]
    show(options, "a module's proxies, as multiples of its bare passes", headers, rows, notes, {"seconds": content})


def prepare(options: SpeedOptions) -> Job:
    """The networks, proxies and conditions to measure."""
    asked = MEASURED if options.proxy == SpeedOptions().proxy else options.proxy
    return jobs.Job(
        space=spaces.find("torchvision"),
        archs=NETWORKS,
        proxies=proxies.parts(proxies.select(asked)),
        seeds=[options.seed],
        source=batches.open_source("noise", "imagenet"),
        conditions=jobs.Conditions(
            "imagenet", options.batch_size, teacher="resnet18", device=jobs.find_device(options.device)
        ),
    )


def tasks(run: SeedRun, arch: str) -> Tasks:
    """The bare passes of a network, the look at it, and each proxy on a probe of it."""
    space = run.job.space
    assert isinstance(space, ModuleSpace)
    network = space.network([arch], run.job.source.dataset.classes, run.images)
    weights = run.drawing.candidates(network, [arch])
    bare = space.module(space.read(arch), *run.job.source.dataset).to(run.images.device).train()

    def forward() -> None:
        with torch.no_grad():
            bare(run.images)

    def both() -> None:
        bare.zero_grad()
        cross_entropy(bare(run.images), run.labels).backward()

    def score(proxy: Proxy, plan: frozenset[str]) -> Probe:
        probe = Probe(network, weights, run.images, run.labels, teacher=run.teacher, noise=run.drawing.noise, plan=plan)
        probe.score(proxy)
        return probe

    looked = partial(space.network, [arch], run.job.source.dataset.classes, run.images)
    own = {one.name: partial(score, one, frozenset(score(one, frozenset()).asked)) for one in run.job.proxies}
    return {FORWARD: forward, BOTH: both, **own, "building and looking at it, once": looked}
