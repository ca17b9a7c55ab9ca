"""Put the tables that the commands print, and the picture, into README.md between their marks. Run by `make readme`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def printed(*command: str) -> str:
    """What a command of the project prints."""
    done = subprocess.run([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def between(text: str, mark: str, content: str) -> str:
    """The text with what stands between a mark and its end replaced."""
    pattern = rf"(<!-- {mark}: .*? -->\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda found: f"{found[1]}{content}\n{found[2]}", text, flags=re.DOTALL)


def main() -> None:
    """Run the main job and the speed command, and write the README."""
    readme = ROOT / "README.md"
    with tempfile.TemporaryDirectory() as out:
        rank = ("benchmarks/rank.py", "--proxy", "diswot", "--dataset", "cifar10", "--markdown", "--out", out)
        text = between(readme.read_text(), "rank", printed(*rank))
        shutil.copyfile(Path(out) / "ranking.png", ROOT / "docs" / "ranking.png")
        gain = ("--space", "s0", "--dataset", "cifar100", "--target", "gain", "--proxy", "diswot*", "--out", out)
        text = between(text, "gain", printed("benchmarks/rank.py", *gain, "--markdown"))
    text = between(text, "speed", printed("benchmarks/speed.py", "--proxy", "diswot,grad_norm,synflow", "--markdown"))
    readme.write_text(text)


if __name__ == "__main__":
    main()
