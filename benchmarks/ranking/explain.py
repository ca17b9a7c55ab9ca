"""What a proxy is and what it reads. What it reads is found by asking it: a tiny probe tells what was wanted of it."""

from __future__ import annotations

import inspect

import torch

from benchmarks.conditions import teachers
from benchmarks.conditions.batches import Dataset, Source
from benchmarks.conditions.drawing import Drawing
from benchmarks.scoring.worker import slip
from benchmarks.spaces.modules import Listed
from benchmarks.spaces.nasbench201 import NasBench201
from benchmarks.spaces.transformers import Flat, Shape
from proxies import Combination, Proxy
from proxies.probing.network import Network, Undefined
from proxies.probing.probe import Probe
from proxies.userfile import FAILURES

PASSES = {
    "outputs": "a forward pass over the batch",
    "gradients": "a forward and backward pass of the loss",
    "responses": "a forward and backward pass of the loss, with what the convolutions give",
    "curvature": "a forward and backward pass of the loss, and a second backward pass through the first, float64",
    "input_gradients": "a forward pass, and a backward pass of the logits to the images",
    "sum_gradients": "a forward pass, and a backward pass for each image (summed logits)",
    "label_gradients": "a forward pass, and a backward pass for each image (its label's logit)",
    "label_shares": "a forward pass, and a backward pass of the images' label logits, split by image",
    "transport": "a forward pass, and a step back through each block",
    "relus": "a forward pass, with what the ReLUs get",
    "blocks": "a forward pass, with what the blocks give",
    "stages": "a forward pass, with what the stages give",
    "flows": "a forward and backward pass of one image of ones, absolute weights, no normalisation, float64",
    "half_gradients": "a forward and backward pass over each half of the batch, float64",
    "sign_sums": "a forward and backward pass for each image alone",
    "few_relus": "a forward pass over the first 16 images",
    "maps": "a forward pass over the first image",
    "perturbed": "two forward passes over noise, weights of unit deviation",
    "class_gradients": "a forward pass, and a step back through the head for each class",
    "feature_gradients": "a forward pass, and a step back from the loss to the features",
    "stage_gradients": "a forward pass, and a step back from the loss to what the stages give",
    "attention_maps": "a forward pass, with the maps of attention",
    "sensitivities": "a backward pass for each class, no normalisation",
}

SEEN = Dataset(10, 16)  # what a network that is asked works on


def asked_for(proxy: Proxy) -> set[str]:
    """What a proxy asks of a Probe: names of quantities, and images, labels, teacher; `pass: name` of a further one.

    A cell is asked, and where that lacks something a small vision transformer. Raises ValueError for a slip in a proxy
    of a user's own, with its line.
    """
    space = NasBench201()
    arch = space.arch(13714)
    try:
        return _asked(proxy, space.build([arch], *SEEN), arch)
    except Undefined:
        images = torch.zeros(2, 3, SEEN.resolution, SEEN.resolution)
        return _asked(proxy, Listed({"transformer": _transformer}).network(["transformer"], SEEN.classes, images), "")


def _asked(proxy: Proxy, student: Network, arch: str) -> set[str]:
    drawing, batch = Drawing(0), Source("noise", SEEN).batch(4, 0)
    network = teachers.build("resnet20", "cifar10", *SEEN)
    teacher = Probe(network, drawing.teacher(network), batch.images, batch.labels, noise=drawing.noise)
    weights = drawing.candidates(student, [arch])
    probe = Probe(student, weights, batch.images, batch.labels, teacher=teacher, noise=drawing.noise)
    try:
        probe.score(proxy)
    except Undefined:
        raise
    except FAILURES as error:
        if not proxy.version:
            raise
        raise ValueError(f"--explain {proxy.name}: {slip(error, proxy)}") from error
    return probe.asked


def _transformer() -> Flat:
    return Flat(24, [Shape(2, 2), Shape(2, 2)], *SEEN, patch=4)


def read(asked: set[str]) -> list[str]:
    """What is read of images, labels and teacher; what a further pass brings itself is not."""
    parts = [one.rpartition(": ")[::2] for one in asked]
    return [
        name
        for name in ("images", "labels", "teacher")
        if any(last == name and f"{name} by " not in part for part, last in parts)
    ]


def passes(asked: set[str]) -> list[str]:
    """The passes that are asked for, in words; further ones last, each with what it differs in."""
    further = sorted({one.rpartition(": ")[0] for one in asked} - {""})
    return [
        text + (f"; {part}" if part else "")
        for part in ("", *further)
        for name, text in PASSES.items()
        if (f"{part}: {name}" if part else name) in asked
    ]


def explain(chosen: Proxy | Combination) -> str:
    """Everything that a user has to know of a proxy, as text."""
    if isinstance(chosen, Combination):
        text = inspect.getdoc(chosen.combine) or ""
        parts = f"combines: {', '.join(chosen.parts)}, by ranks over the scored cohort: it is defined for that alone"
        return f"{chosen.name}\n\n{text}\n\n{parts}\nsource: {chosen.source}"
    asked = asked_for(chosen)
    reads = read(asked) or ["no images, no labels"]
    text = inspect.getdoc(chosen.score) or "no docstring"
    listed = "\n  ".join(passes(asked) or ["none"])
    return f"{chosen.name}\n\n{text}\n\nreads: {', '.join(reads)}\npasses:\n  {listed}\nsource: {chosen.source}"
