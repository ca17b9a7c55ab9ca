"""A trained network as an ordinary nn.Module that runs without this project's training, and as a file of others.

`ordinary` gives the module; `export` writes it with PyTorch's own exporters, and model.json beside it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.conditions.drawing import generator
from benchmarks.output import record
from benchmarks.reading import statedicts
from benchmarks.spaces.cellstack import CellStack
from benchmarks.spaces.resnet import ResNetStack
from benchmarks.timing.plain import PlainCellNetwork, PlainResNet
from proxies.probing.admitting import FAILURES
from search.distillation.data import Data
from search.distillation.modules import logits_of
from search.distillation.students import Student

Format = Literal["onnx", "torchscript"]
FILES = {"onnx": "model.onnx", "torchscript": "model.pt"}
NEEDED: dict[str, tuple[str, ...]] = {"onnx": ("onnx", "onnxscript"), "torchscript": ()}


def check_format(kind: str) -> None:
    """Raises ValueError where an exporter lacks what it needs, which is an extra."""
    missing = [name for name in NEEDED.get(kind, ()) if not find_spec(name)]
    if missing:
        raise ValueError(
            f"--export {kind}: {' and '.join(missing)} not installed; pip install 'diswot-bench[export]', or --export "
            "torchscript"
        )


def check(student: Student, data: str, classes: int, resolution: int) -> None:
    """Raises ValueError for a stack of a user's own space, of which no ordinary module is known."""
    if not student.is_module:
        _of_stack(student, data, classes, resolution)


def ordinary(student: Student, data: str, classes: int, resolution: int, weights: Path) -> nn.Module:
    """A student as a module of plain PyTorch, with the weights of a file, in evaluation mode.

    Raises ValueError as `check` does.
    """
    arguments = classes, resolution
    made = student.module(*arguments, 0) if student.is_module else _of_stack(student, data, *arguments)
    statedicts.into(made, weights)
    return made.eval()


def _of_stack(student: Student, data: str, classes: int, resolution: int) -> nn.Module:
    stack = student.build(data, classes, resolution)
    if isinstance(stack, ResNetStack):
        return PlainResNet(stack.depths[0], classes, stack.plan)
    if isinstance(stack, CellStack):
        return PlainCellNetwork(stack.cells[0], classes)
    raise ValueError(f"{student.name} is a stack of its own kind, of which no ordinary module is known")


def export(module: nn.Module, kind: Format, folder: Path, resolution: int, about: dict[str, object]) -> Path:
    """Write a module for other programs, and what it wants, model.json; where the file is.

    Raises ValueError where the exporter can't, with what it says.
    """
    check_format(kind)
    path = folder / FILES[kind]
    example = torch.zeros(2, 3, resolution, resolution)
    ways: dict[str, Callable[[], object]] = {
        "torchscript": lambda: _torchscript(module, example, path),
        "onnx": lambda: _onnx(module, example, path),
    }
    module = module.eval().cpu()
    try:
        ways[kind]()
    except (*FAILURES, torch.onnx.errors.OnnxExporterError) as error:
        first = (str(error).strip() or "no message").split("\n")[0]
        raise ValueError(f"--export {kind}: PyTorch's exporter can't ({type(error).__name__}: {first})") from error
    record.write_json({"file": path.name, "format": kind, **about}, folder / "model.json")
    return path


def _torchscript(module: nn.Module, example: Tensor, path: Path) -> None:
    """Raises ValueError where what was traced gives other logits than the module for one, three or eight images.

    They are darker and brighter ones, since a trace keeps the branch that its example took and numbers read off it.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # what it warns of is looked at here
        traced = torch.jit.trace(module, example, check_trace=False)
        for count, shift in ((1, -1.0), (3, 0.0), (8, 1.0)):
            noise = generator(count, "export").standard_normal((count, *example.shape[1:]), np.float32)
            images = torch.from_numpy(noise) + shift
            try:
                wanted = logits_of(module(images), images)
            except FAILURES:  # so many it can't do itself
                continue
            given = logits_of(traced(images), images)
            if wanted.shape != given.shape or not torch.allclose(wanted, given, rtol=1e-3, atol=1e-4, equal_nan=True):
                raise ValueError(f"traced, the network gives other logits than it does itself for {count} images")
    torch.jit.save(traced, str(path))


def _onnx(module: nn.Module, example: Tensor, path: Path) -> None:
    """Raises ValueError where the exporter left the number of images that of the example: it does not say so itself."""
    program = torch.onnx.export(
        module,
        (example,),
        str(path),
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("images")},),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    if isinstance((program.model.graph.inputs[0].shape or [0])[0], int):
        path.unlink()
        raise ValueError("the network takes the number of images for fixed, such as by len(images)")


def inputs(network: str, data: Data) -> dict[str, object]:
    """What a network's images have to be, and what it gives: for weights.json and model.json."""
    named = {"names": data.names} if data.names else {}
    return {
        "network": network,
        "classes": data.classes,
        **named,
        "resolution": data.resolution,
        **data.normalisation._asdict(),
    }
