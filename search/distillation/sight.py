"""What of a module's run is shown beside its logits, and who keeps it while the module runs: an Eye, or Asked.

Which results those are is found by modules.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from proxies.probing.looking import UNKNOWN, Record
from proxies.probing.watching import Function, Watch

Axes = tuple[int, int, bool] | None  # of a Layout; None for a map [N, C, H, W]


class Sight(NamedTuple):
    """Which calls of a run give what is shown: of the stages and the last map with their axes, and the head's.

    `copied`: what is written over later in the run, and so has to be kept as it was. `names`: the submodules that give
    these calls' results, where each is what one submodule gives that runs once.
    """

    stages: list[tuple[int, Axes]]
    features: tuple[int, Axes] | None
    head: int
    copied: frozenset[int] = frozenset()
    names: Mapping[int, str] = MappingProxyType({})

    def wanted(self, *, stages: bool) -> set[int]:
        """The numbers of the calls whose results are shown."""
        return {number for number, _ in [*(self.stages if stages else []), *([self.features] if self.features else [])]}

    @property
    def asks(self) -> bool:
        """Whether submodules give all of it."""
        return {*self.wanted(stages=True), *({self.head} - {UNKNOWN})} <= set(self.names)


def names_of(record: Record, module: nn.Module) -> dict[int, str]:
    """By the number of a call, a submodule that gives what it gives, of those that run once."""
    counts = Counter(one.name for one in record.boundaries)
    found: dict[int, str] = {}
    for one in record.boundaries:
        call = record.calls[one.after] if one.after >= 0 else None
        plain = type(module.get_submodule(one.name)) in (nn.Linear, nn.Conv2d)  # gets what the call gets
        if counts[one.name] == 1 and (plain or call is None or call.weight is None):
            found.setdefault(one.after, one.name)
    return found


class Eye(Watch):
    """Keeps what some calls of a run give, and what the head gets, as every call goes by; changes nothing."""

    def __init__(self, sight: Sight, *, stages: bool = True) -> None:
        super().__init__(rewrite=False)
        self.sight, self.wanted = sight, sight.wanted(stages=stages)
        self.held: dict[int, Tensor] = {}
        self.versions: dict[int, int] = {}
        self.head_input: Tensor | None = None

    def seen(self, function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
        """Keep what is wanted."""
        if not (isinstance(out, Tensor) and out.is_floating_point()):
            return out
        if self.number == self.sight.head:
            self.head_input = args[0]
        if self.number in self.wanted:
            self.held[self.number] = out.clone() if self.number in self.sight.copied else out
            self.versions[self.number] = out._version
        return out

    @property
    def written_over(self) -> frozenset[int]:
        """The calls of which something kept was written over since."""
        return frozenset(number for number, out in self.held.items() if out._version != self.versions[number])


class Asked:
    """Keeps the same of a sight that asks, by hooks on these submodules alone, which are taken off again.

    An Eye costs some 10 us a call of the run. In evaluation it is the one to take: there PyTorch runs attention by
    another kernel unless a mode is on, which rounds differently.
    """

    def __init__(self, sight: Sight, module: nn.Module, *, stages: bool = True) -> None:
        assert sight.asks
        self.sight, self.module, self.wanted = sight, module, sight.wanted(stages=stages)
        self.held: dict[int, Tensor] = {}
        self.head_input: Tensor | None = None
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Asked:
        for number in self.wanted:
            one = self.module.get_submodule(self.sight.names[number])
            self._handles.append(one.register_forward_hook(partial(self._keep, number), prepend=True))
        if self.sight.head != UNKNOWN:
            head = self.module.get_submodule(self.sight.names[self.sight.head])
            self._handles.append(head.register_forward_pre_hook(self._keep_input))
        return self

    def __exit__(self, *_: object) -> None:
        while self._handles:
            self._handles.pop().remove()

    def _keep(self, number: int, module: nn.Module, args: Any, out: Tensor) -> None:
        self.held[number] = out.clone() if number in self.sight.copied else out

    def _keep_input(self, module: nn.Module, args: Any) -> None:
        self.head_input = args[0]
