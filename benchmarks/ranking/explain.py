"""What a proxy is and what it reads. What it reads is found by asking it: a tiny probe tells what was wanted of it."""

from __future__ import annotations

import inspect

from benchmarks.conditions import teachers
from benchmarks.conditions.batches import Dataset, Source
from benchmarks.conditions.drawing import Drawing
from benchmarks.spaces.nasbench201 import NasBench201
from proxies import Combination, Proxy
from proxies.probing.probe import Probe

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
    "sensitivities": "a backward pass for each class, no normalisation",
}


def asked_for(proxy: Proxy) -> set[str]:
    """What a proxy asks of a Probe: names of quantities, and images, labels, teacher."""
    space = NasBench201()
    arch = space.arch(13714)
    drawing = Drawing(0)
    batch = Source("noise", Dataset(10, 16)).batch(4, 0)
    network = teachers.build("resnet20", "cifar10", 10, 16)
    teacher = Probe(network, drawing.teacher(network), batch.images, batch.labels)
    student = space.build([arch], 10, 16)
    weights = drawing.candidates(student, [arch])
    probe = Probe(student, weights, batch.images, batch.labels, teacher=teacher, noise=drawing.noise)
    probe.score(proxy)
    return probe.asked


def explain(chosen: Proxy | Combination) -> str:
    """Everything that a user has to know of a proxy, as text."""
    if isinstance(chosen, Combination):
        text = inspect.getdoc(chosen.combine) or ""
        parts = f"combines: {', '.join(chosen.parts)}, by ranks over the scored cohort: it is defined for that alone"
        return f"{chosen.name}\n\n{text}\n\n{parts}\nsource: {chosen.source}"
    asked = asked_for(chosen)
    reads = [str(name) for name in ("images", "labels", "teacher") if name in asked] or ["no images, no labels"]
    passes = [PASSES[name] for name in PASSES if name in asked] or ["none"]
    text = inspect.getdoc(chosen.score) or "no docstring"
    listed = "\n  ".join(passes)
    return f"{chosen.name}\n\n{text}\n\nreads: {', '.join(reads)}\npasses:\n  {listed}\nsource: {chosen.source}"
