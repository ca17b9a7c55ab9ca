"""NAS-Bench-201 (Dong & Yang, ICLR 2020), the topology space of NATS-Bench: all 15,625 cells, and how they are named.

A cell's code is the official string, its index the official one. What a cell is: cells.py; the networks made of it:
cellstack.py. No accuracies here: see benchmarks/truth/tables.py.
"""

from __future__ import annotations

import random as python_random
import re
from collections.abc import Sequence
from functools import cache
from itertools import product

from benchmarks.spaces.cells import CELLS_PER_STAGE, EDGES, OPERATIONS, Cell, live_edges, parse_cell, print_cell
from benchmarks.spaces.cellstack import CellStack
from benchmarks.spaces.space import Size, Space
from benchmarks.spaces.stack import Stack

TUPLE_CODES = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")  # NASLib's, analog-nasbench's
TUPLE_EDGES = tuple(sorted(EDGES))  # 01 02 03 12 13 23

SHUFFLE_SEED = 88  # of the list that gives the official index


class NasBench201(Space):
    """NAS-Bench-201: all 15,625 cells of four nodes and six edges, in networks of three stages."""

    name = "nasbench201"
    choices = (OPERATIONS,) * len(EDGES)

    def write(self, chosen: Cell) -> str:
        """The official string of six operations."""
        return print_cell(chosen)

    def read(self, arch: str) -> Cell:
        """The six operations of an official string that is known to be one."""
        return parse_cell(arch)

    def arch(self, index: int) -> str:
        """The official string of an official index."""
        if not 0 <= index < len(self):
            raise ValueError(f"cell index {index} is outside 0..{len(self) - 1}")
        return _cells()[index]

    def index(self, arch: str) -> int:
        """The official index of an official string."""
        return _indices()[arch]

    def parse(self, text: str) -> str:
        """The official string of a string, an index or a six-tuple such as (4,3,3,3,2,3).

        A string's edges may stand in another order within a node: each says where it comes from.
        """
        text = text.strip()
        if text.isascii() and text.isdecimal():
            return self.arch(int(text) if len(text) < 10 else len(self))
        if text.startswith("(") and text.endswith(")"):
            return self.from_tuple(_six_numbers(text))
        ordered = _in_order(text)
        if ordered in _indices():
            return ordered
        raise ValueError(
            f"{text[:80]!r} is no NAS-Bench-201 cell: write |op~0|+|op~0|op~1|+|op~0|op~1|op~2| with op one of "
            f"{', '.join(OPERATIONS)}, or an index 0..{len(self) - 1}, or a six-tuple of 0..4"
        )

    def from_tuple(self, codes: Sequence[int]) -> str:
        """The official string of NASLib's six-tuple: edges 01 02 03 12 13 23; 0 skip, 1 none, 2 3x3, 3 1x1, 4 pool."""
        if len(codes) != len(EDGES) or not all(0 <= code < len(TUPLE_CODES) for code in codes):
            raise ValueError(f"{tuple(codes)} is no NAS-Bench-201 six-tuple: six numbers from 0 to 4")
        chosen = {edge: TUPLE_CODES[code] for edge, code in zip(TUPLE_EDGES, codes, strict=True)}
        return print_cell(tuple(chosen[edge] for edge in EDGES))

    def function_class(self, arch: str) -> str:
        """What the cell computes, written out: one of 6,466 texts, as the benchmark's authors count them.

        Skips are replaced by their source, an operation on zero is zero, and the order of a sum does not matter. Sums
        that differ by a zero term stay apart, as in the authors' count (all in all 4,930 functions would remain).
        """
        cell = dict(zip(EDGES, parse_cell(arch), strict=True))
        nodes = ["0"]
        for node in (1, 2, 3):
            nodes.append("+".join(sorted(_term(cell[source, node], nodes[source]) for source in range(node))))
        return nodes[3]

    def effective(self, arch: str) -> str:
        """The cell with `none` on edges that lead nowhere, or that only zeros reach: 9,445 different ones."""
        cell = parse_cell(arch)
        live = live_edges(cell)
        return print_cell(tuple(op if edge in live else "none" for op, edge in zip(cell, EDGES, strict=True)))

    def connected(self, arch: str) -> bool:
        """Whether a path without `none` leads from input to output; 341 cells have none."""
        return bool(live_edges(parse_cell(arch)))

    def check(self, classes: int, resolution: int) -> None:
        """Raises ValueError for images whose maps can't be halved twice, which the reductions do."""
        if resolution % 4:
            raise ValueError(
                f"{self.name}: images of {resolution}x{resolution}; the resolution has to be a multiple of 4, as its "
                "reductions halve the maps twice"
            )

    def count(self, arch: str, classes: int, resolution: int) -> Size:
        """In closed form; the API's FLOPs are these macs. Edges on no path count too.

        Raises ValueError as `check` does.
        """
        self.check(classes, resolution)
        convs_3x3, convs_1x1 = arch.count("nor_conv_3x3"), arch.count("nor_conv_1x1")
        head = 65 * classes
        params = 72_656 + head + 243_040 * convs_3x3 + 28_000 * convs_1x1
        macs = 7_782_400 + 35_389_440 * convs_3x3 + 3_932_160 * convs_1x1
        layers = 8 + 3 * CELLS_PER_STAGE * (convs_3x3 + convs_1x1)
        return Size(params, macs * resolution**2 // 32**2 + head, layers)

    def build(self, archs: Sequence[str], classes: int, resolution: int) -> Stack:
        """The networks of some cells as one stack. Raises ValueError as `check` does."""
        self.check(classes, resolution)
        return CellStack([parse_cell(arch) for arch in archs], classes, resolution)


@cache
def _cells() -> tuple[str, ...]:
    """All official strings by official index: the list in lexical order of OPERATIONS, shuffled once."""
    cells = [print_cell(cell) for cell in product(OPERATIONS, repeat=len(EDGES))]
    python_random.Random(SHUFFLE_SEED).shuffle(cells)
    return tuple(cells)


@cache
def _indices() -> dict[str, int]:
    return {cell: index for index, cell in enumerate(_cells())}


def _in_order(text: str) -> str:
    """A cell's string with the edges of each node by their source."""
    nodes = [sorted(node.strip("|").split("|"), key=lambda edge: edge.rpartition("~")[2]) for node in text.split("+")]
    return "+".join(f"|{'|'.join(node)}|" for node in nodes)


def _term(operation: str, source: str) -> str:
    """One term of a sum. The spelling matters: sums are sorted as text, and the count 6,466 depends on that order."""
    if operation == "none" or source == "#":
        return "#"
    return source if operation == "skip_connect" else f"({source})@{operation}"


def _six_numbers(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\(\s*[0-4]\s*(,\s*[0-4]\s*){5},?\s*\)", text):
        raise ValueError(f"{text[:80]!r} is no NAS-Bench-201 six-tuple: six numbers from 0 to 4")
    return tuple(int(digit) for digit in re.findall("[0-4]", text))
