"""Tells networks that are handed over from others of the same names: by their weights, and by the code they run."""

from __future__ import annotations

import hashlib
import pickle
import sys
from types import CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle

from proxies.userfile import files_of

# Of a class what every process makes anew, or what is no code.
NO_CODE = frozenset({"__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__", "_abc_impl"})


def fingerprint(networks: object, asked: str) -> str:
    """The first digits of a sha256 over weights and code.

    The code is that of these modules or constructors, and of the files that it stands in and takes from. What is
    installed counts by its names alone; where in a file code stands, and comments, do not count. Raises ValueError,
    beginning with what was `asked`, for what can't be written down.
    """
    summary = _Summary()
    pickler = _Pickler(summary)
    try:
        pickler.dump(networks)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"{asked}: networks can't be told from others ({said}); leave it out") from None
    for path in sorted(files_of(pickler.modules.values())):
        pickler.dump(compile(path.read_bytes(), "", "exec", dont_inherit=True))
    return summary.sha256.hexdigest()[:12]


class _Summary:
    """A file of which only the checksum is kept."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    def write(self, content: Any) -> None:
        self.sha256.update(content)


class _Pickler(cloudpickle.Pickler):
    """Writes down what it is given so that the same code is the same bytes, which nobody can read back.

    Remembers the modules that it meets, and those of classes and functions.
    """

    def __init__(self, file: _Summary) -> None:
        super().__init__(file)
        self.modules: dict[str, ModuleType] = {}

    def reducer_override(self, obj: Any) -> Any:
        """See pickle: it is asked for what is no plain value."""
        if isinstance(obj, CodeType):
            constants = [sorted(map(repr, one)) if isinstance(one, frozenset) else one for one in obj.co_consts]
            return tuple, ((obj.co_code, constants, obj.co_names, obj.co_varnames, obj.co_freevars),)
        if isinstance(obj, ModuleType):
            self.modules[obj.__name__] = obj
        if not isinstance(obj, type | FunctionType):
            return super().reducer_override(obj)
        if _stands_in_a_module(obj):
            module = sys.modules[obj.__module__]
            self.modules[module.__name__] = module
            return super().reducer_override(obj)
        if isinstance(obj, type):
            members = {name: value for name, value in vars(obj).items() if name not in NO_CODE}
            return str, (obj.__qualname__,), (obj.__bases__, members)
        cells = [cell.cell_contents for cell in obj.__closure__ or ()]
        read = {name: obj.__globals__[name] for name in sorted(_names(obj.__code__)) if name in obj.__globals__}
        return str, (obj.__qualname__,), (obj.__code__, obj.__defaults__, obj.__kwdefaults__, cells, read)


def _stands_in_a_module(obj: type | FunctionType) -> bool:
    """Whether it can be imported by its name, so that its code is in a file."""
    module = sys.modules.get(obj.__module__ or "")
    if module is None or module.__name__ == "__main__":
        return False
    found: object = module
    for name in obj.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is obj


def _names(code: CodeType) -> set[str]:
    """The names that code looks up, that of its inner functions too."""
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    return set(code.co_names).union(*map(_names, inner))
