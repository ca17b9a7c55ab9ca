"""What networks give between their input and their logits: activations at named places, gradients by them, attention.

All of it is of the pass over the whole batch (passes.py), with ways back of their own on its graph.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from proxies.probing.network import Layer, Tap, Undefined
from proxies.probing.passes import NEEDS, Forward, Passes
from proxies.probing.quantities import quantity

TOGETHER = 64  # classes that go back in one step, at most
ELEMENTS = 2**24  # of gradients by the features that are held at once
SAME, SUMMED = 1e-5, 1e-3  # of the largest: how far gradients that are one may differ, and sums over many of them


class Response(NamedTuple):
    """What a layer gives some members, [a, N, C, positions], and the loss's gradient by it."""

    layer: Layer
    members: tuple[int, ...]
    output: Tensor
    gradient: Tensor


class Inside(Passes):
    """Passes, and what lies inside the networks."""

    @quantity
    def responses(self) -> list[Response]:
        """What each convolution and the head give, before normalisation, and the loss's gradients by it.

        Convolutions that nothing but structural zeros reach are among them: they give 0, and a gradient may arrive.
        """
        self._require("weights")
        head = self.network.head
        found = self._loss_gradients(NEEDS["responses"])
        responses = []
        for tap, gradient in zip(found.forward.taps.of("conv"), found.by_output[:-1], strict=True):
            assert tap.layer is not None
            back = tap.arrange(gradient).flatten(3)
            responses.append(Response(tap.layer, tap.members, tap.stacked().detach().flatten(3), back.detach()))
        if any(response.layer is head for response in responses):  # a module taps its head as well
            return responses
        logits, back = found.forward.outputs.logits, found.by_output[-1]
        return [*responses, Response(head, head.members, logits.detach()[..., None], back.detach()[..., None])]

    @quantity
    def relus(self) -> list[Tap]:
        """What each ReLU gets; equal ReLUs share a tap that says how many they are.

        Raises ValueError for a network that has none.
        """
        found = self._of_all(self._forward(NEEDS["relus"]).taps.of("relu"), "ReLU")
        return [tap._replace(value=tap.value.detach()) for tap in found]

    @quantity
    def blocks(self) -> list[Tap]:
        """What the stem and each block give, in order. Raises ValueError for a network that names none."""
        found = self._of_all(self._forward(NEEDS["blocks"]).taps.of("block"), "block")
        return [tap._replace(value=tap.value.detach()) for tap in found]

    @quantity
    def stages(self) -> list[Tensor]:
        """What each stage gives: [A, N, C, H, W]."""
        return [tap.stacked().detach() for tap in self._forward(NEEDS["stages"]).taps.of("stage")]

    @quantity
    def attention_maps(self) -> list[Tensor]:
        """For each layer of attention how much each position looks at each other: [A, N, heads, L, L], rows add to 1.

        A cls token is among the positions; where attention looks through windows, those of a head follow each other.
        Raises Undefined where no attention is seen.
        """
        return [tap.value.detach()[None] for tap in self._forward(NEEDS["attention_maps"]).taps.of("attention")]

    @quantity
    def feature_gradients(self) -> Tensor:
        """Gradients of each candidate's mean cross-entropy by the features, [A, N, C, H, W], laid out as they are.

        What goes to a cls token is left out with it: where the head sees that alone, the last map's gradient is 0.
        """
        forward = self._forward(NEEDS["feature_gradients"])
        taps = forward.taps.of("features")
        if not taps:  # a stack's head sees the features themselves
            return self._back(self._loss(forward), [forward.outputs.features])[0]
        (gradient,) = self._back(self._loss(forward), [taps[0].value])
        return taps[0].shown(gradient)

    @quantity
    def stage_gradients(self) -> list[Tensor]:
        """Gradients of each candidate's mean cross-entropy by what each stage gives: [A, N, C, H, W]."""
        forward = self._forward(NEEDS["stage_gradients"])
        taps = forward.taps.of("stage")
        gradients = self._back(self._loss(forward), [tap.value for tap in taps])
        return [tap.shown(gradient) for tap, gradient in zip(taps, gradients, strict=True)]

    @quantity
    def transport(self) -> list[tuple[Tap, Tensor, Tensor]]:
        """For each block a random vector of +-1 at its output and what it becomes at its input, by one step back.

        Raises ValueError for a network that names no block.
        """
        found = []
        blocks = [tap for tap in self._forward(NEEDS["transport"]).taps.of("block") if tap.before is not None]
        for tap in self._of_all(blocks, "block"):
            assert tap.before is not None
            value = tap.value
            shape = (value.shape[0], value.shape[1] // len(tap.members), *value.shape[2:])
            signs = self.noise("transport", shape).sign().repeat(1, len(tap.members), *[1] * (value.ndim - 2))
            signs = torch.empty_like(value).copy_(signs)  # and in its order of memory, as what goes back is
            (back,) = self._back(value, [tap.before], signs)
            if tap.layout is not None:
                signs, back = tap.layout.arrange(signs)[0], tap.layout.arrange(back)[0]
            if back.shape[-2] % signs.shape[-2] or back.shape[-1] % signs.shape[-1]:
                raise Undefined("a block's resolution falls by no whole factor; name others with blocks=")
            found.append((tap, signs, back))
        return found

    @quantity
    def class_gradients(self) -> Tensor:
        """Mean over positions of each logit's gradient by the features: [A, N, K, C].

        The weights of class activation maps in general (Grad-CAM, Selvaraju et al., ICCV 2017), for heads of any kind:
        by a step back for each class, many at once; by two where the head is a 1x1 convolution of the features and each
        logit depends on its own channel of what that gives.
        """
        forward = self._forward(NEEDS["class_gradients"])
        taps, logits = forward.taps.of("features"), forward.outputs.logits
        if not taps:  # a stack, whose pooled features are their average
            weight = self.weights.kernels[self.network.head].flatten(2) / forward.outputs.features[0, 0, 0].numel()
            return weight.unsqueeze(1).expand(-1, logits.shape[1], -1, -1)
        (tap,), heads = taps, forward.taps.of("channels")
        found = self._by_channel(forward, tap, heads[0]) if heads else None
        return self._by_class(logits, tap) if found is None else found

    def _by_class(self, logits: Tensor, tap: Tap) -> Tensor:
        """The class gradients of a module, by a step back for each class: logits [1, N, K] -> [1, N, K, C]."""
        together = max(1, min(TOGETHER, ELEMENTS // tap.value.numel()))
        rows = []
        for classes in torch.eye(logits.shape[-1]).to(logits).split(together):
            if logits.requires_grad:
                seeds = classes[:, None, None].expand(-1, *logits.shape)
                (found,) = torch.autograd.grad(
                    logits, [tap.value], seeds, retain_graph=True, materialize_grads=True, is_grads_batched=True
                )
            else:
                found = tap.value.new_zeros(len(classes), *tap.value.shape)
            rows += [tap.arrange(row).mean((-2, -1)) for row in found]
        return torch.stack(rows, dim=2)

    def _by_channel(self, forward: Forward, tap: Tap, head: Tap) -> Tensor | None:
        """The class gradients behind a 1x1 convolution, [1, N, K, C]; None where a logit depends on other channels.

        With dz_k/dh_k, of the logit by its channel, summed over positions, a class's gradient by the features is that
        times the weight of its channel. Two steps back, of the logits' sum and of a sum with other factors for each,
        tell dz_k/dh_k and whether that is all.
        """
        assert isinstance(head.layer, Layer)
        logits = forward.outputs.logits[0]
        (by_head,) = self._back(logits.sum(), [head.value])
        factors = 1 + (torch.arange(logits.shape[1], dtype=torch.float64) * 0.6180339887498949).frac().to(logits)
        scaled, by_features = self._back((logits * factors).sum(), [head.value, tap.value])
        weight = forward.kernels[head.layer][0].detach().flatten(1)
        if weight.shape[1] != tap.value.shape[1] or not _equal(scaled, by_head * factors[:, None, None], SAME):
            return None
        found = by_head.sum((2, 3))[:, :, None] * weight / tap.value.shape[2:].numel()
        whole = torch.einsum("k,nkc->nc", factors, found)
        return found[None] if _equal(whole, by_features.mean((2, 3)), SUMMED) else None

    def _of_all(self, taps: list[Tap], what: str) -> list[Tap]:
        """The taps. Raises ValueError where a candidate has none: what reads them is undefined for it."""
        if len({member for tap in taps for member in tap.members}) < self.network.candidates:
            raise ValueError(f"the network has no {what}")
        return taps


def _equal(one: Tensor, other: Tensor, within: float) -> bool:
    return bool((one - other).abs().max() <= within * other.abs().max())
