"""The job that a command's options ask for, checked before anything is scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

import proxies
from benchmarks.conditions import batches, teachers
from benchmarks.output.options import LARGEST_BATCH, LARGEST_SEED, ScoringOptions, check_range
from benchmarks.scoring import jobs
from benchmarks.spaces import Space
from proxies import Combination, Proxy

SMALLEST_SIDE = 8  # of images for a teacher: three of its stages halve them


def scoring_job(
    options: ScoringOptions,
    space: Space,
    archs: Sequence[str],
    chosen: Sequence[Proxy | Combination],
    seeds: Sequence[int],
) -> jobs.Job:
    """The job that the options name, checked before anything is scored. Raises ValueError for what can't be had."""
    dataset = batches.find_dataset(options.dataset, space)
    teachers.check_name(options.teacher)
    check_range("batch-size", options.batch_size, 2, LARGEST_BATCH)
    check_range("seed", seeds[0], 0, LARGEST_SEED)
    trained = Path(options.teacher_weights) if options.teacher_weights else None
    device = jobs.find_device(options.device, elsewhere=getattr(options, "engine", "local") == "ray")
    if trained is not None:  # read once now, so that a bad file ends the run before it starts
        teachers.load(teachers.build(options.teacher, options.dataset, *dataset), trained, torch.device("cpu"))
    source = batches.open_source(
        options.batch, options.dataset, data_dir=options.data_dir, download=options.download, space=space
    )
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
            teacher_resolution=teacher_resolution(options, space),
            precision=options.precision,
            device=device,
        ),
        stack=stack_size(str(options.stack)),
    )


def teacher_resolution(options: ScoringOptions, space: Space) -> int | None:
    """The size of the images as the teacher sees them: as asked, or, where it is for small images, as the space has it.

    None for images as the candidates see them. Raises ValueError for a size that images can't have.
    """
    asked = options.teacher_resolution
    if asked is None:
        return space.teacher_resolution if options.teacher in teachers.RESNET_DEPTHS else None
    check_range("teacher-resolution", asked, SMALLEST_SIDE, batches.LARGEST_SIDE)
    return asked


def stack_size(text: str) -> int | None:
    """--stack as a number; None for auto."""
    if text == "auto":
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 7) or int(text) < 1:
        raise ValueError(f"--stack {text}: auto, or a number from 1")
    return int(text)
