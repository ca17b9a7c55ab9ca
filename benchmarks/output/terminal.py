"""What a command prints while and after it works: a progress bar, tables, and how to run it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich import box
from rich import progress as rich_progress
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.output import naming

WIDTH, WIDEST = 180, 10_000  # of what is printed into a file, where rich would take 80 and cut names short


def typed() -> str:
    """The running command as one types it to make its tables and pictures again."""
    return shlex.join(naming.words())


class Advance(Protocol):
    """Moves a progress bar on by a count, and may change what it says."""

    def __call__(self, count: int, text: str | None = None) -> None:
        """Move it."""


class _Rate(rich_progress.ProgressColumn):
    """How many a second, or how many seconds each."""

    def render(self, task: rich_progress.Task) -> str:
        """See rich."""
        speed = task.finished_speed or task.speed
        return "" if not speed else f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each"


@contextmanager
def progress(text: str, total: int) -> Iterator[Advance]:
    """A progress bar on stderr with count, rate and time left; yields what advances it."""
    columns = (
        rich_progress.TextColumn("{task.description}", markup=False),  # names of files among it
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        _Rate(),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TextColumn("left"),
        rich_progress.TimeRemainingColumn(elapsed_when_finished=False),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(text, total=total)
        yield lambda count, text=None: bar.update(task, advance=count, description=text)


def console() -> Console:
    """The terminal, or, where output goes to a file, one wide enough for every table."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=WIDTH)


def show_table(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str, *, texts: int = 1) -> None:
    """Print a table: the first columns, which hold texts, left; the others, which hold numbers, right."""
    made = box.SIMPLE_HEAD if any(headers) else None
    table = Table(title=Text(title), title_justify="left", box=made, show_header=any(headers))
    for number, header in enumerate(headers):
        table.add_column(header, justify="left" if number < texts else "right")
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    out = console()
    if not out.is_terminal:  # names of one's own may be long, and are not cut
        out.width = max(WIDTH, out.measure(table, options=out.options.update(width=WIDEST)).maximum)
    out.print(table)
