"""The front door: one command from anywhere, beside a user's own files of the rooms' names, saying what was typed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.output import naming, terminal
from benchmarks.truth import official
from diswot_bench import ROOMS, command

ROOT = Path(__file__).parent.parent
SCRIPT = "import sys\nfrom diswot_bench.command import main\nsys.exit(main())\n"  # as installers write one


@pytest.fixture
def front(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/diswot-bench"])
    return monkeypatch


def test_installed_it_works_beside_a_users_own_rooms(tmp_path: Path) -> None:
    site, own = tmp_path / "site", tmp_path / "own"
    for room in ("diswot_bench", *ROOMS):
        shutil.copytree(ROOT / room, site / room, ignore=shutil.ignore_patterns("__pycache__"))
        own.mkdir(exist_ok=True)
        (own / f"{room}.py").write_text("raise RuntimeError('not ours')\n")
    (own / "diswot_bench.py").unlink()
    script = tmp_path / "diswot-bench"
    script.write_text(SCRIPT)
    arguments = ["rank", "--sample", "2", "--batch-size", "2", "--proxy", "params", "--baselines", ""]
    done = subprocess.run(
        [sys.executable, str(script), *arguments, "--teacher", "resnet20"],
        cwd=own,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (own, site)))},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "again: diswot-bench rank --sample 2" in done.stdout
    assert [path.name for path in (own / "runs").glob("params*/scores.csv")] == ["scores.csv"]


def test_an_import_brings_no_torch_nor_room() -> None:
    loaded = "import sys, diswot_bench; print([one for one in sys.modules if one in ('torch', 'pandas', 'benchmarks')])"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", naming.DOORS)
def test_a_commands_help_is_that_of_its_file(
    name: str, front: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    front.setenv("COLUMNS", "400")
    front.setattr(sys, "argv", [sys.argv[0], name, "--help"])
    with pytest.raises(SystemExit):
        command.main()
    by_front = capsys.readouterr().out
    front.setattr(sys, "argv", [naming.DOORS[name]])
    with pytest.raises(SystemExit):
        import_module(naming.module(name)).main(["--help"])
    by_file = capsys.readouterr().out
    front.setattr(sys, "argv", ["diswot-bench"])
    assert by_front.split() == naming.said(by_file, ours=True).split()
    assert f"usage: diswot-bench {name}" in by_front
    assert f"usage: {name}.py" in by_file


def test_help_lists_the_commands(front: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main() == 0
    printed = capsys.readouterr().out
    assert re.search(
        r"^  rank +Rank the candidates of a space by proxies, and compare with measured accuracies$", printed, re.M
    )
    assert all(f"\n  {name} " in printed for name in naming.DOORS)


def test_an_unknown_command_is_one_line(front: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    front.setattr(sys, "argv", ["diswot-bench", "rnak\n"])
    assert command.main() == 2
    assert capsys.readouterr().err.startswith("diswot-bench: error: no command is called 'rnak'; there are: rank, ")


def test_errors_name_what_was_typed(front: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    front.setattr(sys, "argv", ["diswot-bench", "rank", "--dataset", "cifar99"])
    assert command.main() == 2
    assert capsys.readouterr().err.startswith("diswot-bench rank: error: no data set is called 'cifar99'")
    front.setattr(sys, "argv", ["diswot-bench", "data", "fetch", "--from", "here"])
    with pytest.raises(SystemExit):
        command.main()
    assert capsys.readouterr().err.startswith("diswot-bench data")


@pytest.mark.parametrize(
    ("text", "ours", "expected"),
    [
        ("get it with: python benchmarks/data.py import FILE", False, "get it with: diswot-bench data import FILE"),
        ("a run of search/evolve.py is expected", False, "a run of diswot-bench evolve is expected"),
        ("rank.py --list names them", True, "diswot-bench rank --list names them"),
        ("--proxy report.py:f: a file of the user's", False, "--proxy report.py:f: a file of the user's"),
        ("--space my/data.py:Deep", True, "--space my/data.py:Deep"),
        ("no such file: data.py", False, "no such file: data.py"),
    ],
)
def test_texts_name_commands_as_typed(text: str, ours: bool, expected: str, front: pytest.MonkeyPatch) -> None:
    assert naming.said(text, ours=ours) == expected
    front.setattr(sys, "argv", ["benchmarks/rank.py"])
    assert naming.said(text, ours=ours) == text


def test_a_command_is_made_again_as_it_was_typed(front: pytest.MonkeyPatch) -> None:
    front.setattr(sys, "argv", ["/bin/diswot-bench", "rank", "--proxy", "diswot*"])
    assert terminal.typed() == "diswot-bench rank --proxy 'diswot*'"
    assert official.how_to_fetch("cifar10").endswith("with: diswot-bench data fetch cifar10")
    front.setattr(sys, "argv", ["benchmarks/rank.py", "--proxy", "diswot*"])
    assert terminal.typed() == "python benchmarks/rank.py --proxy 'diswot*'"
    assert official.how_to_fetch("cifar10").endswith("with: python benchmarks/data.py fetch cifar10")


def test_a_table_that_goes_to_a_file_cuts_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    name = "mine.py:" + "n" * 60
    terminal.show_table(["proxy", *["number"] * 16], [[name, *["0.123456789"] * 16]], "a table")
    printed = capsys.readouterr().out
    assert name in printed
    assert "…" not in printed
