"""One self-contained HTML page over runs and ablations: tables, pictures, comparisons. See --help."""

from __future__ import annotations

import io
import shlex
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.command import argument, option, parse, reported

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.bootstrap import Array
    from analysis.comparison import Difference
    from analysis.page import Picture, Section, Table
    from analysis.runs import Run
    from benchmarks.cohorts import Cohort

PROG = "report.py"
TEMPLATE = Path(__file__).with_name("report.html.j2")
INLINE_DPI = 110  # files get more
PANELS = 9  # proxies whose scores are drawn against the accuracies


@dataclass
class Options:
    """Build one HTML page, which needs no server and no network, from the folders of runs."""

    runs: tuple[str, ...] = argument("folders that benchmarks/rank.py left")
    out: str = option("report.html", "the page")
    ablation: str | None = option(None, "folder of analysis/ablate.py, to be shown too")
    search: str | None = option(None, "folder of search/evolve.py, whose history.csv is to be shown too")
    figures: str | None = option(None, "also write the pictures to this folder, as PNG and PDF")
    title: str = option("Proxies against measured accuracy", "the page's title")
    resamples: int = option(1000, "bootstrap resamples of the comparisons between proxies")


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)
    return reported(PROG, lambda: report(options))


def report(options: Options) -> None:
    """Read, analyse, draw, write."""
    import jinja2

    from analysis import runs
    from benchmarks import results

    if options.resamples < 100:
        raise ValueError(f"--resamples {options.resamples}: 100 is the least")
    opened = [runs.read(folder) for folder in options.runs]
    out = Path(options.out)
    for folder in (out.parent, *([Path(options.figures)] if options.figures else [])):
        results.check_writable(folder)
    draw = Drawer(Path(options.figures) if options.figures else None)
    sections = [of_run(run, options, draw) for run in opened]
    sections += [of_pair(a, b) for a, b in pairs_of(opened)]
    if options.ablation:
        sections += of_ablations(Path(options.ablation), draw)
    if options.search:
        sections.append(of_search(Path(options.search), draw))
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=options.title, command=shlex.join(["python", "analysis/report.py", *sys.argv[1:]]), sections=sections,
        footer=footer(results.environment()),
    )  # fmt: skip
    temporary = out.with_name(f".{out.name}")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(out)
    print(f"  written: {out} ({len(page) / 1e6:.1f} MB, {len(sections)} sections)")


def of_run(run: Run, options: Options, draw: Drawer) -> Section:
    """A run's section: its ranking, views of the top, every pair of proxies, pictures, conditions."""
    from analysis import comparison
    from analysis.page import TOP, Section, pairs, table, views
    from benchmarks import spaces
    from benchmarks.cohorts import cohort
    from benchmarks.drawing import generator

    known = cohort(run.archs, spaces.find(run.options["space"]), run.options["dataset"])
    seen = [number for number, ok in enumerate(run.ok) if ok.any()]
    names, scores = [run.proxies[number] for number in seen], run.ranked[seen]
    found = comparison.differences(
        names, scores, run.truth, known.clusters, generator("bootstrap"), resamples=options.resamples
    )
    top = views(names, scores, run.truth, known.size, known.connected)
    return Section(
        title=f"{run.options['space']} on {run.options['dataset']}, {run.options['target']}: {run.folder.name}",
        notes=notes(run, known, options),
        tables=[
            ranking_table(run),
            table(top, f"Views of the top {TOP}, and without size", "views.csv"),
            table(pairs(found), "Proxies against each other", "pairs.csv", f"{len(found)} pairs, better one first."),
        ],
        pictures=list(pictures(run, names, scores, found, draw)),
        conditions=conditions(run),
    )


def ranking_table(run: Run) -> Table:
    """The run's own ranking.csv, its bytes as they are."""
    from analysis.page import table

    columns = ["proxy", "spearman", "spearman_sd", "spearman_low", "spearman_high", "kendall", "top10_spearman"]
    columns += ["top10_mean_truth", "regret", "partial_spearman", "failed"]
    shown = run.ranking[columns].copy()
    shown["ms_per_arch"] = 1000 * run.ranking["seconds_per_arch"]
    content = (run.folder / "ranking.csv").read_bytes()
    return table(shown, "Rank correlation with accuracy", "ranking.csv", content=content)


def pictures(
    run: Run, names: Sequence[str], scores: Array, found: Sequence[Difference], draw: Drawer
) -> Iterator[Picture]:
    """The pictures of a run."""
    import numpy as np

    from analysis import charts, comparison, figures, heatmaps

    rows = run.ranking.set_index("proxy").loc[list(names)]
    rho, low, high, partial, seconds = (
        rows[column].to_numpy(dtype=float)
        for column in ("spearman", "spearman_low", "spearman_high", "partial_spearman", "seconds_per_arch")
    )
    folder = run.folder.name
    bars = charts.correlation_bars(names, rho, low, high, partial)
    yield draw(bars, f"{folder}-correlations", "Correlation with accuracy; hollow: given params")
    yield draw(
        charts.cost_against_quality(names, seconds, rho), f"{folder}-cost", "Cost against correlation, Pareto front"
    )
    if len(names) > 1:
        order = [int(number) for number in np.argsort(-rho, kind="stable") if np.isfinite(rho[number])]
        best = [names[number] for number in order]
        told = charts.critical_difference(best, rho[order], comparison.undecided(best, found))
        yield draw(told, f"{folder}-apart", "Proxies that a bar joins are not told apart (Holm, 5 %)", wide=True)
        among = heatmaps.proxy_matrix(names, comparison.correlations_among(scores), "Spearman", low=-1, high=1)
        yield draw(among, f"{folder}-among", "Rank correlation among proxies")
        wins = heatmaps.proxy_matrix(names, comparison.wins(names, found), "share of resamples", low=0, high=1)
        yield draw(wins, f"{folder}-wins", "How often the row's proxy is ahead of the column's")
    shown = {
        name: (run.scores[run.proxies.index(name), 0], f"rho {rho[number]:.3f}")
        for number, name in enumerate(names[:PANELS])
    }
    label = f"{run.options['target']}, {run.options['dataset']}"
    panels = figures.score_against_truth(shown, run.truth, label)
    yield draw(panels, f"{folder}-scores", f"Scores of seed {run.seeds[0]} against the truth, best proxies", wide=True)


def notes(run: Run, known: Cohort, options: Options) -> list[str]:
    """What has to be known beside the numbers of a run."""
    from analysis.runs import digest
    from benchmarks.truth import SEED_CEILING

    batch, c = run.conditions["batch"], run.conditions
    lines = [
        f"truth: {c['truth_source']}; {len(run.archs):,} candidates, {len(run.seeds)} seed(s) from {run.seeds[0]}",
        f"batch: {batch['size']} x {batch['source']}; draw {c['draw']}; init {c['init']}; "
        f"teacher {c['teacher']['name']}, weights {c['teacher']['weights']}; {c['device']}",
        f"made from scores.csv, sha256 {digest(run.folder / 'scores.csv')}",
        f"pairs: {options.resamples:,} paired resamples of candidates, those of equal function together; Holm over all "
        "pairs; Steiger's test takes candidates for independent",
    ]
    if known.whole:
        lines.append("the whole space: rankings have no interval; pairs read it as a sample of more such candidates")
    if not known.connected.all():
        lines.append(f"{(~known.connected).sum()} candidates do not connect input and output: see spearman_connected")
    if run.options["space"] == "nasbench201" and run.options["target"] == "vanilla":
        reached = SEED_CEILING[run.options["dataset"]]
        lines.append(f"ceiling: in the space's top tenth another training seed's accuracy reaches only {reached}")
    return lines


def pairs_of(opened: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Runs that can be compared: each with the next that has candidates and proxies in common with it."""
    from analysis.comparison import common_archs

    found = []
    for number, a in enumerate(opened):
        after = [b for b in opened[number + 1 :] if len(common_archs(a, b)) > 2 and set(a.proxies) & set(b.proxies)]
        found += [(a, b) for b in after[:1]]
    return found


def of_pair(a: Run, b: Run) -> Section:
    """What changed from one run to another."""
    from analysis import comparison
    from analysis.page import Section, table
    from benchmarks import spaces
    from benchmarks.cohorts import cohort
    from benchmarks.drawing import generator

    common = comparison.common_archs(a, b)
    known = cohort(common, spaces.find(a.options["space"]), a.options["dataset"])
    frame = comparison.between(a.of(common), b.of(common), known.clusters, lambda: generator("bootstrap"))
    changed = [
        f"{name}: {value} in A, {b.options.get(name)} in B"
        for name, value in a.options.items()
        if value != b.options.get(name) and name not in ("out", "store", "markdown", "proxy", "baselines")
    ]
    title = f"A {a.folder.name}, B {b.folder.name}"
    return Section(f"Between runs: {title}", changed, [table(frame, "What changed", "between.csv", f"{title}.")])


def of_ablations(folder: Path, draw: Drawer) -> list[Section]:
    """A section for each ablation in a folder. Raises ValueError where there is none."""
    import pandas as pd

    from analysis import charts
    from analysis.page import Section, table
    from analysis.tables import UNDEFINED

    needed = {"ablation", "setting", "proxy", "spearman", "low", "high"}
    sections = []
    for path in sorted(folder.glob("*.csv")):
        frame = pd.read_csv(path, na_values=[UNDEFINED])
        if not needed <= set(frame.columns):
            continue
        columns = ["setting", "proxy", "n", "seeds", "spearman", "spearman_sd", "low", "high"]
        columns += ["partial_spearman", "band_spearman", "failed"]
        first = frame.iloc[0]
        targets = ", ".join(frame["target"].unique())
        title = f"Ablation {path.stem}: {first['space']} on {first['dataset']}, {targets}"
        figure = draw(charts.ablation(frame, title), f"ablation-{path.stem}", title, wide=True)
        held = table(frame[columns], "Settings", path.name, content=path.read_bytes())
        sections.append(Section(title, [f"truth: {first['truth_source']}"], [held], [figure]))
    if not sections:
        raise ValueError(f"--ablation {folder}: no CSV of analysis/ablate.py there")
    return sections


def of_search(folder: Path, draw: Drawer) -> Section:
    """The winners of a search and its curves. Raises ValueError where the folder holds none."""
    import pandas as pd

    from analysis import searches
    from analysis.page import Section, table
    from analysis.tables import UNDEFINED

    missing = [name for name in ("history.csv", "best.csv") if not (folder / name).is_file()]
    if missing:
        raise ValueError(f"--search {folder}: no {missing[0]}; the folder of a run of search/evolve.py is expected")
    history, best = (pd.read_csv(folder / name, na_values=[UNDEFINED]) for name in ("history.csv", "best.csv"))
    pictures = []
    if history["truth"].notna().any():
        curves = searches.curves(history, float((best["truth"] + best["regret"]).max()))
        pictures.append(draw(curves, f"search-{folder.name}", "Accuracy of the favourite so far", wide=True))
    winners = table(best, "Winners", "best.csv", content=(folder / "best.csv").read_bytes())
    return Section(f"Search: {folder.name}", [], [winners], pictures)


class Drawer:
    """Makes figures into pictures of the page, and files where a folder is given."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def __call__(self, figure: Figure, name: str, title: str, *, wide: bool = False) -> Picture:
        """The picture of a figure."""
        from analysis import figures
        from analysis.page import Picture

        if self.folder:
            for kind in ("png", "pdf"):
                figures.save(figure, self.folder / f"{name}.{kind}")
        return Picture(title, b64encode(smaller(figures.drawn(figure, "png", INLINE_DPI))).decode(), wide)


def smaller(png: bytes) -> bytes:
    """The picture with 32 colours, which are enough for ours: about a third of the bytes."""
    from PIL import Image

    made = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(32).save(made, format="png", optimize=True)
    return made.getvalue()


def conditions(run: Run) -> list[tuple[str, str]]:
    """All of run.json, nested names joined by dots."""

    def flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                yield from flat(f"{name}.{key}" if name else str(key), inner)
        else:
            yield name, str(value)

    return list(flat("", run.conditions))


def footer(environment: Mapping[str, Any]) -> str:
    """What the page itself was made with."""
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    commit = environment["commit"] or "no commit"
    return f"{versions}; {commit}{' with changes' if environment['dirty'] else ''}"


if __name__ == "__main__":
    sys.exit(main())
