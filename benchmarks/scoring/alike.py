"""Candidates that compute the same with the same weights: one is scored for all of them.

Of the 15,625 cells of NAS-Bench-201 9,445 differ in what is on a path from input to output. Where candidates share
their draws, the others are one of these networks, and its scores are theirs. See Space.effective and Proxy.whole.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.scoring.jobs import Job
from proxies import Proxy


class Alike:
    """Of candidates alike the first that was asked for: it stands for the others in the scores of `names`."""

    def __init__(self, job: Job, proxies: Sequence[Proxy]) -> None:
        self._space = job.space
        self._first: dict[str, str] = {}  # by effective candidate
        self._by_arch: dict[str, str] = {}
        same_weights = job.conditions.draw != "independent"
        self.names = [proxy.name for proxy in proxies if same_weights and not proxy.whole]

    def first(self, arch: str) -> str:
        """Who stands for a candidate: mostly itself."""
        if not self.names:
            return arch
        if arch not in self._by_arch:
            self._by_arch[arch] = self._first.setdefault(self._space.effective(arch), arch)
        return self._by_arch[arch]
