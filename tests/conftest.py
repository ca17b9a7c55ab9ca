"""Shared by all rooms' tests: where local data may lie, a cache folder of the tests' own, and blank pictures."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import hypothesis
import pytest
import torch
from matplotlib.figure import Figure

from analysis.pictures import figures

# Time is no property: what takes long here, or on a busy machine, is not wrong.
hypothesis.settings.register_profile("here", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("here")

# One thread a process, commands that tests start included: the processes of `pytest -n` share the cores.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def local_data() -> Path:
    """The folder that DISWOT_DATA names; a test that needs it skips without."""
    folder = os.environ.get("DISWOT_DATA")
    if not folder or not Path(folder, "cifar10_5k.npz").is_file():
        pytest.skip("needs cifar10_5k.npz and nats/ in the folder that DISWOT_DATA names")
    return Path(folder)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache, or another test's."""
    monkeypatch.setenv("DISWOT_CACHE", str(tmp_path_factory.mktemp("cache")))


_drawn = functools.cache(figures.drawn)


@pytest.fixture(autouse=True)
def _blank_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are made everywhere, but drawn in tests marked `pictures` alone: that takes longer than a small run."""
    if "pictures" not in request.keywords:
        blank = Figure((1, 1))
        monkeypatch.setattr(figures, "drawn", lambda figure, kind, dpi=160: _drawn(blank, kind))
