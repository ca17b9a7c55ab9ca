"""Taking scores from a table in place of scoring: which table goes with a job, and what it knows of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from benchmarks.output.options import TableOptions
from benchmarks.reading.limits import shown
from benchmarks.scoretables import archive, joining
from benchmarks.scoretables.table import ScoreTable, conditions_of
from benchmarks.scoring.jobs import Job
from benchmarks.scoring.store import Score
from benchmarks.spaces import Space

SHIPPED = Path(__file__).resolve().parent.parent / "results" / "scores"


class Recalled:
    """A table as a scorer asks it. `only`: what it lacks is not to be scored; `shipped`: it comes with the project."""

    def __init__(self, table: ScoreTable, job: Job, *, only: bool = False, shipped: bool = False) -> None:
        self.table, self.space, self.only, self.shipped = table, job.space.origin, only, shipped
        self.keys = {proxy.name: proxy.key for proxy in job.proxies if proxy.key in table.columns}
        self.count = 0  # scores that were asked for and found

    def __call__(self, archs: Sequence[str], seeds: Sequence[int]) -> Iterator[Score]:
        """What it has of some candidates."""
        found = {arch: place for arch in archs if (place := self.table.places.get(self.space.index(arch))) is not None}
        there, places = list(found), list(found.values())
        for seed in seeds:
            for name, key in self.keys.items() if seed in self.table.batches else ():
                rows = self.table.rows_of(key, name, seed, there, places)
                self.count += len(rows)
                yield from rows

    def lacks(self, proxies: Sequence[str], seeds: Sequence[int], archs: Sequence[str]) -> ValueError:
        """What is said where something is not in the table and must not be scored."""
        there = ", ".join(self.table.names.values())
        if missing := [name for name in proxies if name not in self.keys]:
            lacking = self.table.lacking(missing[0])
            return ValueError(f"--scores-only: {self.table.where} has no scores of {lacking}; it has: {shown(there)}")
        if missing_seeds := [seed for seed in seeds if seed not in self.table.batches]:
            has = ", ".join(map(str, self.table.seeds))
            return ValueError(
                f"--scores-only: {self.table.where} has no scores of seed {missing_seeds[0]}; it has: {has}"
            )
        return ValueError(
            f"--scores-only: {self.table.where} lacks scores of {archs[0]} ({len(archs):,} such candidates)"
        )

    @cached_property
    def told(self) -> str:
        """Where the scores come from, for whoever reads a table made of them."""
        makers = dict.fromkeys(self.table.columns[key].made.told() for key in self.keys.values())
        shipped = ", which comes with the project; --anew scores instead" if self.shipped else ""
        held = f"{len(self.table.index):,} of {self.table.size:,} candidates"
        return f"scores: from {self.table.name}, {held}, made by {' and '.join(makers) or 'nobody'}{shipped}"


def named(text: str, space: Space) -> ScoreTable:
    """The tables that --scores names, as one. Raises ValueError for those of another space, or no table."""
    tables = [archive.read(Path(one.strip())) for one in text.split(",") if one.strip()]
    if not tables:
        raise ValueError("--scores names no table")
    table = joining.joined(tables)
    check_space(table, space)
    return table


def asked(options: TableOptions, space: Space) -> ScoreTable | None:
    """The table that a command's options name; None for none. Raises ValueError for what can't be had."""
    if options.scores is None and options.scores_only:
        raise ValueError("--scores-only: of which table? --scores FILE")
    return None if options.scores is None else named(options.scores, space)


def chosen(options: TableOptions, given: ScoreTable | None, job: Job, *, whole: bool) -> Recalled | None:
    """What stands in place of scoring: the table given and, of a `whole` space, what is shipped; or nothing.

    Raises ValueError where the table that was given has other conditions than the job.
    """
    if given is not None:
        check_fits(given, job)
        table = filled(given, job) if whole and not options.scores_only else given
        return Recalled(table, job, only=options.scores_only)
    found = shipped(job) if whole else None
    return None if found is None else Recalled(found, job, shipped=True)


def filled(given: ScoreTable, job: Job) -> ScoreTable:
    """A table under a job's conditions with what is shipped of its other proxies: the baselines of one's own, say."""
    found = shipped(job)
    rest = [] if found is None else [key for key in found.keys_of(job) if key not in given.columns]
    return joining.joined([given, found.of(rest)]) if found is not None and rest else given


def is_of(table: ScoreTable, space: Space) -> bool:
    """Whether a table is of a space, or of the one that it was cut out of."""
    whole = space.origin
    return (table.space, table.space_version, table.size) == (whole.name, whole.version, len(whole))


def check_space(table: ScoreTable, space: Space) -> None:
    """Raises ValueError where a table is of another space."""
    if is_of(table, space):
        return
    if (table.space, table.space_version) == (space.name, space.version):
        raise ValueError(
            f"score table {table.where}: of {table.size:,} candidates; {space.name} has {len(space.origin):,}"
        )
    held = f"{table.space} {table.space_version}".strip()
    raise ValueError(f"score table {table.where}: of the space {held}, not of {space.name} {space.version}".rstrip())


def differences(table: ScoreTable, job: Job) -> list[str]:
    """In which conditions a table differs from a job, a phrase each; seeds that only one of them has do not count."""
    wanted = conditions_of(job)
    found = [
        f"{name} {table.conditions.get(name)} (asked for: {wanted.get(name)})"
        for name in dict.fromkeys([*wanted, *table.conditions])
        if table.conditions.get(name) != wanted.get(name)
    ]
    if not found:  # batches of another size or data set are other ones anyway
        size = job.conditions.batch_size
        common = [seed for seed in job.seeds if seed in table.batches]
        if any(job.source.batch(size, seed).digest != table.batches[seed] for seed in common):
            found.append(f"another batch ({table.source})")
    if job.teacher is not None and job.teacher.own:  # handed over: its name says nothing
        found.append("another teacher")
    return found


def check_fits(table: ScoreTable, job: Job) -> None:
    """Raises ValueError where a table's conditions are not those of a job."""
    check_space(table, job.space)
    if found := differences(table, job):
        raise ValueError(f"score table {table.where}: scored under other conditions: {shown(', '.join(found))}")


def paths(folder: Path, of: str = "") -> list[Path]:
    """The score tables in a folder whose names begin with a text, by name."""
    return sorted(folder.glob(f"{of}*{archive.SUFFIX}"))


def shipped(job: Job, folder: Path = SHIPPED) -> ScoreTable | None:
    """What comes with the project of scores under a job's conditions; None for nothing, or nothing of its proxies."""
    fitting = []
    for path in paths(folder, f"{job.space.name}-"):
        table = archive.read(path)
        fits = is_of(table, job.space) and not differences(table, job)
        if fits and table.keys_of(job):
            fitting.append(table)
    return joining.joined(fitting) if fitting else None
