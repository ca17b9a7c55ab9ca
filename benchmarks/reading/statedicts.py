"""State dicts in files of torch.save, in the layouts that training code leaves: tensors are taken, nothing is run.

Known are a bare state dict, one under "model" or "state_dict" (RepDistiller, torchdistill), and a distiller's, which
holds student, teacher and regressors as one (mdistiller). What is not built: an argparse.Namespace beside the state, in
which these keep their options, is skipped; any other object is refused by name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.reading.limits import check_size
from benchmarks.reading.pickles import MALFORMED, OF_NUMPY, scan_torch, short

WRAPPERS = ("state_dict", "model")
DISTILLED = "module.student."  # mdistiller's prefix of the student, whose keys alone count where there are such
PARALLEL = "module."  # DataParallel's
SKIPPED = ("argparse.Namespace",)


class Skipped:
    """Stands in for an object that is not built: takes the place that a pickle gives it, and keeps nothing."""

    def __setstate__(self, state: object) -> None:
        """Drop what the object would have held."""


def read(path: Path, device: torch.device, where: str) -> dict[str, Any]:
    """The entries of the state dict in a file, by their names in the network.

    `where` begins every error. Raises ValueError for what holds no state dict, or can't be loaded without running it.
    """
    content = _load(path, device, where)
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict):
        raise ValueError(f"{where}: holds a {type(content).__name__}, not a state dict")
    state = {str(key): value for key, value in content.items()}
    if any(key.startswith(DISTILLED) for key in state):
        return {key.removeprefix(DISTILLED): value for key, value in state.items() if key.startswith(DISTILLED)}
    return {key.removeprefix(PARALLEL): value for key, value in state.items()}


def into(module: nn.Module, path: Path, *, head: bool = True) -> None:
    """Give a module the weights of a file. Raises ValueError naming the first entry that does not fit.

    Without `head`, what the file has of another number of classes, in its first axis alone, stays as it is.
    """
    where = f"teacher weights {path}"
    own = module.state_dict()
    state = read(path, next(iter(own.values()), torch.empty(0)).device, where)
    for name, value in () if head else own.items():
        given = state.get(name)
        if isinstance(given, Tensor) and given.ndim and value.ndim and given.shape[1:] == value.shape[1:]:
            state[name] = given if len(given) == len(value) else value
    for name, value in own.items():
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, value)
        entry(state, name, tuple(value.shape), where, real=value.is_floating_point())
    if surplus := [name for name in state if name not in own]:
        raise ValueError(f"{where}: {surplus[0]} has no place in this teacher ({len(surplus)} such entries)")
    module.load_state_dict(state)


def entry(
    state: Mapping[str, object], name: str, shape: tuple[int, ...], where: str, *, real: bool = True, note: str = ""
) -> Tensor:
    """The tensor of a state dict that has this name and shape, of `real` or of whole numbers.

    `where` begins every error, `note` says what makes the shape. Raises ValueError where there is none, or where it
    holds NaN, infinities (also as float32) or negative variances.
    """
    value = state.get(name)
    if not isinstance(value, Tensor):
        raise ValueError(f"{where}: no tensor called {name!r}; the file begins with {', '.join(list(state)[:3])}")
    if tuple(value.shape) != shape:
        raise ValueError(f"{where}: {name} has shape {tuple(value.shape)}, {shape} is expected{note}")
    if value.is_floating_point() is not real or value.layout is not torch.strided or value.is_meta:
        numbers = "real" if real else "whole"
        raise ValueError(f"{where}: {name} is no plain tensor of {numbers} numbers ({value.dtype})")
    if real:
        small = value.detach().float()
        if not small.isfinite().all() or (name.endswith("running_var") and (small < 0).any()):
            raise ValueError(f"{where}: {name} holds NaN, infinities or negative variances")
    return value


def digest(state: Mapping[str, object]) -> str:
    """sha256 over names, shapes and bytes of the tensors in a state dict, in its order, and of nothing else in it."""
    summary = hashlib.sha256()
    for name, value in state.items():
        if isinstance(value, Tensor):
            summary.update(f"{name}{tuple(value.shape)}".encode())
            summary.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return summary.hexdigest()


def _load(path: Path, device: torch.device, where: str) -> object:
    admitted = [*OF_NUMPY, *((Skipped, name) for name in SKIPPED)]
    try:
        check_size(path, "weights")
        scan_torch(path, weights=True)
        with torch.serialization.safe_globals(admitted):
            content: object = torch.load(path, map_location=device, weights_only=True)
            return content
    except OSError as error:
        raise ValueError(f"{where}: {error.strerror or error}") from None
    except MALFORMED as error:
        raise ValueError(f"{where}: not a state dict that loads safely ({_reason(error, path)})") from None


def _reason(error: BaseException, path: Path) -> str:
    """Why a file is not loaded: which object it holds, where it is one, and what to do about it."""
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    if found:
        return (
            f"it holds a {found[1][:100]}, and building that could run code; where it was made, save the plain state "
            "dict: torch.save(model.state_dict(), FILE)"
        )
    if isinstance(error, (ValueError, RuntimeError)):  # others say a byte, or advise to load it unsafely
        return short(error).removeprefix(f"{path}: ")
    return "tensors alone are loaded, and it is no file of these"
