"""Our correlations beside published ones, on the same cells and accuracies as far as they are known. See --help.

Scores come from benchmarks/rank.py, which this command runs: real CIFAR-10 images, PyTorch's default init, every
network its own draw, as the published figures have it. What differs all the same stands in each row's remark.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.output.command import option, parse, reported, show_table

if TYPE_CHECKING:
    import pandas as pd

    from analysis.validation.experiments import Run

PROG = "validate.py"
VALIDATION = Path(__file__).resolve().parent / "validation"
BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


class Published(NamedTuple):
    """A published Spearman correlation on NAS-Bench-201, CIFAR-10."""

    proxy: str
    spearman: float
    source: str
    remark: str = ""


ZCN = "zero-cost-nas, 15,625 cells, test accuracy, absolute value"
FREEREA = "FreeREA's scores, 15,625 cells, test accuracy"
NASLIB = "NASLib's scores, 491 cells, validation accuracy"

PUBLISHED = (
    Published("params", 0.753, FREEREA),
    Published("naswot", 0.793, FREEREA, "-inf ranks last in both"),
    Published(
        "regions",
        0.725,
        FREEREA,
        "64 images saturate the count, 1,000 small ones do not: see below",
    ),
    Published("synflow", 0.769, FREEREA),
    Published("logsynflow", 0.826, FREEREA, "theirs: mean over three draws"),
    Published("jacob_cov", 0.731, ZCN, "theirs: NaN left out; ours: NaN last"),
    Published("snip", 0.596, ZCN, "within the choice of cells; images and batch move nothing: see below"),
    Published("grad_norm", 0.594, ZCN, "within the choice of cells; images and batch move nothing: see below"),
    Published("grasp", 0.514, ZCN, "within the choice of cells; no experiment of its own"),
    Published("fisher", 0.488, NASLIB, "within the choice of cells; theirs: batch 32, no biases either"),
    Published(
        "fisher_biased",
        0.360,
        ZCN,
        "the biases of the released network's cells, which explode where only zeros reach a convolution: see below",
    ),
    Published("epe_nas", 0.675, NASLIB, "within the choice of cells; theirs: batch 32, which moves little: see below"),
    Published("plain", -0.167, NASLIB, "theirs: batch 32; no direction is established"),
    Published("l2_norm", 0.681, NASLIB),
    Published(
        "macs",
        0.663,
        NASLIB,
        "theirs: counts pooling, ReLU, norms (see below); on their cells params too has only .693",
    ),
    Published("conv_edges", 0.692, NASLIB, "counted from their cells"),
    Published("meco", 0.89, "MeCo, abstract", "theirs: one image of 64 x 64 noise, maps of containers too"),
    Published(
        "swap",
        0.90,
        "SWAP, abstract, CIFAR-100",
        "theirs: CIFAR-100, regularised by size: see below, with a strength of our guess",
    ),
    Published(
        "az_nas", 0.913, "AZ-NAS, notebook; a user measured .75", "theirs: noise, Kaiming init, ranks over all cells"
    ),
)


@dataclass
class Options:
    """Score a seeded sample of NAS-Bench-201 cells and print our Spearman correlations beside the published ones."""

    experiments: bool = option(False, "instead, change one thing at a time where a published value differs")
    batch: str = option("cifar10", "real images: cifar10 (by --data-dir) or the path of a .npz")
    data_dir: str | None = option(None, "folder of CIFAR images for torchvision [$DISWOT_DATA, or data]")
    truth: str = option("official", "accuracies: official (fetch it once) or retrained")
    sample: int | str = option(1000, "how many cells, or all")
    seed: int = option(0, "seed of cells, batch and weights")
    device: str = option("auto", "auto, cpu, cuda or cuda:i")
    out: str = option("runs/validate", "folder for the scores and their ranking")
    store: str | None = option(None, "file of scores already computed [store.sqlite in --out]")
    write: str | None = option(None, "also write the table into its section of this Markdown file")


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)
    return reported(PROG, lambda: experiment(options) if options.experiments else validate(options))


def validate(options: Options) -> None:
    """Score, compare, print."""
    import json

    import pandas as pd

    out = Path(options.out)
    sample = ["--sample", str(options.sample), "--seed", str(options.seed)]
    run_rank(options, [one.proxy for one in PUBLISHED], out, sample)
    ranking = pd.read_csv(out / "ranking.csv", na_values=["n/a"]).set_index("proxy")
    run = json.loads((out / "run.json").read_text())
    headers = ["proxy", "ours", "95 % interval", "published", "difference", "source", "remark"]
    rows = [compared(one, ranking.loc[one.proxy].to_dict()) for one in PUBLISHED]
    notes = [
        f"{run['candidates']:,} cells, seed {options.seed}; {run['batch']['size']} x {run['batch']['source']}; init "
        f"{run['init']}; draw {run['draw']}; {run['device']}",
        f"truth: {run['truth_source']}",
        "interval: of ours, by the choice of cells; a difference within it says nothing, * marks one beyond it",
    ]
    show(options, "Validation", "Spearman with accuracy on CIFAR-10, ours and published", headers, rows, notes)


def experiment(options: Options) -> None:
    """Score what each experiment changes, and print how far it moves the correlation."""
    from analysis.validation.experiments import EXPERIMENTS, HEADERS, NOTES, VALIDATED, row

    wanted: dict[Run, list[str]] = {VALIDATED: [one.proxy for one in EXPERIMENTS]}
    for one in EXPERIMENTS:
        wanted.setdefault(one.run, []).extend(one.scored)
    found = {
        run: scores(options, run, names, Path(options.out) / f"experiments-{number}")
        for number, (run, names) in enumerate(wanted.items(), 1)
    }
    rows = [row(one, found[VALIDATED], found[one.run]) for one in EXPERIMENTS]
    show(options, "Experiments", "What makes a correlation differ", HEADERS, rows, NOTES)


def scores(options: Options, run: Run, names: Sequence[str], out: Path) -> pd.DataFrame:
    """What a run of an experiment scores."""
    import pandas as pd

    from analysis.validation.experiments import CELLS, VARIANTS
    from benchmarks.truth.official import path_of

    named = [f"{VALIDATION / VARIANTS}{name}" if name.startswith(":") else name for name in names]
    more = ["--sample", str(CELLS), "--seed", str(options.seed + run.seed), *run.options]
    if run.truth:
        more += ["--truth", str(path_of(run.truth))]
    run_rank(options, named, out, more)
    return pd.read_csv(out / "scores.csv", na_values=["n/a"])


def run_rank(options: Options, names: Sequence[str], out: Path, more: Sequence[str]) -> None:
    """Run benchmarks/rank.py under the conditions of the validation; what it says of bad input stands."""
    store = options.store or str(Path(options.out) / "store.sqlite")
    command = [sys.executable, str(BENCHMARKS / "rank.py"), "--proxy", ",".join(dict.fromkeys(names))]
    command += ["--baselines", "", "--init", "default", "--draw", "independent", "--truth", options.truth]
    command += ["--batch", options.batch, "--device", options.device, "--out", str(out), "--store", store, *more]
    if options.data_dir:
        command += ["--data-dir", options.data_dir]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def show(
    options: Options, section: str, title: str, headers: list[str], rows: list[list[str]], notes: list[str]
) -> None:
    """Print a table, and write it into its section of the file that was asked for."""
    from analysis.pages.tables import markdown

    show_table(headers, rows, title, texts=2 if section == "Experiments" else 1)
    print("\n".join(f"  {note}" for note in notes))
    if options.write:
        path = Path(options.write)
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        sections = {part.partition("\n")[0]: part for part in re.split(r"^# ", text, flags=re.MULTILINE) if part}
        sections[section] = f"{section}\n\n{markdown(headers, rows, notes)}\n"
        path.write_text("\n".join(f"# {part.rstrip()}\n" for part in sections.values()), encoding="utf-8")


def compared(one: Published, ours: Mapping[Hashable, float]) -> list[str]:
    """A row: ours, its interval, the published value, and whether it lies outside."""
    from analysis.pages.tables import interval, number

    low, high = ours["spearman_low"], ours["spearman_high"]
    outside = "*" if not low <= one.spearman <= high and low == low else ""
    figures = [number(ours["spearman"]), interval(low, high), number(one.spearman)]
    difference = number(ours["spearman"] - one.spearman, sign="+") + outside
    return [one.proxy, *figures, difference, one.source, one.remark]


if __name__ == "__main__":
    sys.exit(main())
