"""What is found of a network, from Python: `diswot_bench.look`, and the options that say it otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from benchmarks.reading.naming import meant
from benchmarks.scoring.untouched import own_randomness
from proxies.probing.module import Module

FOUND = ("features", "head", "stages", "blocks")


def submodules(found: Mapping[str, Any], others: Iterable[str] = ()) -> dict[str, Any]:
    """The options that name submodules, numbers as texts; `others`: options that may have been meant.

    Raises ValueError for an option that is none, and for what is no name.
    """
    for name, value in found.items():
        if name not in FOUND:
            hint = meant(name, [*others, *FOUND])
            raise ValueError(f"no option is called {name!r}{hint}; of modules there are: {', '.join(FOUND)}")
        if isinstance(value, nn.Module):
            raise ValueError(f"{name}: a submodule's name is expected, as named_modules() has it, not the module")
    return {name: str(value) if isinstance(value, int) else value for name, value in found.items()}


def look(
    network: nn.Module, images: Tensor | None = None, *, resolution: int = 32, channels: int = 3, **found: Any
) -> pd.Series:
    """What is found of a module: layers, head, last map, stages, blocks, params, macs, and what it lacks.

    `images` [N, C, H, W] say what it runs on; without them, images of `channels` and `resolution`. `features`, `head`,
    `stages`, `blocks` name submodules where what is found is not what is wanted. Raises ValueError for a module that
    can't be scored.
    """
    found = submodules(found)
    with own_randomness():
        seen = Module(network, torch.zeros(2, channels, resolution, resolution) if images is None else images, **found)
    kernels = [layer.role for layer in seen.layers if layer.kind == "kernel"]
    rows = {
        "layers": ", ".join(kernels),
        "head": "" if "head" in seen.lacks else seen.head.role,
        "features": seen.features,
        "stages": ", ".join(seen.stages),
        "blocks": ", ".join(seen.blocks),
        "params": sum(layer.parameters for layer in seen.layers),
        "macs": sum(layer.macs for layer in seen.layers),
    }
    return pd.Series(rows | {f"lacks {kind}": why for kind, why in seen.lacks.items()}, name=type(network).__name__)
