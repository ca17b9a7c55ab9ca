"""The slow twin of every proxy: one ordinary nn.Module, loops, float64, written from the definitions.

A twin takes a Case and returns a float. tests/test_contract.py compares it with the stacked form and fails when a
registered proxy has none, or a twin no proxy.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.timing.plain import PlainCellNetwork, PlainResNet


@dataclass
class Case:
    """A student and a teacher as plain float64 networks in training mode, on one batch."""

    student: PlainCellNetwork | PlainResNet
    teacher: PlainCellNetwork | PlainResNet
    images: Tensor
    labels: Tensor
    arch: str
    noise: Callable[[str, tuple[int, ...]], Tensor]


def head(network: nn.Module) -> nn.Linear:
    """The linear classifier, which is the last layer."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


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


def diswot_released_first_image(case: Case) -> float:
    own, other = (pooled[0] for pooled in pooled_of(case))
    difference = unit_rows(torch.outer(own, own)) - unit_rows(torch.outer(other, other))
    return diswot_fcgrad_semantic(case) - difference.square().sum().item() / len(own) ** 2


def grad_norm(case: Case) -> float:
    case.student.zero_grad()
    cross_entropy(case.student(case.images), case.labels).backward()
    return sum(math.sqrt(module.weight.grad.square().sum().item()) for module in weighted(case.student))


def flow(case: Case, measure: Callable[[Tensor, Tensor], Tensor]) -> float:
    """Sum over layers of a measure of |w| and dR/d|w|."""
    return sum(measure(weight, gradient).sum().item() for _, weight, gradient in flowing(case))


def flowing(case: Case) -> list[tuple[str, Tensor, Tensor]]:
    """Each layer's name, |w| and dR/d|w|, on an image of ones, without batch normalisation."""
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
    found = [
        (name, module.weight.detach().clone(), module.weight.grad.clone())
        for name, module in network.named_modules()
        if module in weighted(network)
    ]
    for norm in norms:
        del norm.forward
    network.load_state_dict(kept)
    return found


def synflow(case: Case) -> float:
    return flow(case, lambda weight, gradient: (weight * gradient).abs())


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


def loss_gradients(case: Case, images: Tensor, labels: Tensor) -> list[Tensor]:
    """dL/dW of convolutions and head on some images."""
    weights = [module.weight for module in weighted(case.student)]
    return list(torch.autograd.grad(cross_entropy(case.student(images), labels), weights, materialize_grads=True))


def l2_norm(case: Case) -> float:
    return sum(module.weight.detach().norm().item() for module in weighted(case.student))


def conv_edges(case: Case) -> float:
    return float(sum(isinstance(module, nn.Conv2d) for module in case.student.modules()))


def snip(case: Case) -> float:
    pairs = zip(weighted(case.student), loss_gradients(case, case.images, case.labels), strict=True)
    return sum((module.weight * gradient).abs().sum().item() for module, gradient in pairs)


def plain(case: Case) -> float:
    pairs = zip(weighted(case.student), loss_gradients(case, case.images, case.labels), strict=True)
    return sum((module.weight * gradient).sum().item() for module, gradient in pairs)


def grasp(case: Case) -> float:
    """-w' H g by a central difference of the gradient along itself: no second backward pass."""
    weights = [module.weight for module in weighted(case.student)]
    gradient = loss_gradients(case, case.images, case.labels)
    size = math.sqrt(sum(g.square().sum().item() for g in gradient))
    if size == 0:
        return 0.0
    step = 1e-6 / size
    found = []
    for sign in (1, -2):  # +step, then from there to -step
        with torch.no_grad():
            for weight, g in zip(weights, gradient, strict=True):
                weight += sign * step * g
        found.append(loss_gradients(case, case.images, case.labels))
    with torch.no_grad():
        for weight, g in zip(weights, gradient, strict=True):
            weight += step * g
    return -sum(
        (weight * (after - before)).sum().item() / (2 * step)
        for weight, after, before in zip(weights, *found, strict=True)
    )


def fisher(case: Case) -> float:
    outputs: list[tuple[nn.Module, Tensor]] = []

    def keep(module: nn.Module, _: object, output: Tensor) -> Tensor:
        outputs.append((module, output))
        return output.clone()

    hooks = [module.register_forward_hook(keep) for module in weighted(case.student)]
    loss = cross_entropy(case.student(case.images), case.labels)
    gradients = torch.autograd.grad(loss, [output for _, output in outputs], materialize_grads=True)
    for hook in hooks:
        hook.remove()
    score = 0.0
    for (module, output), gradient in zip(outputs, gradients, strict=True):
        product = (output * gradient).flatten(2).sum(2) if output.ndim == 4 else output * gradient
        for channel in range(product.shape[1]):
            delta = 0.5 * product[:, channel].square().mean().item()
            score += delta * module.weight[channel].numel()
    return score


def fisher_biased(case: Case) -> float:
    """fisher of the network that really has the biases, those of its cells; they are float32, so that means are exact.

    What normalisation makes of a constant is then exactly 0, where float64 biases leave some 1e-16, and the ReLU behind
    it would pass gradients by chance.
    """
    biased = []
    for number, cell in enumerate(case.student.cells):
        stage, place = divmod(number, 6)
        for layer, (operation, source, target) in zip(getattr(cell, "layers", []), edges(case.arch), strict=False):
            for conv in layer.modules():
                if isinstance(conv, nn.Conv2d):
                    name = f"bias stage{stage + 1}.cell{place}.edge{source}{target} {operation}"
                    normal = case.noise(name, (conv.out_channels,)).double()
                    bound = 1 / math.sqrt(conv.weight[0].numel())
                    uniform = torch.special.ndtr(normal) * 2 - 1
                    conv.bias = nn.Parameter((uniform * bound).float().double())
                    biased.append(conv)
    score = fisher(case)
    for conv in biased:
        conv.bias = None
    return score


def logsynflow(case: Case) -> float:
    return flow(case, lambda weight, gradient: weight * torch.log(1 + gradient.abs()))


def gradsign(case: Case) -> float:
    total = [torch.zeros_like(module.weight) for module in weighted(case.student)]
    for n in range(len(case.images)):
        for sums, gradient in zip(total, loss_gradients(case, case.images[[n]], case.labels[[n]]), strict=True):
            sums += gradient.sign()
    return sum(sums.abs().sum().item() for sums in total)


def zico(case: Case) -> float:
    half = len(case.images) // 2
    batches = [loss_gradients(case, case.images[part], case.labels[part]) for part in (slice(half), slice(half, None))]
    score = 0.0
    for pair in zip(*batches, strict=True):
        values = torch.stack(pair)
        deviation = values.std(0, correction=0)
        varying = deviation > 0
        total = (values.abs().mean(0)[varying] / deviation[varying]).sum().item()
        score += math.log(total) if total > 0 else 0.0
    return score


def per_image(case: Case, pick: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Rows of gradients by all weights of a scalar of each image's logits."""
    weights = [module.weight for module in weighted(case.student)]
    rows = []
    for n in range(len(case.images)):
        gradients = torch.autograd.grad(pick(case.student(case.images)[n], n), weights, materialize_grads=True)
        rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
    return torch.stack(rows)


def ntk_trace(case: Case) -> float:
    rows = per_image(case, lambda logits, n: logits[case.labels[n]])
    return math.sqrt(sum(row.square().sum().item() for row in rows) / len(rows))


def ntk_trace_released(case: Case) -> float:
    """Image n's share: the gradient that is left when all other images' activations are cut out of each layer's."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}
    hooks = [
        module.register_forward_hook(lambda m, x, y: seen.update({m: (x[0].detach(), y)}) or y.clone())
        for module in weighted(case.student)
    ]
    logits = case.student(case.images)
    for hook in hooks:
        hook.remove()
    total = sum(logits[n, label] for n, label in enumerate(case.labels))
    back = torch.autograd.grad(total, [output for _, output in seen.values()], materialize_grads=True)
    score = 0.0
    for (module, (before, _)), gradient in zip(seen.items(), back, strict=True):
        parameters = [module.weight] if module.bias is None else [module.weight, module.bias]
        for n in range(len(before)):
            shares = torch.autograd.grad(module(before[[n]]), parameters, gradient[[n]])
            score += sum(share.square().sum().item() for share in shares)
    return math.sqrt(score / len(case.images))


def ntk_condition(case: Case) -> float:
    rows = per_image(case, lambda logits, n: logits.sum())
    if not rows.any():
        return math.nan
    singular = torch.linalg.svdvals(rows)
    return -((singular[0] / singular[-1]) ** 2).item()


def input_correlation(case: Case) -> np.ndarray:
    """numpy's correlation of the images' input gradients."""
    images = case.images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(case.student(images).sum(), images, materialize_grads=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.corrcoef(gradient.flatten(1).numpy())


def jacob_cov(case: Case) -> float:
    correlation = input_correlation(case)
    if np.isnan(correlation).any():
        return math.nan
    return -sum(math.log(max(v, 0) + 1e-5) + 1 / (max(v, 0) + 1e-5) for v in np.linalg.eigvalsh(correlation))


def epe_nas(case: Case) -> float:
    correlation = input_correlation(case)
    if np.isnan(correlation).any():
        return math.nan
    classes = head(case.student).out_features
    values = []
    for label in sorted(set(case.labels.tolist())):
        own = [n for n in range(len(case.labels)) if case.labels[n] == label]
        total = sum(math.log(abs(correlation[i, j]) + 1e-5) for i in own for j in own)
        if classes <= 100:
            values.append(total)
        elif len(own) > 1:
            values.append(total / len(own))
    if not values:
        return math.nan
    if classes <= 100:
        return sum(abs(value) for value in values)
    return sum(abs(a - b) for a in values for b in values) / len(values)


def edges(arch: str) -> list[tuple[str, int, int]]:
    """Operation, source and target of each edge of a cell."""
    terms = [term.split("~") for term in arch.replace("+", "").split("|") if term]
    return [(operation, int(source), to) for (operation, source), to in zip(terms, (1, 2, 2, 3, 3, 3), strict=True)]


def unreached(case: Case) -> set[nn.Module]:
    """Modules on edges that nothing but zero arrives at."""
    nodes = {0}
    for operation, source, target in edges(case.arch):
        if operation != "none" and source in nodes:
            nodes.add(target)
    out: set[nn.Module] = set()
    for cell in case.student.cells:
        for layer, (_, source, _) in zip(getattr(cell, "layers", []), edges(case.arch), strict=False):
            if source not in nodes:
                out |= set(layer.modules())
    return out


def watched(case: Case, kinds: tuple[type, ...], images: Tensor, *, inputs: bool) -> list[tuple[nn.Module, Tensor]]:
    """Inputs or outputs of all modules of some kinds that anything arrives at, on some images."""
    found: list[tuple[nn.Module, Tensor]] = []
    skipped = unreached(case)
    hooks = []
    for module in case.student.modules():
        if isinstance(module, kinds) and module not in skipped:
            if inputs:
                hook = module.register_forward_pre_hook(lambda m, x: found.append((m, x[0].detach().clone())))
            else:
                hook = module.register_forward_hook(lambda m, x, y: found.append((m, y.detach().clone())))
            hooks.append(hook)
    with torch.no_grad():
        case.student(images)
    for hook in hooks:
        hook.remove()
    return found


def relu_inputs(case: Case, images: Tensor) -> list[Tensor]:
    return [x for _, x in watched(case, (nn.ReLU,), images, inputs=True)]


def naswot(case: Case) -> float:
    n = len(case.images)
    kernel = np.zeros((n, n))
    for x in relu_inputs(case, case.images):
        if x.any():
            codes = (x.flatten(1) > 0).double().numpy()
            kernel += codes @ codes.T + (1 - codes) @ (1 - codes).T
    sign, logarithm = np.linalg.slogdet(kernel)
    return float(logarithm) if sign > 0 else -math.inf


def regions(case: Case) -> float:
    codes = torch.cat([x.flatten(1) > 0 for x in relu_inputs(case, case.images)], 1)
    return float(len({tuple(row) for row in codes.int().tolist()}))


def swap(case: Case) -> float:
    codes = torch.cat([x.flatten(1) > 0 for x in relu_inputs(case, case.images[:16])], 1)
    return float(len({tuple(column) for column in codes.int().T.tolist()}))


def zen_inputs(case: Case) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Change of the features, and what normalisations got, of the network with weights of unit deviation on noise."""
    kept = {name: value.clone() for name, value in case.student.state_dict().items()}
    with torch.no_grad():
        for module in weighted(case.student):
            module.weight /= module.weight.square().mean().sqrt()
    shape = tuple(case.images.shape)
    first = case.noise("zen images", shape).to(case.images)
    second = first + 0.01 * case.noise("zen change", shape).to(case.images)
    norms = [[x for _, x in watched(case, (nn.BatchNorm2d,), images, inputs=True)] for images in (first, second)]
    with torch.no_grad():
        change = case.student.features(first) - case.student.features(second)
    case.student.load_state_dict(kept)
    return change, norms[0], norms[1]


def logarithm(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def zen(case: Case) -> float:
    change, before, _ = zen_inputs(case)
    score = logarithm(sum(one.norm().item() for one in change) / len(change))
    return score + sum(logarithm(math.sqrt(x.var((0, 2, 3), correction=0).mean().item())) for x in before)


def zen_released(case: Case) -> float:
    change, before, after = zen_inputs(case)
    score = logarithm(sum(one.abs().sum().item() for one in change) / len(change))
    for x, y in zip(before, after, strict=True):
        running = torch.ones(x.shape[1], dtype=x.dtype)
        for seen in (x, y):
            running = 0.9 * running + 0.1 * seen.var((0, 2, 3))
        score += math.log(math.sqrt(running.mean().item()))
    return score


def smallest_eigenvalue(channels: Tensor) -> float:
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.corrcoef(channels.numpy())
    return float(np.linalg.eigvalsh(np.nan_to_num(correlation))[0])


def meco_maps(case: Case) -> list[Tensor]:
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.AvgPool2d, nn.Identity)
    found = watched(case, kinds, case.images[:1], inputs=False)
    return [y[0].flatten(1) for module, y in found if getattr(module, "kernel_size", 0) != 2]


def meco(case: Case) -> float:
    return sum(smallest_eigenvalue(channels) for channels in meco_maps(case))


def meco_opt(case: Case) -> float:
    score = 0.0
    for channels in meco_maps(case):
        drawn = case.noise("meco channels", (len(channels),)).argsort()[:8]
        score += smallest_eigenvalue(channels[drawn]) * len(channels) / 8
    return score


def block_outputs(case: Case) -> list[Tensor]:
    with torch.no_grad():
        outputs = [case.student.stem(case.images)]
        for cell in case.student.cells:
            outputs.append(cell(outputs[-1]))
    return outputs


def entropies(case: Case) -> list[float]:
    found = []
    for output in block_outputs(case):
        rows = output.transpose(0, 1).flatten(1)
        covariance = np.cov(rows.numpy(), bias=True)
        values = np.clip(np.linalg.eigvalsh(covariance), 0, None)
        shares = values / values.sum() if values.sum() > 0 else values
        found.append(-float(sum(p * math.log(p + 1e-8) for p in shares)))
    return found


def expressivity(case: Case) -> float:
    return sum(entropies(case))


def progressivity(case: Case) -> float:
    found = entropies(case)
    return min(b - a for a, b in pairwise(found))


def trainability(case: Case) -> float:
    scores = []
    for cell, before in zip(case.student.cells, block_outputs(case), strict=False):
        x = before.clone().requires_grad_()
        y = cell(x)
        signs = case.noise("transport", tuple(y.shape)).sign().to(y)
        back = torch.autograd.grad(y, x, signs, materialize_grads=True)[0]
        if back.shape == signs.shape and torch.equal(back, signs):
            return -math.inf
        n, _, h, w = y.shape
        factor = x.shape[2] // h
        columns = []
        for channel in range(x.shape[1]):
            for i in range(factor):
                columns += [back[:, channel, i::factor, j::factor].flatten() for j in range(factor)]
        product = torch.stack(columns) @ signs.transpose(0, 1).flatten(1).T / (n * h * w)
        s = torch.linalg.matrix_norm(product, 2).item()
        scores.append(2 - s - 1 / (s + 1e-6))
    return sum(scores) / len(scores)


def vkdnw(case: Case) -> float:
    norms = [module for module in case.student.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.forward = lambda x: x
    weights = [module.weight for module in weighted(case.student)]
    total = torch.zeros(len(weights), len(weights), dtype=torch.float64)
    for n in range(len(case.images)):
        logits = case.student(case.images[[n]])[0]
        p = 0.95 * logits.detach().softmax(0) + 0.05 / len(logits)
        rows = []
        for value in logits:
            gradients = torch.autograd.grad(value, weights, retain_graph=True, materialize_grads=True)
            middle = [g[0, 0, g.shape[2] // 2, g.shape[3] // 2] if g.ndim == 4 else g[0, 0] for g in gradients]
            rows.append(torch.stack(middle))
        jacobian = torch.stack(rows)
        total += jacobian.T @ (torch.diag(p) - torch.outer(p, p)) @ jacobian
    for norm in norms:
        del norm.forward
    spectrum = torch.linalg.svdvals(total / len(case.images)).numpy()
    deciles = np.quantile(spectrum, [d / 10 for d in range(1, 10)])
    shares = deciles / deciles.sum() if deciles.sum() > 0 else deciles
    return len(weights) - sum(s * math.log(s) for s in shares if s > 0)


def near(case: Case) -> float:
    score = 0.0
    for x in relu_inputs(case, case.images):
        for value in (x, x.relu()):
            singular = torch.linalg.svdvals(value.transpose(0, 1).flatten(1))
            if singular.sum() > 0:
                shares = singular / singular.sum()
                score += math.exp(-sum(s * math.log(s) for s in shares.tolist() if s > 0))
    return score


def logits_of(case: Case) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return case.student(case.images), case.teacher(case.images)


def pooled_of(case: Case) -> tuple[Tensor, Tensor]:
    student, teacher = features_of(case)
    return student.mean((2, 3)), teacher.mean((2, 3))


def stages_of(case: Case) -> list[tuple[Tensor, Tensor]]:
    """Outputs of the three stages, student and teacher."""
    outputs = block_outputs(case)
    with torch.no_grad():
        x = case.teacher.bn1(case.teacher.conv1(case.images)).relu()
        teacher = []
        for layer in (case.teacher.layer1, case.teacher.layer2, case.teacher.layer3):
            x = layer(x)
            teacher.append(x)
    return list(zip((outputs[5], outputs[11], outputs[17]), teacher, strict=True))


def kd(case: Case) -> float:
    student, teacher = (z / 4 for z in logits_of(case))
    total = 0.0
    for own, other in zip(student, teacher, strict=True):
        p, q = other.softmax(0), own.softmax(0)
        total += sum((a * math.log(a / b)) for a, b in zip(p.tolist(), q.tolist(), strict=True))
    return -16 * total / len(student)


def dkd(case: Case) -> float:
    student, teacher = (z / 4 for z in logits_of(case))
    total = 0.0
    for own, other, label in zip(student, teacher, case.labels.tolist(), strict=True):
        p, q = other.softmax(0).tolist(), own.softmax(0).tolist()
        total += p[label] * math.log(p[label] / q[label])
        total += (1 - p[label]) * math.log((1 - p[label]) / (1 - q[label]))
        for i in set(range(len(p))) - {label}:
            a, b = p[i] / (1 - p[label]), q[i] / (1 - q[label])
            total += 8 * a * math.log(a / b)
    return -16 * total / len(student)


def fitnets(case: Case) -> float:
    return -nn.functional.mse_loss(*pooled_of(case)).item()


def at(case: Case) -> float:
    total = 0.0
    for pair in stages_of(case):
        maps = []
        for features in pair:
            energy = features.square().mean(1).flatten(1)
            maps.append(torch.stack([row / row.norm() if row.norm() > 0 else row for row in energy]))
        total += (maps[0] - maps[1]).square().mean().item()
    return -total


def sp(case: Case) -> float:
    return diswot_gram_relation(case)


def rkd(case: Case) -> float:
    distances, angles = [], []
    for rows in pooled_of(case):
        d = torch.stack([torch.stack([(a - b).norm() for b in rows]) for a in rows])
        distances.append(d / d[d > 0].mean())
        cosines = []
        for j in range(len(rows)):
            unit = unit_rows(torch.stack([row - rows[j] for row in rows]))
            cosines.append(unit @ unit.T)
        angles.append(torch.stack(cosines))
    smooth = nn.functional.smooth_l1_loss
    return -(25 * smooth(*distances) + 50 * smooth(*angles)).item()


def cc(case: Case) -> float:
    kernels = []
    for rows in pooled_of(case):
        cosines = unit_rows(rows) @ unit_rows(rows).T
        kernels.append(math.exp(-0.8) * (1 + 0.8 * cosines + 0.32 * cosines**2))
    return -(kernels[0] - kernels[1]).square().sum().item() / len(case.images) ** 2


def pkt(case: Case) -> float:
    student, teacher = ((unit_rows(rows) @ unit_rows(rows).T + 1) / 2 for rows in pooled_of(case))
    total = 0.0
    for own, other in zip(student, teacher, strict=True):
        for q, p in zip((own / own.sum()).tolist(), (other / other.sum()).tolist(), strict=True):
            total += p * math.log((p + 1e-7) / (q + 1e-7))
    return -total / len(case.images) ** 2


def nst(case: Case) -> float:
    student, teacher = features_of(case)
    total = 0.0
    for own, other in zip(student, teacher, strict=True):
        a, b = unit_rows(own.flatten(1)), unit_rows(other.flatten(1))
        total += ((b @ b.T) ** 2).mean() + ((a @ a.T) ** 2).mean() - 2 * ((a @ b.T) ** 2).mean()
    return -float(total) / len(student)


def ickd(case: Case) -> float:
    student, teacher = features_of(case)
    total = 0.0
    for own, other in zip(student, teacher, strict=True):
        a, b = own.flatten(1), other.flatten(1)
        total += (unit_rows(a @ a.T) - unit_rows(b @ b.T)).square().sum().item()
    return -total / (student.shape[1] * len(student))


def kdsvd(case: Case) -> float:
    pairs = []
    for student, teacher in stages_of(case):
        own, other = [], []
        for s, t in zip(student, teacher, strict=True):
            first = torch.linalg.svd(t.flatten(1).T, full_matrices=True).Vh[0]
            first = -first if first.sum() < 0 else first
            four = torch.linalg.svd(s.flatten(1).T, full_matrices=True).Vh[:4]
            four = four * (1.0 if s.any() else 0.0)
            best = max(four, key=lambda v: abs(v @ first).item())
            own.append(best * (-1 if best @ first < 0 else 1))
            other.append(first)
        pairs.append((torch.stack(own), torch.stack(other)))
    total = 0.0
    for (s0, t0), (s1, t1) in pairwise(pairs):
        for n in range(len(s0)):
            own = torch.exp(-((s1[n][:, None] - s0[n][None, :]) ** 2) / 8)
            other = torch.exp(-((t1[n][:, None] - t0[n][None, :]) ** 2) / 8)
            total += (own - other).square().sum().item()
    return -total / len(case.images)


def cka(case: Case) -> float:
    total = 0.0
    n = len(case.images)
    centre = torch.eye(n, dtype=torch.float64) - 1 / n
    for student, teacher in stages_of(case):
        own, other = (centre @ f.flatten(1) @ f.flatten(1).T @ centre for f in (student, teacher))
        norms = own.norm() * other.norm()
        total += 1 - (float((own * other).sum() / norms) if norms > 0 else 0.0)
    return -total


def dist(case: Case) -> float:
    own, other = (z.softmax(1) for z in logits_of(case))
    total = 0.0
    for a, b in ((own, other), (own.T, other.T)):
        rows = []
        for x, y in zip(a, b, strict=True):
            constant = (x - x.mean()).norm() == 0 or (y - y.mean()).norm() == 0
            rows.append(0.0 if constant else torch.corrcoef(torch.stack([x, y]))[0, 1].item())
        total += 1 - sum(rows) / len(rows)
    return -total


def dss(case: Case) -> float:
    total = 0.0
    for name, weight, gradient in flowing(case):
        if not isinstance(case.student.get_submodule(name), nn.Linear):
            continue
        attends = case.student.get_submodule(name) is not head(case.student) and (
            "qkv" in name or weight.shape[0] == weight.shape[1]
        )
        if attends:
            total += np.linalg.norm(gradient.numpy(), "nuc") * np.linalg.norm(weight.numpy(), "nuc")
        else:
            total += (weight * gradient).abs().sum().item()
    return total


def scaled_map(features: Tensor, height: int, width: int) -> Tensor:
    """One map [C, H, W] scaled bilinearly by its definition, corners not aligned."""
    result = torch.zeros(len(features), height, width, dtype=features.dtype)
    for y in range(height):
        for x in range(width):
            corners = []
            for place, size, old in ((y, height, features.shape[1]), (x, width, features.shape[2])):
                at = min(max((place + 0.5) * old / size - 0.5, 0), old - 1)
                low = int(at)
                corners.append([(low, 1 - (at - low)), (min(low + 1, old - 1), at - low)])
            for row, share in corners[0]:
                for column, other in corners[1]:
                    result[:, y, x] += share * other * features[:, row, column]
    return result


def tvt_attention(case: Case) -> float:
    both = features_of(case)
    height, width = (max(one.shape[axis] for one in both) for axis in (2, 3))
    total = 0.0
    for own, other in zip(*both, strict=True):
        maps = [scaled_map(one, height, width).square().mean(0) for one in (own, other)]
        maps = [one / one.norm() if one.norm() > 0 else one for one in maps]
        total += (maps[0] - maps[1]).square().mean().item()
    return -total / len(case.images)


def twins() -> dict[str, Callable[[Case], float]]:
    """Every function here from a Case to a float, by name."""
    here = globals()
    return {
        name: value
        for name, value in here.items()
        if callable(value) and getattr(value, "__annotations__", {}) == {"case": "Case", "return": "float"}
    }


TWINS = twins()
