"""The documents: commands run, tables are those of committed runs, what is written from the registry is up to date."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pandas as pd
import pytest
import torch

import proxies
from analysis.rows.tables import markdown
from benchmarks.ranking import summary
from docs import commands, readme, walks

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
EXAMPLE = ROOT / readme.EXAMPLE


def test_every_proxy_has_its_section() -> None:
    text = (ROOT / "docs" / "proxies.md").read_text()
    found = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert found == [one.name for one in proxies.select("all")], "make docs"
    for one in proxies.select("all"):
        assert one.summary in text, f"{one.name}: make docs"


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("fisher", "see fisher_biased for the published values"),
        ("fisher_biased", "2,290 of 15,625 cells"),
        ("ntk_trace", "ntk_trace_released is the form of the public code"),
        ("ntk_trace_released", "the head's bias"),
        ("meco", "one image of 64 x 64 noise"),
        ("meco", "the head, which they see as well, adds 0"),
        ("near", "a C x C matrix"),
        ("vkdnw", "ranks as conv_edges with a tie-break"),
        ("vkdnw", "J' L' L J"),
        ("expressivity", "rounds below -1e-8"),
        ("progressivity", "Finite where the released code is not"),
        ("naswot", "FreeREA and ZenNAS also count those that only zeros reach"),
        ("naswot", "twice"),
        ("zen_released", "A normalisation that only zeros reach is left out"),
        ("epe_nas", "never passes its number of classes"),
        ("diswot_gram_relation", "see diswot_released_first_image"),
        ("diswot_released_first_image", "channels of one vector, not images, are compared"),
    ],
)
def test_a_departure_from_its_source_is_said(name: str, fact: str) -> None:
    (one,) = proxies.select(name)
    assert isinstance(one, proxies.Proxy)
    assert fact in " ".join((one.score.__doc__ or "").split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", commands.PAGES, ids=lambda page: page.name)
def test_commands_run(page: Path, tmp_path: Path) -> None:
    commands.run_page(page, tmp_path / "checkout", long=False)


@pytest.mark.parametrize("table", [commands.NOT_RUN, commands.LONG], ids=["not run", "long"])
def test_no_exception_is_stale(table: dict[str, str]) -> None:
    shown = [one for page in commands.PAGES for one in commands.collect(page)]
    for text in table:
        assert any(commands.reason(one, {text: ""}) is not None for one in shown), f"no command has {text!r}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("python benchmarks/rank.py --sampel 5", "exit code 2"),
        ("python benchmarks/rnak.py", "no command of this project"),
        ("python benchmarks/rank.py --archs gone.txt", "exit code 2"),
        ("make coffee", "no such target"),
        ("diswot-bench rnak", "no command of this project"),
        ("diswot-bench rank --sampel 5", "exit code 2"),
        ("python benchmarks/data.py fetch --from here", "exit code 2"),
    ],
)
def test_a_command_that_does_not_work_is_found(text: str, says: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n```\n{text}\n```\n")
    with pytest.raises(ValueError, match=says) as error:
        commands.run_page(page, tmp_path / "checkout", long=False)
    assert "page.md:4: " in str(error.value)


def test_what_is_collected(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Run `python a.py --explain NAME` or `rank.py`.\n\n- a list:\n\n"
        "  ```\n  python b.py \\\n      --x 'y z'  # why\n\n"
        "  A=1 python c.py &\n  ```\n\n```python mine.py\nimport torch\n```\n\n```text\npython d.py\n```\n"
    )
    found = [(one.line, one.words) for one in commands.collect(page)]
    assert found == [
        (1, ("python", "a.py", "--explain", "diswot")),
        (6, ("python", "b.py", "--x", "y z")),
        (9, ("A=1", "python", "c.py", "&")),
    ]
    assert commands.files(page) == {"mine.py": "import torch\n"}


def test_only_how_much_is_done_is_changed() -> None:
    rank = "benchmarks/rank.py"
    assert commands.scaled([rank, "--sample", "4", "--batch-size", "2"]) == []
    assert commands.scaled([rank, "--sample", "all"]) == ["--batch-size", "4", "--sample", "4"]
    assert commands.scaled(["benchmarks/data.py", "list"]) == []


@pytest.mark.parametrize("page", readme.PAGES, ids=lambda page: page.name)
def test_a_page_shows_the_committed_runs_and_the_leaderboard(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert readme.tables(text) == text, "make readme"
    assert text.count("<!-- end -->") == (1 if page.name == "search.md" else 2)


def test_readme_shows_ten_proxies_on_six_questions() -> None:
    lines = readme.short().splitlines()
    assert {len(line.split("|")) for line in lines if line.startswith("|")} == {2 + 1 + 6}
    assert len([line for line in lines if line.startswith("|")]) == 2 + 10


@pytest.mark.parametrize("name", readme.RUNS)
def test_a_committed_table_is_that_of_its_run(name: str) -> None:
    ranking, seconds = (
        pd.read_csv(EXAMPLE / name / f"{file}.csv", na_values=["n/a"]) for file in ("ranking", "seconds")
    )
    table = markdown(*summary.headline(ranking.merge(seconds, on="proxy").to_dict("records")))
    assert (EXAMPLE / name / "table.md").read_text(encoding="utf-8").startswith(f"{table}\n"), "make example"


def test_the_committed_report_holds_the_committed_runs_and_ablations() -> None:
    text = (ROOT / "docs" / "report.html").read_text(encoding="utf-8")
    held = {base64.b64decode(one) for one in re.findall(r'href="data:text/csv;base64,([^"]+)"', text)}
    ablations = sorted((ROOT / "docs" / "ablations").rglob("*.csv"))
    for path in [*(EXAMPLE / name / "ranking.csv" for name in readme.RUNS), *ablations]:
        assert path.read_bytes() in held, f"{path.relative_to(ROOT)}: make readme"


def test_the_forms_said_to_be_here_are_registered() -> None:
    """The last column of the table of the public code's forms names proxies."""
    rows = re.findall(r"^\| `(\w+)`.*\| `(\w+)`, equal to", (ROOT / "docs" / "validate.md").read_text(), re.MULTILINE)
    assert len(rows) == 3
    assert {name for row in rows for name in row} <= {one.name for one in proxies.registered()}


def left(walk: Path, runs: dict[str, tuple[str, int, float]], weights: float, data: str = "d1") -> None:
    """What distill.py leaves of some runs: by folder the method, the seed and the accuracy in percent."""
    walk.mkdir()
    rows = [
        {"student": "net", "method": method, "seed": seed, "params": 7, "last": last, "status": "done", "folder": name}
        for name, (method, seed, last) in runs.items()
    ]
    pd.DataFrame(rows).to_csv(walk / "runs.csv", index=False)
    seconds = [{"folder": name, "seconds": 60 + 120 * seed} for name, (_, seed, _) in runs.items()]
    pd.DataFrame(seconds).to_csv(walk / "seconds.csv", index=False)
    (walk / "run.json").write_text(json.dumps({"data": data}))
    for name in runs:
        (walk / name).mkdir()
        (walk / name / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2}\n')
        torch.save({"a": torch.tensor([weights]), "n": torch.tensor(3)}, walk / name / "weights.pt")


def test_walks_are_read_off_the_folders_that_they_left(tmp_path: Path) -> None:
    """Means, deviations and gains by hand; a teacher on the way; weights that are equal; a run that is not done."""
    four = {"n_ce_0": ("ce", 0, 40.0), "n_ce_1": ("ce", 1, 42.0), "n_kd_0": ("kd", 0, 50.0), "n_kd_1": ("kd", 1, 46.0)}
    left(tmp_path / "one", four, 1.0)
    teacher = tmp_path / "one" / "teacher" / "big_ce_seed0"
    teacher.mkdir(parents=True)
    history = [{"test_accuracy": 10.0, "seconds": 30.0}, {"test_accuracy": 55.5, "seconds": 60.0}]
    settings = {"student": "big", "data": "some d1"}
    (teacher / "outcome.json").write_text(json.dumps({"history": history, "settings": settings}))
    for name, weights in (("killed", 2.0), ("unbroken", 2.0), ("other", 2.5)):
        left(tmp_path / name, {"n": ("ce", 0, 30.0)}, weights)
    table = walks.walks(tmp_path).set_index("row")
    assert list(table.index) == ["killed, ce", "one, ce", "one, kd", "one, teacher", "other, ce", "unbroken, ce"]
    assert table.loc["one, kd", ["accuracy", "gain", "minutes"]].tolist() == pytest.approx([0.48, 0.07, 2])
    assert table.loc["one, kd", "sd"] == pytest.approx(0.02 * 2**0.5)
    assert table.loc["one, ce", ["epochs", "seeds", "params", "data"]].tolist() == [2, 2, 7, "d1"]
    assert table.loc["one, teacher", ["student", "accuracy", "minutes"]].tolist() == ["big", 0.555, 1.5]
    assert table["gain"].count() == 1
    assert table["equal_to"].dropna().to_dict() == {"killed, ce": "unbroken", "unbroken, ce": "killed"}
    rows = pd.read_csv(tmp_path / "one" / "runs.csv").replace("done", "lost")
    rows.to_csv(tmp_path / "one" / "runs.csv", index=False)
    with pytest.raises(ValueError, match="not all runs are done"):
        walks.walks(tmp_path)
    with pytest.raises(ValueError, match="no folder in it has"):
        walks.walks(tmp_path / "one")
