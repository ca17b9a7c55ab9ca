"""The commands behind the leaderboard's numbers: what ranks a question's table again, and what holds it against scores.

Not here: running them.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from benchmarks.leaderboard.questions import Asked
from benchmarks.output.options import RankingOptions

SCORES = "benchmarks/results/scores"
RECOMPUTED = 3  # candidates that `data.py check` scores anew
WHOLE = "python analysis/leaderboard.py"


def ranks(one: Asked, proxies: Sequence[str]) -> str:
    """What prints the numbers of some proxies on a question; the leaderboard itself where rank.py can't.

    That is where the scores were made for another data set than the accuracies are of.
    """
    question, table = one.question, one.table
    if question.conditions != question.dataset:
        return WHOLE
    words = ["python", "benchmarks/rank.py", "--space", question.space, "--dataset", question.dataset]
    for name, value in {"target": question.target, "truth": question.truth, **table.conditions}.items():
        if name != "dataset" and value is not None and value != getattr(RankingOptions, name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += ["--sample", "all", "--scores", f"{SCORES}/{table.where}", "--scores-only", "--baselines", ""]
    return shlex.join([*words, "--proxy", ",".join(proxies)])


def checks(one: Asked) -> str:
    """What scores some of a question's candidates anew, and compares."""
    return f"python benchmarks/data.py check {SCORES}/{one.table.where} --recompute {RECOMPUTED}"
