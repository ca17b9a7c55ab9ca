"""What every command that scores lets its user choose, and the job that comes of it; torch only for the job."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from benchmarks.output.command import option

if TYPE_CHECKING:
    from benchmarks.scoring.jobs import Job
    from benchmarks.spaces import Space
    from proxies import Combination, Proxy

LARGEST_BATCH = 100_000
LARGEST_SEED = 2**31


@dataclass
class ScoringOptions:
    """Under which conditions candidates are scored."""

    dataset: str = option("cifar10", "cifar10, cifar100, ImageNet16-120 or imagenet: image size, classes, accuracies")
    space: str = option("nasbench201", "search space; rank.py --list names them; or path/to/file.py:Name, which is run")
    target: str = option("vanilla", "accuracy to predict: vanilla, distilled, or gain (distilled - vanilla)")
    truth: str = option("auto", "table of accuracies: auto, a name (rank.py --list), or the path of a CSV")
    batch: str = option("noise", "images: noise, cifar10, cifar100, or the path of a .npz of images and labels")
    batch_size: int = option(64, "images in the batch")
    data_dir: str | None = option(None, "folder of CIFAR images for torchvision [$DISWOT_DATA, or data]")
    download: bool = option(False, "let torchvision download the images")
    draw: Literal["independent", "common", "shared"] = option("shared", "who shares random weights (README)")
    init: Literal["kaiming", "normal", "default"] = option("kaiming", "how weights are drawn")
    teacher: str = option("resnet56", "teacher network; rank.py --list names them")
    teacher_weights: str | None = option(None, "state dict of a trained teacher; random weights without it")
    precision: Literal["float32", "bf16"] = option(
        "float32", "of the networks' passes; bf16 is faster, and rounds to 3 digits"
    )
    device: str = option("auto", "auto, cpu, cuda or cuda:i")
    stack: int | str = option("auto", "candidates scored together: auto or a number; scores differ by rounding alone")


def scoring_job(
    options: ScoringOptions,
    space: Space,
    archs: Sequence[str],
    chosen: Sequence[Proxy | Combination],
    seeds: Sequence[int],
) -> Job:
    """The job that the options name, checked before anything is scored. Raises ValueError for what can't be had."""
    import torch

    import proxies
    from benchmarks.conditions import batches, teachers
    from benchmarks.scoring import jobs

    dataset = batches.find_dataset(options.dataset)
    teachers.check_name(options.teacher)
    check_range("batch-size", options.batch_size, 2, LARGEST_BATCH)
    check_range("seed", seeds[0], 0, LARGEST_SEED)
    trained = Path(options.teacher_weights) if options.teacher_weights else None
    device = jobs.find_device(options.device, elsewhere=getattr(options, "engine", "local") == "ray")
    if trained is not None:  # read once now, so that a bad file ends the run before it starts
        teachers.load(teachers.build(options.teacher, options.dataset, *dataset), trained, torch.device("cpu"))
    source = batches.open_source(options.batch, options.dataset, data_dir=options.data_dir, download=options.download)
    source.batch(options.batch_size, seeds[0])
    return jobs.Job(
        space=space,
        archs=archs,
        proxies=proxies.parts(list(chosen)),
        seeds=seeds,
        source=source,
        conditions=jobs.Conditions(
            dataset=options.dataset,
            batch_size=options.batch_size,
            draw=options.draw,
            init=options.init,
            teacher=options.teacher,
            teacher_weights=trained,
            precision=options.precision,
            device=device,
        ),
        stack=stack_size(str(options.stack)),
    )


def check_range(name: str, value: int, least: int, most: int) -> None:
    """Raises ValueError for a number out of its range."""
    if not least <= value <= most:
        raise ValueError(f"--{name} {value}: {least} is the least, {most} the most")


def stack_size(text: str) -> int | None:
    """--stack as a number; None for auto."""
    if text == "auto":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 7) or int(text) < 1:
        raise ValueError(f"--stack {text}: auto, or a number from 1")
    return int(text)
