"""The same results whatever the hash seed, the locale, the time zone and the number of threads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks import rank

ROOT = Path(__file__).parent.parent
ARGUMENTS = ["--proxy", "diswot*,naswot,vote(synflow,naswot)", "--sample", "3", "--batch-size", "4", "--device", "cpu"]
ARGUMENTS += ["--teacher", "resnet20", "--baselines", "", "--out"]
ROUNDING = 1e-4  # float32 sums in another order; the proxies above stay well below


def scores(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "scores.csv")


def test_hash_seed_locale_and_time_zone_change_nothing(tmp_path: Path) -> None:
    environments = [
        {"PYTHONHASHSEED": "0", "LC_ALL": "C", "PYTHONUTF8": "0", "TZ": "UTC"},
        {"PYTHONHASHSEED": "12345", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo"},
    ]
    for number, environment in enumerate(environments):
        command = [sys.executable, str(ROOT / "benchmarks" / "rank.py"), *ARGUMENTS, str(tmp_path / str(number))]
        subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, cwd=tmp_path)
    pd.testing.assert_frame_equal(scores(tmp_path / "0"), scores(tmp_path / "1"), check_exact=True)


def test_the_number_of_threads_changes_rounding_alone(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert rank.main([*ARGUMENTS, str(tmp_path / str(threads))]) == 0
    finally:
        torch.set_num_threads(before)
    one, two = scores(tmp_path / "1"), scores(tmp_path / "2")
    pd.testing.assert_frame_equal(one.drop(columns="score"), two.drop(columns="score"), check_exact=True)
    np.testing.assert_allclose(one["score"], two["score"], rtol=ROUNDING)
