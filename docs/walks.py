"""docs/distillation/walks.csv: the small trainings that docs/distillation.md shows, out of the folders that they left.

`docs/walks.py RUNS` takes every RUNS/NAME/runs.csv, and writes the page's figures anew, as `make readme` does.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch

from analysis.rows.tables import write_csv
from benchmarks.reading import statedicts

OUT = Path(__file__).resolve().parent / "distillation"
FIGURES = Path(__file__).resolve().parent / "figures.py"


def walks(runs: Path) -> pd.DataFrame:
    """A row a student and method of each walk: shares of the test images that are right, means over the seeds.

    Columns walk, student, method, row (walk and method), epochs, seeds, accuracy, sd (over the seeds), gain (over the
    walk's ce), params, minutes a run, data (digest), equal_to: another walk whose one run left the same weights, to the
    last bit. n/a where there is none. A teacher that was trained on the way is a row of method teacher. Raises
    ValueError where there is no run, or one is not done.
    """
    found = [row for file in sorted(runs.glob("*/runs.csv")) for row in (*rows_of(file), *teachers_of(file))]
    if not found:
        raise ValueError(f"{runs}: no folder in it has a runs.csv")
    table = pd.DataFrame(found)
    alone = table[table["method"].eq("ce")].set_index(["walk", "student"])["accuracy"]
    known = alone.reindex(pd.MultiIndex.from_frame(table[["walk", "student"]])).to_numpy()
    table.insert(8, "gain", (table["accuracy"] - known).mask(table["method"].isin(["ce", "teacher"])))
    same = table.dropna(subset="weights").groupby("weights")["walk"].agg(list)
    others = [
        [one for one in same.get(key, []) if one != walk]
        for key, walk in zip(table.pop("weights"), table["walk"], strict=True)
    ]
    return table.assign(equal_to=[" ".join(one) or None for one in others])


def rows_of(file: Path) -> Iterator[dict[str, object]]:
    """The students of a walk, out of its runs.csv and what lies beside it. `weights` digests those of a single run."""
    table = pd.read_csv(file)
    if not table["status"].eq("done").all():
        raise ValueError(f"{file}: not all runs are done")
    seconds = pd.read_csv(file.with_name("seconds.csv")).set_index("folder")["seconds"]
    for (student, method), own in table.groupby(["student", "method"], sort=False):
        lines = [(file.parent / one / "metrics.jsonl").read_text("utf-8").splitlines() for one in own["folder"]]
        yield {
            "walk": file.parent.name,
            "student": student,
            "method": method,
            "row": f"{file.parent.name}, {method}",
            "epochs": len(lines[0]),
            "seeds": len(own),
            "accuracy": own["last"].mean() / 100,
            "sd": own["last"].std() / 100,
            "params": own["params"].iloc[0],
            "minutes": own["folder"].map(seconds).mean() / 60,
            "data": json.loads(file.with_name("run.json").read_text("utf-8"))["data"],
            "weights": digest(file.parent / own["folder"].iloc[0] / "weights.pt") if len(own) == 1 else None,
        }


def teachers_of(file: Path) -> Iterator[dict[str, object]]:
    """The teacher that was trained in a walk's folder, where one was."""
    for outcome in file.parent.glob("teacher/*/outcome.json"):
        content = json.loads(outcome.read_text("utf-8"))
        history = content["history"]
        yield {
            "walk": file.parent.name,
            "student": content["settings"]["student"],
            "method": "teacher",
            "row": f"{file.parent.name}, teacher",
            "epochs": len(history),
            "seeds": 1,
            "accuracy": history[-1]["test_accuracy"] / 100,
            "minutes": sum(epoch["seconds"] for epoch in history) / 60,
            "data": content["settings"]["data"].split()[-1],
        }


def digest(path: Path) -> str:
    """Of the tensors in a file of weights; the file itself holds more."""
    return statedicts.digest(torch.load(path, map_location="cpu", weights_only=True))


def main() -> None:
    """Write the table, and what the page shows of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    write_csv(walks(given.runs), given.out / "walks.csv")
    print(f"written: {given.out / 'walks.csv'}")
    if given.out == OUT:
        subprocess.run([sys.executable, str(FIGURES)], check=True)


if __name__ == "__main__":
    main()
