"""Code of a user's own, named as path/to/file.py:name. The file is run, only when it is named, and that is said."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

FAILURES: tuple[type[BaseException], ...] = (  # what code raises that is run for the first time
    SyntaxError, ImportError, NameError, TypeError, AttributeError, ValueError, LookupError, ArithmeticError,
    AssertionError, OSError, RuntimeError, SystemExit,
)  # fmt: skip

MOST_NAMED = 20  # of a file, in a message

_told: set[str] = set()


def load(text: str, option: str, kind: Literal["function", "class"] = "function") -> tuple[Any, str]:
    """What the file calls by that name, a function or a class, and the digest of the file.

    Raises ValueError, beginning with the option's name, where the file can't be read or run, or has no such name; with
    the names of that kind that it has.
    """
    where, _, name = (text, "", "") if text.endswith(".py") else text.rpartition(":")
    path = Path(where)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{option} {text}: {error.strerror}") from None
    if not name:
        raise ValueError(f"{option} {text}: write {text}:NAME; {_there(content, kind)}")
    digest = hashlib.sha256(content).hexdigest()[:12]
    try:
        module = _run(path, f"user_file_{digest}")
    except FAILURES as error:
        raise ValueError(f"{option} {text}: the file does not run ({type(error).__name__}: {error})") from None
    if not hasattr(module, name):
        raise ValueError(f"{option} {text}: the file has no {name!r}; {_there(content, kind)}")
    return getattr(module, name), digest


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


def _run(path: Path, module_name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # while it runs: dataclasses look themselves up
    try:
        spec.loader.exec_module(module)
    finally:  # what is not there later is sent to workers whole
        del sys.modules[module_name]
    return module
