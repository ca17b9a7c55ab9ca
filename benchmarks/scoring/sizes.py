"""Sizes beside scores: modules are counted on the network that is scored, other candidates by their space."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.scoring.jobs import Job
from benchmarks.scoring.store import Score
from benchmarks.spaces import Space
from benchmarks.spaces.modules import ModuleSpace
from benchmarks.spaces.zoo import Torchvision
from proxies import Proxy, parts, select

SIZES = ("params", "macs")  # columns of a table of scores, and proxies


def counts_alone(space: Space) -> bool:
    """Whether a space tells a candidate's size without building it for that; modules are counted as they are scored."""
    return not isinstance(space, ModuleSpace) or isinstance(space, Torchvision)


def uncounted(job: Job) -> list[Proxy]:
    """The proxies of size that have to be scored beside those of a job, so that its table has a candidate's size."""
    known = {proxy.name for proxy in job.proxies}
    wanted = [] if counts_alone(job.space) else parts(select(",".join(SIZES)))
    return [proxy for proxy in wanted if proxy.name not in known]


def sizes_of(rows: Sequence[Score], job: Job) -> dict[str, dict[str, int]]:
    """By candidate its parameters and multiply-accumulates on the job's images; none for one that can't be scored."""
    if not counts_alone(job.space):
        found: dict[str, dict[str, int]] = {arch: {} for arch in job.archs}
        for row in rows:
            if row.proxy in SIZES and row.status == "ok":
                found[row.arch][row.proxy] = int(row.score)
        return found
    return {arch: size_of(job, arch) for arch in job.archs}


def size_of(job: Job, arch: str) -> dict[str, int]:
    """A candidate's size as its space counts it; nothing for one that can't be built, whose rows say why."""
    try:
        size = job.space.count(arch, *job.source.dataset)
    except ValueError:
        return {}
    return {"params": size.params, "macs": size.macs}
