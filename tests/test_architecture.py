"""Imports run one way, wing by wing, and what lies where: the walls between the rooms, checked on the source."""

from __future__ import annotations

import ast
import re
import shutil
import sys
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from benchmarks.output import naming
from benchmarks.scoring import jobs
from docs import rooms
from docs.rooms import ROOT, Import, is_command, is_door, wing

# What each wing may import beside itself; a room's own name stands for the files at its top (the measures of proxies/).
# Commands (a door at a room's top; its steps, a file called ..._run.py, or analysis/steps/) may import all but a door.
PROXIES = {"proxies", "proxies/probing", "proxies/formulas"}
ROWS = {"analysis/rows", "analysis/stats"}
MAY_IMPORT = {
    "diswot_bench": {  # the front door
        *("benchmarks/scoring", "benchmarks/scoretables", "benchmarks/ranking", "benchmarks/leaderboard"),
        "search/distillation",
    },
    "proxies/formulas": set(),
    "proxies/probing": {"proxies/formulas"},
    "proxies": {"proxies/formulas", "proxies/probing"},
    "analysis": set(),
    "analysis/steps": set(),  # of commands
    "analysis/rows": set(),
    "analysis/stats": {"analysis/rows"},
    "analysis/pictures": ROWS,
    "analysis/pages": {*ROWS, "analysis/pictures"},
    "analysis/validation": {*PROXIES, *ROWS},
    "benchmarks": set(),
    "benchmarks/reading": set(),
    "benchmarks/output": {"analysis/rows", "benchmarks/reading"},
    "benchmarks/spaces": {*PROXIES, "benchmarks/reading"},
    "benchmarks/conditions": {*PROXIES, "benchmarks/reading", "benchmarks/spaces"},
    "benchmarks/truth": {
        *(*ROWS, "benchmarks/output", "benchmarks/reading", "benchmarks/spaces", "benchmarks/conditions"),
    },
    "benchmarks/scoring/engines": {"benchmarks/output"},
    "benchmarks/scoring": {
        *(*PROXIES, "benchmarks/scoring/engines", "benchmarks/output", "benchmarks/reading", "benchmarks/spaces"),
        *("benchmarks/conditions", "benchmarks/truth", "analysis/rows"),
    },
    "benchmarks/scoretables": {
        *(*PROXIES, "analysis/rows", "benchmarks/output", "benchmarks/reading", "benchmarks/spaces"),
        *("benchmarks/conditions", "benchmarks/scoring", "benchmarks/truth"),
    },
    "benchmarks/ranking": {
        *(*PROXIES, *ROWS, "analysis/pictures", "benchmarks/output", "benchmarks/spaces", "benchmarks/conditions"),
        *("benchmarks/truth", "benchmarks/scoring", "benchmarks/scoring/engines", "benchmarks/scoretables"),
    },
    "benchmarks/leaderboard": {
        *(*PROXIES, *ROWS, "benchmarks/output", "benchmarks/spaces", "benchmarks/conditions"),
        *("benchmarks/truth", "benchmarks/scoring", "benchmarks/scoring/engines", "benchmarks/scoretables"),
    },
    "benchmarks/timing": {
        *(*PROXIES, *ROWS, "benchmarks/output", "benchmarks/spaces", "benchmarks/conditions", "benchmarks/truth"),
        *("benchmarks/scoring", "benchmarks/scoring/engines", "benchmarks/scoretables", "benchmarks/ranking"),
    },
    "benchmarks/checking": {
        *(*PROXIES, "benchmarks/output", "benchmarks/spaces", "benchmarks/conditions", "benchmarks/truth"),
        *("benchmarks/scoring", "benchmarks/scoring/engines", "benchmarks/scoretables"),
    },
    "search": set(),
    "search/evolution": {
        *(*PROXIES, *ROWS, "benchmarks/output", "benchmarks/spaces", "benchmarks/conditions", "benchmarks/truth"),
        *("benchmarks/scoring", "benchmarks/scoring/engines", "benchmarks/scoretables", "benchmarks/reading"),
    },
    "search/distillation": {
        *(*PROXIES, *ROWS, "analysis/pictures", "benchmarks/output", "benchmarks/reading", "benchmarks/spaces"),
        *("benchmarks/conditions", "benchmarks/truth", "benchmarks/scoring", "benchmarks/scoring/engines"),
        "benchmarks/timing",
    },
}
# Libraries of others that a wing may import; where none stands, any.
LIBRARIES = {
    **{name: {"torch"} for name in PROXIES},
    "analysis/stats": {"numpy", "scipy", "pandas"},
    "analysis/rows": {"numpy", "pandas"},
    "analysis/pictures": {"numpy", "scipy", "pandas", "matplotlib"},
}
OPTIONAL = {"accelerate", "ray", "optuna", "torch.utils.tensorboard"}  # not everyone has them
# What a worker imports and its scores do not depend on: who asks, who keeps, and readers that pass on or refuse.
NO_SCORE = {"benchmarks/scoring/jobs.py", "benchmarks/scoring/store.py"}
NO_SCORE |= {
    f"benchmarks/reading/{name}.py" for name in ("__init__", "late", "limits", "naming", "pickles", "unpickling")
}

SOURCES = sorted(rooms.sources().values())
IMPORTS = rooms.imports()


def test_the_table_has_every_wing() -> None:
    assert {wing(path) for path in SOURCES} == set(MAY_IMPORT)


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_imports_between_wings_run_one_way(name: str) -> None:
    crossing = [one for one in IMPORTS if wing(one.importer) == name and not is_command(one.importer)]
    wrong = [one for one in crossing if wing(one.imported) not in {name, *MAY_IMPORT[name]}]
    assert not wrong, "; ".join(f"{one.importer}:{one.line} imports {one.imported}" for one in wrong)
    assert not (circle := _circle({wing: set(allowed) for wing, allowed in MAY_IMPORT.items()})), circle


def _circle(below: dict[str, set[str]]) -> object:
    try:
        TopologicalSorter(below).prepare()
    except ValueError as error:  # graphlib.CycleError
        return error.args
    return None


def test_no_files_import_each_other_in_a_circle() -> None:
    below: dict[str, set[str]] = defaultdict(set)
    for one in IMPORTS:
        if not one.imported.endswith("__init__.py"):  # a face, which hands names on
            below[one.importer].add(one.imported)
    assert not (circle := _circle(below)), circle


def test_a_door_is_imported_by_nobody_and_steps_by_their_door() -> None:
    def wrong(one: Import) -> bool:
        return is_door(one.imported) or (one.imported.endswith(rooms.STEPS) and not is_command(one.importer))

    assert not [one for one in IMPORTS if wrong(one)]
    assert not [path for path in SOURCES if "tests" in _modules(path)]


def test_one_command_has_every_door() -> None:
    assert {*naming.DOORS.values(), "diswot_bench/command.py"} == {path for path in SOURCES if is_door(path)}


@pytest.mark.parametrize("path", SOURCES)
def test_imports_stand_at_the_head(path: str) -> None:
    """A door imports its steps inside `main`, so that --help answers at once; optional packages come where used."""
    late = [module for function in _outermost(path) for module in _imported(function)]
    late = [module for module in late if not any(f"{module}.".startswith(f"{one}.") for one in OPTIONAL)]
    assert len(late) <= is_door(path), late


@pytest.mark.parametrize("path", SOURCES)
def test_a_wing_keeps_to_its_libraries(path: str) -> None:
    outside = {module.split(".")[0] for module in _modules(path)} - set(rooms.ROOMS) - sys.stdlib_module_names
    assert is_command(path) or outside <= LIBRARIES.get(wing(path), outside)


def _functions(path: str) -> list[ast.AST]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def _outermost(path: str) -> list[ast.AST]:
    """The functions that stand in no other one."""
    found = _functions(path)
    inner = {one for function in found for one in ast.walk(function) if one is not function}
    return [function for function in found if function not in inner]


def _imported(tree: ast.AST) -> list[str]:
    """The modules that each import in a piece of source names, one an import."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return [node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name for node in found]


def _modules(path: str) -> set[str]:
    return set(_imported(ast.parse((ROOT / path).read_text(encoding="utf-8"))))


@pytest.mark.parametrize("path", SOURCES)
def test_files_say_what_they_are_for_and_stay_small(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    assert text.count("\n") <= 300
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.end_lineno]
    long = [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= 40]
    assert set(long) <= LONG.get(path, set()), f"{path}: {long}"


# Functions past 40 lines, each for a reason.
LONG = {
    "search/distillation/loop.py": {"train"},  # reads from top to bottom as the recipe does
    "benchmarks/truth/ownfile.py": {"from_csv"},  # one fault a line, in the order that a reader meets them
    "analysis/stats/ranking.py": {"rank"},
    "benchmarks/scoring/called.py": {"score"},  # its options are its signature
    "search/distillation/called.py": {"distill"},  # so are these
}


def test_nothing_catches_every_exception_or_seeds_globally() -> None:
    for path in SOURCES:
        text = (ROOT / path).read_text(encoding="utf-8")
        if path.endswith("/workers.py"):  # carries them from a worker to its caller, in two places
            assert text.count("except Exception") == 2
            text = text.replace("except Exception", "")
        if path == "benchmarks/spaces/modules.py":  # a constructor draws from torch's own generator, which is forked
            assert len(re.findall(r"fork_rng\(.*\n        torch.manual_seed\(seed\)", text)) == 1
            text = text.replace("torch.manual_seed(seed)", "")
        for forbidden in ("except Exception", "except:", "manual_seed(", "np.random.seed", "random.seed("):
            assert forbidden not in text, f"{path}: {forbidden}"


def test_the_picture_of_the_rooms_is_of_these_imports() -> None:
    assert rooms.PICTURE.read_text(encoding="utf-8") == rooms.drawn(), "make docs"


def _behind(path: str) -> set[str]:
    """A file and everything of the project that it imports, and that these import."""
    found, waiting = set(), [path]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += [one.imported for one in IMPORTS if one.importer == current]
    return found


def test_the_code_digest_follows_every_file_that_a_score_depends_on(tmp_path: Path) -> None:
    behind = _behind("benchmarks/scoring/worker.py")
    scored = sorted(path for path in behind if not any(path.startswith(one) for one in NO_SCORE))
    assert "proxies/gradient.py" in scored
    assert "benchmarks/spaces/stack.py" in scored
    for path in scored:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    known = {jobs.code_digest.__wrapped__(tmp_path)}
    for path in scored:
        with (tmp_path / path).open("a", encoding="utf-8") as file:
            file.write("#\n")
        known.add(jobs.code_digest.__wrapped__(tmp_path))
    assert len(known) == len(scored) + 1
