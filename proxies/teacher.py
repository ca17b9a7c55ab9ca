"""DisWOT: how alike a student and the teacher already are at random initialisation. Each published form by its name.

Not here: the KD losses (proxies/distiller.py). Every form needs one forward pass of the student and no backward pass;
the teacher's half is computed once a run. Scores are negated distances: 0 is the best there is.
"""

from __future__ import annotations

from torch import Tensor

from proxies.formulas.similarity import (
    are_many,
    gram_distance,
    gram_distance_of_many,
    outer_product_distance,
    row_gram_distance,
)
from proxies.probing.probe import Probe
from proxies.registry import proxy

PAPER = "Dong, Li, Wei: DisWOT, CVPR 2023 (article)"
CODE = "lilujunai/DisWOT-CVPR2023 at dffe4e6 (released code)"


@proxy(source=PAPER)
def diswot_semantic(probe: Probe) -> Tensor:
    """DisWOT's semantic similarity: -M_s, the class activation maps of student and teacher compared, higher better.

    M_s = || G_T G_T' / ||G_T G_T'|| - G_S G_S' / ||G_S G_S'|| ||_F for the [K, H*W] class activation maps G of one
    image, then the mean over the N images; K x K, so C, H and W of student and teacher may differ. A student whose maps
    are all zero is compared as the zero matrix (M_s = 1). Reads images and both heads; no labels. Of a transformer the
    map is that of the patches; where a cls token goes to the head, channels still have their weights by Grad-CAM over
    all tokens, since the patches of the last block do not reach the logits themselves.
    """
    if are_many(probe.class_maps, probe.teacher.class_maps):
        return -gram_distance_of_many(probe.class_maps, probe.teacher.class_maps).mean(-1)
    return -gram_distance(probe.cam_gram, probe.teacher.cam_gram).mean(-1)


@proxy(source=PAPER)
def diswot_relation(probe: Probe) -> Tensor:
    """DisWOT's relation similarity: -M_r, the batch's sample Gram matrices compared, higher better.

    M_r = || A_T A_T' / ||A_T A_T'|| - A_S A_S' / ||A_S A_S'|| ||_F with A the last feature map as [N, C*H*W].
    """
    return -gram_distance(probe.sample_gram, probe.teacher.sample_gram)


@proxy(source=PAPER)
def diswot(probe: Probe) -> Tensor:
    """DisWOT as in the article: -(M_s + M_r), semantic plus relation similarity to the teacher, higher better.

    A plain sum with weights 1 and 1, as the article's search objective has it.
    """
    return diswot_semantic(probe) + diswot_relation(probe)


@proxy(source=CODE)
def diswot_fcgrad_semantic(probe: Probe) -> Tensor:
    """Released semantic form: the head's weight gradients compared with the teacher's class by class, higher better.

    -sum_k ||R(g_k g_k') - R(h_k h_k')||_F^2 / (C K), with g = dCE/dW of the head [K, C] and R = unit rows. It sees no
    class activation map. Departures: the gradient comes in closed form, (P - Y)' Hp / N, and rows are not clamped at
    1e-12 (formulas/similarity.py). Needs labels, and a teacher with as many channels before the head as the student.
    """
    return -outer_product_distance(probe.head_gradient, probe.teacher.head_gradient)


@proxy(source=CODE)
def diswot_gram_relation(probe: Probe) -> Tensor:
    """Released relation form: sample Gram matrices with unit rows, mean squared difference, negated, higher better.

    -||R(A_S A_S') - R(A_T A_T')||_F^2 / N^2 on the last feature map, as the README of the code defines it; for what
    its scripts for NAS-Bench-201 compute instead see diswot_released_first_image.
    """
    return -row_gram_distance(probe.sample_gram, probe.teacher.sample_gram)


@proxy(source=CODE)
def diswot_released(probe: Probe) -> Tensor:
    """Released sum: diswot_fcgrad_semantic + diswot_gram_relation, higher better.

    The relation part is at most 2/N in size and the semantic part of order 1, so the sum ranks much as the latter.
    """
    return diswot_fcgrad_semantic(probe) + diswot_gram_relation(probe)


@proxy(source=CODE)
def diswot_released_first_image(probe: Probe) -> Tensor:
    """Released sum as its NAS-Bench-201 scripts run it: the relation of the first image alone, higher better.

    diswot_fcgrad_semantic - ||R(h h') - R(t t')||_F^2 / C^2, h and t [C] the pooled features of the batch's first image
    in student and teacher. The scripts hand tensors to a loss that expects lists of maps, so it goes through the images
    in place of the layers and only the first is used: channels of one vector, not images, are compared.
    """
    student, teacher = probe.pooled[:, :1].double(), probe.teacher.pooled[:, :1].double()
    return diswot_fcgrad_semantic(probe) - outer_product_distance(student, teacher) / student.shape[-1]
