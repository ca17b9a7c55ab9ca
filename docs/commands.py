"""Run every command that README.md and docs/*.md show, scaled down. Run by `make docs`; the tests run the quick pages.

A page's commands run one after the other in a copy of the checkout, as a reader would type them. What is appended to a
command is one rule: options that only say how much is done get the smaller of their value and that of SMALL, and what
this machine may lack is replaced (REPLACED). All other options stay as written, so a command whose option or file does
not exist fails. What is not run at all stands in NOT_RUN with its reason, and its options are read all the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import re
import runpy
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np

from benchmarks.output import command as commands_share
from benchmarks.output.naming import DOORS, FRONT
from diswot_bench import command as front

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

SMALL = {
    **{"sample": 4, "batch_size": 4, "seeds": 2, "images": 2, "resamples": 100, "cells": 2, "repeats": 1},
    **{"budget": 8, "population": 6, "tournament": 4, "top": 2, "epochs": 1, "resolution": 8, "minutes": 1},
}
REPLACED = {  # (option, value): images to be downloaded, tables to be fetched, a GPU
    **{("batch", name): "cifar10.npz" for name in ("cifar10", "cifar100")},
    **{("data", name): "cifar10.npz" for name in ("cifar10", "cifar100")},
    **{("truth", "official"): "retrained", ("device", "cuda"): "cpu"},
    **{("stacks", "1,2,4"): "1,2", ("numbers", "100,1000,15625"): "10"},
}
PLACEHOLDERS = {"NAME": "diswot", "DATASET": "cifar10"}

# A command that contains the text is not run, for this reason.
NOT_RUN = {
    "runs/whole.npz": "needs the scores of a whole space; tests/test_scoretables.py searches by a small table",
    "--tables": "10^6 candidates; minutes",
    "mine.py:name --quick": "needs a file of the reader's; tests/test_leaderboard.py has one",
    "runs/mine": "a proxy of the reader's; and scaled down, a run is of other conditions than the table",
    "data.py fetch": "a download; tests/test_truth.py fetches from a folder",
    "data.py import": "needs the authors' file of 4.7 GB; tests/test_imported.py imports small ones of its layout",
    "doctor --renew": "writes into the checkout that the tests are run from",
    "validate.py --experiments": "an hour of scoring; tests/test_experiments.py goes through every experiment",
    "validate.py --statistics": "twenty minutes of simulation; tests/test_inference.py has a quick form",
    "validate.py --rounding": "over an hour of scoring; tests/test_rounding.py holds small batches against float64",
    "-m pytest": "the tests themselves",
    "--address": "needs a Ray cluster",
    "--space torchvision": "networks of up to 100 M parameters; tests/test_zoo.py runs small ones",
    "runs/nb201-16": "hours of training; tests/test_distill.py goes through a list of three trainings",
    "speed.py --gpu": "minutes, most of them start-up; tests/test_gpu.py walks through all steps",
    "make gpu": "needs a GPU",
    "nets.py:NETWORKS:autoformer": "a network for 32x32 alone; tests/test_distil_modules.py has a transformer",
    "--data FOLDER": "needs pictures, and published weights; tests/test_streaming.py and test_chain.py have small ones",
    "-m pip download": "a download",
    "cp cifar10.npz": "a copy",
    "python -m zipfile -e": "the trainings that are done, for the command after it",
    "mv runs/s0-cifar100.npz": "writes into the score tables of the checkout",
    "pip install": "installs",
    "make test": "the tests themselves",
}
# A command that contains the text is run by `make docs`, but not by the tests, as it takes long even so.
LONG = {
    "--space autoformer": "networks for images of 224x224",
    "--space pit": "networks for images of 224x224",
    "ablate.py all": "every ablation",
    "ablate.py draw": "nine ways of drawing",
    "ablate.py batch": "batches of up to 256 images",
    "analysis/leaderboard.py": "every proxy on every question; tests/test_leaderboard.py has small tables",
    "doctor": "a self-test of every proxy",
    "winners": "searches by four proxies, and seven methods for each winner",
    "torchvision:mobilenet_v3_small": "three epochs of a network of torchvision's",
    "validate.py": "18 proxies on batches of 64",
    "evolve.py --space mobile.py": "counts 216 networks one by one; tests/test_transformers.py searches modules too",
    "speed.py --search": "20,000 looks at a table",
    "speed.py --report": "a report over a whole space",
}
# Pages whose commands take minutes together: the tests read their options, `make docs` runs them.
LONG_PAGES = {"analysis.md", "distillation.md", "reproduce.md", "scaling.md", "search.md"}


class Command(NamedTuple):
    """A command as a page shows it: the line it stands on, and its words."""

    page: Path
    line: int
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """The command as one would type it."""
        return shlex.join(self.words)

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}: {self.text}"


def blocks(page: Path) -> Iterator[tuple[int, str, str]]:
    """The fenced blocks of a page: the line of the first, what stands behind the fence, and the content."""
    found = re.finditer(r"^( *)```([^\n]*)\n(.*?)^ *```$", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for block in found:
        yield block.string[: block.start()].count("\n") + 2, block[2].strip(), block[3]


def files(page: Path) -> dict[str, str]:
    """What a page tells its reader to save: the blocks that are fenced as ```language NAME."""
    named = [(fence.split(), content) for _, fence, content in blocks(page)]
    return {words[1]: content for words, content in named if len(words) == 2}


def collect(page: Path) -> list[Command]:
    """The commands of a page in its order: lines of blocks without a language, and `python ...` within the text."""
    found = []
    for first, fence, content in blocks(page):
        if fence in ("", "sh", "bash", "console"):
            lines = content.replace("\\\n", "\0").split("\n")
            for number, line in enumerate(lines):
                before = "\n".join(lines[:number])
                at = first + number + before.count("\0")
                found.append(Command(page, at, tuple(shlex.split(line.replace("\0", " "), comments=True))))
    fenced = re.compile(r"^ *```.*?^ *```$", flags=re.MULTILINE | re.DOTALL)
    text = fenced.sub(lambda block: "\n" * block[0].count("\n"), page.read_text("utf-8"))
    for span in re.finditer(rf"`((?:python|{FRONT}) [^`]+)`", text):
        words = (PLACEHOLDERS.get(word, word) for word in shlex.split(span[1]))
        found.append(Command(page, text[: span.start()].count("\n") + 1, tuple(words)))
    return sorted((one for one in found if one.words), key=lambda one: one.line)


def recipe(target: str) -> list[tuple[str, ...]]:
    """The project's own commands that a target of the Makefile runs. Raises ValueError where there is none."""
    rule = re.search(rf"^{re.escape(target)}:.*\n((?:\t.*\n)*)", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    if rule is None:
        raise ValueError(f"make {target}: the Makefile has no such target")
    own = re.findall(r"^\t\$\(BIN\)/(python .*\.py.*)$", rule[1], flags=re.MULTILINE)
    return [tuple(shlex.split(line)) for line in own]


def reason(one: Command, table: dict[str, str]) -> str | None:
    """What a table says of a command; None where it says nothing."""
    return next((why for text, why in table.items() if text in " ".join(one.words)), None)


def scaled(words: Sequence[str]) -> list[str]:
    """The options to append to `FILE.py ...` so that it does little, from what its Options are by default."""
    options = runpy.run_path(str(ROOT / words[0])).get("Options")
    if options is None:
        return []
    more = []
    fields = {field.name: field for field in dataclasses.fields(options)}
    for name, field in fields.items():
        option = f"--{name.replace('_', '-')}"
        value = words[words.index(option) + 1] if option in words[:-1] else field.default
        if name == "batch_size" and "epochs" in fields:
            continue  # of a training: a smaller batch would be more steps
        counts = name in SMALL and "int" in str(field.type)  # not the images of ablate.py, which are a file
        if counts and not (str(value).isdecimal() and int(str(value)) <= SMALL[name]):
            more += [option, str(SMALL[name])]
        if (name, value) in REPLACED:
            more += [option, REPLACED[name, value]]
    return more


def perform(words: Sequence[str], *, read_only: bool = False) -> str:
    """Run `[NAME=VALUE ...] python FILE.py ...`, or diswot-bench NAME ..., in this process; what it prints.

    FILE.py is a command of this project, or what the page told its reader to save, which is run as it is. With
    `read_only` its options are read and nothing more. Raises ValueError where it is no such command or fails.
    """
    assignments = [word for word in words if re.fullmatch(r"[A-Z_]+=.*", word)]
    program, *words = [word for word in words[len(assignments) :] if word != "&"]
    if program == FRONT and words and words[0] in DOORS:
        file, argv = DOORS[words[0]], [FRONT, *words]
    elif program == "python" and words and Path(words[0]).is_file():
        file, argv = words[0], list(words)
    else:
        raise ValueError("no command of this project: write it out, or name it in NOT_RUN")
    if not read_only and (ROOT / file).is_file():
        argv += scaled([file, *words[1:]])
    said = io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", argv))
        stack.enter_context(mock.patch.dict(os.environ, dict(word.split("=", 1) for word in assignments)))
        stack.enter_context(contextlib.redirect_stdout(said))
        stack.enter_context(contextlib.redirect_stderr(said))
        if read_only:
            stack.enter_context(mock.patch.object(commands_share, "reported", return_value=0))
        try:
            if program == FRONT:
                sys.exit(front.main())
            runpy.run_path(str(ROOT / file if (ROOT / file).is_file() else file), run_name="__main__")
        except SystemExit as end:
            if end.code not in (0, None):
                raise ValueError(f"{shlex.join(argv)}: exit code {end.code}\n{said.getvalue()[-2000:]}") from None
    return said.getvalue()


def run(one: Command, *, long: bool) -> str:
    """Run a command, or read its options where it is not to be run; which of the two, or why not."""
    if why := reason(one, NOT_RUN):
        if one.words[0] == FRONT or (one.words[0] == "python" and one.words[1].endswith(".py")):
            perform(one.words, read_only=True)
        return f"not run: {why}"
    why = reason(one, LONG) or ("a page of many" if one.page.name in LONG_PAGES and one.words[0] != "make" else None)
    if not long and why:
        perform(one.words, read_only=True)
        return f"run by make docs: {why}"
    for words in recipe(one.words[1]) if one.words[0] == "make" else [one.words]:
        perform(words)
    return "run"


def checkout(folder: Path, page: Path) -> None:
    """Make a folder what a reader of a page has: the checkout, what the page says to save, and images of their own."""
    ignored = shutil.ignore_patterns(".*", "runs", "data", "build", "dist", "__pycache__", "*.egg-info", "tests")
    shutil.copytree(ROOT, folder, ignore=ignored, dirs_exist_ok=True)
    for name, content in files(page).items():
        (folder / name).write_text(content, encoding="utf-8")
    random = np.random.default_rng(0)
    images = {"train": 256, "test": 64}
    arrays = {f"{part}_images": random.integers(0, 256, (n, 3, 32, 32), np.uint8) for part, n in images.items()}
    arrays |= {f"{part}_labels": np.arange(n, dtype=np.uint8) % 10 for part, n in images.items()}
    np.savez(folder / "cifar10.npz", **arrays)


def run_page(page: Path, folder: Path, *, long: bool) -> list[tuple[Command, str, float]]:
    """Run the commands of a page in a folder: what became of each, and seconds. ValueError names the first to fail."""
    checkout(folder, page)
    done = []
    with contextlib.chdir(folder):
        for one in collect(page):
            start = time.perf_counter()
            try:
                became = run(one, long=long)
            except ValueError as error:
                raise ValueError(f"{one}: {error}") from None
            done.append((one, became, time.perf_counter() - start))
    return done


def main() -> None:
    """Run the commands of all pages, or of those that are named, and say what became of each."""
    chosen = [Path(name).resolve() for name in sys.argv[1:]] or PAGES
    for page in chosen:
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"DISWOT_CACHE": f"{folder}/cache"}):
            for one, became, seconds in run_page(page, Path(folder) / "checkout", long=True):
                print(f"{seconds:6.1f} s  {one}  [{became}]", flush=True)


if __name__ == "__main__":
    main()
