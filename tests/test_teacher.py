"""DisWOT against what a student that is the teacher must score, and the head gradient against autograd."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from proxies import select
from proxies.probing.probe import Probe
from tests.cases import MIXED, batch, case_of, probe_of, stack_of, teacher_of
from tests.reference import head_gradient


@pytest.mark.parametrize("proxy", select("diswot*"), ids=lambda proxy: proxy.name)
def test_the_teacher_as_its_own_student_scores_zero(proxy: object) -> None:
    images, labels = batch()
    teacher = Probe(*teacher_of(), images, labels)
    student = Probe(*teacher_of(), images, labels, teacher=teacher)
    assert_close(student.score(proxy)[0], torch.zeros(1, dtype=torch.float64), atol=1e-12, rtol=0)  # type: ignore[arg-type]


def test_head_gradient_equals_autograd() -> None:
    probe = probe_of(MIXED[:3], *batch(), init="normal")
    for member in range(3):
        case = case_of(probe, MIXED, member)
        assert_close(probe.head_gradient[member], head_gradient(case.student, case))


def test_no_diswot_form_runs_a_backward_pass() -> None:
    probe = probe_of(MIXED[:2], *batch())
    for proxy in select("diswot*"):
        probe.score(proxy)
    assert "gradients" not in probe.asked
    assert not probe.features.requires_grad


def test_the_scripts_relation_sees_the_first_image_alone() -> None:
    """Rows of h h' are h / ||h||, or 0 where h is: (z_h + z_t - 2 cos(h, t) z_both) / C^2, z counting what is not 0."""
    images, labels = batch()
    probe = probe_of(MIXED[:2], images, labels)
    relation = probe.score(select("diswot_released_first_image")[0])[0]  # type: ignore[arg-type]
    relation = relation - probe.score(select("diswot_fcgrad_semantic")[0])[0]  # type: ignore[arg-type]
    own, other = probe.pooled[:, 0], probe.teacher.pooled[:, 0]
    counts = ((own != 0).sum(1) + (other != 0).sum(1), ((own != 0) & (other != 0)).sum(1))
    distance = counts[0] - 2 * torch.cosine_similarity(own, other, dim=-1) * counts[1]
    assert_close(relation, -distance / probe.pooled.shape[-1] ** 2)


def test_without_a_teacher_it_says_so() -> None:
    probe = Probe(*stack_of(MIXED[:1]), *batch())
    with pytest.raises(ValueError, match="--teacher"):
        probe.score(select("diswot")[0])


def test_forms_that_need_equal_channels_refuse_others() -> None:
    probe = probe_of(MIXED[:1], *batch())
    narrow = probe.teacher.outputs
    probe.teacher._values["outputs"] = (
        narrow._replace(pooled=narrow.pooled[..., :32]),
        probe.teacher._values["outputs"][1],
    )
    with pytest.raises(ValueError, match="class gradients"):
        probe.score(select("diswot_fcgrad_semantic")[0])
