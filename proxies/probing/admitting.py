"""What module.py asks of a module before it is scored, and how it is run without a trace.

Every refusal is a ValueError of one line that says what, where and what is allowed.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from proxies.probing.looking import Record

T = TypeVar("T")
# What the code of a module raises where it can't be run on the images.
SLIPS = (TypeError, LookupError, AttributeError, ArithmeticError, AssertionError)
FAILURES = (RuntimeError, ValueError, *SLIPS)


def check(module: object, images: Tensor) -> None:
    """Refuse what is no module, and modules whose parameters are not numbers of the images' type and device."""
    if not isinstance(module, nn.Module):
        raise ValueError(f"an nn.Module is wanted, not a {type(module).__name__}")
    if isinstance(module, torch.jit.ScriptModule):
        raise ValueError("a scripted module hides its functions; score the module it was made of")
    if type(module).__name__ == "OptimizedModule":  # of torch.compile, whose import takes seconds
        raise ValueError("a compiled module hides its functions; score the module it was made of, its _orig_mod")
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise ValueError("a module on several devices; score the one inside, its .module")
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(f"images are {images.dtype} {tuple(images.shape)}; floats [N, C, H, W] are wanted")
    for name, one in module.named_modules():
        if "quantized" in type(one).__module__:
            raise ValueError(f"{name or 'the module'} is quantised; score the module of floats it was made of")
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(value):
            raise ValueError(f"{name} has no shape yet: the module has lazy layers; run it once on an image")
        if value.device != images.device:
            raise ValueError(f"{name} is on {value.device}, the images are on {images.device}; move one to the other")
    for name, value in module.named_parameters():
        if value.dtype != images.dtype:
            raise ValueError(
                f"{name} is of {value.dtype}, and runs on {images.dtype}; .to({images.dtype}) makes it that"
            )


def example(images: Tensor, count: int) -> Tensor:
    """Images of the others' size, type and device, without a pattern, between -2 and 2; the first stands twice."""
    shape = (count, *images.shape[1:])
    steps = torch.arange(count * images[0].numel(), dtype=torch.float64) * 0.7548776662466927
    made = (steps.frac() * 4 - 2).reshape(shape)
    made[1] = made[0]
    return made.to(images)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode: no dropout, no stochastic depth, no auxiliary head. Afterwards each part is as it was."""
    training = [one for one in module.modules() if one.training]
    for one in training:
        one.training = False
    try:
        yield
    finally:
        for one in training:
            one.training = True


@contextmanager
def aside(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Evaluation mode, and a random state and buffers that are put back."""
    kept = {name: buffer.clone() for name, buffer in module.named_buffers()}
    with evaluating(module), torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            with torch.no_grad():
                for name, buffer in module.named_buffers():
                    if name in kept and not torch.equal(buffer, kept[name]):
                        buffer.copy_(kept[name])


@contextmanager
def nothing_drawn(device: torch.device) -> Iterator[None]:
    """Refuse a module that draws random numbers in evaluation mode, be it ones that hardly matter."""
    before = _random_states(device)
    yield
    if _random_states(device) != before:
        raise ValueError("the network draws random numbers in evaluation mode, so that its scores would not repeat")


def _random_states(device: torch.device) -> tuple[object, ...]:
    numpy = sys.modules.get("numpy")  # nobody draws by it who has not imported it
    arrays = None if numpy is None else str(numpy.random.get_state(legacy=False))
    states = torch.get_rng_state().tolist(), random.getstate(), arrays
    return states if device.type != "cuda" else (*states, torch.cuda.get_rng_state(device).tolist())


def tried(run: Callable[[], T], images: Tensor) -> T:
    """What a run of the user's code gives; its failure on these images as one line."""
    try:
        return run()
    except FAILURES as error:
        raise not_run(error, images) from error


def not_run(error: BaseException, images: Tensor) -> ValueError:
    """A failure of the user's code on some images as one line."""
    first = (str(error).strip() or "no message").split("\n")[0]
    return ValueError(f"the network does not run on images {_size(images)}: {type(error).__name__}: {first}")


def logits_of(given: Any, images: Tensor) -> Tensor:
    """What a module gave, where that is logits [N, K]."""
    if isinstance(given, Tensor) and given.ndim == 2 and len(given) == len(images) and given.shape[1] > 1:
        if given.dtype != images.dtype:
            raise ValueError(
                f"of images of {images.dtype} the network makes logits of {given.dtype}; the same is wanted"
            )
        return given
    if isinstance(given, Tensor):
        said = f"a tensor {list(given.shape)}"
    elif isinstance(given, dict):
        said = f"a dict of {', '.join(map(str, given))}"
    elif isinstance(given, list | tuple):
        said = f"a {type(given).__name__} of {len(given)}"
    else:
        said = f"a {type(given).__name__}"
    raise ValueError(f"of images {_size(images)} the network makes {said}; logits [N, K] are wanted")


def check_logits(logits: Tensor) -> None:
    """Refuse what went through a softmax: the loss takes another, so that each score would be of another network."""
    if bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() <= 1e-4).all()):
        raise ValueError("the network gives probabilities (rows that sum to 1), not logits: leave out its softmax")


def check_record(record: Record) -> None:
    """Refuse a module whose layers can't be told apart, or that has none."""
    if record.computed:
        raise ValueError(
            f"the weight of a call of {record.computed[0]} is no parameter, but computed or cut out of one (weight"
            " normalisation, for instance); such a layer can't be told from others"
        )
    if not record.bits:
        raise ValueError("the network runs no convolution and no linear layer that can be seen (is it compiled?)")


def check_repeats(again: Tensor, first: Tensor) -> None:
    """Refuse a module whose second run gives something else than its first, or no numbers."""
    if first.isnan().any():
        raise ValueError("the network's logits are NaN: its weights hold NaN, or have grown too large")
    if not torch.allclose(
        again, first, rtol=1e-3, atol=1e-3 * float(first.abs().max().clamp(max=1e30)), equal_nan=True
    ):
        raise ValueError(
            "the network gives other logits when it is run again in evaluation mode:"
            " it draws random numbers, keeps a state, or writes over a tensor that it still uses"
        )


def _size(images: Tensor) -> str:
    return f"[{', '.join(map(str, images.shape))}]"
