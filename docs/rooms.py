"""The rooms and their arrows, read off the imports themselves: docs/rooms.svg. Run by `make docs`.

A wing is a folder of a room; files at a room's top are its commands (in proxies/, the measures). An arrow says that a
file of the one room imports a file of the other; one that passes over a floor is left out. Inside a room a wing imports
none that stands above it. What only a command imports, which may be anything, is not drawn.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "rooms.svg"
ROOMS = ("diswot_bench", "proxies", "benchmarks", "search", "analysis")
STEPS = "_run.py"  # the second half of a command: its steps, imported by its door alone


class Import(NamedTuple):
    """A file of the project that imports another, both as paths from the root, and the line it does so."""

    importer: str
    imported: str
    line: int


@cache
def sources(root: Path = ROOT) -> dict[str, str]:
    """Every source of the rooms, by dotted name: its path from the root."""
    found = {}
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            name = path.relative_to(root)
            dotted = ".".join(name.with_suffix("").parts).removesuffix(".__init__")
            found[dotted] = name.as_posix()
    return found


@cache
def imports(root: Path = ROOT) -> tuple[Import, ...]:
    """Every import of one file of the project by another, those inside functions and for types alone too."""
    known = sources(root)
    found = []
    for path in known.values():
        for node in ast.walk(ast.parse((root / path).read_text(encoding="utf-8"))):
            found += [Import(path, known[name], node.lineno) for name in _names(node) if name in known]
    return tuple(one for one in dict.fromkeys(found) if one.importer != one.imported)


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield whole if whole in sources() else node.module


def wing(path: str) -> str:
    """The wing that a file lies in: its folder; a room's own name for the files at its top."""
    return path.rpartition("/")[0]


def is_door(path: str) -> bool:
    """Whether a file is a command's door: at the top of a room, and a `main` in it."""
    return path.count("/") == 1 and path.split("/")[0] != "proxies" and "def main(" in (ROOT / path).read_text("utf-8")


def is_command(path: str) -> bool:
    """Whether a file is a command's door or its steps; those of analysis/, whose wings are leaves, have their own."""
    return is_door(path) or path.endswith(STEPS) or wing(path) == "analysis/steps"


# -- the picture ------------------------------------------------------------------------------------------------------

FLOORS = (
    {"diswot_bench": 1.0},
    {"search": 1.0},
    {"benchmarks": 1.0},
    {"proxies": 0.55, "analysis": 0.45},
)  # from above; shares of the width
WIDTH, HEAD, ROW, GAP, MARGIN = 920, 52, 36, 40, 12
SIZES = 'markerWidth="9" markerHeight="9" refX="8" refY="4.5"'
TIP = f'<marker id="tip" {SIZES} orient="auto"><path d="M0,0 L9,4.5 L0,9 z"/></marker>'
STYLE = """text { font: 12px sans-serif; fill: #222 }
.room { font: bold 16px sans-serif } .wing { font: bold 12px sans-serif }
.command { fill: #0b5394 } rect { fill: #f6f6f2; stroke: #888; rx: 6 } line { stroke: #444; stroke-width: 1.6 }"""


def contents(room: str) -> tuple[list[str], dict[str, list[str]]]:
    """What lies at a room's top, and its wings with their files."""
    top, wings = [], {}
    for path in sources().values():
        folder, _, file = path.rpartition("/")
        if folder.split("/")[0] != room or file == "__init__.py":
            continue
        if folder == room:
            top.append(file.removesuffix(".py"))
        else:
            wings.setdefault("/".join(folder.split("/")[:2]), []).append(file.removesuffix(".py"))
    return top, {name: wings[name] for name in ordered(list(wings))}


def arrows() -> list[tuple[str, str]]:
    """Which room's library imports which other's."""
    pairs = {
        (one.importer.split("/")[0], one.imported.split("/")[0]) for one in imports() if not is_command(one.importer)
    }
    floors = {room: number for number, floor in enumerate(FLOORS) for room in floor}
    return sorted(pair for pair in pairs if pair[0] != pair[1] and abs(floors[pair[0]] - floors[pair[1]]) <= 1)


def ordered(wings: Sequence[str]) -> list[str]:
    """Wings of a room so that each imports none before it. Raises CycleError where they do so in a circle."""
    below = {one: {other for other in wings if other != one and (one, other) in _between_wings()} for one in wings}
    return list(TopologicalSorter(below).static_order())[::-1]


@cache
def _between_wings() -> frozenset[tuple[str, str]]:
    return frozenset((wing(one.importer), wing(one.imported)) for one in imports() if not is_command(one.importer))


def drawn() -> str:
    """The picture as SVG text."""
    boxes: dict[str, tuple[float, float, float, float]] = {}
    parts: list[str] = []
    y = float(MARGIN)
    for floor in FLOORS:
        x, height = float(MARGIN), max(_height(room) for room in floor)
        for room, share in floor.items():
            width = share * (WIDTH - 2 * MARGIN - GAP * (len(floor) - 1))
            boxes[room] = (x, y, width, height)
            parts += _room(room, x, y, width, height)
            x += width + GAP
        y += height + GAP
    lines = [_arrow(boxes, *pair) for pair in arrows()]
    size = f'viewBox="0 0 {WIDTH} {y - GAP + MARGIN:.0f}" role="img" aria-label="the rooms, and what imports what"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    return "\n".join([head, f"<style>{STYLE}</style>", f"<defs>{TIP}</defs>", *parts, *lines, "</svg>"]) + "\n"


def _height(room: str) -> float:
    return HEAD + 10 + ROW * len(contents(room)[1])


def _room(room: str, x: float, y: float, width: float, height: float) -> list[str]:
    top, wings = contents(room)
    kind = "" if room == "proxies" else " command"
    shown = [name for name in top if room == "proxies" or is_door(f"{room}/{name}.py")]
    parts = [f'<rect x="{x:.0f}" y="{y:.0f}" width="{width:.0f}" height="{height:.0f}"/>']
    parts.append(f'<text class="room" x="{x + 12:.0f}" y="{y + 22:.0f}">{room}/</text>')
    parts.append(f'<text class="{kind.strip()}" x="{x + 12:.0f}" y="{y + 42:.0f}">{" ".join(shown)}</text>')
    for number, (name, files) in enumerate(wings.items()):
        line = y + HEAD + 18 + ROW * number
        parts.append(f'<text class="wing" x="{x + 24:.0f}" y="{line:.0f}">{name.split("/")[1]}/</text>')
        listed = [file for file in files if not f"{file}.py".endswith(STEPS)]
        parts.append(f'<text x="{x + 24:.0f}" y="{line + 15:.0f}">{" ".join(listed)}</text>')
    return parts


def _arrow(boxes: dict[str, tuple[float, float, float, float]], upper: str, lower: str) -> str:
    (ux, uy, uw, uh), (lx, ly, lw, _) = boxes[upper], boxes[lower]
    if uy == ly:  # side by side
        start, end = (ux, lx + lw) if ux > lx else (ux + uw, lx)
        return f'<line x1="{start:.0f}" y1="{uy + 90:.0f}" x2="{end:.0f}" y2="{uy + 90:.0f}" marker-end="url(#tip)"/>'
    x = lx + lw / 2 if uw > lw else ux + uw / 2
    return f'<line x1="{x:.0f}" y1="{uy + uh:.0f}" x2="{x:.0f}" y2="{ly:.0f}" marker-end="url(#tip)"/>'


if __name__ == "__main__":
    PICTURE.write_text(drawn(), encoding="utf-8")
