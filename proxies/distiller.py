"""The KD losses as proxies: minus the loss between a student and the teacher at random initialisation, in float64.

The losses are functions of proxies/formulas/losses.py, which distillation trains with; sources are there.
"Maps" are what the three stages give; "features" the pooled ones; "last map" what global average pooling sees.
"""

from __future__ import annotations

from torch import Tensor

from proxies.formulas import losses, similarity
from proxies.probing.probe import Probe
from proxies.registry import proxy


def _stages(probe: Probe) -> tuple[list[Tensor], list[Tensor]]:
    """What the stages of student and teacher give, in float64. Raises ValueError where they have not as many."""
    student, teacher = probe.stages, probe.teacher.stages
    if len(student) != len(teacher):
        raise ValueError(f"stages are compared one by one: the network has {len(student)}, the teacher {len(teacher)}")
    return [maps.double() for maps in student], [maps.double() for maps in teacher]


@proxy(source="Hinton et al. 2015")
def kd(probe: Probe) -> Tensor:
    """Minus the distillation loss, T^2 KL of the softened logits with T = 4, higher better."""
    return -losses.kd_loss(probe.logits.double(), probe.teacher.logits.double())


@proxy(source="Zhao et al. (DKD), CVPR 2022")
def dkd(probe: Probe) -> Tensor:
    """Minus decoupled KD: the label against the rest, and 8 times the other classes alone, T = 4, higher better."""
    return -losses.dkd_loss(probe.logits.double(), probe.teacher.logits.double(), probe.labels)


@proxy(source="Romero et al. (FitNets), ICLR 2015")
def fitnets(probe: Probe) -> Tensor:
    """Minus the mean squared difference of features, without a regressor, for equal channels, higher better."""
    return -losses.fitnets_loss(probe.pooled.double(), probe.teacher.pooled.double())


@proxy(source="Zagoruyko & Komodakis, ICLR 2017")
def at(probe: Probe) -> Tensor:
    """Minus the attention transfer loss, summed over the three stages' maps, higher better."""
    found = [losses.at_loss(s, t) for s, t in zip(*_stages(probe), strict=True)]
    return -sum(found[1:], start=found[0])


@proxy(source="Tung & Mori, ICCV 2019")
def sp(probe: Probe) -> Tensor:
    """Minus the similarity-preserving loss on the last map, as diswot_gram_relation, higher better."""
    return -similarity.row_gram_distance(probe.sample_gram, probe.teacher.sample_gram)


@proxy(source="Park et al., CVPR 2019")
def rkd(probe: Probe) -> Tensor:
    """Minus the relational loss, 25 distances + 50 angles of features, NaN where all images coincide, higher better."""
    return -losses.rkd_loss(probe.pooled.double(), probe.teacher.pooled.double())


@proxy(source="Peng et al., ICCV 2019")
def cc(probe: Probe) -> Tensor:
    """Minus the correlation congruence loss of features, the article's form, higher better."""
    return -losses.cc_loss(probe.pooled.double(), probe.teacher.pooled.double())


@proxy(source="Passalis & Tefas, ECCV 2018")
def pkt(probe: Probe) -> Tensor:
    """Minus the probabilistic knowledge transfer loss of features, higher better."""
    return -losses.pkt_loss(probe.pooled.double(), probe.teacher.pooled.double())


@proxy(source="Huang & Wang 2017")
def nst(probe: Probe) -> Tensor:
    """Minus the neuron selectivity transfer loss on the last map, higher better."""
    return -losses.nst_loss(probe.features.double(), probe.teacher.features.double())


@proxy(source="Liu et al., ICCV 2021")
def ickd(probe: Probe) -> Tensor:
    """Minus the inter-channel correlation loss on the last map, for equal channels, higher better."""
    return -losses.ickd_loss(probe.features.double(), probe.teacher.features.double())


@proxy(source="Lee et al., ECCV 2018")
def kdsvd(probe: Probe) -> Tensor:
    """Minus the KD-by-SVD loss over the three stages' maps, for equal channels, higher better."""
    return -losses.kdsvd_loss(*_stages(probe))


@proxy(source="Kornblith et al., ICML 2019; as a loss RMI-NAS, 2022")
def cka(probe: Probe) -> Tensor:
    """Minus the sum over the three stages' maps of 1 - linear CKA, higher better."""
    return -losses.cka_loss(*_stages(probe))


@proxy(source="Huang et al. (DIST), NeurIPS 2022")
def dist(probe: Probe) -> Tensor:
    """Minus DIST: 1 - Pearson between the probabilities' rows, and columns, of student and teacher, higher better."""
    return -losses.dist_loss(probe.logits.double(), probe.teacher.logits.double())
