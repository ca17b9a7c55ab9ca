"""Mutation testing: break a module in every small way, one at a time, and see whether its own tests notice.

    python tests/mutate.py [MODULE ...]     make mutate

Which tests stand for which module is set in pyproject.toml, [tool.mutate]. Prints the mutants that survived, and fails
where fewer than FLOOR of a module's are killed; docs/testing.md says why those that live do no harm. It is not built on
mutmut, which (3.8.1) leaves decorated functions alone: these are most of probing/probe.py. Text inside `raise` stays as
it is, as do annotations and docstrings. A mutant is a forked process: nothing is written, and third-party code loads
once.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import os
import signal
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, ModuleType

ROOT = Path(__file__).parent.parent
FLOOR = 0.85
COMPUTING, WAITING = 90, 300  # seconds of a CPU, and by the clock: a mutant that takes longer never ends, so is noticed
OURS = ("proxies", "benchmarks", "search", "analysis", "tests")

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
NONE = ast.Constant(None)


def mutations(node: ast.AST, in_raise: bool) -> Iterator[ast.AST]:
    """What a node may become: another operator or constant, an argument less or None, a condition turned round."""

    def changed(**fields: object) -> ast.AST:
        made = copy.copy(node)
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op):
            yield changed(op=SWAPS[type(op)]())
        case ast.Compare(ops=ops):
            for place, op in enumerate(ops):
                yield changed(ops=[*ops[:place], SWAPS[type(op)](), *ops[place + 1 :]])
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(value=str(value)) if not in_raise:
            yield ast.Constant(f"XX{value}")
        case ast.Call(args=args, keywords=keywords):
            for place, argument in enumerate(args):
                before, after = args[:place], args[place + 1 :]
                if len(args) + len(keywords) > 1:
                    yield changed(args=[*before, *after])
                if not (isinstance(argument, ast.Constant) and argument.value is None):
                    yield changed(args=[*before, NONE, *after])
            for place in range(len(keywords)):
                yield changed(keywords=keywords[:place] + keywords[place + 1 :])
        case ast.IfExp(body=body, orelse=orelse):
            yield changed(body=orelse, orelse=body)
        case ast.If(test=test) | ast.While(test=test):
            yield changed(test=ast.UnaryOp(ast.Not(), test))
        case ast.Assign(value=value) | ast.Return(value=value) if not isinstance(value, ast.Constant):
            yield changed(value=NONE)
        case ast.Expr(value=ast.Call() | ast.Yield()) | ast.Raise():
            yield ast.Pass()


def places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST, bool]]:
    """Every node that may change: (parent, field, place in a list, node, whether inside a raise)."""

    def walk(parent: ast.AST, in_raise: bool) -> Iterator[tuple[ast.AST, str, int | None, ast.AST, bool]]:
        in_raise = in_raise or isinstance(parent, ast.Raise)
        for field, value in ast.iter_fields(parent):
            if field in ("annotation", "returns", "decorator_list", "bases", "format_spec"):
                continue
            for place, node in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(node, ast.AST) and not skipped(node):
                    yield parent, field, place if isinstance(value, list) else None, node, in_raise
                    yield from walk(node, in_raise)

    return walk(tree, False)


def skipped(node: ast.AST) -> bool:
    """Docstrings, and what only a type checker reads."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Import() | ast.ImportFrom():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


def mutants(source: str) -> Iterator[tuple[str, CodeType]]:
    """Each broken version of a module, and in words what is broken."""
    tree = ast.parse(source)
    lines = source.splitlines()
    for parent, field, place, node, in_raise in places(tree):
        for other in mutations(node, in_raise):
            said = ast.unparse(other)
            line = getattr(node, "lineno", 0)
            text = f"{line}: {lines[line - 1].strip()}   [{ast.unparse(node)[:70]} -> {said[:70]}]"
            ast.copy_location(other, node)
            put(parent, field, place, other)
            yield " ".join(text.split()), compile(ast.fix_missing_locations(copy.deepcopy(tree)), "mutant", "exec")
            put(parent, field, place, node)


def put(parent: ast.AST, field: str, place: int | None, node: ast.AST) -> None:
    """Hang a node where another one was."""
    if place is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[place] = node


class Mutated(importlib.abc.MetaPathFinder, importlib.machinery.SourceFileLoader):
    """Gives the import system the mutant in place of the module."""

    def __init__(self, name: str, path: str, code: CodeType) -> None:
        super().__init__(name, path)
        self.mutant = code

    def find_spec(
        self, fullname: str, path: object, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of the one module."""
        return (
            importlib.util.spec_from_file_location(fullname, self.path, loader=self) if fullname == self.name else None
        )

    def get_code(self, fullname: str) -> CodeType:
        """The mutant."""
        return self.mutant


def run(module: str, code: CodeType, tests: Sequence[str], report: int | None = None) -> int:
    """The process, just started, in which the tests meet a mutant; into `report` it writes what it had to import."""
    child = os.fork()
    if child:
        return child
    sys.path.insert(0, str(ROOT))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(WAITING)
    signal.setitimer(signal.ITIMER_PROF, COMPUTING)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    import hypothesis
    import pytest

    hypothesis.settings.register_profile("mutate", max_examples=15, deadline=None, database=None, derandomize=True)
    hypothesis.settings.load_profile("mutate")
    sys.meta_path.insert(0, Mutated(module.removesuffix(".py").replace("/", "."), str(ROOT / module), code))
    try:
        status = pytest.main(["-x", "-n", "0", "--no-header", "-p", "no:cacheprovider", *tests])
        if report is not None:
            os.write(report, "\n".join(name for name in sys.modules if name.split(".")[0] not in OURS).encode())
    except BaseException:
        status = 1
    os._exit(int(status))


def load_once(module: str, code: CodeType, tests: Sequence[str]) -> None:
    """See that the tests pass as it is, and import whatever they need of others, so that no mutant has to."""
    with tempfile.TemporaryFile() as report:
        if os.waitpid(run(module, code, tests, report.fileno()), 0)[1] != 0:
            raise SystemExit(f"{module}: its tests fail as it is: {' '.join(tests)}")
        report.seek(0)
        for name in report.read().decode().split("\n"):
            with contextlib.suppress(Exception):  # what can be imported only as a part of something else
                importlib.import_module(name)


def survivors(module: str, tests: Sequence[str], jobs: int, every: int) -> tuple[int, list[str]]:
    """How many mutants of a module were tried, every n-th, and those that its tests take for sound."""
    source = (ROOT / module).read_text()
    load_once(module, compile(source, module, "exec"), tests)
    running: dict[int, str] = {}
    lived, count = [], 0

    def wait() -> None:
        child, status = os.wait()
        what = running.pop(child)
        if status == 0:
            lived.append(what)
            print(f"  survived {module}:{what}", flush=True)

    for what, code in itertools.islice(mutants(source), 0, None, every):
        count += 1
        if len(running) >= jobs:
            wait()
        running[run(module, code, tests)] = what
    while running:
        wait()
    return count, lived


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where enough of every module's mutants are killed."""
    suites = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutate"]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("modules", nargs="*", choices=[[], *suites], help="all of [tool.mutate] by default")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at a time")
    parser.add_argument("--every", type=int, default=1, help="try every n-th mutant alone, for a quick look")
    options = parser.parse_args(arguments)
    os.chdir(ROOT)
    enough = True
    for module in options.modules or suites:
        count, lived = survivors(module, suites[module], options.jobs, options.every)
        share = 1 - len(lived) / count
        enough &= share >= FLOOR
        print(f"{module}: {count} mutants tried, {len(lived)} survived, {share:.1%} killed", flush=True)
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
