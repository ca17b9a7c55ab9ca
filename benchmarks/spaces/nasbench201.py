"""NAS-Bench-201 (Dong & Yang, ICLR 2020), the topology space of NATS-Bench: 15,625 cells, and networks made of them.

A cell has four nodes and an operation on each of the six edges i -> j, i < j; node j sums what arrives. Its code is the
official string, its index the official one. No accuracies here: see benchmarks/truth/tables.py.
"""

from __future__ import annotations

import random as python_random
import re
from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.spaces.space import Size, Space
from benchmarks.spaces.stack import Pass, Rows, Stack, Sum, take
from proxies.probing.network import Layer

Cell = tuple[str, ...]  # the operations of the six edges, in the order of EDGES

OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # the order of the official string
KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}

TUPLE_CODES = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")  # NASLib's, analog-nasbench's
TUPLE_EDGES = tuple(sorted(EDGES))  # 01 02 03 12 13 23

CELLS_PER_STAGE = 5
CHANNELS = (16, 32, 64)
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
        """The official string of a string, an index or a six-tuple such as (4,3,3,3,2,3)."""
        text = text.strip()
        if text.isascii() and text.isdecimal():
            return self.arch(int(text) if len(text) < 10 else len(self))
        if text.startswith("(") and text.endswith(")"):
            return self.from_tuple(_six_numbers(text))
        if text in _indices():
            return text
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

    def to_tuple(self, arch: str) -> tuple[int, ...]:
        """NASLib's six-tuple of an official string."""
        chosen = dict(zip(EDGES, parse_cell(arch), strict=True))
        return tuple(TUPLE_CODES.index(chosen[edge]) for edge in TUPLE_EDGES)

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

    def connected(self, arch: str) -> bool:
        """Whether a path without `none` leads from input to output; 341 cells have none."""
        return bool(live_edges(parse_cell(arch)))

    def count(self, arch: str, classes: int, resolution: int) -> Size:
        """In closed form; the API's FLOPs are these macs. Edges on no path count too."""
        cell = parse_cell(arch)
        convs_3x3, convs_1x1 = cell.count("nor_conv_3x3"), cell.count("nor_conv_1x1")
        head = 65 * classes
        params = 72_656 + head + 243_040 * convs_3x3 + 28_000 * convs_1x1
        macs = 7_782_400 + 35_389_440 * convs_3x3 + 3_932_160 * convs_1x1
        layers = 8 + 3 * CELLS_PER_STAGE * (convs_3x3 + convs_1x1)
        return Size(params, macs * resolution**2 // 32**2 + head, layers)

    def build(self, archs: Sequence[str], classes: int, resolution: int) -> Stack:
        """The networks of some cells as one stack."""
        return CellStack([parse_cell(arch) for arch in archs], classes, resolution)


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


@cache
def _cells() -> tuple[str, ...]:
    """All official strings by official index: the list in lexical order of OPERATIONS, shuffled once."""
    cells = [print_cell(cell) for cell in product(OPERATIONS, repeat=len(EDGES))]
    python_random.Random(SHUFFLE_SEED).shuffle(cells)
    return tuple(cells)


@cache
def _indices() -> dict[str, int]:
    return {cell: index for index, cell in enumerate(_cells())}


def _term(operation: str, source: str) -> str:
    """One term of a sum. The spelling matters: sums are sorted as text, and the count 6,466 depends on that order."""
    if operation == "none" or source == "#":
        return "#"
    return source if operation == "skip_connect" else f"({source})@{operation}"


def _six_numbers(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\(\s*[0-4]\s*(,\s*[0-4]\s*){5},?\s*\)", text):
        raise ValueError(f"{text[:80]!r} is no NAS-Bench-201 six-tuple: six numbers from 0 to 4")
    return tuple(int(digit) for digit in re.findall("[0-4]", text))


ConvNorm = tuple[Layer, Layer]


class CellStack(Stack):
    """Networks of A different cells: stem, three stages of five cells, two residual blocks of stride 2 between them."""

    def __init__(self, cells: Sequence[Cell], classes: int, resolution: int) -> None:
        super().__init__(len(cells), classes, resolution)
        self._members = [_by_operation(cells, position) for position in range(len(EDGES))]
        self._needed = _steps(self._members, [live_edges(cell) for cell in cells])
        self._reached = _steps(self._members, [reached_edges(cell) for cell in cells])
        self._zero = _steps(self._members, [set(EDGES) - reached_edges(cell) for cell in cells])
        self._stem = self._conv_norm("stem", (3, CHANNELS[0]), 3, resolution)
        self._stages: list[list[dict[tuple[int, str], ConvNorm]]] = []
        self._reductions: list[tuple[ConvNorm, ConvNorm, Layer]] = []
        for number, channels in enumerate(CHANNELS, 1):
            size = resolution // 2 ** (number - 1)
            if number > 1:
                self._reductions.append(self._reduction(f"stage{number}.reduction", channels, size))
            roles = [f"stage{number}.cell{cell}" for cell in range(CELLS_PER_STAGE)]
            self._stages.append([self._cell_layers(role, channels, size) for role in roles])
        self._last = self.norm("last.norm", CHANNELS[-1], size)
        self.linear("classifier", CHANNELS[-1])

    def _conv_norm(self, role: str, channels: tuple[int, int], kernel: int, size: int, stride: int = 1) -> ConvNorm:
        conv = self.conv(role, channels, kernel, size, stride=stride)
        return conv, self.norm(f"{role}.norm", channels[1], size)

    def _reduction(self, role: str, c: int, size: int) -> tuple[ConvNorm, ConvNorm, Layer]:
        first = self._conv_norm(f"{role}.conv_a", (c // 2, c), 3, size, stride=2)
        second = self._conv_norm(f"{role}.conv_b", (c, c), 3, size)
        return first, second, self.conv(f"{role}.shortcut", (c // 2, c), 1, size)

    def _cell_layers(self, role: str, c: int, size: int) -> dict[tuple[int, str], ConvNorm]:
        """The convolutions of one cell by (position of the edge, operation), dead edges included."""
        layers = {}
        for position, (source, target) in enumerate(EDGES):
            for operation, kernel in KERNELS.items():
                if members := self._members[position].get(operation):
                    name = f"{role}.edge{source}{target}"
                    conv = self.conv(name, (c, c), kernel, size, members=members, operation=operation)
                    layers[position, operation] = (conv, self.norm(f"{name}.norm", c, size, members=members))
        return layers

    def state_key(self, role: str) -> str:
        """The name in the authors' TinyNetwork: stem.0, cells.3.layers.5.op.1, cells.5.downsample.1, lastact.0."""
        names = {"stem": "stem.0", "stem.norm": "stem.1", "last.norm": "lastact.0", "classifier": "classifier"}
        if role in names:
            return names[role]
        stage, place, *part = role.split(".")
        before = (int(stage.removeprefix("stage")) - 1) * (CELLS_PER_STAGE + 1)
        slot = ".op.2" if part[-1] == "norm" else ".op.1"
        if place == "reduction":
            return f"cells.{before - 1}." + ("downsample.1" if part[0] == "shortcut" else part[0] + slot)
        ends = part[0].removeprefix("edge")
        edge = EDGES.index((int(ends[0]), int(ends[1])))
        return f"cells.{before + int(place.removeprefix('cell'))}.layers.{edge}{slot}"

    def body(self, images: Tensor, run: Pass) -> Tensor:
        """images [N, 3, H, W] -> features [N, A*64, H/4, W/4]."""
        everyone = self.everyone
        x = run.block(run.norm(run.conv(images, self._stem[0]), self._stem[1]), everyone)
        for stage, cells in enumerate(self._stages):
            if stage > 0:
                x = run.block(self._reduce(x, run, *self._reductions[stage - 1]), everyone, x)
            for layers in cells:
                x = run.block(self._cell(x, run, layers), everyone, x)
            run.stage(x, everyone)
        return run.relu(run.norm(x, self._last), everyone)

    def _reduce(self, x: Tensor, run: Pass, a: ConvNorm, b: ConvNorm, shortcut: Layer) -> Tensor:
        """The residual block between two stages: half the size, twice the channels, no norm on the shortcut."""
        inner = run.norm(run.conv(run.relu(x, self.everyone), a[0]), a[1])
        inner = run.norm(run.conv(run.relu(inner, self.everyone), b[0]), b[1])
        return run.conv(F.avg_pool2d(x, 2), shortcut) + inner

    def _cell(self, x: Tensor, run: Pass, layers: dict[tuple[int, str], ConvNorm]) -> Tensor:
        """One cell of every candidate: loops over edges and operations, never over candidates."""
        sums = [Sum(self.candidates) for _ in range(4)]
        sums[0].add(x, self.everyone)
        steps = self._needed if run.taps is None else self._reached
        zeros = run.on_zeros()
        for source in (0, 1, 2):
            before = sums[source].value
            if before is not None:
                self._from_node(before, run, layers, steps[source], sums)
            if zeros is not None:
                self._from_node(
                    torch.zeros_like(x) if before is None else before, zeros, layers, self._zero[source], sums
                )
        last = sums[3].value
        if last is None:  # on a graph of its own, so that what comes after can be differentiated by it
            return torch.zeros_like(x, requires_grad=torch.is_grad_enabled())
        return last

    def _from_node(
        self, before: Tensor, run: Pass, layers: dict[tuple[int, str], ConvNorm], steps: Sequence[Step], sums: list[Sum]
    ) -> None:
        """Run the operations that start at a node, and add what they give to the nodes they lead to."""
        rectified = _rectified(before, run, steps, self.everyone)
        for step in steps:
            if step.operation in KERNELS:
                conv, norm = layers[step.position, step.operation]
                arriving = take(rectified, step.members, self.candidates)
                after = run.norm(run.conv(arriving, conv, step.rows), norm, step.rows)
            else:
                operate = run.avg_pool if step.operation == "avg_pool_3x3" else run.skip
                after = operate(take(before, step.members, self.candidates), step.members)
            sums[EDGES[step.position][1]].add(after, step.members)


class Step(NamedTuple):
    """One operation on one edge, for those that run it; `rows` among the members of its layer, None for all."""

    position: int
    operation: str
    members: tuple[int, ...]
    rows: Rows


def _rectified(before: Tensor, run: Pass, steps: Sequence[Step], everyone: tuple[int, ...]) -> Tensor:
    """ReLU of a node, once for all the convolutions on its edges: each of them starts with this ReLU."""
    convolutions = [step.members for step in steps if step.operation in KERNELS]
    if not convolutions:
        return before
    return run.relu(before, everyone, tuple(sum(i in members for members in convolutions) for i in everyone))


def _by_operation(cells: Sequence[Cell], position: int) -> dict[str, tuple[int, ...]]:
    """The members of each operation on one edge."""
    found = {op: tuple(i for i, cell in enumerate(cells) if cell[position] == op) for op in OPERATIONS}
    return {operation: members for operation, members in found.items() if members}


def _steps(members: Sequence[dict[str, tuple[int, ...]]], edges: Sequence[set[tuple[int, int]]]) -> list[list[Step]]:
    """By source node, what to run when each candidate runs the edges given for it."""
    steps: list[list[Step]] = [[], [], []]
    for position, edge in enumerate(EDGES):
        for operation, who in members[position].items():
            rows = tuple(row for row, member in enumerate(who) if edge in edges[member])
            if operation != "none" and rows:
                running = tuple(who[row] for row in rows)
                steps[edge[0]].append(Step(position, operation, running, None if running == who else rows))
    return steps
