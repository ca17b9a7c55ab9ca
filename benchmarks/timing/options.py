"""What benchmarks/speed.py measures with, whatever its mode. Light: --help needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.output.command import option


@dataclass
class SpeedOptions:
    """The proxies, cells and batch that are measured, and where the figures go."""

    proxy: str = option(
        "diswot*,grad_norm,synflow,params,macs", "proxies to measure: names, wildcards, all [--gpu: all]"
    )
    classic: bool = option(False, "the eight classic measures shared, against one by one on fresh plain networks")
    dataset: str = option("cifar10", "cifar10, cifar100 or ImageNet16-120")
    stacks: str = option("1,2,4", "sizes of stacks for --scale and --train; on a GPU say 1,8,64,256")
    workers: str = option("1,2", "counts of workers for --scale")
    numbers: str = option("100,1000,15625", "numbers of candidates for --scale")
    cells: int = option(20, "how many cells, sampled by --seed [--gpu: 48]")
    repeats: int = option(3, "how often each is measured; the median counts [--gpu on a CPU: 1]")
    batch_size: int = option(64, "images in the batch [--gpu on a CPU: 4]")
    seed: int = option(0, "seed of cells, batch and weights")
    device: str = option("auto", "auto, cpu, cuda or cuda:i")
    minutes: float = option(9.0, "of --gpu: no step is begun that would not end by then")
    out: str | None = option(None, "folder for the figures of --gpu, a JSON file a step [runs/gpu]")
    markdown: bool = option(False, "print the table as Markdown")
    json: str | None = option(None, "also write the figures to this file")
