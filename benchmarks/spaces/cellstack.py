"""The networks of NAS-Bench-201: cells of one kind each, stacked. Which cells there are: nasbench201.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.spaces.cells import (
    CELLS_PER_STAGE,
    CHANNELS,
    EDGES,
    KERNELS,
    OPERATIONS,
    Cell,
    live_edges,
    reached_edges,
)
from benchmarks.spaces.stack import Pass, Rows, Stack, Sum, take
from proxies.probing.network import Layer

ConvNorm = tuple[Layer, Layer]


class CellStack(Stack):
    """Networks of A different cells: stem, three stages of five cells, two residual blocks of stride 2 between them."""

    def __init__(self, cells: Sequence[Cell], classes: int, resolution: int) -> None:
        super().__init__(len(cells), classes, resolution)
        self.cells = list(cells)
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
                nothing = torch.zeros_like(x) if before is None else before
                self._from_node(nothing, zeros, layers, self._zero[source], sums)
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
