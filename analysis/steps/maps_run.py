"""The steps of analysis/maps.py: look at teacher and students as a scoring run sees them, and draw."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from analysis.pictures import figures, heatmaps
from analysis.stats.influence import Array
from analysis.steps.options import MapsOptions
from benchmarks import spaces, truth
from benchmarks.output import record
from benchmarks.output.options import check_range
from benchmarks.output.terminal import typed
from benchmarks.scoring import worker
from benchmarks.scoring.asked import scoring_job
from benchmarks.spaces import Space
from benchmarks.truth import Truth
from proxies.formulas.similarity import frobenius_unit
from proxies.probing.probe import Probe


def draw(options: MapsOptions) -> None:
    """Look at the three networks, draw, and say how to do it again."""
    check_range("images", options.images, 1, options.batch_size)
    space = spaces.find(options.space)
    good, bad = students(options, space, truth.load(options.truth, space, options.dataset, options.target))
    job = scoring_job(options, space, [good, bad], [], [options.seed])
    out = Path(options.out)
    record.check_writable(out)
    batch = job.source.batch(options.batch_size, options.seed)
    run = worker.SeedRun(job, options.seed)
    student_good, student_bad = (run.probe([arch], frozenset()) for arch in (good, bad))
    seen = {"teacher": run.teacher, "good student": student_good, "bad student": student_bad}
    labels = batch.labels.numpy()
    noise = "noise, " if options.batch == "noise" else ""
    titles = [f"{noise}class {label}" for label in labels[: options.images]]
    maps = {name: label_maps(probe, labels[: options.images]) for name, probe in seen.items()}
    relations = {name: frobenius_unit(probe.sample_gram)[0].cpu().numpy() for name, probe in seen.items()}
    relations = {with_distance(name, relations): relation for name, relation in relations.items()}
    shown = batch.images[: options.images].permute(0, 2, 3, 1).numpy()
    drawings = {
        "maps": heatmaps.activation_maps(unit_range(shown), maps, titles, weights_said(options)),
        "relations": heatmaps.relation_matrices(relations, labels, weights_said(options)),
    }
    for name, figure in drawings.items():
        figures.save_both(figure, out, name)
    said = {"good": good, "bad": bad, "batch": job.source.name, "command": sys.argv, "options": asdict(options)}
    record.write_json({**said, **record.environment()}, out / "maps.json")
    print(f"  good student: {good}; bad student: {bad}; teacher: {options.teacher}")
    print(f"  written: {out}/maps and relations as .png and .pdf, maps.json")
    print(f"  again: {typed()}")


def students(options: MapsOptions, space: Space, table: Truth) -> tuple[str, str]:
    """The good and the bad student. Raises ValueError for what is no candidate."""
    known = sorted(table.accuracy, key=table.accuracy.__getitem__)
    good = space.parse(options.good) if options.good else known[-1]
    bad = space.parse(options.bad) if options.bad else next(arch for arch in known if space.connected(arch))
    return good, bad


def weights_said(options: MapsOptions) -> str:
    """What weights the networks have: nothing that is drawn here was learned, but for a teacher's that are given."""
    drawn = f"random weights (draw {options.draw}, init {options.init}, seed {options.seed})"
    if options.teacher_weights is None:
        return f"teacher {options.teacher} and students have {drawn}: nothing is trained"
    return f"teacher {options.teacher} is trained ({Path(options.teacher_weights).name}); the students have {drawn}"


def label_maps(probe: Probe, labels: Array) -> Array:
    """The class activation map of each image's own class: [M, h, w]."""
    own = probe.class_maps[0][range(len(labels)), labels]
    return np.asarray(own.unflatten(-1, tuple(probe.features.shape[-2:])).cpu())


def with_distance(name: str, relations: Mapping[str, Array]) -> str:
    """A network's name, and how far a student's relation matrix is from the teacher's: what DisWOT negates."""
    if name == "teacher":
        return name
    return f"{name}, {np.linalg.norm(relations[name] - relations['teacher']):.2f} from the teacher"


def unit_range(images: Array) -> Array:
    """Each image from 0 to 1: [M, H, W, 3]."""
    low = images.min(axis=(1, 2, 3), keepdims=True)
    high = images.max(axis=(1, 2, 3), keepdims=True)
    return np.asarray((images - low) / np.maximum(high - low, np.finfo(images.dtype).tiny))
