"""The steps of analysis/report.py: read runs, analyse, draw, write the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from analysis import pages
from analysis.pages.inline import Drawer
from analysis.pages.page import Section, pairs, table, views
from analysis.pages.sections import conditions, of_ablations, of_maps, of_search, pictures, ranking_table
from analysis.rows import runs
from analysis.rows.files import replacing
from analysis.rows.runs import Run, digest
from analysis.stats import comparison
from analysis.stats.comparison import Ranked, common_archs
from analysis.stats.inference import Sample, about
from analysis.stats.influence import Array
from analysis.steps.options import ReportOptions
from analysis.steps.samples import references, sample_of
from benchmarks import spaces, truth
from benchmarks.output import record
from benchmarks.output.terminal import typed
from benchmarks.scoring.cohorts import Cohort, cohort
from benchmarks.spaces import Space
from benchmarks.truth.accuracies import VANILLA, pulled

TEMPLATE = Path(pages.__file__).with_name("report.html.j2")


def report(options: ReportOptions) -> None:
    """Read, analyse, draw, write."""
    if options.top < 1:
        raise ValueError(f"--top {options.top}: 1 is the least")
    skipped = no_runs(options.runs)
    opened = [runs.read(folder) for folder in options.runs if folder not in skipped]
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
    if skipped:
        print(f"  skipped, as they are no runs of benchmarks/rank.py with accuracies: {', '.join(skipped)}")
    print(f"  written: {out} ({len(page) / 1e6:.1f} MB, {len(sections)} sections)\n  again: {typed()}")


def no_runs(folders: Sequence[str]) -> list[str]:
    """What there is among some folders that lacks a run's files, as runs/* has it; none where nothing else is there."""
    found = [folder for folder in folders if Path(folder).exists() and runs.missing(Path(folder))]
    return found if len(found) < len(folders) else []


def of_run(run: Run, options: ReportOptions, draw: Drawer) -> Section:
    """A run's section: its ranking, views of the top, every pair of proxies, pictures, conditions."""
    space = spaces.recorded(run.options["space"], f"{run.folder}/run.json", options.space)
    known = cohort(run.archs, space, run.options["dataset"])
    seen = [number for number, ok in enumerate(run.ok) if ok.any()]
    if not seen:
        raise ValueError(f"{run.folder}: every score failed, so there is nothing to rank")
    names, scores = [run.proxies[number] for number in seen], run.ranked[seen]
    tested = [number for number, name in enumerate(names) if not pulled(name, run.options["target"])]
    ranked = Ranked.of([names[number] for number in tested], scores[tested], sample_of(run, space))
    family, found = references(run), ranked.pairs
    against = f"{' and '.join(family) or 'nothing'}: the family that Holm's correction is over."
    again, source = another_training(run, options.ceiling, space)
    top = views([*names, *again], [*scores, *again.values()], run.truth, known.connected, options.top)
    return Section(
        title=f"{run.options['space']} on {run.options['dataset']}, {run.options['target']}: {run.folder.name}",
        notes=[*notes(run, known, ranked.sample), *source],
        tables=[
            ranking_table(run),
            table(top, f"Views of the top {options.top}", "views.csv"),
            table(pairs(ranked.against(family)), "Ahead or not", "family.csv", f"Every proxy against {against}"),
            table(pairs(found), "Appendix: all pairs", "pairs.csv", f"{len(found)}, better one first; Holm over all."),
        ],
        pictures=list(pictures(run, names, scores, ranked, draw)),
        conditions=conditions(run.conditions),
    )


def another_training(run: Run, name: str, space: Space) -> tuple[dict[str, Array], list[str]]:
    """Another training's accuracies as scores [1, n] under a name, and a note on them; nothing where there are none."""
    found = truth.another(
        name, space, run.options["dataset"], run.options["target"], run.conditions["truth_source"], run.archs
    )
    if found is None:
        return {}, []
    note = f"{truth.CEILING}: what a proxy could reach, the accuracies of {found.source}"
    return {truth.CEILING: np.array([[found.accuracy[arch] for arch in run.archs]])}, [note]


def notes(run: Run, known: Cohort, sample: Sample) -> list[str]:
    """What has to be known beside the numbers of a run."""
    batch, c = run.conditions["batch"], run.conditions
    lines = [
        f"truth: {c['truth_source']}; {len(run.archs):,} candidates, {len(run.seeds)} seed(s) from {run.seeds[0]}",
        f"batch: {batch['size']} x {batch['source']}; draw {c['draw']}; init {c['init']}; "
        f"teacher {c['teacher']['name']}, weights {c['teacher']['weights']}; {c['device']}; "
        f"{run.options.get('precision', 'float32')}",
        f"made from scores.csv, sha256 {digest(run.folder / 'scores.csv')}",
        f"interval: {about(sample, len(run.seeds), run.noise[1])}",
        "pairs: interval and p are of one error; proxies that rank alike count once",
    ]
    if any(pulled(name, run.options["target"]) for name in run.proxies):
        lines.append(f"{VANILLA}: its own noise is in the gain with the other sign, so it is in no pair")
    if not np.isnan(reached := sample.ceiling()):
        lines.append(f"ceiling: a perfect predictor would reach {reached:.2f} with accuracies as noisy as these")
    if not known.connected.all():
        lines.append(f"{(~known.connected).sum()} candidates do not connect input and output: see spearman_connected")
    if c.get("ceiling"):
        lines.append(f"ceiling: {c['ceiling']}")
    return lines


def pairs_of(opened: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Runs that can be compared: each with the next that has candidates and proxies in common with it."""
    found = []
    for number, a in enumerate(opened):
        after = [b for b in opened[number + 1 :] if len(common_archs(a, b)) > 2 and set(a.proxies) & set(b.proxies)]
        found += [(a, b) for b in after[:1]]
    return found


def of_pair(a: Run, b: Run, named: str | None) -> Section:
    """What changed from one run to another."""
    common = comparison.common_archs(a, b)
    space = spaces.recorded(a.options["space"], f"{a.folder}/run.json", named)
    both = a.of(common), b.of(common)
    samples = [sample_of(run, space) for run in both]
    frame = comparison.between(*both, *samples)
    changed = [f"{name}: {left or 'none'} in A, {right or 'none'} in B" for name, left, right in runs.changed(a, b)]
    notes = [f"{len(common):,} candidates in common, of {len(a.archs):,} in A and {len(b.archs):,} in B"]
    notes.append(f"interval: {about(samples[0], min(len(a.seeds), len(b.seeds)), a.noise[1])}; Holm over proxies")
    title = f"A {a.folder.name}, B {b.folder.name}"
    made = table(frame, "What changed", "between.csv", f"{title}.")
    return Section(f"Between runs: {title}", [*(changed or ["the same conditions"]), *notes], [made])


def footer(environment: Mapping[str, Any]) -> str:
    """What the page itself was made with."""
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    commit = environment["commit"] or "no commit"
    return f"{versions}; {commit}{' with changes' if environment['dirty'] else ''}"
