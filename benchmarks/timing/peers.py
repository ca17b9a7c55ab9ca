"""The eight classic measures one by one, each on a fresh plain network, as the field's code has them. Not for scoring.

The yardstick of benchmarks/speed.py for shared passes: same definitions, hooks and passes of their own each time.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

Measure = Callable[[nn.Module, Tensor, Tensor], float]


def _weights(network: nn.Module) -> list[Tensor]:
    return [module.weight for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def _backward(network: nn.Module, images: Tensor, labels: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Weights and their loss gradients."""
    cross_entropy(network(images), labels).backward()
    return [(w, torch.zeros_like(w) if w.grad is None else w.grad) for w in _weights(network)]


def grad_norm(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Forward and backward."""
    return sum(float(g.norm()) for _, g in _backward(network, images, labels))


def snip(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Forward and backward."""
    return sum((w * g).abs().sum().item() for w, g in _backward(network, images, labels))


def plain(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Forward and backward."""
    return sum((w * g).sum().item() for w, g in _backward(network, images, labels))


def grasp(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Two forward passes, a backward pass, and one that is differentiated again."""
    weights = _weights(network)
    first = torch.autograd.grad(cross_entropy(network(images), labels), weights, materialize_grads=True)
    loss = cross_entropy(network(images), labels)
    again = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
    torch.stack([(a * b).sum() for a, b in zip(first, again, strict=True)]).sum().backward()
    return -sum((w * w.grad).sum().item() for w in weights if w.grad is not None)


def fisher(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Forward and backward, with hooks on every layer's output."""
    outputs: list[Tensor] = []
    sizes: list[int] = []

    def keep(module: nn.Module, _: object, output: Tensor) -> Tensor:
        outputs.append(output)
        sizes.append(next(module.parameters())[0].numel())
        return output.clone()

    hooks = [m.register_forward_hook(keep) for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    loss = cross_entropy(network(images), labels)
    gradients = torch.autograd.grad(loss, outputs, materialize_grads=True)
    for hook in hooks:
        hook.remove()
    score = 0.0
    for size, output, gradient in zip(sizes, outputs, gradients, strict=True):
        product = (output * gradient).flatten(1).unflatten(1, (output.shape[1], -1)).sum(2)
        score += (product.square().mean(0).sum() / 2).item() * size
    return score


def jacob_cov(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Forward, and backward to the images."""
    images = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(images).sum(), images, materialize_grads=True)
    values = torch.linalg.eigvalsh(torch.corrcoef(gradient.flatten(1)).nan_to_num()).clamp_min(0) + 1e-5
    return -float((values.log() + 1 / values).sum())


def naswot(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Forward, with hooks on every ReLU."""
    kernel = torch.zeros(len(images), len(images), device=images.device)

    def agree(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        codes = (inputs[0].flatten(1) > 0).float()
        kernel.add_(codes @ codes.T + (1 - codes) @ (1 - codes).T)

    hooks = [module.register_forward_pre_hook(agree) for module in network.modules() if isinstance(module, nn.ReLU)]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    return float(torch.linalg.slogdet(kernel)[1])


def synflow(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Forward and backward of one image, float64, without normalisation."""
    network = network.double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            setattr(module, "forward", lambda x: x)  # noqa: B010, a method of one instance
    with torch.no_grad():
        for value in network.parameters():
            value.abs_()
    network(torch.ones_like(images[:1]).double()).sum().backward()
    return sum((w * w.grad).sum().item() for w in _weights(network) if w.grad is not None)


CLASSIC: tuple[Measure, ...] = (grad_norm, snip, grasp, fisher, jacob_cov, plain, synflow, naswot)
