"""Spaces of ordinary nn.Modules: any network that classifies images is a candidate, run by proxies/probing/module.py.

A user's own is a subclass of ModuleSpace, or a dict of networks by name: {name: constructor}, or {name: module}. They
are scored one at a time, and trained as they are by search/distillation/modules.py.
"""

from __future__ import annotations

import traceback
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor, nn

from benchmarks.spaces.space import Choices, Size, Space, counted
from benchmarks.spaces.stack import Stack
from proxies.probing.admitting import FAILURES
from proxies.probing.module import Module
from proxies.probing.network import Weights

T = TypeVar("T")


class Made(Module):
    """A module behind the contract of a stack of one, that can be made anew.

    `make` builds it once more; None where it was handed over and there is no way to.
    """

    def __init__(self, module: nn.Module, images: Tensor, make: Callable[[], nn.Module] | None, **found: Any) -> None:
        super().__init__(module, images, **found)
        self._make = make

    def fresh(self, seed: int, *, running: bool = False) -> Weights:
        """What its constructor makes under this seed, whose buffers and other tensors it has from then on.

        Raises ValueError where there is no constructor.
        """
        if self._make is None:
            raise ValueError(
                "init='default' is what a constructor draws: give {name: constructor} in place of the module"
            )
        self.module = forked(self._make, seed).to(self._device, self._dtype)
        return self.weights(running=running)

    def own(self, *, running: bool = False) -> Weights:
        """The weights it has now."""
        return self.weights(running=running)

    @property
    def can_be_made(self) -> bool:
        """Whether there is a constructor."""
        return self._make is not None


def forked(make: Callable[[], T], seed: int) -> T:
    """What is made under a seed of its own, such as a module; the random state of torch is as before."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):  # all: torch.manual_seed seeds all
        torch.manual_seed(seed)
        return make()


class ModuleSpace(Space):
    """A search space of nn.Modules. A subclass gives `name`, `choices` and `module`; see docs/spaces.md.

    `features`, `head`, `stages`, `blocks` name submodules where what is found is not what is wanted.
    """

    features = ""
    head = ""
    stages: Sequence[str] = ()
    blocks: Sequence[str] = ()

    @property
    def named(self) -> dict[str, Any]:
        """The submodules that are named."""
        return {"features": self.features, "head": self.head, "stages": self.stages, "blocks": self.blocks}

    @abstractmethod
    def module(self, chosen: Choices, classes: int, resolution: int) -> nn.Module:
        """The network of some choices, one out of each of `choices`, for square images."""

    def network(self, archs: Sequence[str], classes: int, images: Tensor) -> Made:
        """A candidate as a stack of one. Raises ValueError, naming it, where it can't be built or scored."""
        (arch,) = archs

        def make() -> nn.Module:
            return self.module(self.read(arch), classes, images.shape[-1])

        made = self.made(arch, classes, images.shape[-1], 0)
        return self._behind(arch, made.to(images.device), images, make, classes)

    def _behind(
        self, arch: str, module: nn.Module, images: Tensor, make: Callable[[], nn.Module] | None, classes: int
    ) -> Made:
        """A candidate's module behind the contract. Raises ValueError, naming it, where it can't be scored."""
        try:
            network = Made(module, images, make, **self.named)
        except ValueError as error:
            raise ValueError(f"{self.name} {arch}: {error}") from None
        if network.classes != classes:
            raise ValueError(
                f"{self.name} {arch}: gives {network.classes} classes, and there are {classes}; "
                "dataset='NAME:CLASSESxRESOLUTION' says how many"
            )
        return network

    def made(self, arch: str, classes: int, resolution: int, seed: int) -> nn.Module:
        """A candidate as its constructor makes it under a seed. Raises ValueError, naming it, where it can't be."""
        try:
            made = forked(lambda: self.module(self.read(arch), classes, resolution), seed)
        except FAILURES as error:
            self._refuse(arch, error)
        if not isinstance(made, nn.Module):
            raise ValueError(f"{self.name} {arch}: its constructor gives a {type(made).__name__}, not a module")
        return made

    def _refuse(self, arch: str, error: BaseException) -> NoReturn:
        """A constructor that raises: its own line is shown."""
        frame, line = list(traceback.walk_tb(error.__traceback__))[-1]
        path = frame.f_globals.get("__file__", frame.f_code.co_filename)  # a worker's code has the first alone
        where = f"{path}, line {line}"
        said = " ".join(str(error).split()) or "no message"
        raise ValueError(f"{self.name} {arch}: can't be built ({type(error).__name__}: {said}; {where})") from error

    def shape(self, arch: str) -> str:
        """Modules are run one at a time."""
        return arch

    def build(self, archs: Sequence[str], classes: int, resolution: int) -> Stack:
        """Raises ValueError: a module is no stack."""
        raise ValueError(f"{self.name} is a space of modules, which are no stack")

    def count(self, arch: str, classes: int, resolution: int) -> Size:
        """Its size, counted on its layers."""
        return counted(self.network([arch], classes, torch.zeros(2, 3, resolution, resolution)))


class Listed(ModuleSpace):
    """Networks by name: constructors, of which one at a time is in memory, or modules as they are.

    `digests` tells networks of one name apart in a store, where they were handed over.
    """

    def __init__(self, networks: Mapping[str, Any], name: str = "modules", **found: Any) -> None:
        self.name = name
        self.networks = dict(networks)
        self.digests: dict[str, str] = {}
        self.choices = (tuple(self.networks),)
        self.features, self.head = found.get("features", ""), found.get("head", "")
        self.stages, self.blocks = tuple(found.get("stages", ())), tuple(found.get("blocks", ()))
        if not self.networks:
            raise ValueError(f"{name}: holds no network")
        for one, made in self.networks.items():
            if not isinstance(one, str) or not one or not callable(made):
                raise ValueError(f"{name}: {one!r} is no text that names a module or its constructor")

    def write(self, chosen: Choices) -> str:
        """The name."""
        return str(chosen[0])

    def read(self, arch: str) -> Choices:
        """The name as it is. Raises ValueError, saying which there are, for what is none."""
        if arch not in self.networks:
            there = ", ".join(list(self.networks)[:20]) + (", ..." if len(self.networks) > 20 else "")
            raise ValueError(f"{arch[:80]!r} is no network of {self.name}; there are: {there}, or an index")
        return (arch,)

    def stored(self, arch: str) -> str:
        """The name, with the digest where there is one."""
        return f"{arch}@{self.digests[arch]}" if arch in self.digests else arch

    def module(self, chosen: Choices, classes: int, resolution: int) -> nn.Module:
        """The network of this name: made, or as it is."""
        found = self.networks[chosen[0]]
        made: nn.Module = found if isinstance(found, nn.Module) else found()
        return made

    def network(self, archs: Sequence[str], classes: int, images: Tensor) -> Made:
        """See ModuleSpace; a module at hand stays where and as it is."""
        (arch,) = archs
        (name,) = self.read(arch)
        found = self.networks[name]
        if not isinstance(found, nn.Module):
            return super().network(archs, classes, images)
        return self._behind(arch, found, images, None, classes)
