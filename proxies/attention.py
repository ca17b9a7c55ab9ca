"""Proxies that were made for vision transformers. They are defined on other networks too, and say less there."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from proxies.formulas.similarity import row_unit
from proxies.probing.network import Layer
from proxies.probing.passes import Measured
from proxies.probing.probe import Probe
from proxies.registry import proxy

OF_PYTORCH = "in_proj_weight"  # nn.MultiheadAttention's parameter that gives queries, keys and values at once


@proxy(source="Zhou et al. (TF-TAS), CVPR 2022; form of lliai/Auto-Prox-AAAI24")
def dss(probe: Probe) -> Tensor:
    """TF-TAS: diversity of attention's layers plus synaptic flow of the other linear layers, higher better.

    sum over attention's layers of ||dR/dW||_nuc ||W||_nuc, and over the others and the head of sum |W dR/dW|. All
    weights are replaced by their absolute values; R is the summed output for an image of ones, in float64. Reads no
    images and no labels. A linear layer is attention's where it is called qkv, is nn.MultiheadAttention's or is square,
    as in the port; convolutions count in neither sum. Normalisations of batches are taken out as in synflow, LayerNorm
    stays. In a network without attention the head is left, or nothing but that.
    """
    linear = [layer for layer in probe.flows if layer.layer.operation == "linear" or layer.layer.is_head]
    return probe.total(linear, lambda layer: _diversity(layer) if _attends(layer.layer) else _saliency(layer))


def _attends(layer: Layer) -> bool:
    square = layer.shape[0] == layer.shape[1]
    return not layer.is_head and (square or "qkv" in layer.role or layer.role.split(".")[-1] == OF_PYTORCH)


def _diversity(layer: Measured) -> Tensor:
    found: Tensor = torch.linalg.svdvals(layer.gradient).sum(-1) * torch.linalg.svdvals(layer.weight).sum(-1)
    return found


def _saliency(layer: Measured) -> Tensor:
    return (layer.weight * layer.gradient).abs().flatten(1).sum(1)


@proxy(source="Wei et al. (TVT), arXiv 2311.14337; form of lliai/Auto-Prox-AAAI24")
def tvt_attention(probe: Probe) -> Tensor:
    """TVT's teacher-aware half: minus the squared difference of attention maps of the last features, higher better.

    -mean over images and positions of (a_S - a_T)^2, a the mean over channels of A^2, flattened, divided by its norm;
    the maps A are first scaled bilinearly to the larger of both sizes. A cls token is no part of the map. The other
    half is l2_norm; the article adds both after ranking: ranksum(tvt_attention,l2_norm). Behind a LayerNorm, as in
    autoformer, a is flat, and the score that of all other candidates.
    """
    student, teacher = probe.features.double(), probe.teacher.features.double()
    size = tuple(max(own, other) for own, other in zip(student.shape[-2:], teacher.shape[-2:], strict=True))
    return -(_attention(student, size) - _attention(teacher, size)).square().mean((-2, -1))


def _attention(features: Tensor, size: tuple[int, ...]) -> Tensor:
    """[A, N, C, H, W] -> [A, N, positions], of norm 1."""
    maps = features
    if features.shape[-2:] != size:
        maps = interpolate(features.flatten(0, 1), size=size, mode="bilinear", align_corners=False)
        maps = maps.unflatten(0, features.shape[:2])
    return row_unit(maps.square().mean(2).flatten(2))
