"""The plain networks: one ordinary nn.Module a candidate, as every peer runs them. Not for scoring.

They are the yardstick: tests hold the stacked networks against them, and benchmarks/speed.py measures them in turn.
Parameters carry the names of the networks' usual implementations, so a trained state dict loads as it is.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.spaces.cells import CELLS_PER_STAGE, CHANNELS, EDGES, KERNELS, Cell
from benchmarks.spaces.resnet import CIFAR, Depths, Plan, Stage
from benchmarks.spaces.stack import Stack
from proxies.probing.network import Weights


class ReLUConvNorm(nn.Module):
    """ReLU, convolution, batch normalisation."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
        self.op = nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] -> [N, C_out, H', W']."""
        out: Tensor = self.op(x)
        return out


class Zero(nn.Module):
    """The operation `none`."""

    def forward(self, x: Tensor) -> Tensor:
        """Zeros of the same shape."""
        return x * 0.0


def _operation(name: str, channels: int) -> nn.Module:
    if name in KERNELS:
        return ReLUConvNorm(channels, channels, KERNELS[name])
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return Zero() if name == "none" else nn.Identity()


class PlainCell(nn.Module):
    """One cell: the six operations in the order of the official string."""

    def __init__(self, cell: Cell, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_operation(name, channels) for name in cell)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        nodes = [x]
        for node in (1, 2, 3):
            arriving = [
                layer(nodes[source])
                for layer, (source, target) in zip(self.layers, EDGES, strict=True)
                if target == node
            ]
            nodes.append(sum(arriving[1:], arriving[0]))
        return nodes[3]


class Reduction(nn.Module):
    """The residual block of stride 2."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv_a = ReLUConvNorm(c_in, c_out, 3, 2)
        self.conv_b = ReLUConvNorm(c_out, c_out, 3)
        self.downsample = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(c_in, c_out, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> [N, 2C, H/2, W/2]."""
        out: Tensor = self.downsample(x) + self.conv_b(self.conv_a(x))
        return out


class PlainCellNetwork(nn.Module):
    """The NAS-Bench-201 network of one cell."""

    def __init__(self, cell: Cell, classes: int) -> None:
        super().__init__()
        stem = CHANNELS[0]
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem))
        cells: list[nn.Module] = []
        for stage, channels in enumerate(CHANNELS):
            if stage > 0:
                cells.append(Reduction(CHANNELS[stage - 1], channels))
            cells += [PlainCell(cell, channels) for _ in range(CELLS_PER_STAGE)]
        self.cells = nn.ModuleList(cells)
        self.lastact = nn.Sequential(nn.BatchNorm2d(CHANNELS[-1]), nn.ReLU(inplace=True))
        self.classifier = nn.Linear(CHANNELS[-1], classes)

    def features(self, images: Tensor) -> Tensor:
        """images [N, 3, H, W] -> [N, 64, H/4, W/4]."""
        x = self.stem(images)
        for cell in self.cells:
            x = cell(x)
        out: Tensor = self.lastact(x)
        return out

    def forward(self, images: Tensor) -> Tensor:
        """images [N, 3, H, W] -> logits [N, K]."""
        logits: Tensor = self.classifier(self.features(images).mean((-2, -1)))
        return logits


class PlainBlock(nn.Module):
    """A basic or a bottleneck block."""

    def __init__(self, c_in: int, stage: Stage, stride: int) -> None:
        super().__init__()
        out, middle, kernel = stage.out, stage.middle or stage.out, stage.kernel
        basic = stage.kind == "basic"
        first = (kernel, stride) if basic else (1, 1)
        self.conv1 = nn.Conv2d(c_in, middle, *first, first[0] // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(middle)
        second = (out, kernel, 1) if basic else (middle, kernel, stride)
        self.conv2 = nn.Conv2d(middle, *second, kernel // 2, bias=False)
        self.bn2 = nn.BatchNorm2d(second[0])
        if not basic:
            self.conv3 = nn.Conv2d(middle, out, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(out)
        self.basic = basic
        self.downsample: nn.Module | None = None
        if stride != 1 or c_in != out:
            shortcut = nn.Conv2d(c_in, out, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] -> [N, C_out, H', W']."""
        inner = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if not self.basic:
            inner = self.bn3(self.conv3(inner.relu()))
        out: Tensor = (inner + (x if self.downsample is None else self.downsample(x))).relu()
        return out


class PlainResNet(nn.Module):
    """A residual network of a plan, with n1, n2, ... blocks in its stages."""

    def __init__(self, depths: Depths, classes: int, plan: Plan = CIFAR) -> None:
        super().__init__()
        c, kernel = plan.stem, plan.stem_kernel
        self.conv1 = nn.Conv2d(3, c, kernel, plan.stem_stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(c)
        self.pool = nn.MaxPool2d(3, 2, 1) if plan.pool else None
        self.stages = len(depths)
        for number, (stage, depth) in enumerate(zip(plan.stages, depths, strict=True), 1):
            later = [PlainBlock(stage.out, stage, 1) for _ in range(depth - 1)]
            self.add_module(f"layer{number}", nn.Sequential(PlainBlock(c, stage, stage.stride), *later))
            c = stage.out
        self.last: nn.Module | None = None
        if plan.last:
            self.last = nn.Sequential(nn.Conv2d(c, plan.last, 1, bias=False), nn.BatchNorm2d(plan.last), nn.ReLU())
        self.fc = nn.Linear(plan.last or c, classes)

    def features(self, images: Tensor) -> Tensor:
        """images [N, 3, H, W] -> [N, C, h, w]."""
        x = self.bn1(self.conv1(images)).relu()
        if self.pool is not None:
            x = self.pool(x)
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{number}")(x)
        out: Tensor = x if self.last is None else self.last(x)
        return out

    def forward(self, images: Tensor) -> Tensor:
        """images [N, 3, H, W] -> logits [N, K]."""
        logits: Tensor = self.fc(self.features(images).mean((-2, -1)))
        return logits


def plain_state(stack: Stack, weights: Weights, member: int) -> dict[str, Tensor]:
    """One candidate's weights out of a stack, named as the plain network names them."""
    state = {
        f"{stack.state_key(layer.role)}.weight": kernel[layer.members.index(member)]
        for layer, kernel in weights.kernels.items()
        if member in layer.members
    }
    state[f"{stack.state_key(stack.head.role)}.bias"] = weights.bias[member]
    return state


def with_weights(network: nn.Module, state: dict[str, Tensor], dtype: torch.dtype) -> nn.Module:
    """The network with copies of these weights in its convolutions and its head; the rest stays as built.

    Raises ValueError where the weights don't cover exactly its convolutions and its head.
    """
    network = network.to(dtype)
    own = {name for name, value in network.named_parameters() if value.ndim > 1 or not _of_norm(network, name)}
    if own != state.keys():
        raise ValueError(f"weights differ from the network's: {sorted(own ^ state.keys())[:3]}")
    network.load_state_dict({name: value.to(dtype) for name, value in state.items()}, strict=False)
    return network


def _of_norm(network: nn.Module, name: str) -> bool:
    return isinstance(network.get_submodule(name.rpartition(".")[0]), nn.BatchNorm2d)
