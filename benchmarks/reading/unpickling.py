"""What an unpickler would do, opcode by opcode, followed without doing it: sizes alone, and nothing of the content."""

from __future__ import annotations

import pickletools
from typing import Any

STRINGS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
PUTS, GETS = {"MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}
TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
CALLS = {"REDUCE", "NEWOBJ"}
LARGEST_TUPLE = 20_000  # things in a tuple and the tuples within it: more than a benchmark has cells

# By opcode: how many it takes off the unpickler's stack, whether also all down to a mark first, and how many it puts.
EFFECTS = {
    op.name: (
        op.stack_before.index(pickletools.markobject)
        if pickletools.markobject in op.stack_before
        else len(op.stack_before),
        pickletools.markobject in op.stack_before,
        len(op.stack_after),
    )
    for op in pickletools.opcodes
}
FRESH = {"MARK": None, "GLOBAL": 0, "STACK_GLOBAL": 0}


class Followed:
    """The unpickler's stack, followed without unpickling: how large what lies there is, unfolded.

    A few tuples in one another, each twice in the next, are hashed for ever where one is a key, and too many in one
    another end the process; torch prints all of what is called and can't be. Both are told by their sizes: a tuple's is
    that of its content, of what can be called 0, a mark's None, a text stands for itself, and all else is 1.
    """

    def __init__(self) -> None:
        self.stack: list[int | str | None] = []
        self.memo: dict[int, int] = {}  # of sizes other than 1: a benchmark file memoizes hundreds of millions
        self.put = self.memoized = 0

    def step(self, name: str, argument: Any) -> list[int | str | None]:
        """Follow one opcode; what it takes off the stack. Raises ValueError for what only a hostile pickle holds."""
        stack = self.stack
        if name in PUTS:
            self._memoize(name, argument)
            return []
        if name in GETS:
            stack.append(self.memo.get(argument, 1))
            return []
        takes, marked, puts = EFFECTS[name]
        taken: list[int | str | None] = []
        if marked:
            while (top := stack.pop()) is not None:
                taken.append(top)
        if takes:
            taken += stack[-takes:]
            del stack[-takes:]
        if name in CALLS and taken[0] != 0:
            raise ValueError("a call of what can't be called")
        if name in TUPLES:
            size = 1 + sum(one if isinstance(one, int) else 1 for one in taken)
            if size > LARGEST_TUPLE:
                raise ValueError(f"a tuple of more than {LARGEST_TUPLE:,} things")
            stack.append(size)
        elif puts:
            stack += [argument if name in STRINGS else FRESH.get(name, 1)] * puts
        return taken

    def _memoize(self, name: str, place: int) -> None:
        if name == "MEMOIZE":
            place, self.memoized = self.memoized, self.memoized + 1
        else:
            self.put += 1
        if place > self.put + self.memoized or (self.put and self.memoized):  # all before a place takes memory
            raise ValueError("a memo with gaps")
        size = self.stack[-1]
        if isinstance(size, int) and size != 1:
            self.memo[place] = size
        else:
            self.memo.pop(place, None)
