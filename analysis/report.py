"""One self-contained HTML page over runs and ablations: tables, pictures, comparisons. See --help."""

from __future__ import annotations

import io
import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.output.command import argument, option, parse, reported
from benchmarks.output.terminal import typed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.pages.page import Picture, Section
    from analysis.pages.runs import Run
    from analysis.stats.bootstrap import Array
    from benchmarks.scoring.cohorts import Cohort
    from benchmarks.spaces import Space

PROG = "report.py"
TEMPLATE = Path(__file__).with_name("pages") / "report.html.j2"
INLINE_DPI = 110  # files get more


@dataclass
class Options:
    """Build one HTML page, which needs no server and no network, from the folders of runs."""

    runs: tuple[str, ...] = argument("folders that benchmarks/rank.py left")
    out: str = option("report.html", "the page")
    ablation: str | None = option(None, "folder of analysis/ablate.py, to be shown too")
    search: str | None = option(None, "folder of search/evolve.py, whose history.csv is to be shown too")
    maps: str | None = option(None, "folder of analysis/maps.py, whose pictures are to be shown too")
    top: int = option(10, "the k of precision, NDCG and regret at k")
    ceiling: str = option(
        "auto",
        "another training's accuracies, as rank.py's --truth, ranked as a proxy; auto (any that is here) or none",
    )
    figures: str | None = option(None, "also write the pictures to this folder, as PNG and PDF")
    title: str = option("Proxies against measured accuracy", "the page's title")
    resamples: int = option(1000, "bootstrap resamples of the comparisons between proxies")
    space: str | None = option(None, "path/to/file.py:Name, where runs are of such a space of your own; it is run")


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)
    return reported(PROG, lambda: report(options))


def report(options: Options) -> None:
    """Read, analyse, draw, write."""
    import jinja2

    from analysis.pages import runs
    from analysis.pages.files import replacing
    from analysis.pages.sections import of_ablations, of_maps, of_search
    from benchmarks.output import record

    if options.resamples < 100:
        raise ValueError(f"--resamples {options.resamples}: 100 is the least")
    if options.top < 1:
        raise ValueError(f"--top {options.top}: 1 is the least")
    opened = [runs.read(folder) for folder in options.runs]
    out = Path(options.out)
    record.check_file("--out", out)
    if options.figures:
        record.check_writable(Path(options.figures), "--figures")
    draw = Drawer(Path(options.figures) if options.figures else None)
    sections = [of_run(run, options, draw) for run in opened]
    sections += [of_pair(a, b, options.space) for a, b in pairs_of(opened)]
    if options.ablation:
        sections += of_ablations(Path(options.ablation), draw)
    if options.search:
        sections.append(of_search(Path(options.search), draw))
    if options.maps:
        sections.append(of_maps(Path(options.maps)))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=options.title, command=typed(), sections=sections,
        footer=footer(record.environment()),
    )  # fmt: skip
    with replacing(out) as meanwhile:
        meanwhile.write_text(page, encoding="utf-8", errors="backslashreplace")  # names of files may be no UTF-8
    print(f"  written: {out} ({len(page) / 1e6:.1f} MB, {len(sections)} sections)\n  again: {typed()}")


def of_run(run: Run, options: Options, draw: Drawer) -> Section:
    """A run's section: its ranking, views of the top, every pair of proxies, pictures, conditions."""
    from analysis.pages.page import Section, pairs, table, views
    from analysis.pages.sections import conditions, pictures, ranking_table
    from analysis.stats import comparison
    from benchmarks import spaces
    from benchmarks.conditions.drawing import generator
    from benchmarks.scoring.cohorts import cohort

    space = spaces.recorded(run.options["space"], f"{run.folder}/run.json", options.space)
    known = cohort(run.archs, space, run.options["dataset"])
    seen = [number for number, ok in enumerate(run.ok) if ok.any()]
    names, scores = [run.proxies[number] for number in seen], run.ranked[seen]
    found = comparison.differences(
        names, scores, run.truth, known.clusters, generator("bootstrap"), resamples=options.resamples
    )
    again, source = another_training(run, options.ceiling, space)
    top = views([*names, *again], [*scores, *again.values()], run.truth, known.size, known.connected, options.top)
    return Section(
        title=f"{run.options['space']} on {run.options['dataset']}, {run.options['target']}: {run.folder.name}",
        notes=[*notes(run, known, options), *source],
        tables=[
            ranking_table(run),
            table(top, f"Views of the top {options.top}, and without size", "views.csv"),
            table(pairs(found), "Proxies against each other", "pairs.csv", f"{len(found)} pairs, better one first."),
        ],
        pictures=list(pictures(run, names, scores, found, draw)),
        conditions=conditions(run.conditions),
    )


def another_training(run: Run, name: str, space: Space) -> tuple[dict[str, Array], list[str]]:
    """Another training's accuracies as scores [1, n] under a name, and a note on them; nothing where there are none."""
    import numpy as np

    from benchmarks import truth

    found = truth.another(
        name, space, run.options["dataset"], run.options["target"], run.conditions["truth_source"], run.archs
    )
    if found is None:
        return {}, []
    note = f"{truth.CEILING}: what a proxy could reach, the accuracies of {found.source}"
    return {truth.CEILING: np.array([[found.accuracy[arch] for arch in run.archs]])}, [note]


def notes(run: Run, known: Cohort, options: Options) -> list[str]:
    """What has to be known beside the numbers of a run."""
    from analysis.pages.runs import digest

    batch, c = run.conditions["batch"], run.conditions
    lines = [
        f"truth: {c['truth_source']}; {len(run.archs):,} candidates, {len(run.seeds)} seed(s) from {run.seeds[0]}",
        f"batch: {batch['size']} x {batch['source']}; draw {c['draw']}; init {c['init']}; "
        f"teacher {c['teacher']['name']}, weights {c['teacher']['weights']}; {c['device']}; "
        f"{run.options.get('precision', 'float32')}",
        f"made from scores.csv, sha256 {digest(run.folder / 'scores.csv')}",
        f"pairs: {options.resamples:,} paired resamples of candidates, those of equal function together; Holm over all "
        "pairs; Steiger's test takes candidates for independent",
    ]
    if known.whole:
        lines.append("the whole space: rankings have no interval; pairs read it as a sample of more such candidates")
    if not known.connected.all():
        lines.append(f"{(~known.connected).sum()} candidates do not connect input and output: see spearman_connected")
    if c.get("ceiling"):
        lines.append(f"ceiling: {c['ceiling']}")
    return lines


def pairs_of(opened: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Runs that can be compared: each with the next that has candidates and proxies in common with it."""
    from analysis.stats.comparison import common_archs

    found = []
    for number, a in enumerate(opened):
        after = [b for b in opened[number + 1 :] if len(common_archs(a, b)) > 2 and set(a.proxies) & set(b.proxies)]
        found += [(a, b) for b in after[:1]]
    return found


def of_pair(a: Run, b: Run, named: str | None) -> Section:
    """What changed from one run to another."""
    from analysis.pages import runs
    from analysis.pages.page import Section, table
    from analysis.stats import comparison
    from analysis.stats.comparison import NOISE
    from benchmarks import spaces
    from benchmarks.conditions.drawing import generator
    from benchmarks.scoring.cohorts import cohort

    common = comparison.common_archs(a, b)
    space = spaces.recorded(a.options["space"], f"{a.folder}/run.json", named)
    known = cohort(common, space, a.options["dataset"])
    frame = comparison.between(a.of(common), b.of(common), known.clusters, lambda: generator("bootstrap"))
    changed = [f"{name}: {left or 'none'} in A, {right or 'none'} in B" for name, left, right in runs.changed(a, b)]
    notes = [f"{len(common):,} candidates in common, of {len(a.archs):,} in A and {len(b.archs):,} in B", NOISE]
    title = f"A {a.folder.name}, B {b.folder.name}"
    made = table(frame, "What changed", "between.csv", f"{title}.")
    return Section(f"Between runs: {title}", [*(changed or ["the same conditions"]), *notes], [made])


class Drawer:
    """Makes figures into pictures of the page, and files where a folder is given."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def __call__(self, figure: Figure, name: str, title: str, *, wide: bool = False) -> Picture:
        """The picture of a figure."""
        from analysis.pages.page import Picture
        from analysis.pictures import figures

        if self.folder:
            figures.save_both(figure, self.folder, name)
        return Picture(title, b64encode(smaller(figures.drawn(figure, "png", INLINE_DPI))).decode(), wide)


def smaller(png: bytes) -> bytes:
    """The picture with 32 colours, which are enough for ours: about a third of the bytes."""
    from PIL import Image

    made = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(32).save(made, format="png", optimize=True)
    return made.getvalue()


def footer(environment: Mapping[str, Any]) -> str:
    """What the page itself was made with."""
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    commit = environment["commit"] or "no commit"
    return f"{versions}; {commit}{' with changes' if environment['dirty'] else ''}"


if __name__ == "__main__":
    sys.exit(main())
