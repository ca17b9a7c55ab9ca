"""Our correlations beside published ones, on the same cells and accuracies as far as they are known. See --help.

Scores come from benchmarks/rank.py, which this command runs: real CIFAR-10 images, PyTorch's default init, every
network its own draw, as the published figures have it. What differs all the same stands in each row's remark.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.command import option, parse, reported, show_table

PROG = "validate.py"
RANK = Path(__file__).resolve().parent.parent / "benchmarks" / "rank.py"


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
    Published("regions", 0.725, FREEREA, "ours: 64 images of the run, which saturate the count"),
    Published("synflow", 0.769, FREEREA),
    Published("logsynflow", 0.826, FREEREA, "theirs: mean over three draws"),
    Published("jacob_cov", 0.731, ZCN, "theirs: NaN left out; ours: NaN last"),
    Published("snip", 0.596, ZCN, "theirs: convolutions of the cells have a bias, norms no scale"),
    Published("grad_norm", 0.594, ZCN, "theirs: convolutions of the cells have a bias, norms no scale"),
    Published("grasp", 0.514, ZCN, "theirs: convolutions of the cells have a bias, norms no scale"),
    Published("fisher", 0.360, ZCN, "NASLib's scores of the same measure: .488"),
    Published("epe_nas", 0.675, NASLIB, "theirs: batch 32"),
    Published("plain", -0.167, NASLIB, "theirs: batch 32; no direction is established"),
    Published("l2_norm", 0.681, NASLIB),
    Published("macs", 0.663, NASLIB, "theirs: pooling, ReLU and normalisation counted in"),
    Published("conv_edges", 0.692, NASLIB, "counted from their cells"),
    Published("meco", 0.89, "MeCo, abstract", "theirs: maps of containers and head too"),
    Published("swap", 0.90, "SWAP, abstract, CIFAR-100", "theirs: regularised by size, mean of 32 draws of N(0, 1)"),
    Published(
        "az_nas", 0.913, "AZ-NAS, notebook; a user measured .75", "theirs: noise, Kaiming init, ranks over all cells"
    ),
)


@dataclass
class Options:
    """Score a seeded sample of NAS-Bench-201 cells and print our Spearman correlations beside the published ones."""

    batch: str = option("cifar10", "real images: cifar10 (by --data-dir) or the path of a .npz")
    data_dir: str | None = option(None, "folder of CIFAR images for torchvision [$DISWOT_DATA, or data]")
    truth: str = option("official", "accuracies: official (fetch it once) or retrained")
    sample: int | str = option(1000, "how many cells, or all")
    seed: int = option(0, "seed of cells, batch and weights")
    device: str = option("auto", "auto, cpu, cuda or cuda:i")
    out: str = option("runs/validate", "folder for the scores and their ranking")
    store: str | None = option(None, "file of scores already computed [store.sqlite in --out]")
    write: str | None = option(None, "also write the table to this file, as Markdown")


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    options = parse(Options, PROG, arguments)
    return reported(PROG, lambda: validate(options))


def validate(options: Options) -> None:
    """Score, compare, print."""
    import json

    import pandas as pd

    from analysis.tables import markdown

    command = rank_command(options)
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    ranking = pd.read_csv(Path(options.out) / "ranking.csv", na_values=["n/a"]).set_index("proxy")
    run = json.loads((Path(options.out) / "run.json").read_text())
    headers = ["proxy", "ours", "95 % interval", "published", "difference", "source", "remark"]
    rows = [compared(one, ranking.loc[one.proxy].to_dict()) for one in PUBLISHED]
    notes = [
        f"{run['candidates']:,} cells, seed {options.seed}; {run['batch']['size']} x {run['batch']['source']}; init "
        f"{run['init']}; draw {run['draw']}; {run['device']}",
        f"truth: {run['truth_source']}",
        "interval: of ours, by the choice of cells; a difference within it says nothing, * marks one beyond it",
    ]
    show_table(headers, rows, "Spearman with accuracy on CIFAR-10, ours and published", texts=1)
    print("\n".join(f"  {note}" for note in notes))
    if options.write:
        Path(options.write).write_text(f"# Validation\n\n{markdown(headers, rows, notes)}\n", encoding="utf-8")


def rank_command(options: Options) -> list[str]:
    """The run of benchmarks/rank.py that is compared."""
    command = [sys.executable, str(RANK), "--proxy", ",".join(one.proxy for one in PUBLISHED), "--baselines", ""]
    command += ["--init", "default", "--draw", "independent", "--truth", options.truth, "--out", options.out]
    command += ["--batch", options.batch, "--sample", str(options.sample), "--seed", str(options.seed)]
    command += ["--device", options.device]
    for name in ("store", "data_dir"):
        if getattr(options, name):
            command += [f"--{name.replace('_', '-')}", getattr(options, name)]
    return command


def compared(one: Published, ours: Mapping[Hashable, float]) -> list[str]:
    """A row: ours, its interval, the published value, and whether it lies outside."""
    from analysis.tables import number

    low, high = ours["spearman_low"], ours["spearman_high"]
    outside = "*" if not low <= one.spearman <= high and low == low else ""
    interval = f"{number(low)} to {number(high)}" if low == low else "n/a"
    difference = f"{ours['spearman'] - one.spearman:+.3f}{outside}"
    return [one.proxy, number(ours["spearman"]), interval, number(one.spearman), difference, one.source, one.remark]


if __name__ == "__main__":
    sys.exit(main())
