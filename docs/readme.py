"""The tables of README, docs/rank.md and docs/search.md, docs/report.html and the figures of all pages: `make readme`.

They come from docs/example, docs/ablations and docs/leaderboard.csv.

`python docs/readme.py --run`, which is `make example`, makes the runs of docs/example anew first: a quarter of an hour
on two quiet cores. A run's folder holds what its command left there, and table.md, what it printed.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd

from analysis.rows.tables import markdown, number

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = Path("docs/example")
RUNS = {  # folder: the options of its run
    "rank": "--proxy diswot --dataset cifar10",
    "gain": "--space s0 --dataset cifar100 --target gain --proxy 'diswot*'",
    "proxies": "--sample 100 --baselines params,macs,conv_edges --proxy "
    "'diswot*,grad_norm,snip,fisher,synflow,logsynflow,jacob_cov,naswot,zen,sp,cka,dist'",
    "distilled": "--space s0 --dataset cifar100 --target distilled --seeds 3 --baselines params,macs --proxy "
    "'diswot*,sp,cka,ickd,dist,at,nst'",
}
TABULAR = "--truth official --curves diswot,synflow,naswot"
PAGES = (ROOT / "README.md", ROOT / "docs" / "rank.md", ROOT / "docs" / "search.md")
LEADERBOARD = Path("docs/leaderboard.csv")
SHORT = ("params", "az_nas", "synflow", "logsynflow", "naswot", "grad_norm", "jacob_cov")  # and of the forms of DisWOT:
SHORT += ("diswot", "diswot_semantic", "diswot_relation")
QUESTIONS = {  # of the leaderboard that README shows: what it calls them
    "NB201 C10": "NAS-Bench-201, CIFAR-10",
    "S0 distilled": "64 ResNets, distilled",
    "S0 gain": "64 ResNets, gain",
    "AutoFormer cifar100 distilled": "AutoFormer, distilled",
    "PiT cifar100 distilled": "PiT, distilled",
    "zoo ImageNet": "torchvision, ImageNet",
}
SPEED = "--proxy diswot,grad_norm,synflow"


def run(*command: str) -> str:
    """Run a command of the project from its root; what it prints."""
    done = subprocess.run([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def run_example() -> None:
    """Make the committed runs anew; scores that runs/example.sqlite has under the same conditions are taken from it."""
    for name, options in RUNS.items():
        out = EXAMPLE / name
        more = ["--out", str(out), "--store", "runs/example.sqlite", "--markdown"]
        (ROOT / "runs").mkdir(exist_ok=True)
        printed = run("benchmarks/rank.py", *shlex.split(options), *more)
        (ROOT / out / "table.md").write_text(f"{printed}\n", encoding="utf-8")
    run_searches()
    printed = run("benchmarks/speed.py", *shlex.split(SPEED), "--markdown")
    (ROOT / EXAMPLE / "speed.md").write_text(f"{printed}\n", encoding="utf-8")


def run_searches() -> None:
    """Search the whole space five hundred times a row by its score table; winners, curves and PDF are not kept."""
    out = EXAMPLE / "searches"
    printed = run("search/tabular.py", *shlex.split(TABULAR), "--out", str(out), "--markdown")
    (ROOT / out / "table.md").write_text(f"{printed}\n", encoding="utf-8")
    for name in ("winners.csv", "regret.csv", "regret.pdf"):
        (ROOT / out / name).unlink()


def between(text: str, mark: str, content: str) -> str:
    """The text with what stands between a mark and its end replaced."""
    pattern = rf"(<!-- {mark}: .*? -->\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda found: f"{found[1]}{content.strip()}\n{found[2]}", text, flags=re.DOTALL)


def short() -> str:
    """The leaderboard of a few proxies and questions, the best of the first question first."""
    rows = pd.read_csv(ROOT / LEADERBOARD, na_values=["n/a"])
    wide = rows.pivot(index="proxy", columns="question", values="spearman").reindex(index=SHORT, columns=[*QUESTIONS])
    wide = wide.sort_values("NB201 C10", ascending=False, kind="stable")
    lines = [
        [str(name), *(number(value, 2) for value in row)] for name, row in zip(wide.index, wide.values, strict=True)
    ]
    counts = rows.drop_duplicates("question").set_index("question")
    held = [f"{counts.loc[one, 'n']:,} of {counts.loc[one, 'of']:,}" for one in QUESTIONS if one in counts.index]
    notes = [
        f"candidates, in this order: {', '.join(held)}",
        "scores: of one draw of weights and noise, another gives others (`diswot` over three, with the ResNets: "
        "[what we find](docs/reproduce.md)); the conditions of each question stand below its table on the page",
    ]
    return markdown(["proxy", *QUESTIONS.values()], lines, notes)


def tables(text: str) -> str:
    """A page's text with the tables of the committed runs and of the leaderboard."""
    marks = {"rank": "rank/table.md", "gain": "gain/table.md", "searches": "searches/table.md", "speed": "speed.md"}
    for mark, path in marks.items():
        text = between(text, mark, (ROOT / EXAMPLE / path).read_text(encoding="utf-8"))
    return between(text, "leaderboard", short())


def main() -> None:
    """Make the pages' tables and the report, after the runs themselves where that is asked for."""
    if sys.argv[1:] == ["--run"]:
        run_example()
    for page in PAGES:
        page.write_text(tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    run("docs/transformers.py")
    run("docs/distilled.py")
    run("docs/figures.py")
    folders = [str(EXAMPLE / name) for name in RUNS]
    print(run("analysis/report.py", *folders, "--ablation", "docs/ablations", "--out", "docs/report.html"))


if __name__ == "__main__":
    main()
