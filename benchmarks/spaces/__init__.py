"""Search spaces by name, a user's own out of a file, and their networks as stacks. No weights, no accuracies."""

from __future__ import annotations

from pathlib import Path

from benchmarks.reading.naming import meant
from benchmarks.spaces.autoformer import AutoFormer
from benchmarks.spaces.modules import Listed, ModuleSpace
from benchmarks.spaces.nasbench201 import NasBench201
from benchmarks.spaces.pit import PiT
from benchmarks.spaces.plainnet import S2
from benchmarks.spaces.resnet import S0, S1
from benchmarks.spaces.space import Size, Space
from benchmarks.spaces.zoo import Torchvision
from proxies.userfile import FAILURES, load, tell

__all__ = ["SPACES", "ModuleSpace", "Size", "Space", "find", "recorded"]

SPACES: dict[str, type[Space]] = {kind.name: kind for kind in (NasBench201, S0, S1, S2, AutoFormer, PiT, Torchvision)}


def find(name: str, option: str = "--space") -> Space:
    """The space of this name, or the class that path/to/file.py:Name names; that file is run.

    Raises ValueError, naming the spaces there are, or what the class that the `option` names lacks.
    """
    if name.endswith(".py") or ".py:" in name:
        return _from_file(name, option)
    if name not in SPACES:
        known = f"{', '.join(SPACES)}, or path/to/file.py:Name"
        raise ValueError(f"no space is called {name!r}; there are: {known}{meant(name, SPACES)}")
    return SPACES[name]()


def recorded(name: str, where: str, named: str | None = None) -> Space:
    """The space that a file of results names. A user's own is run only where its user names it too, as `named`.

    Raises ValueError, beginning with where it was read, for a space that there is none of.
    """
    if name in SPACES or ".py:" not in name:
        try:
            return find(name)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    if named is None or Path(named).name != Path(name).name:
        own = f"--space PATH/{Path(name).name}"
        raise ValueError(f"{where}: of the space {name!r}, a file of code, which is run only where you name it: {own}")
    return find(named)


def _from_file(text: str, option: str) -> Space:
    kind, digest = load(text, option, "class")
    if isinstance(kind, dict):
        listed = Listed(kind, f"{Path(text).name}")
        listed.version = digest
        tell(text, option)
        return listed
    if not (isinstance(kind, type) and issubclass(kind, Space)):
        raise ValueError(f"{option} {text}: not a subclass of benchmarks.spaces.Space, and no dict of networks by name")
    lacking = [part for part in ("name", "choices") if not hasattr(kind, part)] + sorted(kind.__abstractmethods__)
    if lacking:
        raise ValueError(f"{option} {text}: the class lacks {', '.join(lacking)}")
    if kind.name in SPACES:
        raise ValueError(f"{option} {text}: its name {kind.name!r} is that of a space of this project; take another")
    try:
        space = kind()
        space.check_choices()
    except ValueError as error:
        raise ValueError(f"{option} {text}: {error}") from None
    except FAILURES as error:
        raise ValueError(f"{option} {text}: can't be made ({type(error).__name__}: {error})") from error
    space.version = digest
    tell(text, option)
    return space
