"""The command `diswot-bench NAME ...`: what `python ROOM/NAME.py ...` does, from anywhere. It hands on, and no more."""

from __future__ import annotations

import sys
from importlib import import_module

from diswot_bench import OurRooms

sys.meta_path.insert(0, OurRooms)  # for the processes that a command starts too: they import this file


def main() -> int:
    """The command; its exit code."""
    from benchmarks.output import naming

    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in naming.DOORS:
        return int(import_module(naming.module(name)).main(sys.argv[2:]))
    if name in ("-h", "--help"):
        print(naming.overview({one: import_module(naming.module(one)).__doc__ or "" for one in naming.DOORS}))
        return 0
    print(naming.unknown(name), file=sys.stderr)
    return naming.BAD_INPUT
