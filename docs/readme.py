"""README's tables, docs/report.html and the figures of all pages, from docs/example and docs/ablations: `make readme`.

`python docs/readme.py --run`, which is `make example`, makes the runs of docs/example anew first: ten minutes on two
quiet cores. A run's folder holds what benchmarks/rank.py left there, and table.md, what it printed.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

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
    printed = run("benchmarks/speed.py", *shlex.split(SPEED), "--markdown")
    (ROOT / EXAMPLE / "speed.md").write_text(f"{printed}\n", encoding="utf-8")


def between(text: str, mark: str, content: str) -> str:
    """The text with what stands between a mark and its end replaced."""
    pattern = rf"(<!-- {mark}: .*? -->\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda found: f"{found[1]}{content.strip()}\n{found[2]}", text, flags=re.DOTALL)


def tables(text: str) -> str:
    """README's text with the tables of the committed runs."""
    for mark, path in (("rank", "rank/table.md"), ("gain", "gain/table.md"), ("speed", "speed.md")):
        text = between(text, mark, (ROOT / EXAMPLE / path).read_text(encoding="utf-8"))
    return text


def main() -> None:
    """Make README's tables and the report, after the runs themselves where that is asked for."""
    if sys.argv[1:] == ["--run"]:
        run_example()
    readme = ROOT / "README.md"
    readme.write_text(tables(readme.read_text(encoding="utf-8")), encoding="utf-8")
    run("docs/transformers.py")
    run("docs/figures.py")
    folders = [str(EXAMPLE / name) for name in RUNS]
    print(run("analysis/report.py", *folders, "--ablation", "docs/ablations", "--out", "docs/report.html"))


if __name__ == "__main__":
    main()
