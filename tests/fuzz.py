"""Coverage-guided fuzzing (atheris) of everything that reads from outside. Not part of the tests, which only draw.

    python tests/fuzz.py [READER ...] --seconds 60     make fuzz

Each reader of tests/test_hostile.py is fed with damaged versions of a sound file and of what once broke it, those kept
that reach a branch not seen before. Whatever is neither a result nor a ValueError ends it: the input is left in
tests/corpus/READER/, where the tests feed it from then on. Exit code 1 where a reader broke.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
ALONE = "--alone"  # marks the process that feeds a reader
READING = [
    "benchmarks",
    "proxies",
    "json",
    "pickletools",
    "tarfile",
    "yaml",
    "zipfile",
]  # torch's own would take minutes
SLOWEST = 30  # seconds that one input may take
MEBIBYTES = 8192  # of memory


def instrumented(names: Sequence[str]) -> contextlib.AbstractContextManager[None]:
    """Watches the branches of what is imported meanwhile, in the process that feeds."""
    return atheris.instrument_imports(include=list(names)) if ALONE in sys.argv else contextlib.nullcontext()


with instrumented(READING):
    for name in READING[2:]:
        importlib.import_module(name)
importlib.import_module("torch")
with instrumented(READING):
    from tests import test_hostile as hostile


def fuzz(reader: str, seconds: int) -> None:
    """Feed one reader; ends this process."""
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # what a parser says of every refused file
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sound").write_bytes(hostile.sound(reader))
        for known in (hostile.CORPUS / reader).glob("*"):
            shutil.copy(known, folder)
        broken = hostile.CORPUS / reader
        broken.mkdir(exist_ok=True)  # git keeps no empty folder
        limits = [
            f"-max_total_time={seconds}",
            f"-timeout={SLOWEST}",
            f"-report_slow_units={SLOWEST}",
            f"-rss_limit_mb={MEBIBYTES}",
        ]
        arguments = [
            sys.argv[0],
            folder,
            *limits,
            f"-artifact_prefix={broken}/",
            "-max_len=8192",
            "-print_final_stats=1",
        ]
        atheris.Setup(arguments, lambda content: hostile.fed(reader, content))
        atheris.Fuzz()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit code. Each reader has a process of its own, since a fuzzer ends the one it is in."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("readers", nargs="*", choices=[[], *hostile.READERS], help="all of them by default")
    parser.add_argument("--seconds", type=int, default=60, help="for each reader")
    parser.add_argument(ALONE, action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.alone:
        fuzz(options.readers[0], options.seconds)
    broken = 0
    for reader in options.readers or hostile.READERS:
        command = [sys.executable, __file__, ALONE, "--seconds", str(options.seconds), reader]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
        runs = [line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line]
        broken += done.returncode != 0
        said = "\n".join(line for line in done.stderr.splitlines() if "Instrumenting" not in line)
        state = "ok" if done.returncode == 0 else f"BROKEN\n{said[-3000:]}"
        print(f"{reader}: {runs[0] if runs else 'no'} inputs, {state}", flush=True)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
