"""Code of a user's own, named as path/to/file.py:name. The file is run, only when it is named, and that is said.

It imports what lies beside it, at its head. Its version is a digest of it and of the files that it takes from.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

FAILURES: tuple[type[BaseException], ...] = (  # what code raises that is run for the first time
    SyntaxError, ImportError, NameError, TypeError, AttributeError, ValueError, LookupError, ArithmeticError,
    AssertionError, OSError, RuntimeError, SystemExit,
)  # fmt: skip

MOST_NAMED = 20  # of a file, in a message
INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
ROOT = Path(__file__).parent.parent
OURS = tuple(f"{ROOT / room}/" for room in ("proxies", "benchmarks", "search", "analysis", "diswot_bench"))

_told: set[str] = set()


def load(text: str, option: str, kind: Literal["function", "class"] = "function") -> tuple[Any, str]:
    """What the file calls by that name, a function or a class, and the digest of its code.

    That is of the file and of the modules of the user's own that it takes from. Raises ValueError, beginning with the
    option's name, where the file can't be read or run, or has no such name; with the names of that kind that it has.
    """
    where, _, name = (text, "", "") if text.endswith(".py") else text.rpartition(":")
    path = Path(where)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{option} {text}: {error.strerror}") from None
    if not name:
        raise ValueError(f"{option} {text}: write {text}:NAME; {_there(content, kind)}")
    summary = hashlib.sha256(content)
    try:
        module, others = _run(path, f"user_file_{summary.hexdigest()[:12]}")
        for other in sorted(others):
            summary.update(other.name.encode() + b"\0" + other.read_bytes())
    except FAILURES as error:
        raise ValueError(f"{option} {text}: the file does not run ({type(error).__name__}: {error})") from None
    if not hasattr(module, name):
        raise ValueError(f"{option} {text}: the file has no {name!r}; {_there(content, kind)}")
    return getattr(module, name), summary.hexdigest()[:12]


def _there(content: bytes, kind: Literal["function", "class"]) -> str:
    """Which functions, or classes and dicts, a file has, read off its text: it is not run for that."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "it is no Python"
    wanted = ast.FunctionDef if kind == "function" else ast.ClassDef
    names = [node.name for node in tree.body if isinstance(node, wanted) and not node.name.startswith("_")]
    if kind == "class":
        dicts = [
            node.targets for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        ]
        names += [target.id for targets in dicts for target in targets if isinstance(target, ast.Name)]
    what = kind if kind == "function" else "class or dict"
    return f"it has the {what} {', '.join(names[:MOST_NAMED])}" if names else f"it has no {what}"


def tell(text: str, option: str) -> None:
    """Say on stderr that a file was run, once of each."""
    if text not in _told:
        _told.add(text)
        print(f"{option} {text}: ran the code in this file", file=sys.stderr)


def _run(path: Path, module_name: str) -> tuple[ModuleType, set[Path]]:
    """The file as a module, and the other files of the user's own that it takes from.

    While it runs it finds what lies beside it: what was imported from there before, as it is, and no modules of another
    folder by the same names. What it imports does not stay in sys.modules, and workers are sent all of it whole.
    """
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder = path.resolve().parent
    there = _beside(folder)
    before = {name: one for name, one in there.items() if not _where(one).startswith(f"{folder}/")}
    for name in before:
        del sys.modules[name]
    sys.modules[module_name] = module  # while it runs: dataclasses look themselves up
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        spec.loader.exec_module(module)
        others = files_of([module, *_beside(folder).values()]) - {Path(str(spec.origin))}
    finally:
        sys.path.remove(str(folder))
        for name in {module_name, *_beside(folder)} - (there.keys() - before.keys()):
            del sys.modules[name]
        sys.modules.update(before)
    return module, {other for other in others if not str(other).startswith(OURS)}


def _beside(folder: Path) -> dict[str, ModuleType]:
    """The modules imported that are called like what lies in a folder, but for what is installed or of this project."""
    names = {one.stem for one in folder.iterdir()}
    found = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in names}
    return {name: module for name, module in found.items() if not _where(module).startswith((*INSTALLED, *OURS))}


def _where(module: ModuleType) -> str:
    """A module's file; the folder of what is a folder alone; that of what is built into Python, which has neither."""
    return getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), INSTALLED[0])


def files_of(modules: Iterable[ModuleType]) -> set[Path]:
    """The files of some modules and of those that they take something from, but for what is installed."""
    found: dict[str, Path] = {}
    left = list(modules)
    while left:
        module = left.pop()
        path = getattr(module, "__file__", None)
        if module.__name__ in found or not path or not path.endswith(".py") or path.startswith(INSTALLED):
            continue
        found[module.__name__] = Path(path)
        for value in vars(module).values():
            name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
            if isinstance(name, str) and (other := sys.modules.get(name)) is not None:
                left.append(other)
    return set(found.values())
