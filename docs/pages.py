"""Write docs/proxies.md from the registry: what each proxy is, reads and costs. Run by `make docs`."""

from __future__ import annotations

import inspect
from pathlib import Path

from benchmarks.ranking.explain import asked_for, passes, read
from proxies import Combination, Proxy, select

PAGE = Path(__file__).resolve().parent / "proxies.md"
HEAD = """# Proxies

Written from the registry by `make docs`; `python benchmarks/rank.py --explain NAME` prints the same of one proxy.
Higher always predicts better. A pass is shared by all proxies of a run that ask for it.
"""


def entry(one: Proxy | Combination) -> str:
    """The section of one proxy or combination."""
    if isinstance(one, Combination):
        text = inspect.getdoc(one.combine) or ""
        facts = [f"combines: {', '.join(one.parts)}, by ranks"]
    else:
        asked = asked_for(one)
        text = inspect.getdoc(one.score) or ""
        reads = read(asked) or ["no images, no labels"]
        facts = [f"reads: {', '.join(reads)}", f"passes: {'; '.join(passes(asked) or ['none'])}"]
    listed = "\n".join(f"- {fact}" for fact in [*facts, f"source: {one.source}"])
    return f"## {one.name}\n\n```text\n{text}\n```\n\n{listed}\n"


def page() -> str:
    """The whole page: a table of contents, then a section a proxy."""
    chosen = select("all")
    rows = [f"| [{one.name}](#{one.name}) | {one.summary.replace('|', chr(92) + '|')} |" for one in chosen]
    table = "\n".join(["| name | what it is |", "|---|---|", *rows])
    return "\n".join([HEAD, table, "", *(entry(one) for one in chosen)])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
