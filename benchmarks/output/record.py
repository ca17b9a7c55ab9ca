"""What stands beside the tables of a run: versions, commit and machine, as JSON; and whether files can be written."""

from __future__ import annotations

import json
import platform
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from analysis.rows.files import replacing

LOCK = ".lock"
PACKAGES = ("diswot-bench", "torch", "torchvision", "numpy", "scipy", "pandas", "matplotlib", "analog-nasbench")


def environment() -> dict[str, object]:
    """Versions, commit and machine, for run.json."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    commit, dirty = _commit()
    machine = {"system": platform.platform(), "processor": platform.machine(), "threads": torch.get_num_threads()}
    return {"versions": versions, "commit": commit, "dirty": dirty, "machine": machine}


def device_name(device: torch.device) -> str:
    """What the device is called."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" and torch.cuda.is_available() else device.type


def write_json(content: Mapping[str, object], path: Path) -> None:
    """Write a JSON file so that a reader never sees half of it."""
    with replacing(path) as meanwhile:
        meanwhile.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def check_writable(folder: Path, option: str = "--out") -> None:
    """Make an option's output folder, and see that it takes files. Raises ValueError where it does not."""
    _check_takes_files(folder, f"{option} {folder}")


@contextmanager
def alone(folder: Path, doing: str) -> Iterator[None]:
    """Hold a folder, which exists, for one process at a time; whoever is killed lets it go.

    Raises ValueError, saying what the other is `doing`, where it is held. A disk that knows no locks holds nothing.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(f"--out {folder}: another process is {doing} there") from None
    except NotImplementedError:
        pass
    try:
        yield
    finally:
        lock.release()


def check_file(option: str, path: Path) -> None:
    """See that an option's output file can be written, its folder being made. Raises ValueError where it can't."""
    if path.is_dir():
        raise ValueError(f"{option} {path}: is a folder")
    _check_takes_files(path.parent, f"{option} {path}")


def _check_takes_files(folder: Path, asked: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(f"{asked}: can't be written ({error.strerror})") from None


def _commit() -> tuple[str | None, bool | None]:
    """The commit this source is at, and whether files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parent.parent.parent

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    top = git("rev-parse", "--show-toplevel")
    if top is None or Path(top) != root:
        return None, None
    return git("rev-parse", "HEAD"), bool(git("status", "--porcelain"))
