"""The slow twin of every proxy: one ordinary nn.Module, loops, float64, written from the definitions.

A twin takes a Case and returns a float. tests/test_contract.py compares it with the stacked form and fails when a
registered proxy has none, or a twin no proxy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.plain import PlainCellNetwork, PlainResNet


@dataclass
class Case:
    """A student and a teacher as plain float64 networks in training mode, on one batch."""

    student: PlainCellNetwork | PlainResNet
    teacher: PlainCellNetwork | PlainResNet
    images: Tensor
    labels: Tensor


def head(network: nn.Module) -> nn.Linear:
    """The linear classifier."""
    return next(module for module in network.modules() if isinstance(module, nn.Linear))


def weighted(network: nn.Module) -> list[nn.Module]:
    """Convolutions and linear layers."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def features_of(case: Case) -> tuple[Tensor, Tensor]:
    """Last feature maps of student and teacher."""
    with torch.no_grad():
        return case.student.features(case.images), case.teacher.features(case.images)


def unit(matrix: Tensor) -> Tensor:
    """Divided by its Frobenius norm, zero left zero."""
    norm = matrix.square().sum().sqrt()
    return matrix / norm if norm > 0 else matrix


def class_maps(features: Tensor, weight: Tensor) -> Tensor:
    """Class activation maps of one image [C, H, W] -> [K, H*W], by loops."""
    maps = []
    for row in weight:
        total = torch.zeros(features.shape[1:], dtype=features.dtype)
        for channel, value in zip(features, row, strict=True):
            total = total + value * channel
        maps.append(total.flatten())
    return torch.stack(maps)


def diswot_semantic(case: Case) -> float:
    student, teacher = features_of(case)
    weights = head(case.student).weight.detach(), head(case.teacher).weight.detach()
    distances = []
    for image in range(len(case.images)):
        own = class_maps(student[image], weights[0])
        other = class_maps(teacher[image], weights[1])
        distances.append((unit(other @ other.T) - unit(own @ own.T)).square().sum().sqrt().item())
    return -sum(distances) / len(distances)


def sample_grams(case: Case) -> tuple[Tensor, Tensor]:
    """Inner products of the images' flattened features, student and teacher."""
    return tuple(torch.stack([torch.stack([(a * b).sum() for b in maps]) for a in maps]) for maps in features_of(case))


def diswot_relation(case: Case) -> float:
    student, teacher = sample_grams(case)
    return -(unit(teacher) - unit(student)).square().sum().sqrt().item()


def diswot(case: Case) -> float:
    return diswot_semantic(case) + diswot_relation(case)


def unit_rows(matrix: Tensor) -> Tensor:
    """Each row divided by its norm, zero rows left zero."""
    return torch.stack([row / row.norm() if row.norm() > 0 else row for row in matrix])


def head_gradient(network: nn.Module, case: Case) -> Tensor:
    """dCE/dW of the classifier by autograd."""
    loss = cross_entropy(network(case.images), case.labels)
    return torch.autograd.grad(loss, head(network).weight)[0]


def diswot_fcgrad_semantic(case: Case) -> float:
    student, teacher = head_gradient(case.student, case), head_gradient(case.teacher, case)
    total = 0.0
    for own, other in zip(student, teacher, strict=True):
        difference = unit_rows(torch.outer(own, own)) - unit_rows(torch.outer(other, other))
        total += difference.square().sum().item()
    return -total / student.numel()


def diswot_gram_relation(case: Case) -> float:
    student, teacher = sample_grams(case)
    return -(unit_rows(student) - unit_rows(teacher)).square().sum().item() / len(case.images) ** 2


def diswot_released(case: Case) -> float:
    return diswot_fcgrad_semantic(case) + diswot_gram_relation(case)


def grad_norm(case: Case) -> float:
    case.student.zero_grad()
    cross_entropy(case.student(case.images), case.labels).backward()
    return sum(math.sqrt(module.weight.grad.square().sum().item()) for module in weighted(case.student))


def synflow(case: Case) -> float:
    network = case.student
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.forward = lambda x: x
    with torch.no_grad():
        for value in network.parameters():
            value.abs_()
    network.zero_grad()
    network(torch.ones_like(case.images[:1])).sum().backward()
    score = sum((module.weight * module.weight.grad).abs().sum().item() for module in weighted(network))
    for norm in norms:
        del norm.forward
    network.load_state_dict(kept)
    return score


def params(case: Case) -> float:
    return float(sum(value.numel() for value in case.student.parameters()))


def macs(case: Case) -> float:
    counted = []

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        if isinstance(module, nn.Conv2d):
            taps = module.in_channels * module.kernel_size[0] * module.kernel_size[1]
            counted.append(output[0].numel() * taps)
        elif isinstance(module, nn.Linear):
            counted.append(module.weight.numel() + module.bias.numel())

    hooks = [module.register_forward_hook(count) for module in case.student.modules()]
    case.student(case.images[:2])
    for hook in hooks:
        hook.remove()
    return float(sum(counted))


TWINS: dict[str, Callable[[Case], float]] = {
    twin.__name__: twin
    for twin in (
        diswot,
        diswot_semantic,
        diswot_relation,
        diswot_fcgrad_semantic,
        diswot_gram_relation,
        diswot_released,
        grad_norm,
        synflow,
        params,
        macs,
    )
}
