"""What some methods train beside the student: FitNets' regressor, ICKD's embedding, VID's predictors, LG, CRD.

Each is built for what student and teacher show, and is itself the loss. Its first weights come from a generator that is
passed in; its state belongs to the checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from math import sqrt
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate, linear, normalize, softplus
from torch.nn.utils import skip_init

from benchmarks.conditions.drawing import generator, initial_bias, initial_weight
from proxies.formulas import losses
from search.distillation.data import Batch
from search.distillation.models import Seen

LEAST_VARIANCE = 1e-5  # of VID's


class Adapter(nn.Module):
    """A loss with weights of its own, for networks that show what `student` and `teacher` are.

    labels [n] are those of the whole training set.
    """

    def __init__(self, student: Seen, teacher: Seen, labels: Tensor, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def conv(self, role: str, c_in: int, c_out: int, *, bias: bool = False) -> nn.Conv2d:
        """A 1x1 convolution, its weights drawn as PyTorch builds one, by role."""
        made = cast(nn.Conv2d, skip_init(nn.Conv2d, c_in, c_out, 1, bias=bias))
        random = generator(self.seed, type(self).__name__, role)
        made.weight.data = initial_weight(tuple(made.weight.shape), "default", random)
        if made.bias is not None:
            made.bias.data = initial_bias(tuple(made.weight.shape), "default", random)
        return made


class Regressor(Adapter):
    """FitNets: the middle stage's map, taken to the teacher's channels by 1x1 convolution, norm and ReLU; mean squares.

    As RepDistiller and mdistiller have it, whose convolution also has a bias, which the normalisation takes away again.
    They meet a map of twice the size by a 3x3 convolution of stride 2; here the larger map is pooled.
    """

    def __init__(self, student: Seen, teacher: Seen, labels: Tensor, seed: int) -> None:
        super().__init__(student, teacher, labels, seed)
        self.stage = len(student.stages) // 2
        own, other = (seen.stages[self.stage].shape[1] for seen in (student, teacher))
        self.regressor = nn.Sequential(self.conv("regressor", own, other), batch_norm(other), nn.ReLU())

    def forward(self, student: Seen, teacher: Seen, batch: Batch) -> Tensor:
        """The loss, a scalar."""
        own, other = _same_size(student.stages[self.stage], teacher.stages[self.stage])
        return losses.fitnets_loss(self.regressor(own).flatten(1), other.flatten(1))


class Embedding(Adapter):
    """ICKD: the student's last map, taken to the teacher's channels by a 1x1 convolution and batch normalisation."""

    def __init__(self, student: Seen, teacher: Seen, labels: Tensor, seed: int) -> None:
        super().__init__(student, teacher, labels, seed)
        own, other = (seen.features.shape[1] for seen in (student, teacher))
        self.embedding = nn.Sequential(self.conv("embedding", own, other), batch_norm(other))

    def forward(self, student: Seen, teacher: Seen, batch: Batch) -> Tensor:
        """The loss, a scalar."""
        return losses.ickd_loss(self.embedding(student.features), teacher.features)


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
            self.scales.append(nn.Parameter(torch.full((c,), math.log(math.expm1(variance - LEAST_VARIANCE)))))

    def forward(self, student: Seen, teacher: Seen, batch: Batch) -> Tensor:
        """The loss, a scalar, summed over the stages."""
        found = []
        for predict, scale, *maps in zip(self.predictors, self.scales, student.stages, teacher.stages, strict=True):
            own, other = _same_size(*maps)
            found.append(losses.vid_loss(predict(own), other, softplus(scale) + LEAST_VARIANCE))
        return torch.stack(found).sum()


class Locality(Adapter):
    """Locality guidance: each stage's map, taken to the teacher's channels by a 1x1 convolution; mean squares, summed.

    As released (lkhl/tiny-transformers at d2165f7, pycls/models/distill.py): the convolution has a bias and nothing
    comes after it; of two maps of unlike size the smaller is scaled up bilinearly, whichever network's it is.
    """

    def __init__(self, student: Seen, teacher: Seen, labels: Tensor, seed: int) -> None:
        super().__init__(student, teacher, labels, seed)
        self.projections = nn.ModuleList()
        for number, (own, other) in enumerate(zip(student.stages, teacher.stages, strict=True)):
            self.projections.append(self.conv(str(number), own.shape[1], other.shape[1], bias=True))

    def forward(self, student: Seen, teacher: Seen, batch: Batch) -> Tensor:
        """The loss, a scalar."""
        found = []
        for project, own, other in zip(self.projections, student.stages, teacher.stages, strict=True):
            size = [max(sides) for sides in zip(own.shape[-2:], other.shape[-2:], strict=True)]
            pair = (enlarged(maps, size).flatten(1) for maps in (project(own), other))
            found.append(losses.fitnets_loss(*pair))
        return torch.stack(found).sum()


class Contrast(Adapter):
    """CRD: embeddings of both networks' pooled features, contrasted with memories of all training images.

    As released: linear embeddings into `size` dimensions with a bias, temperature tau, as many negatives of other
    classes, none of them twice, the constant Z set by the first batch, and both directions. Where the training set has
    not so many of other classes, fewer are taken; the released code then draws some of them again and again.
    """

    own_memory: Tensor
    other_memory: Tensor
    own_z: Tensor
    other_z: Tensor
    by_class: Tensor

    def __init__(
        self,
        student: Seen,
        teacher: Seen,
        labels: Tensor,
        seed: int,
        *,
        size: float = 128,
        negatives: float = 16384,
        tau: float = 0.07,
        momentum: float = 0.5,
    ) -> None:
        super().__init__(student, teacher, labels, seed)
        self.tau, self.momentum, size = tau, momentum, int(size)
        count = labels.bincount()
        self.negatives = min(int(negatives), len(labels) - int(count.max()))
        if self.negatives < 1:
            raise ValueError("crd contrasts images of different classes, and the training set has one class")
        random = generator(seed, "crd")
        for name, seen in (("own", student), ("other", teacher)):
            shape = (size, seen.pooled.shape[1])
            self.register_parameter(f"{name}_embedding", nn.Parameter(initial_weight(shape, "default", random)))
            self.register_parameter(f"{name}_bias", nn.Parameter(initial_bias(shape, "default", random)))
            rows = (2 * random.random((len(labels), size), dtype=np.float32) - 1) * sqrt(3 / size)
            self.register_buffer(f"{name}_memory", torch.from_numpy(rows.astype(np.float32)))
            self.register_buffer(f"{name}_z", torch.zeros(()))
        self.register_buffer("by_class", labels.argsort(stable=True), persistent=False)
        self.first, self.many = (count.cumsum(0) - count).tolist(), count.tolist()  # of each class, in `by_class`

    def forward(self, student: Seen, teacher: Seen, batch: Batch) -> Tensor:
        """The loss, a scalar; moves the memories."""
        own, other = (
            normalize(linear(seen.pooled, *(self.get_parameter(f"{name}_{part}") for part in ("embedding", "bias"))))
            for name, seen in (("own", student), ("other", teacher))
        )
        chosen = torch.cat([batch.places[:, None], self._others(batch)], 1)
        loss = self._one_way(own, chosen, "other") + self._one_way(other, chosen, "own")
        self._remember("own", own.detach(), batch.places)
        self._remember("other", other.detach(), batch.places)
        return loss

    def _others(self, batch: Batch) -> Tensor:
        """For each image some of other classes, none twice, uniformly, [N, M]."""
        random = generator(self.seed, "crd negatives", batch.step, *([batch.part] if batch.part else []))
        rows = []
        for label in batch.labels.tolist():
            start, count = self.first[label], self.many[label]
            drawn = random.choice(len(self.by_class) - count, self.negatives, replace=False, shuffle=False)
            rows.append(np.where(drawn < start, drawn, drawn + count))
        return self.by_class[torch.from_numpy(np.stack(rows)).to(self.by_class.device)]

    def _one_way(self, embedded: Tensor, chosen: Tensor, name: str) -> Tensor:
        """Anchors of one network against the other's memory."""
        memory, z = self.get_buffer(f"{name}_memory"), self.get_buffer(f"{name}_z")
        every = embedded @ memory.clone().mT  # of all images: quicker than copies of the chosen rows; memory moves on
        similar = (every.gather(1, chosen) / self.tau).exp()
        images = len(memory)
        z.copy_(torch.where(z == 0, similar.detach().mean() * images, z))
        scaled = similar / z.clone()
        return losses.crd_loss(scaled[:, 0], scaled[:, 1:], images)

    def _remember(self, name: str, embedded: Tensor, index: Tensor) -> None:
        memory = self.get_buffer(f"{name}_memory")
        memory[index] = normalize(self.momentum * memory[index] + (1 - self.momentum) * embedded)


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Normalisation by the batch, in training as ever: an adapter is used in nothing else."""
    return nn.BatchNorm2d(channels, track_running_stats=False)


def enlarged(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps [N, C, H, W] of another size, bilinearly."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return interpolate(maps, tuple(size), mode="bilinear", align_corners=False)


def _same_size(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps, the larger one pooled to the smaller."""
    size = min(student.shape[-1], teacher.shape[-1])
    own, other = (m if m.shape[-1] == size else adaptive_avg_pool2d(m, size) for m in (student, teacher))
    return own, other
