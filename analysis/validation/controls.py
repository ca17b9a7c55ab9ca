"""Controls: measures that know nothing of a candidate beyond an accident, for a proxy to be held against.

They are not registered; a command line names them like a user's file: analysis/validation/controls.py:fc_weights.
"""

from __future__ import annotations

import torch
from torch import Tensor

from proxies.formulas.similarity import gram_distance, outer_product_distance, sample_gram
from proxies.probing.probe import Probe


def fc_weights(probe: Probe) -> Tensor:
    """Control of the released semantic form: the heads' drawn weights in place of their gradients, higher better.

    -sum_k ||R(w_k w_k') - R(v_k v_k')||_F^2 / (C K). The weights are drawn before anything is seen, so a correlation
    can only come from how they were drawn; where student and teacher share them it is 0 for every candidate.
    """
    return -outer_product_distance(probe.head_weight, probe.teacher.head_weight)


def blocks_relation(probe: Probe) -> Tensor:
    """diswot_relation of what stem and blocks give in place of the last map, the mean over them, higher better.

    The teacher's side is its last map. Of a transformer's block all tokens count, the cls token too.
    """
    total = torch.zeros(probe.network.candidates, dtype=torch.float64, device=probe.images.device)
    blocks = torch.zeros_like(total)
    for tap in probe.blocks:
        members = list(tap.members)
        total[members] -= gram_distance(sample_gram(tap.stacked()), probe.teacher.sample_gram)
        blocks[members] += 1
    return total / blocks
