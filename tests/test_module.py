"""Any nn.Module behind the contract of a stack of one: against plain autograd on a copy, and against the stacks."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.mobilenetv3 import InvertedResidual, InvertedResidualConfig

from benchmarks.conditions.drawing import Drawing
from proxies import registered, select
from proxies.probing.module import Module
from proxies.probing.network import Undefined
from proxies.probing.probe import Probe
from tests import cases
from tests.cases import MIXED

N, K = 4, 10
SETTING = InvertedResidualConfig(8, 3, 16, 8, True, "HS", 1, 1, 1.0)
PLAIN = ("grad_norm", "snip", "plain", "grasp", "fisher", "jacob_cov", "synflow", "naswot")


def vit(**options: int) -> nn.Module:
    size = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 2, "hidden_dim": 24, "mlp_dim": 48}
    made = models.VisionTransformer(**(size | options), num_classes=K)
    nn.init.normal_(made.heads.head.weight)  # which torchvision leaves at 0
    return made


def torchvision(name: str, **options: object) -> Callable[[], nn.Module]:
    return lambda: getattr(models, name)(weights=None, num_classes=K, **options)


def convnext() -> nn.Module:
    stages = [CNBlockConfig(16, 32, 1), CNBlockConfig(32, 48, 2), CNBlockConfig(48, None, 1)]
    return models.ConvNeXt(stages, num_classes=K)


def densenet() -> nn.Module:
    return models.DenseNet(8, (2, 3, 2), 16, num_classes=K)


class Vgg(nn.Module):
    """torchvision's vgg11_bn with a narrow classifier, which has 120 million parameters there."""

    def __init__(self) -> None:
        super().__init__()
        self.features = models.vgg.make_layers(models.vgg.cfgs["A"], batch_norm=True)
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        between = [nn.Linear(512 * 49, 32), nn.ReLU(True), nn.Dropout(), nn.Linear(32, 32), nn.ReLU(True), nn.Dropout()]
        self.classifier = nn.Sequential(*between, nn.Linear(32, K))

    def forward(self, x: Tensor) -> Any:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def swin() -> nn.Module:
    return models.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=K)


# Families of torchvision, narrow where their published size would take seconds.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": torchvision("resnet18"),
    "mobilenet_v3_small": torchvision("mobilenet_v3_small"),
    "convnext": convnext,
    "densenet": densenet,
    "squeezenet1_1": torchvision("squeezenet1_1"),
    "vgg": Vgg,
    "googlenet": torchvision("googlenet", init_weights=False),
    "shufflenet_v2_x0_5": torchvision("shufflenet_v2_x0_5"),
    "vit": vit,
    "swin": swin,
}


def built(make: Callable[[], nn.Module]) -> nn.Module:
    """A module in float64, always the same."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return make().double()


def batch(size: int = N, resolution: int = 32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(size, 3, resolution, resolution, generator=generator, dtype=torch.float64)
    return images, torch.arange(size) % K


def noise(name: str, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(name)), dtype=torch.float64)


def probed(module: nn.Module, images: Tensor, labels: Tensor, **named: Any) -> Probe:
    network = Module(module, images, **named)
    return Probe(network, network.weights(), images, labels, noise=noise)


# -- plain autograd on a copy of the module ------------------------------------------------------------------------


def by_batch_statistics(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode, but for its batch normalisations."""
    own = copy.deepcopy(module).eval()
    for one in own.modules():
        if isinstance(one, nn.BatchNorm2d):
            one.train()
    return own


@contextmanager
def recorded(*names: str) -> Iterator[list[tuple[Tensor, Any, Tensor]]]:
    """While open: what functions of torch.nn.functional get, with what second argument, and give (a clone goes on)."""
    found: list[tuple[Tensor, Any, Tensor]] = []
    patch = pytest.MonkeyPatch()

    def wrapped(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            kept = x.detach().clone()
            out = function(x, *args, **kwargs)
            found.append((kept, args[0] if args else None, out))
            return out.clone()

        return call

    for name in names:
        patch.setattr(F, name, wrapped(getattr(F, name)))
    try:
        yield found
    finally:
        patch.undo()


def kernels_of(module: nn.Module, images: Tensor) -> list[Tensor]:
    """The weights of convolutions and linear layers that run, each once."""
    with recorded("conv2d", "linear") as calls:
        module(images)
    return list({id(weight): weight for _, weight, _ in calls}.values())


def expected(module: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """The eight proxies, from their definitions."""
    own = by_batch_statistics(module)
    kernels = kernels_of(own, images)
    with sdpa_kernel([SDPBackend.MATH]), pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "hardsigmoid", lambda x, inplace=False: F.relu6(x + 3) / 6)
        loss = cross_entropy(own(images), labels)
        gradients = torch.autograd.grad(loss, kernels, create_graph=True)
        product = sum((g.detach() * g).sum() for g in gradients)
        curvature = torch.autograd.grad(product, kernels, retain_graph=True)
    found = {
        "grad_norm": sum(g.norm().item() for g in gradients),
        "snip": sum((w * g).abs().sum().item() for w, g in zip(kernels, gradients, strict=True)),
        "plain": sum((w * g).sum().item() for w, g in zip(kernels, gradients, strict=True)),
        "grasp": -sum((w * h).sum().item() for w, h in zip(kernels, curvature, strict=True)),
        "fisher": fisher(own, images, labels),
    }
    return found | {
        "jacob_cov": jacob_cov(own, images),
        "synflow": synflow(module, images),
        "naswot": naswot(own, images),
    }


def fisher(own: nn.Module, images: Tensor, labels: Tensor) -> float:
    """1/2 of the mean over images of (sum over positions of a dL/da)^2, summed over channels, times the fan-in.

    Without batch statistics each image goes alone, so that nothing has to be known of how tokens lie.
    """
    alone = not any(isinstance(one, nn.BatchNorm2d) for one in own.modules())
    parts = [slice(i, i + 1) for i in range(len(images))] if alone else [slice(None)]
    by_layer: list[list[Tensor]] = []
    for part in parts:
        with recorded("conv2d", "linear") as calls:
            loss = cross_entropy(own(images[part]), labels[part], reduction="sum") / len(images)
        back = torch.autograd.grad(loss, [out for _, _, out in calls])
        rows = []
        for (_, weight, out), gradient in zip(calls, back, strict=True):
            product = out.detach() * gradient
            if weight.ndim == 4:
                rows.append(product.sum((2, 3)))
            else:
                rows.append(product.reshape(-1, product.shape[-1]).sum(0, keepdim=True) if alone else product)
        by_layer.append(rows)
    weights = [weight for _, weight, _ in calls]
    each = [torch.cat(rows).square().mean(0).sum().item() for rows in zip(*by_layer, strict=True)]
    return sum(value / 2 * weight[0].numel() for value, weight in zip(each, weights, strict=True))


def jacob_cov(own: nn.Module, images: Tensor) -> float:
    images = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(own(images).sum(), images)
    values = np.linalg.eigvalsh(np.corrcoef(gradient.flatten(1).numpy())).clip(0)
    return -float((np.log(values + 1e-5) + 1 / (values + 1e-5)).sum())


def synflow(module: nn.Module, images: Tensor) -> float:
    own = copy.deepcopy(module).eval()
    kernels = kernels_of(own, images)
    for one in own.modules():
        if isinstance(one, nn.BatchNorm2d):
            one.forward = lambda x: x
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.abs_()
    gradients = torch.autograd.grad(own(torch.ones_like(images[:1])).sum(), kernels)
    return sum((w * g).abs().sum().item() for w, g in zip(kernels, gradients, strict=True))


def naswot(own: nn.Module, images: Tensor) -> float:
    with recorded("relu", "gelu", "hardswish") as calls, torch.no_grad():
        own(images)
    kernel = np.zeros((len(images), len(images)))
    for x, _, _ in calls:
        codes = (x.reshape(len(images), -1) > 0).double().numpy()
        kernel += codes @ codes.T + (1 - codes) @ (1 - codes).T
    sign, logarithm = np.linalg.slogdet(kernel)
    return float(logarithm) if sign > 0 else -math.inf


@pytest.mark.parametrize("name", NETWORKS)
def test_equals_plain_autograd(name: str) -> None:
    module = built(NETWORKS[name])
    images, labels = batch()
    probe = probed(module, images, labels)
    wanted = expected(module, images, labels)
    for proxy in select(",".join(PLAIN)):
        found = probe.score(proxy)[0].item()
        scale = wanted["snip"] if proxy.name == "plain" else abs(wanted[proxy.name])
        assert found == pytest.approx(wanted[proxy.name], abs=1e-6 * scale), proxy.name


# -- against the stacks --------------------------------------------------------------------------------------------


# near takes roots of eigenvalues that are 0 but for rounding, which the two memory layouts do differently.
LOOSER = {"near": 1e-7}


def agree(module: Probe, stack: Probe) -> None:
    for proxy in registered():
        if proxy.name == "fisher_biased":  # knows the convolutions of a cell by their names in the stack
            continue
        found, wanted = module.score(proxy)[0], stack.score(proxy)[0]
        assert_close(found, wanted, rtol=LOOSER.get(proxy.name, 1e-9), atol=1e-12, msg=proxy.name, equal_nan=True)


@pytest.mark.parametrize("arch", [MIXED[4]])  # every operation but 3x3, which the ResNet below has
def test_a_cell_as_a_module_gives_the_scores_of_its_stack(arch: str) -> None:
    images, labels = cases.batch(N)
    stack = cases.probe_of([arch], images, labels)
    cell = cases.plain_cell(arch, stack.network, stack.weights, 0)  # type: ignore[arg-type]
    network = Module(cell, images, blocks=["cells.*"])
    agree(
        Probe(network, network.weights(), images, labels, teacher=stack.teacher, noise=Drawing(0).noise),
        stack,
    )
    assert network.head.role == "classifier.weight"
    assert network.stages == ["cells.4", "cells.10", "cells.16"]


def test_a_resnet_as_a_module_gives_the_scores_of_its_stack_and_is_a_teacher_like_it() -> None:
    images, labels = cases.batch(N)
    stack, weights = cases.teacher_of()
    resnet = cases.plain_teacher(stack, weights)
    network = Module(resnet, images)
    other = cases.teacher_of("resnet32")
    teacher = Probe(*other, images, labels)
    own = Module(cases.plain_teacher(*other, depth=5), images)
    beside = Probe(own, own.weights(), images, labels)
    agree(
        Probe(network, network.weights(), images, labels, teacher=beside, noise=Drawing(0).noise),
        Probe(stack, weights, images, labels, teacher=teacher, noise=Drawing(0).noise),
    )
    assert network.stages == ["layer1", "layer2", "layer3"]
    assert network.blocks == [f"layer{stage}.{block}" for stage in (1, 2, 3) for block in (0, 1, 2)]


# -- what is found, and named ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_hold_all_parameters_and_products(name: str) -> None:
    module = built(NETWORKS[name]).eval()
    images, _ = batch(1)
    network = Module(module, images)
    assert sum(layer.parameters for layer in network.layers) == sum(value.numel() for value in module.parameters())
    with FlopCounterMode(
        display=False
    ) as counter:  # with a graph: without, attention runs in a way that is not counted
        module(images)
    macs = sum(layer.macs for layer in network.layers) - network.head.biases
    assert macs == counter.get_total_flops() // 2


FOUND = {  # head, last map, whether closed forms hold, stages, blocks
    "resnet18": ("fc.weight", "layer4", True, True, 4, 8),
    "mobilenet_v3_small": ("classifier.3.weight", "features", True, False, 4, 11),
    "convnext": ("classifier.2.weight", "features", True, False, 3, 4),
    "densenet": ("classifier.weight", "relu (call", True, True, 3, 3),
    "squeezenet1_1": ("classifier.1.weight", "classifier.0", False, False, 3, 8),
    "vgg": ("classifier.6.weight", "avgpool", True, False, 5, 0),
    "googlenet": ("fc.weight", "inception5b", True, True, 3, 9),
    "shufflenet_v2_x0_5": ("fc.weight", "conv5", True, True, 3, 16),
    "vit": ("heads.head.weight", "encoder", True, True, 1, 2),
    "swin": ("head.weight", "permute", True, True, 2, 4),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_head_map_stages_and_blocks_are_found(name: str) -> None:
    module = built(NETWORKS[name])
    network = Module(module, batch()[0])
    head, features, linear, average, stages, blocks = FOUND[name]
    assert network.head.role == head
    assert network.features.startswith(features)
    assert (network.linear_head, network.average_head) == (linear, average)
    assert (len(network.stages), len(network.blocks)) == (stages, blocks)


class Branched(nn.Module):
    """Two convolutions; beside the way to the head means over positions: of a gate, and of an auxiliary head."""

    def __init__(self, reduce: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.other, self.gate = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 8)
        self.fc, self.auxiliary, self.reduce = nn.Linear(8, K), nn.Linear(8, 3), reduce

    def forward(self, x: Tensor) -> Any:
        x = F.relu(self.conv(x))
        gate = self.gate(x.mean((2, 3))).sigmoid()
        vector = self.reduce(gate[:, :, None, None] * F.relu(self.other(x)))
        self.auxiliary(x.mean((2, 3)))
        return self.fc(vector)


def test_the_last_map_is_that_which_becomes_what_the_head_gets() -> None:
    images, labels = batch()
    gated = probed(built(lambda: Branched(lambda x: x.mean((2, 3)))), images, labels)
    assert gated.network.average_head
    assert gated.network.features.startswith("mul (call")
    assert_close(gated.features.mean((-2, -1)), gated.pooled)
    scaled = Module(built(lambda: Branched(lambda x: torch.full((8,), 1.5) * x.mean((2, 3)))), images)
    assert scaled.features == gated.network.features
    with pytest.raises(Undefined, match="`features` names the submodule"):  # a sum is no reduction that is known
        _ = probed(built(lambda: Branched(lambda x: x.sum((2, 3)))), images, labels).features


def maps_of(module: nn.Module, images: Tensor, part: str) -> tuple[Tensor, Tensor]:
    """What a submodule gives, and the logits, with batch statistics and a graph."""
    own = by_batch_statistics(module)
    kept: list[Tensor] = []
    own.get_submodule(part).register_forward_hook(lambda module, args, out: kept.append(out))
    logits = own(images)
    return kept[-1], logits


@pytest.mark.parametrize(("name", "part"), [("mobilenet_v3_small", "features"), ("squeezenet1_1", "classifier.0")])
def test_class_activation_maps_of_other_heads_are_grad_cams(name: str, part: str) -> None:
    module = built(NETWORKS[name])
    images, labels = batch(resolution=64)
    maps, logits = maps_of(module, images, part)
    weights = torch.stack(
        [torch.autograd.grad(logits[:, k].sum(), maps, retain_graph=True)[0].mean((2, 3)) for k in range(K)]
    )
    cams = torch.einsum("knc,ncp->nkp", weights, maps.flatten(2))
    assert_close(probed(module, images, labels).cam_gram[0], (cams @ cams.mT).detach())


def test_the_general_class_activation_maps_are_the_closed_form_up_to_a_factor() -> None:
    module = built(NETWORKS["resnet18"])
    images, labels = batch(resolution=64)
    probe = probed(module, images, labels)
    weights = probe.class_gradients[0]
    positions = probe.features.shape[-1] * probe.features.shape[-2]
    assert_close(weights * positions, probe.head_weight[0].expand_as(weights))


def test_the_gradient_of_a_head_that_is_a_convolution_is_autograds() -> None:
    module = built(NETWORKS["squeezenet1_1"])
    images, labels = batch()
    own = by_batch_statistics(module)
    weight = own.get_submodule("classifier.1").weight
    (gradient,) = torch.autograd.grad(cross_entropy(own(images), labels), weight)
    assert_close(probed(module, images, labels).head_gradient[0], gradient.flatten(1))


def test_tokens_are_shown_as_a_square_map_without_the_class_token() -> None:
    module = built(NETWORKS["vit"])
    images, labels = batch()
    probe = probed(module, images, labels)
    tokens, _ = maps_of(module, images, "encoder")
    assert_close(probe.features[0], tokens[:, 1:].mT.unflatten(2, (4, 4)).detach())
    assert_close(probe.pooled[0], tokens[:, 0].detach())
    assert probe.stages[0].shape == (1, N, 24, 4, 4)


def test_parts_can_be_named() -> None:
    module = built(NETWORKS["resnet18"])
    images, labels = batch()
    named = Module(module, images, features="layer3", stages=["layer1", "layer2"], blocks=["layer1.*"], head="fc")
    assert named.features == "layer3"
    assert not named.average_head
    assert named.stages == ["layer1", "layer2"]
    assert named.blocks == ["layer1.0", "layer1.1"]
    probe = Probe(named, named.weights(), images, labels)
    assert_close(probe.features[0], maps_of(module, images, "layer3")[0].detach())
    assert [tap.value.shape[1] for tap in probe.blocks] == [64, 64, 64]


def test_what_a_network_lacks_is_said_and_leaves_the_others_alone() -> None:
    module = built(NETWORKS["vgg"])
    images, labels = batch()
    probe = probed(module, images, labels)
    first = probe.score(select("grad_norm")[0])[0]
    with pytest.raises(Undefined, match="`blocks` names them"):
        probe.score(select("expressivity")[0])
    network = Module(module, images)
    planned = Probe(network, network.weights(), images, labels, plan=frozenset({"blocks", "gradients", "transport"}))
    assert torch.equal(planned.score(select("grad_norm")[0])[0], first)
    with pytest.raises(Undefined, match="no batch normalisation"):
        probed(built(NETWORKS["vit"]), images, labels).score(select("zen")[0])
    with pytest.raises(Undefined, match="stages are compared one by one: the network has 1, the teacher 3"):
        beside(built(NETWORKS["vit"]), images, labels).score(select("at")[0])


# -- what is refused, and what stays as it is -----------------------------------------------------------------------


class Small(nn.Module):
    """A network of one convolution and a head, to be spoilt."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, K)

    def forward(self, x: Tensor) -> Any:
        return self.fc(F.relu(self.norm(self.conv(x))).mean((2, 3)))


class Gated(Small):
    """Two blocks with squeeze and excitation, and a head of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(InvertedResidual(SETTING, nn.BatchNorm2d) for _ in range(2)))
        self.fc = nn.Sequential(nn.Linear(8, 12), nn.Hardswish(), nn.Linear(12, K))

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.blocks(F.relu(self.norm(self.conv(x)))).mean((2, 3)))


class GivesTwo(Small):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x), x


class GivesDict(Small):
    def forward(self, x: Tensor) -> Any:
        return {"out": super().forward(x)}


class GivesMap(Small):
    def forward(self, x: Tensor) -> Any:
        return self.conv(x)


class Random(Small):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x) + torch.randn(K, dtype=x.dtype)


class TwoHeads(Small):
    def __init__(self) -> None:
        super().__init__()
        self.other = nn.Linear(8, K)

    def forward(self, x: Tensor) -> Any:
        pooled = F.relu(self.conv(x)).mean((2, 3))
        return (self.fc(pooled) + self.other(pooled)) / 2


class Normalised(Small):
    def __init__(self) -> None:
        super().__init__()
        nn.utils.parametrizations.weight_norm(self.conv)


class Lazy(Small):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.LazyLinear(K)


class Wrong(Small):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(9, K)


class Rewrites(Small):
    """Uses what an activation does to its input, and not what it returns."""

    def forward(self, x: Tensor) -> Any:
        x = self.conv(x)
        F.relu(x, inplace=True)
        return self.fc(x.mean((2, 3)))


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "two": (GivesTwo, r"makes a tuple of 2; logits \[N, K\] are wanted"),
    "dict": (GivesDict, "makes a dict of out;"),
    "map": (GivesMap, r"makes a tensor \[3, 8, 32, 32\];"),
    "random": (Random, "gives other logits when it is run again in evaluation mode: it draws random numbers"),
    "heads": (TwoHeads, "2 classifiers give the logits: fc.weight, other.weight; name one with head="),
    "computed": (Normalised, "the weight of a call of conv2d is no parameter"),
    "lazy": (Lazy, "fc.weight has no shape yet: the module has lazy layers"),
    "wrong": (Wrong, "does not run on images .3, 3, 32, 32.: RuntimeError: .*mat1 and mat2"),
    "rewrites": (Rewrites, "gives other logits when it is run again"),
    "nothing": (nn.Flatten, "runs no convolution and no linear layer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_scored_is_refused_in_one_line(name: str) -> None:
    make, message = REFUSED[name]
    module = make() if name == "lazy" else built(make)
    images, _ = batch()
    with pytest.raises(ValueError, match=message) as caught:
        Module(module, images if name != "lazy" else images.float())
    assert "\n" not in str(caught.value)


def test_images_and_modules_that_do_not_fit_each_other_are_refused() -> None:
    images, _ = batch()
    with pytest.raises(ValueError, match=r"conv\.weight is of torch\.float64, and runs on torch\.float32"):
        Module(built(Small), images.float())
    with pytest.raises(ValueError, match="on cpu, the images are on meta"):
        Module(built(Small), images.to("meta"))
    with pytest.raises(ValueError, match=r"floats \[N, C, H, W\] are wanted"):
        Module(built(Small), images[0])
    with pytest.raises(ValueError, match=r"an nn\.Module is wanted, not a int"):
        Module(3, images)  # type: ignore[arg-type]
    quantised = nn.Sequential(torch.ao.nn.quantized.Conv2d(3, 8, 3))
    with pytest.raises(ValueError, match="0 is quantised"):
        Module(quantised, images)


@pytest.mark.parametrize("option", ["features", "head", "stages", "blocks"])
def test_a_name_of_no_submodule_is_refused_and_names_are_listed(option: str) -> None:
    named: Any = "lazer4" if option in ("features", "head") else ["lazer4"]
    with pytest.raises(ValueError, match=rf"{option}='lazer4': no .* called so; there are, for instance: layer4"):
        Module(built(NETWORKS["resnet18"]), batch()[0], **{option: named})
    if option != "head":
        named = "fc" if option == "features" else ["fc"]
        with pytest.raises(ValueError, match=rf"{option}='fc': what this submodule gives is no map"):
            Module(built(NETWORKS["resnet18"]), batch()[0], **{option: named})


def test_one_of_two_heads_can_be_named() -> None:
    network = Module(built(TwoHeads), batch()[0], head="other")
    assert network.head.role == "other.weight"
    assert not network.linear_head


def state_of(module: nn.Module) -> list[Any]:
    tensors = [value.clone() for value in [*module.parameters(), *module.buffers()]]
    return [tensors, [one.training for one in module.modules()], [len(one._forward_hooks) for one in module.modules()]]


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "vit", "densenet"])
def test_a_module_is_left_untouched_to_the_last_bit(name: str) -> None:
    module = built(NETWORKS[name])  # in training mode
    module.get_submodule(next(iter(dict(module.named_children())))).eval()
    images, labels = batch()
    before, random, kept = state_of(module), torch.get_rng_state(), images.clone()
    places = [value.data_ptr() for value in module.parameters()]
    probe = probed(module, images, labels)
    for proxy in select(",".join(PLAIN)):
        probe.score(proxy)
    after = state_of(module)
    assert all(torch.equal(one, other) for one, other in zip(before[0], after[0], strict=True))
    assert before[1:] == after[1:]
    assert all(value.grad is None and value.requires_grad for value in module.parameters())
    assert places == [value.data_ptr() for value in module.parameters()]
    assert torch.equal(random, torch.get_rng_state())
    assert torch.equal(images, kept)


def test_running_statistics_are_used_on_wish() -> None:
    module = built(NETWORKS["resnet18"])
    images, labels = batch()
    module(images)  # moves them
    network = Module(module, images)
    trained = Probe(network, network.weights(running=True), images, labels)
    assert_close(trained.logits[0], module.eval()(images).detach())
    fresh = Probe(network, network.weights(), images, labels)
    assert_close(fresh.logits[0], by_batch_statistics(module)(images).detach())


# -- the contract of stacks, over modules ---------------------------------------------------------------------------

ONE = pytest.mark.parametrize("make", [lambda: Gated(), lambda: vit(image_size=8, patch_size=2)], ids=["gated", "vit"])
ORDERED = {"meco", "meco_opt", "zico", "trainability"}
ROUNDED = {"jacob_cov": 1e-5, "ntk_condition": 1e-4, "vkdnw": 1e-4, "near": 1e-5}


def scores(probe: Probe, chosen: list[Any]) -> dict[str, Tensor]:
    """Scores by proxy; those that are undefined are left out."""
    found = {}
    for proxy in chosen:
        with suppress(ValueError):
            found[proxy.name] = probe.score(proxy)[0]
    return found


def beside(module: nn.Module, images: Tensor, labels: Tensor, plan: frozenset[str] = frozenset()) -> Probe:
    teacher = Probe(*cases.teacher_of(resolution=images.shape[-1]), images, labels)
    network = Module(module, images)
    return Probe(network, network.weights(), images, labels, teacher=teacher, noise=noise, plan=plan)


@ONE
def test_scores_repeat_and_do_not_depend_on_what_else_is_asked(make: Callable[[], nn.Module]) -> None:
    module, (images, labels) = built(make), batch(resolution=8)
    first = beside(module, images, labels)
    once = scores(first, registered())
    assert len(once) > 30
    again = scores(beside(module, images, labels), registered())
    assert all(value.equal(again[key]) or (value.isnan() & again[key].isnan()).all() for key, value in once.items())
    planned = scores(beside(module, images, labels, frozenset(first.asked)), registered())
    assert planned.keys() == once.keys()
    for key, value in once.items():
        assert_close(planned[key], value, rtol=ROUNDED.get(key, 1e-9), atol=1e-12, equal_nan=True, msg=key)


@ONE
def test_scores_do_not_depend_on_the_order_of_the_batch(make: Callable[[], nn.Module]) -> None:
    module, (images, labels) = built(make), batch(resolution=8)
    order = torch.tensor([2, 0, 3, 1])
    once = scores(beside(module, images, labels), registered())
    for key, value in scores(beside(module, images[order], labels[order]), registered()).items():
        if key not in ORDERED:
            assert_close(value, once[key], rtol=ROUNDED.get(key, 1e-7), atol=1e-10, equal_nan=True, msg=key)


def test_tokens_whose_images_take_turns_go_to_their_images() -> None:
    """The output projection of attention gets rows [L * N, C]: what it gives must follow the images."""
    module, (images, labels) = built(lambda: vit(image_size=8, patch_size=2)), batch(resolution=8)
    probe = probed(module, images, labels)
    (response,) = [one for one in probe.responses if one.layer.role.endswith("layer_0.self_attention.out_proj.weight")]
    alone = probed(module, images[2:3], labels[2:3])
    (other,) = [one for one in alone.responses if one.layer.role == response.layer.role]
    assert_close(response.output[:, 2:3], other.output)
    assert_close(response.gradient[:, 2:3] * N, other.gradient)


def by_image(logits: Tensor, labels: Tensor, kernels: list[Any], bias: Any) -> tuple[float, Tensor]:
    """ntk_trace_released without batch statistics, and each logit's gradient by the middle of the first kernels."""
    total, middles = 0.0, torch.zeros(len(kernels), N, K, dtype=torch.float64)
    for image in range(N):
        for k in range(K):
            rows = torch.autograd.grad(logits[image, k], [*kernels, bias], retain_graph=True)
            if k == labels[image]:
                total += sum(row.square().sum().item() for row in rows)
            middles[:, image, k] = torch.stack([row[(0, 0, *[1] * (row.ndim - 2))] for row in rows[:-1]])
    return math.sqrt(total / N), middles


class Upsampled(Small):
    """A transposed convolution in groups."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(8, 12, 3, stride=2, groups=2)
        self.fc = nn.Linear(12, K)

    def forward(self, x: Tensor) -> Any:
        return self.fc(F.relu(self.up(F.relu(self.conv(x)))).mean((2, 3)))


def test_a_transposed_convolution_counts_as_any_other() -> None:
    module, (images, labels) = built(Upsampled), batch(resolution=8)
    probe = probed(module, images, labels)
    kernels: list[Any] = [module.conv.weight, module.up.weight, module.fc.weight]
    with recorded("conv2d", "conv_transpose2d", "linear") as calls:
        logits = module(images)
    outputs = [out for _, _, out in calls]
    loss = cross_entropy(logits, labels)
    found = torch.autograd.grad(loss, [*kernels, *outputs], retain_graph=True)
    products = [
        (out.detach() * gradient).flatten(2).sum(-1) if out.ndim > 2 else out.detach() * gradient
        for out, gradient in zip(outputs, found[3:], strict=True)
    ]
    wanted = {
        "grad_norm": sum(gradient.norm() for gradient in found[:3]),
        "fisher": sum(  # each channel of an output by how many weights it has
            one.square().mean(0).sum() / 2 * kernel.numel() / one.shape[1]
            for one, kernel in zip(products, kernels, strict=True)
        ),
    }
    trace, middles = by_image(logits, labels, kernels, module.fc.bias)
    wanted["ntk_trace_released"] = trace
    for proxy in select(",".join(wanted)):
        assert probe.score(proxy)[0].item() == pytest.approx(float(wanted[proxy.name]), rel=1e-9), proxy.name
    assert_close(torch.stack([one.values[0] for one in probe.sensitivities]), middles)
    with FlopCounterMode(display=False) as counter:
        module(images[:1])
    assert sum(layer.macs for layer in probe.network.layers) - K == counter.get_total_flops() // 2


class Tied(Small):
    """Two convolutions of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Conv2d(8, 8, 3, padding=1)
        self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.again.weight = self.inner.weight

    def forward(self, x: Tensor) -> Any:
        return self.fc(F.relu(self.again(F.relu(self.inner(self.conv(x))))).mean((2, 3)))


def test_a_weight_that_is_used_twice_is_one_layer() -> None:
    module, (images, labels) = built(Tied), batch()
    probe = probed(module, images, labels)
    (inner,) = [layer for layer in probe.network.layers if layer.role == "inner.weight"]
    assert inner.macs == 2 * 8 * 8 * 9 * 32 * 32
    wanted = expected(module, images, labels)
    for proxy in select("grad_norm,snip,fisher,synflow,params"):
        size = float(sum(value.numel() for value in module.parameters()))
        assert probe.score(proxy)[0].item() == pytest.approx(wanted.get(proxy.name, size), rel=1e-9), proxy.name


def test_gradients_by_a_weight_that_is_used_twice_are_of_both_uses() -> None:
    module, (images, labels) = built(Tied), batch()
    probe = probed(module, images, labels)
    logits, kernels = module(images), [module.conv.weight, module.inner.weight, module.fc.weight]
    trace, middles = by_image(logits, labels, kernels, module.fc.bias)
    found = probe.score(select("ntk_trace_released")[0])[0].item()
    assert found == pytest.approx(trace, rel=1e-9)
    assert_close(torch.stack([one.values[0] for one in probe.sensitivities]), middles)
    assert probe.score(select("vkdnw")[0])[0].isfinite().all()


def test_what_is_overwritten_in_place_is_seen_as_it_was() -> None:
    class Overwrites(Small):
        def forward(self, x: Tensor) -> Any:
            x = self.conv(x)
            x += 0.5  # what the convolution gave is gone
            return self.fc(F.relu(x, inplace=True).mean((2, 3)))

    module, (images, labels) = built(Overwrites), batch()
    probe = probed(module, images, labels)
    assert_close(probe.responses[0].output[0].flatten(2), module.conv(images).flatten(2).detach())
    wanted = expected(module, images, labels)
    for proxy in select("fisher,naswot,grasp"):
        assert probe.score(proxy)[0].item() == pytest.approx(wanted[proxy.name], rel=1e-9), proxy.name


class Writes(Small):
    """A network in which something is done to what a convolution gives, behind or in front of its normalisation."""

    def __init__(self, function: Callable[[Tensor], Tensor], *, early: bool) -> None:
        super().__init__()
        self.other = nn.Conv2d(8, 8, 3, padding=1)
        self.function, self.early = function, early

    def forward(self, x: Tensor) -> Any:
        x = self.conv(x)
        x = self.norm(self.function(x)) if self.early else self.function(self.norm(x))
        return self.fc(F.relu(self.other(F.relu(x))).mean((2, 3)))


def by_view(x: Tensor) -> Tensor:
    x[:, ::2].mul_(2.0)
    return x


def by_view_of_view(x: Tensor) -> Tensor:
    x.view(-1).view(len(x), -1).mul_(2.0)
    return x


WRITES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "view": (by_view, lambda x: x * torch.tensor([2.0, 1.0] * 4, dtype=x.dtype)[:, None, None]),
    "view of a view": (by_view_of_view, lambda x: x * 2.0),
    "itself": (lambda x: x.mul_(2.0), lambda x: x * 2.0),
    "relu of a view": (lambda x: x.view(-1).relu_().view_as(x), torch.relu),
}


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("name", WRITES)
def test_what_is_overwritten_through_a_view_is_seen_as_it_was(name: str, early: bool) -> None:
    images, labels = batch()
    found, usual = (probed(built(lambda f=f: Writes(f, early=early)), images, labels) for f in WRITES[name])  # type: ignore[misc]
    for proxy in select("fisher,vkdnw,zen,ntk_trace_released,synflow"):
        assert found.score(proxy)[0].item() == pytest.approx(usual.score(proxy)[0].item(), rel=1e-9), proxy.name


def test_what_is_overwritten_unseen_is_undefined() -> None:
    def out(x: Tensor) -> Tensor:
        with torch.no_grad():
            torch.add(x, 1.0, out=x)
        return x

    images, labels = batch()
    probe = probed(built(lambda: Writes(out, early=False)), images, labels)
    assert probe.score(select("zen")[0])[0].isfinite().all()
    with pytest.raises(ValueError, match="writes over a tensor that is looked at"):
        probe.score(select("vkdnw")[0])


def test_what_is_written_to_what_the_head_got_changes_no_score() -> None:
    class After(nn.Module):
        def __init__(self, write: bool) -> None:
            super().__init__()
            self.conv, self.fc, self.write = nn.Conv2d(3, 4, 3), nn.Linear(4, K), write

        def forward(self, x: Tensor) -> Tensor:
            pooled = F.relu(self.conv(x)).mean((2, 3))
            logits = self.fc(pooled)
            if self.write:
                with torch.no_grad():
                    pooled.mul_(0)
            return logits

    images, labels = batch()
    written, usual = (probed(built(lambda write=write: After(write)), images, labels) for write in (True, False))  # type: ignore[misc]
    for proxy in select("naswot,l2_norm,near"):
        assert written.score(proxy)[0].item() == usual.score(proxy)[0].item(), proxy.name
    assert_close(written.pooled, usual.pooled)


class Acts(Small):
    """A network of two activations, the first right behind a normalisation."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.function(self.function(self.norm(self.conv(x))) - 0.3).mean((2, 3)))


SAME_ACTIVATION: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "leaky_relu_": (F.leaky_relu_, F.leaky_relu),
    "hardtanh_": (lambda x: F.hardtanh_(x, 0, 6), F.relu6),
    "elu_": (F.elu_, F.elu),
    "selu_": (torch.selu_, F.selu),
    "celu_": (torch.celu_, F.celu),
    "rrelu_": (torch.rrelu_, F.rrelu),
    "clamp_": (lambda x: x.clamp_(0, 6), F.relu6),
    "clamp": (lambda x: torch.clamp(x, min=0), F.relu),
    "clip_": (lambda x: x.clip_(min=0.0), F.relu),
    "clamp_min_": (lambda x: x.clamp_min_(0), F.relu),
}


@pytest.mark.parametrize("name", SAME_ACTIVATION)
def test_activations_in_place_and_clamps_at_zero_are_activations(name: str) -> None:
    images, labels = batch()
    found, usual = (probed(built(lambda f=f: Acts(f)), images, labels) for f in SAME_ACTIVATION[name])  # type: ignore[misc]
    for proxy in select("naswot,fisher,zen,vkdnw"):
        assert found.score(proxy)[0].item() == pytest.approx(usual.score(proxy)[0].item(), rel=1e-12), proxy.name
    clamped = Module(built(lambda: Acts(lambda x: x.clamp(-1, 1).clamp_(max=0.9))), images)
    assert "relu" in clamped.lacks


def test_what_is_called_by_its_name_is_seen_as_what_is_called_by_its_place() -> None:
    class Named(Small):
        def forward(self, x: Tensor) -> Any:
            x = F.conv2d(input=x, weight=self.conv.weight, bias=self.conv.bias, padding=1)
            x = F.batch_norm(input=x, running_mean=None, running_var=None, training=True)
            x = F.hardsigmoid(torch.relu(input=x)).mean((2, 3))
            return F.linear(input=x, weight=self.fc.weight, bias=self.fc.bias)

    class Placed(Named):
        def forward(self, x: Tensor) -> Any:
            x = F.batch_norm(F.conv2d(x, self.conv.weight, self.conv.bias, padding=1), None, None, training=True)
            return F.linear(F.hardsigmoid(F.relu(x)).mean((2, 3)), self.fc.weight, self.fc.bias)

    images, labels = batch()
    named, placed = (probed(built(kind), images, labels) for kind in (Named, Placed))
    assert torch.equal(named.features, placed.features)
    for proxy in select("naswot,fisher,synflow,zen,grasp,ntk_trace_released"):
        assert torch.equal(named.score(proxy)[0], placed.score(proxy)[0]), proxy.name
