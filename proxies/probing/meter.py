"""Meter: what each proxy would cost alone, although a run shares its passes. Benchmarks: see benchmarks/speed.py.

Time is booked to the quantity that spends it; what a quantity asks for has an account of its own. A proxy's cost is its
own time plus that of every quantity below it, each once. Quantities of another owner (the teacher, whose half is
computed once a run) are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import TypeVar

import torch

T = TypeVar("T")


@dataclass(eq=False)
class Account:
    """The own seconds of one quantity, and the accounts of what it asked for."""

    owner: object
    seconds: float = 0.0
    below: set[Account] = field(default_factory=set)


class Meter:
    """The clock of one run. Where the `device` is a GPU, a reading waits until it has done what it was told."""

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device
        self._open: list[Account] = []

    def measure(self, owner: object, compute: Callable[[], T]) -> tuple[T, Account]:
        """Compute a quantity; its account holds its seconds less those of the quantities computed inside it."""
        account = Account(owner)
        start = self._now()
        self._open.append(account)
        try:
            value = compute()
        finally:
            self._open.pop()
            elapsed = self._now() - start
            account.seconds += elapsed
            if self._open:
                self._open[-1].seconds -= elapsed
        return value, account

    def note(self, account: Account) -> None:
        """The quantity being computed, if any, has asked for this one."""
        if self._open:
            self._open[-1].below.add(account)

    def _now(self) -> float:
        if self._device is not None and self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return perf_counter()


def cost_alone(account: Account) -> float:
    """Seconds of an account and of everything of the same owner below it, each once."""
    seen: set[Account] = set()
    waiting = [account]
    while waiting:
        current = waiting.pop()
        if current.owner is account.owner and current not in seen:
            seen.add(current)
            waiting.extend(current.below)
    return sum(one.seconds for one in seen)
