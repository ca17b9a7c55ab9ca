"""What some distillation methods train beside the student: FitNets' regressor, VID's predictors, CRD's contrast.

Each is built for what student and teacher show, and is itself the loss. Its first weights come from a generator that is
passed in; its state belongs to the checkpoint.
"""

from __future__ import annotations

import math
from math import sqrt
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, linear, normalize, softplus
from torch.nn.utils import skip_init

from benchmarks.conditions.drawing import generator, initial_weight
from proxies.formulas import losses
from search.distillation.images import Batch
from search.distillation.students import Seen


class Adapter(nn.Module):
    """A loss with weights of its own, for networks that show what `student` and `teacher` are.

    labels [n] are those of the whole training set.
    """

    def __init__(self, student: Seen, teacher: Seen, labels: Tensor, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def conv(self, role: str, c_in: int, c_out: int) -> nn.Conv2d:
        """A 1x1 convolution with kaiming weights, by role."""
        made = cast(nn.Conv2d, skip_init(nn.Conv2d, c_in, c_out, 1, bias=False))
        random = generator(self.seed, type(self).__name__, role)
        made.weight.data = initial_weight(tuple(made.weight.shape), "kaiming", random)
        return made


class Regressor(Adapter):
    """FitNets: the middle stage's map, taken to the teacher's channels by a 1x1 convolution; mean squares."""

    def __init__(self, student: Seen, teacher: Seen, labels: Tensor, seed: int) -> None:
        super().__init__(student, teacher, labels, seed)
        self.stage = len(student.stages) // 2
        own, other = (seen.stages[self.stage].shape[1] for seen in (student, teacher))
        self.regressor = self.conv("regressor", own, other)

    def forward(self, student: Seen, teacher: Seen, batch: Batch) -> Tensor:
        """The loss, a scalar."""
        own, other = _same_size(student.stages[self.stage], teacher.stages[self.stage])
        return losses.fitnets_loss(self.regressor(own).flatten(1), other.flatten(1))


class Information(Adapter):
    """VID: each stage's map of the teacher predicted from the student's, with a trained variance a channel."""

    def __init__(self, student: Seen, teacher: Seen, labels: Tensor, seed: int, variance: float = 5.0) -> None:
        super().__init__(student, teacher, labels, seed)
        self.predictors = nn.ModuleList()
        self.scales = nn.ParameterList()
        for number, (own, other) in enumerate(zip(student.stages, teacher.stages, strict=True)):
            c_in, c = own.shape[1], other.shape[1]
            convs = [self.conv(f"{number}.{i}", c_in if i == 0 else c, c) for i in range(3)]
            self.predictors.append(nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), convs[2]))
            self.scales.append(nn.Parameter(torch.full((c,), math.log(math.expm1(variance)))))

    def forward(self, student: Seen, teacher: Seen, batch: Batch) -> Tensor:
        """The loss, a scalar, summed over the stages."""
        found = []
        for predict, scale, *maps in zip(self.predictors, self.scales, student.stages, teacher.stages, strict=True):
            own, other = _same_size(*maps)
            found.append(losses.vid_loss(predict(own), other, softplus(scale) + 1e-5))
        return torch.stack(found).sum()


class Contrast(Adapter):
    """CRD: embeddings of both networks' pooled features, contrasted with memories of all training images.

    As released: 128 dimensions, temperature .07, momentum .5, 16,384 negatives of other classes (fewer where there are
    not so many), the constant Z set by the first batch, and both directions.
    """

    own_memory: Tensor
    other_memory: Tensor
    own_z: Tensor
    other_z: Tensor
    by_class: Tensor
    start: Tensor
    count: Tensor

    def __init__(
        self,
        student: Seen,
        teacher: Seen,
        labels: Tensor,
        seed: int,
        *,
        size: int = 128,
        negatives: int = 16384,
        temperature: float = 0.07,
        momentum: float = 0.5,
    ) -> None:
        super().__init__(student, teacher, labels, seed)
        self.temperature, self.momentum = temperature, momentum
        count = labels.bincount()
        self.negatives = min(negatives, len(labels) - int(count.max()))
        if self.negatives < 1:
            raise ValueError("crd contrasts images of different classes, and the training set has one class")
        random = generator(seed, "crd")
        for name, seen in (("own", student), ("other", teacher)):
            weight = initial_weight((size, seen.pooled.shape[1]), "default", random)
            self.register_parameter(f"{name}_embedding", nn.Parameter(weight))
            rows = (2 * random.random((len(labels), size), dtype=np.float32) - 1) * sqrt(3 / size)
            self.register_buffer(f"{name}_memory", torch.from_numpy(rows.astype(np.float32)))
            self.register_buffer(f"{name}_z", torch.zeros(()))
        self.register_buffer("by_class", labels.argsort(stable=True), persistent=False)
        self.register_buffer("start", count.cumsum(0) - count, persistent=False)
        self.register_buffer("count", count, persistent=False)

    def forward(self, student: Seen, teacher: Seen, batch: Batch) -> Tensor:
        """The loss, a scalar; moves the memories."""
        own, other = (
            normalize(linear(seen.pooled, self.get_parameter(f"{name}_embedding")))
            for name, seen in (("own", student), ("other", teacher))
        )
        chosen = torch.cat([batch.places[:, None], self._others(batch)], 1)
        loss = self._one_way(own, chosen, "other") + self._one_way(other, chosen, "own")
        self._remember("own", own.detach(), batch.places)
        self._remember("other", other.detach(), batch.places)
        return loss

    def _others(self, batch: Batch) -> Tensor:
        """For each image some of other classes, uniformly, [N, M]."""
        start, count = self.start[batch.labels, None], self.count[batch.labels, None]
        random = generator(self.seed, "crd negatives", batch.step)
        uniform = random.random((len(batch.labels), self.negatives), dtype=np.float32)
        drawn = (torch.from_numpy(uniform).to(start.device) * (len(self.by_class) - count)).long()
        return self.by_class[torch.where(drawn < start, drawn, drawn + count)]

    def _one_way(self, embedded: Tensor, chosen: Tensor, name: str) -> Tensor:
        """Anchors of one network against the other's memory."""
        memory, z = self.get_buffer(f"{name}_memory"), self.get_buffer(f"{name}_z")
        similar = ((memory[chosen] @ embedded.unsqueeze(-1)).squeeze(-1) / self.temperature).exp()
        images = len(memory)
        z.copy_(torch.where(z == 0, similar.detach().mean() * images, z))
        scaled = similar / z.clone()
        return losses.crd_loss(scaled[:, 0], scaled[:, 1:], images)

    def _remember(self, name: str, embedded: Tensor, index: Tensor) -> None:
        memory = self.get_buffer(f"{name}_memory")
        memory[index] = normalize(self.momentum * memory[index] + (1 - self.momentum) * embedded)


def _same_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps, the larger one pooled to the smaller."""
    size = min(student.shape[-1], teacher.shape[-1])
    own, other = (m if m.shape[-1] == size else adaptive_avg_pool2d(m, size) for m in (student, teacher))
    return own, other
