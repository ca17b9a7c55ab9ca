"""Any network as the teacher: torchvision:resnet50, path/to/file.py:Name, a candidate such as s0:333, or a module.

The teachers that have a name of their own, and reading trained weights into stacks, are in teachers.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.conditions import normalisation, teachers
from benchmarks.conditions.drawing import Drawing
from benchmarks.conditions.normalisation import Normalisation
from benchmarks.reading import statedicts
from benchmarks.reading.late import Late
from benchmarks.reading.limits import file_digest
from benchmarks.reading.naming import meant
from benchmarks.spaces import SPACES
from benchmarks.spaces import find as find_space
from benchmarks.spaces.modules import Listed, Made
from benchmarks.spaces.space import Choices, Space
from benchmarks.spaces.stack import Stack
from benchmarks.spaces.zoo import Torchvision, names
from proxies.probing.network import Network, Weights
from proxies.userfile import load, tell

models = Late("torchvision.models")

PUBLISHED = "torchvision"  # --teacher-weights: those that torchvision publishes


class Published(Torchvision):
    """torchvision's networks with the first weights that it publishes of each, which lie in torch.hub's folder."""

    def module(self, chosen: Choices, classes: int, resolution: int) -> nn.Module:
        """The network of this name, trained. Raises ValueError for another number of classes than its weights have."""
        first = first_weights(chosen[0])
        if classes != len(first.meta["categories"]):
            raise ValueError(f"its published weights are of {len(first.meta['categories'])} classes, not of {classes}")
        network: nn.Module = models.get_model(chosen[0], weights=first, progress=False)
        return network


@dataclass(frozen=True)
class Chosen:
    """A teacher that is a candidate of a space.

    `own`: a module that was handed over, with the weights it has, and `running` by its running statistics.
    """

    space: Space
    arch: str
    name: str
    own: bool = False
    running: bool = False

    @property
    def sees_colours(self) -> bool:
        """Whether it takes images of three channels alone, as what is no network of the user's does."""
        return not isinstance(self.space, Listed)

    def network(self, classes: int, images: Tensor) -> Network:
        """Its network, for images [N, C, H, W] such as these. Raises ValueError where it can't be built or scored."""
        return self.space.network([self.arch], classes, images)

    def weights(self, network: Network, drawing: Drawing, path: Path | None) -> Weights:
        """Trained weights with their running statistics; its own, where it was handed over; or drawn as by `drawing`.

        Raises ValueError naming the first thing in the file that does not fit.
        """
        if not isinstance(network, Made):
            assert isinstance(network, Stack)
            return teachers.weights(network, drawing, path)
        if isinstance(self.space, Published):
            return network.own(running=True)
        if path is not None:
            statedicts.into(network.module, path)
            return network.own(running=True)
        init = drawing.init
        if self.own:
            init = "trained" if self.running else "own"
        elif init == "own" or init == "trained":  # the candidates are as they are
            init = "kaiming"
        return Drawing(drawing.seed, drawing.mode, init, drawing.device).teacher(network)


def find(name: str) -> Chosen | None:
    """The teacher of this name; None for one of teachers.py. Raises ValueError, saying what is allowed, for none."""
    if name in teachers.TEACHERS:
        return None
    if ".py:" in name:
        where, _, rest = name.partition(".py:")
        kind, _, arch = rest.partition(":")
        if not arch:
            return _from_file(name)
        space = f"{where}.py:{kind}"
    else:
        space, _, arch = name.partition(":")
        if not arch or space not in SPACES:
            known = f"{', '.join(teachers.TEACHERS)}, torchvision:NAME, SPACE:CANDIDATE, path/to/file.py:NAME"
            raise ValueError(f"no teacher is called {name!r}; there are: {known}{meant(name, teachers.TEACHERS)}")
    found = find_space(space)
    try:
        arch = found.parse(arch)
    except ValueError as error:
        raise ValueError(f"--teacher {name}: {error}") from None
    version = f" ({found.version})" if found.version else ""
    return Chosen(found, arch, f"{found.name}:{arch}{version}")


def _from_file(text: str) -> Chosen:
    """What a file calls by that name: a class or function that makes a module out of nothing, or a module."""
    made, digest = load(text, "--teacher", "class")
    if isinstance(made, type) and issubclass(made, Space):
        raise ValueError(f"--teacher {text}: is a space; add which of its candidates, {text}:CANDIDATE")
    if not callable(made):
        raise ValueError(f"--teacher {text}: no module, and no class or function that makes one")
    tell(text, "--teacher")
    name = Path(text).name
    return Chosen(Listed({name: made}, "--teacher"), name, f"{name} ({digest})", own=isinstance(made, nn.Module))


def first_weights(name: str) -> Any:
    """What torchvision says of the first weights that it publishes of a network: url, transforms, meta."""
    return next(iter(models.get_model_weights(name)))


def file_of(name: str) -> Path:
    """Where these lie, once they were fetched."""
    url: str = first_weights(name).url
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


def inputs_of(name: str) -> Normalisation:
    """What the images go through for which these were trained."""
    seen = first_weights(name).transforms()
    return Normalisation(tuple(seen.mean), tuple(seen.std))


def inputs(teacher: str, weights: Path) -> Normalisation | None:
    """The input normalisation that goes with trained weights, None where nothing says it.

    By the file beside them; or torchvision's, where they are what it publishes of this teacher. Raises ValueError where
    the file beside them holds none.
    """
    kind, _, name = teacher.partition(":")
    if kind == PUBLISHED and name in names() and weights == file_of(name):
        return inputs_of(name)
    return normalisation.read(normalisation.beside(weights))


def published(chosen: Chosen | None, *, download: bool) -> tuple[Chosen, Path]:
    """The teacher with the weights that torchvision publishes, and their file in torch.hub's folder.

    Raises ValueError where there are none, where the file is not there and may not be, or can't be, downloaded, and
    where its checksum is not the one in its name.
    """
    if chosen is None or not isinstance(chosen.space, Torchvision):
        raise ValueError(f"--teacher-weights {PUBLISHED}: published weights are for --teacher torchvision:NAME")
    url, path = first_weights(chosen.arch).url, file_of(chosen.arch)
    begins = path.stem.rpartition("-")[2]
    if not path.exists():
        if not download:
            raise ValueError(f"--teacher-weights {PUBLISHED}: not found in {path.parent}; add --download to fetch them")
        _download(url, path, begins)
    if not file_digest(path).startswith(begins):
        raise ValueError(f"--teacher-weights {PUBLISHED}: {path} is damaged (its checksum differs); delete it")
    return Chosen(Published(), chosen.arch, chosen.name), path


def _download(url: str, path: Path, begins: str) -> None:
    """Fetch a file whose sha256 has to begin so; what breaks off, or is another, is not kept. Raises ValueError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=begins, progress=False)
    except (HTTPException, OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if "invalid hash value" in reason:
            reason = "it broke off, or is another file: its checksum is not the one in its name"
        raise ValueError(
            f"--teacher-weights {PUBLISHED}: {url} can't be downloaded ({reason}); nothing of it is kept, the same "
            "command begins anew"
        ) from None
