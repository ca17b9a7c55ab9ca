"""Imports run one way, and the repository names no machine: the walls between the rooms, checked on the source."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("proxies", "analysis", "benchmarks", "search")
ALLOWED = {
    "proxies": {"proxies"},
    "analysis": {"analysis", "proxies"},
    "benchmarks": {"proxies", "analysis", "benchmarks"},
}
COMMANDS = {  # they may import every room, and nobody imports them
    *("benchmarks/rank.py", "benchmarks/speed.py", "benchmarks/data.py", "search/evolve.py"),
    *("search/distill.py", "analysis/ablate.py", "analysis/compare.py", "analysis/validate.py", "analysis/report.py"),
    "analysis/maps.py",
}
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
LIBRARY = {"proxies": {"torch"}, "analysis": {"numpy", "scipy", "pandas", "matplotlib", "torch"}}


def imported(path: Path) -> set[str]:
    """The dotted names of all modules that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    room = path.relative_to(ROOT).parts[0]
    modules = imported(path)
    commands = {command.removesuffix(".py").replace("/", ".") for command in COMMANDS}
    assert not modules & commands, "a command is imported by nobody"
    assert not any(module.split(".")[0] == "tests" for module in modules)
    if name not in COMMANDS:
        rooms = {module.split(".")[0] for module in modules} & set(ROOMS)
        assert rooms <= ALLOWED.get(room, set(ROOMS))
        outside = {module.split(".")[0] for module in modules} - set(ROOMS) - sys.stdlib_module_names
        assert outside <= LIBRARY.get(room, outside)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_say_what_they_are_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_nothing_catches_every_exception_or_seeds_globally() -> None:
    for path in SOURCES:
        text = path.read_text()
        if path.name == "workers.py":  # carries them from a worker to its caller, in two places
            assert text.count("except Exception") == 2
            text = text.replace("except Exception", "")
        for forbidden in ("except Exception", "except:", "manual_seed(", "np.random.seed", "random.seed("):
            assert forbidden not in text, f"{path.name}: {forbidden}"
