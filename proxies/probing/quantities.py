"""Quantities: what is computed when it is first asked for, once, and booked to a meter.

Not which quantities there are: the passes over a stack (passes.py, own_passes.py) and what they show (probe.py) are.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, Self, TypeVar, cast, overload

from proxies.probing.meter import Account, Meter
from proxies.probing.writes import Handed

T = TypeVar("T")


class quantity(Generic[T]):  # noqa: N801, reads as the decorator it is
    """A property of Quantities, computed and timed once."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute = compute
        self.name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, probe: None, owner: type) -> Self: ...
    @overload
    def __get__(self, probe: Quantities, owner: type) -> T: ...
    def __get__(self, probe: Quantities | None, owner: type) -> Self | T:
        if probe is None:
            return self
        probe.note(self.name)
        if not probe._knows(self.name):
            probe._book(self.name, lambda: probe._computed(self.name, self.compute))
        return cast(T, probe._recall(self.name))


class Quantities:
    """Values by name, each with its cost. Asking is declaring: `asked` tells which were wanted.

    Who gets an earlier one's `asked` as `plan` knows beforehand what will be wanted of it.
    """

    def __init__(self, meter: Meter, plan: frozenset[str] = frozenset()) -> None:
        self.plan = plan
        self._meter = meter
        # no more than a name: a probe that stands in its own accounts stays in memory, with all its passes
        self._owner = object()
        self._asked: set[str] = set()
        self._parts: dict[str, Quantities] = {}
        self._values: dict[Hashable, tuple[Any, Account]] = {}
        self._handed = Handed()

    @property
    def asked(self) -> set[str]:
        """What was wanted, of its parts with their names in front: `part: name`."""
        return self._asked.union(*({f"{name}: {one}" for one in part.asked} for name, part in self._parts.items()))

    def altered(self) -> str:
        """Which value was written to in place since it was handed out; empty where none was."""
        return self._handed.altered() or next(
            (f"{name}: {one}" for name, part in self._parts.items() if (one := part.altered())), ""
        )

    def note(self, name: str) -> None:
        """Something is wanted."""
        self._asked.add(name)

    def planned(self, part: str) -> frozenset[str]:
        """What is planned of a part."""
        return frozenset(name.removeprefix(f"{part}: ") for name in self.plan if name.startswith(f"{part}: "))

    def take_in(self, name: str, part: Quantities) -> None:
        """Make other quantities a part of these: booked to the same meter, as this one's own."""
        self._own(part)
        self._parts[name] = part

    def _own(self, part: Quantities) -> None:
        part._meter, part._owner = self._meter, self._owner

    def _computed(self, name: str, compute: Callable[[Any], T]) -> T:
        """A quantity's value; who knows another way to it overrides this."""
        return compute(self)

    def _knows(self, name: Hashable) -> bool:
        return name in self._values

    def _book(self, name: Hashable, compute: Callable[[], object]) -> None:
        """Compute and keep a value, with its cost."""
        self._values[name] = self._meter.measure(self._owner, compute)
        self._handed.out(str(name), self._values[name][0])

    def _recall(self, name: Hashable) -> Any:
        """A value that is known; whatever is being computed has asked for it."""
        value, account = self._values[name]
        self._meter.note(account)
        return value
