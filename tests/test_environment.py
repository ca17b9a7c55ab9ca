"""The same results whatever the hash seed, locale, time zone and number of threads; a lock that lacks nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks import rank

ROOT = Path(__file__).parent.parent
ARGUMENTS = ["--proxy", "diswot*,naswot,vote(synflow,naswot)", "--sample", "3", "--batch-size", "4", "--device", "cpu"]
ARGUMENTS += ["--teacher", "resnet20", "--baselines", "", "--workers", "1", "--out"]
ROUNDING = 1e-4  # float32 sums in another order; the proxies above stay well below


def scores(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "scores.csv")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The scores of this process: one thread, a hash seed drawn at its start, and whatever locale and zone it is in."""
    out = tmp_path_factory.mktemp("here")
    assert rank.main([*ARGUMENTS, str(out)]) == 0
    return scores(out)


def test_hash_seed_locale_and_time_zone_change_nothing(here: pd.DataFrame, tmp_path: Path) -> None:
    environment = {"PYTHONHASHSEED": "12345", "LC_ALL": "C", "PYTHONUTF8": "0", "TZ": "Asia/Kathmandu"}
    command = [sys.executable, str(ROOT / "benchmarks" / "rank.py"), *ARGUMENTS, str(tmp_path)]
    subprocess.run(command, env={**os.environ, **environment}, check=True, capture_output=True, cwd=tmp_path)
    pd.testing.assert_frame_equal(scores(tmp_path), here, check_exact=True)


def test_the_number_of_threads_changes_rounding_alone(here: pd.DataFrame, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    assert before == 1, "tests/conftest.py says so"
    try:
        torch.set_num_threads(2)
        assert rank.main([*ARGUMENTS, str(tmp_path)]) == 0
    finally:
        torch.set_num_threads(before)
    two = scores(tmp_path)
    pd.testing.assert_frame_equal(here.drop(columns="score"), two.drop(columns="score"), check_exact=True)
    np.testing.assert_allclose(here["score"], two["score"], rtol=ROUNDING)


def locked() -> dict[str, str]:
    """The versions in requirements.lock, by name."""
    pinned = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pinned}


def needed(requirements: list[Requirement], seen: dict[str, set[str]]) -> set[str]:
    """Names of all that these requirements install here, those of their own among them."""
    for one in requirements:
        name = canonicalize_name(one.name)
        fresh = {"", *one.extras} - seen.setdefault(name, set())
        seen[name] |= fresh
        for extra in fresh:
            own = map(Requirement, metadata.requires(name) or [])
            needed([each for each in own if applies(each, extra) and (not extra or not applies(each, ""))], seen)
    return set(seen)


def applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def direct() -> list[Requirement]:
    """What setup.cfg asks for."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return [Requirement(line) for line in setup["options"]["install_requires"].strip().splitlines()]


def test_the_lock_holds_versions_that_are_allowed() -> None:
    lock = locked()
    assert [str(one) for one in direct() if lock.get(canonicalize_name(one.name), "none") not in one.specifier] == []


def test_the_lock_holds_all_that_its_packages_need() -> None:
    """It is installed without dependencies, so that whatever it lacks is missing."""
    lock = locked()
    if other := [name for name in ("torch", "scipy", "pandas") if metadata.version(name) != lock[name]]:
        pytest.skip(f"{', '.join(other)} of another version than locked: needs other packages")
    assert needed(direct(), {}) - set(lock) <= {"setuptools"}, "pip freeze leaves setuptools out"
