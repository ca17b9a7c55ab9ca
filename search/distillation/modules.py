"""Any nn.Module in training: it runs as it is, with its own dropout and its own batch normalisation.

What it shows beside its logits (stages, last map, what its head gets) is what probing finds of it
(proxies/probing/module.py), read off by position, the number of a call in a run. A run in training makes other calls
than one in use (stochastic depth), so each is looked at once. Not here: who is meant by a name (students.py).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.conditions.batches import scaled
from proxies.probing import admitting
from proxies.probing.looking import UNKNOWN, look
from proxies.probing.module import LOOKED_AT, Module
from proxies.probing.network import Layout
from proxies.probing.planning import axes
from proxies.probing.structure import Named, find
from search.distillation.models import TYPES, Precision, Seen
from search.distillation.sight import Asked, Axes, Eye, Sight, names_of


class Net:
    """A module and how it is trained and shown. `images` are the size, type and device of what it will see.

    `retouch`, `resolution`: as of a Model. `named` names submodules, where what is found is not what is wanted. Raises
    ValueError where the module does not run on such images, or gives no logits.
    """

    def __init__(
        self,
        module: nn.Module,
        images: Tensor,
        precision: Precision = "float32",
        retouch: tuple[Tensor, Tensor] | None = None,
        resolution: int | None = None,
        named: Named | None = None,
    ) -> None:
        self.module = module
        self.precision: Precision = precision
        self.retouch, self.resolution = retouch, resolution
        self.images = scaled(images[:1], resolution or images.shape[-1])
        self.named = named or Named()
        self._probed: Module | None = None
        self._sights: dict[bool, Sight] = {}
        self._mode: bool | None = None  # that of the last run
        admitting.check(module, self.images)

    @property
    def size(self) -> int:
        """Scalars of its parameters, each once."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @property
    def classes(self) -> int:
        """How many logits it gives. Raises ValueError where it does not run on its images, or gives none."""
        example = admitting.example(self.images, LOOKED_AT)
        with admitting.aside(self.module, example.device), torch.no_grad():
            given = admitting.tried(lambda: self.module(example), example)
        return logits_of(given, example).shape[1]

    def parameters(self) -> list[Tensor]:
        """What is trained: the parameters that want a gradient. Raises ValueError where none does."""
        found: list[Tensor] = [one for one in self.module.parameters() if one.requires_grad]
        if not found:
            raise ValueError("none of the student's parameters wants a gradient (requires_grad), so nothing is trained")
        return found

    def vectors(self) -> list[Tensor]:
        """Of what is trained what has a single axis."""
        return [one for one in self.parameters() if one.ndim < 2]

    def statistics(self) -> list[Tensor]:
        """Buffers of floats: running means and variances."""
        return [one for one in self.module.buffers() if one.is_floating_point()]

    def tensors(self) -> list[Tensor]:
        """All parameters and buffers."""
        return [*self.module.parameters(), *self.module.buffers()]

    def copy(self) -> Net:
        """The same network with weights of its own that nothing trains."""
        made = copy.copy(self)
        made.module = copy.deepcopy(self.module).requires_grad_(False)
        return made

    def state_dict(self) -> dict[str, Any]:
        """The module's own."""
        return dict(self.module.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state that `state_dict` gave."""
        self.module.load_state_dict(state)

    def look(self, images: Tensor, *, training: bool = False, stages: bool = False, maps: bool = True) -> Seen:
        """See Network. For the logits alone the module is run as it is; else it is watched while it runs."""
        if self.retouch is not None:
            scale, shift = self.retouch
            images = images * scale + shift
        images = scaled(images, self.resolution or images.shape[-1])
        mixed = self.precision != "float32"
        sight = self.sight(training=training) if maps or stages else None
        if self._mode is not training or self.module.training is not training:
            self.module.train(training)  # which goes through all submodules
            self._mode = training
        with torch.autocast(images.device.type, TYPES[self.precision], enabled=mixed):
            if sight is None:
                logits = logits_of(self.module(images), images)
                nothing = logits.new_zeros(len(logits), 0)
                shown = Seen([], nothing[..., None, None], nothing, logits, nothing[:0])
            else:
                asked = training and sight.asks
                with Asked(sight, self.module, stages=stages) if asked else Eye(sight, stages=stages) as kept:
                    given = self.module(images)
                shown = self._shown(kept, logits_of(given, images), stages=stages)
        if not mixed:
            return shown
        maps_, (features, pooled, logits, head) = [one.float() for one in shown.stages], (p.float() for p in shown[1:])
        return Seen(maps_, features, pooled, logits, head)

    def _shown(self, kept: Eye | Asked, logits: Tensor, *, stages: bool) -> Seen:
        """What a run showed, tokens as maps on their grid."""

        def arranged(number: int, place: Axes) -> Tensor:
            out = kept.held[number]
            return out if place is None else Layout(*place, len(logits), grid=True).map(out)[0]

        maps = [arranged(*one) for one in kept.sight.stages] if stages else []
        features = logits.new_zeros(len(logits), 0, 1, 1)
        if kept.sight.features is not None:
            features = arranged(*kept.sight.features)
        pooled = features.mean((-2, -1))
        if kept.head_input is not None and kept.head_input.ndim == 2:
            pooled = kept.head_input
        head = logits.new_zeros(0, 0)
        if self.probed.average_head:  # by which class activation maps have their closed form
            head = self.module.get_parameter(self.probed.head.role)
        return Seen(maps, features, pooled, logits, head)

    @property
    def probed(self) -> Module:
        """What probing finds of it, looked for when first asked."""
        if self._probed is None:
            names = self.named
            self._probed = Module(
                self.module, self.images, features=names.features, head=names.head, stages=names.stages
            )
        return self._probed

    @property
    def levels(self) -> Sequence[str]:
        """What gives its stages; the blocks of a network whose maps are all of one size, as a transformer's are."""
        many = len(self.probed.stages) < 2 and not self.named.stages
        return self.probed.blocks if many and self.probed.blocks else self.probed.stages

    @property
    def lacks(self) -> Mapping[str, str]:
        """By part of what is shown, why it has none."""
        return self.probed.lacks

    def sight(self, *, training: bool) -> Sight:
        """Where to look in a run of this mode, found by the first."""
        if training not in self._sights:
            self._sights[training] = self._look(training=training)
        return self._sights[training]

    def _look(self, *, training: bool) -> Sight:
        """Run it on a few images in this mode, find what was found in use, and see what is written over."""
        example, kept = admitting.example(self.images, LOOKED_AT), self.module.training
        names = {name for name, _ in self.module.named_modules()}

        def submodules(*found: str) -> tuple[str, ...]:
            return found if set(found) <= names else ()  # what a plain function gives is found anew

        levels = submodules(*self.levels)
        head = "" if "head" in self.lacks else self.probed.head.role.rpartition(".")[0]
        named = Named("".join(submodules(self.probed.features)), head, levels)
        with admitting.aside(self.module, example.device):
            self.module.train(training)
            record = admitting.tried(lambda: look(self.module, example), example)
            found = find(record, self.module, logits_of(record.given, example).shape[1], named)
            places = [(number, axes(record.calls[number], LOOKED_AT)) for number in found.stages]
            last = found.features
            features = None if last is None else (last, axes(record.calls[last], LOOKED_AT))
            sight = Sight(places, features, UNKNOWN if found.head is None else found.head.number)
            with torch.no_grad(), Eye(sight) as eye:
                self.module(example)
        self.module.train(kept)
        return sight._replace(copied=eye.written_over, names=names_of(record, self.module))


def logits_of(given: Any, images: Tensor) -> Tensor:
    """The logits of what a module gives: itself, or the first of several (others are of heads for training alone)."""
    return admitting.logits_of(given[0] if isinstance(given, tuple) and given else given, images)
