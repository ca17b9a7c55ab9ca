"""The accounts of shared passes, with a clock that only moves when told."""

from __future__ import annotations

import pytest
import torch

from proxies.probing import meter
from proxies.probing.meter import Account, Meter, cost_alone


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(meter, "perf_counter", made)
    return made


class Owner:
    """Quantities computed once, as a Probe does it."""

    def __init__(self, meter: Meter, clock: Clock) -> None:
        self.meter, self.clock = meter, clock
        self.accounts: dict[str, Account] = {}

    def ask(self, name: str, seconds: float, *below: tuple[Owner, str, float]) -> None:
        def compute() -> None:
            self.clock.now += seconds
            for owner, other, cost in below:
                owner.ask(other, cost)

        if name not in self.accounts:
            _, self.accounts[name] = self.meter.measure(self, compute)
        self.meter.note(self.accounts[name])


def test_a_shared_quantity_counts_in_full_for_each_that_asks(clock: Clock) -> None:
    owner = Owner(Meter(), clock)
    owner.ask("first", 1, (owner, "pass", 10))
    owner.ask("second", 2, (owner, "pass", 10))
    assert clock.now == 13
    assert cost_alone(owner.accounts["first"]) == 11
    assert cost_alone(owner.accounts["second"]) == 12


def test_a_quantity_asked_for_on_two_ways_counts_once(clock: Clock) -> None:
    owner = Owner(Meter(), clock)
    owner.ask("top", 1, (owner, "pass", 10), (owner, "pass", 10))
    assert cost_alone(owner.accounts["top"]) == 11


def test_what_another_owner_spends_is_left_out(clock: Clock) -> None:
    shared = Meter()
    owner, teacher = Owner(shared, clock), Owner(shared, clock)
    owner.ask("score", 1, (teacher, "pass", 100), (owner, "pass", 10))
    assert cost_alone(owner.accounts["score"]) == 11
    assert cost_alone(teacher.accounts["pass"]) == 100


def test_time_is_booked_although_a_quantity_fails(clock: Clock) -> None:
    owner = Owner(Meter(), clock)

    def fail() -> None:
        clock.now += 5
        raise ZeroDivisionError

    def outer() -> None:
        clock.now += 1
        with pytest.raises(ZeroDivisionError):
            owner.meter.measure(owner, fail)

    _, account = owner.meter.measure(owner, outer)
    assert cost_alone(account) == 1


@pytest.mark.parametrize(("device", "waits"), [(torch.device("cuda:1"), 2), (torch.device("cpu"), 0), (None, 0)])
def test_a_reading_waits_for_the_device_that_works(
    device: torch.device | None, waits: int, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    Meter(device).measure(object(), lambda: None)
    assert waited == [device] * waits
