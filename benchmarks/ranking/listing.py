"""What rank.py tells of what it can be asked for: --list and --explain."""

from __future__ import annotations

import proxies
from benchmarks.conditions.teachers import TEACHERS
from benchmarks.output.naming import said
from benchmarks.output.terminal import show_table
from benchmarks.ranking.explain import explain
from benchmarks.spaces import SPACES
from benchmarks.truth import TRUTHS
from proxies.combine import FUNCTIONS


def show_explained(names: str) -> None:
    """Print what there is to know of some proxies."""
    print("\n\n".join(explain(chosen) for chosen in proxies.select(names)))


def show_list() -> None:
    """Print what --proxy, --space, --teacher and --truth can name."""
    rows = [[one.name, one.summary, one.source] for one in proxies.select("all")]
    for name, (combine, source) in FUNCTIONS.items():
        rows.append([f"{name}(...)", (combine.__doc__ or "").strip().split("\n")[0], source])
    show_table(["proxy", "", "source"], rows, "proxies", texts=3)
    spaces = {name: (kind.__doc__ or "").strip().splitlines()[0] for name, kind in SPACES.items()}
    for title, entries in (("space", spaces), ("teacher", TEACHERS), ("truth", TRUTHS)):
        show_table([title, ""], [[name, said(text, ours=True)] for name, text in entries.items()], f"{title}s", texts=2)
