"""docs/distillation/walks.csv: the small trainings that docs/distillation.md shows, out of the folders that they left.

`python docs/walks.py RUNS` takes every RUNS/NAME/runs.csv; what a page shows of it is written by `make readme`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from analysis.rows.tables import write_csv

OUT = Path(__file__).resolve().parent / "distillation"


def walks(runs: Path) -> pd.DataFrame:
    """A row a student and method: shares of the test images that are right, mean and deviation over the seeds.

    Columns walk, student, method, row (walk and method), epochs, seeds, accuracy, sd (n/a of one), params, minutes a
    run, data (digest). Raises ValueError where there is no run, or one is not done.
    """
    found = []
    for file in sorted(runs.glob("*/runs.csv")):
        rows, about = pd.read_csv(file), json.loads(file.with_name("run.json").read_text(encoding="utf-8"))
        seconds = pd.read_csv(file.with_name("seconds.csv")).set_index("folder")["seconds"]
        if not rows["status"].eq("done").all():
            raise ValueError(f"{file}: not all runs are done")
        for (student, method), own in rows.groupby(["student", "method"], sort=False):
            epochs = [len((file.parent / one / "metrics.jsonl").read_text().splitlines()) for one in own["folder"]]
            found.append(
                {
                    "walk": file.parent.name,
                    "student": student,
                    "method": method,
                    "row": f"{file.parent.name}, {method}",
                    "epochs": max(epochs),
                    "seeds": len(own),
                    "accuracy": own["last"].mean() / 100,
                    "sd": own["last"].std() / 100,
                    "params": own["params"].iloc[0],
                    "minutes": own["folder"].map(seconds).mean() / 60,
                    "data": about["data"],
                }
            )
    if not found:
        raise ValueError(f"{runs}: no folder in it has a runs.csv")
    return pd.DataFrame(found)


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    write_csv(walks(given.runs), given.out / "walks.csv")
    print(f"written: {given.out / 'walks.csv'}")


if __name__ == "__main__":
    main()
