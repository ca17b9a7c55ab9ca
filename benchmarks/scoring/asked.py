"""The job that a command's options ask for, checked before anything is scored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

import proxies
from benchmarks.conditions import batches, teachers
from benchmarks.conditions import chosen as chosen_teachers
from benchmarks.conditions.chosen import Chosen
from benchmarks.conditions.drawing import Drawing
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
    check_range("batch-size", options.batch_size, 2, LARGEST_BATCH)
    check_range("seed", seeds[0], 0, LARGEST_SEED)
    device = jobs.find_device(options.device, elsewhere=getattr(options, "engine", "local") == "ray")
    side = teacher_resolution(options, space)
    teacher, trained = chosen_teacher(options, dataset._replace(resolution=side or dataset.resolution))
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
            teacher=options.teacher if teacher is None else teacher.name,
            teacher_weights=trained,
            teacher_resolution=side,
            precision=options.precision,
            device=device,
        ),
        teacher=teacher,
        stack=stack_size(str(options.stack)),
    )


def chosen_teacher(options: ScoringOptions, dataset: batches.Dataset) -> tuple[Chosen | None, Path | None]:
    """The teacher where teachers.py does not name it, and the file of its trained weights, if it has one.

    It is built, and the file read, once now, so that what does not fit ends a run before it starts. Raises ValueError.
    """
    teacher = chosen_teachers.find(options.teacher)
    trained = Path(options.teacher_weights) if options.teacher_weights else None
    if options.teacher_weights == chosen_teachers.PUBLISHED:
        teacher, trained = chosen_teachers.published(teacher, download=options.download)
    if teacher is None:
        if trained is not None:
            teachers.load(teachers.build(options.teacher, options.dataset, *dataset), trained, torch.device("cpu"))
    elif teacher.sees_colours or trained is not None:
        network = teacher.network(dataset.classes, torch.zeros(2, 3, dataset.resolution, dataset.resolution))
        teacher.weights(network, Drawing(0), trained)
    return teacher, trained


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
