"""The cell of NAS-Bench-201: its operations and edges, its official string, and which edges its output depends on.

A cell has four nodes and an operation on each of the six edges i -> j, i < j; node j sums what arrives.
"""

from __future__ import annotations

from functools import cache

Cell = tuple[str, ...]  # the operations of the six edges, in the order of EDGES

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # the order of the official string
KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}

CELLS_PER_STAGE = 5
CHANNELS = (16, 32, 64)  # of the three stages


@cache
def parse_cell(arch: str) -> Cell:
    """The six operations of an official string that is known to be one."""
    return tuple(part.split("~")[0] for part in arch.replace("+", "").split("|") if part)


@cache
def print_cell(cell: Cell) -> str:
    """The official string of six operations."""
    terms = [f"{operation}~{source}" for operation, (source, _) in zip(cell, EDGES, strict=True)]
    return f"|{terms[0]}|+|{terms[1]}|{terms[2]}|+|{terms[3]}|{terms[4]}|{terms[5]}|"


def live_edges(cell: Cell) -> set[tuple[int, int]]:
    """The edges on some path from input to output: the only ones that the cell's output depends on."""
    reached = reached_edges(cell)
    reaching = {3}
    for _ in range(3):
        reaching |= {source for source, target in reached if target in reaching}
    return {edge for edge in reached if edge[1] in reaching}


def reached_edges(cell: Cell) -> set[tuple[int, int]]:
    """The edges that something other than zero arrives at, whether or not they lead to the output."""
    passable = [edge for edge, operation in zip(EDGES, cell, strict=True) if operation != "none"]
    reached = {0}
    for _ in range(3):
        reached |= {target for source, target in passable if source in reached}
    return {edge for edge in passable if edge[0] in reached}
