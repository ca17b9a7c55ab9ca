"""Controls: measures that know nothing of a candidate beyond an accident, for a proxy to be held against.

They are not registered; a command line names them like a user's file: analysis/validation/controls.py:fc_weights.
"""

from __future__ import annotations

from torch import Tensor

from proxies.formulas.similarity import outer_product_distance
from proxies.probing.probe import Probe


def fc_weights(probe: Probe) -> Tensor:
    """Control of the released semantic form: the heads' drawn weights in place of their gradients, higher better.

    -sum_k ||R(w_k w_k') - R(v_k v_k')||_F^2 / (C K). The weights are drawn before anything is seen, so a correlation
    can only come from how they were drawn; where student and teacher share them it is 0 for every candidate.
    """
    return -outer_product_distance(probe.head_weight, probe.teacher.head_weight)
