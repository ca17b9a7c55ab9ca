"""The documents: what is written from the registry is up to date, and what they link to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import proxies

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


def test_every_proxy_has_its_section() -> None:
    text = (ROOT / "docs" / "proxies.md").read_text()
    found = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert found == [one.name for one in proxies.select("all")], "make docs"
    for one in proxies.select("all"):
        assert one.summary in text, f"{one.name}: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_name_files_and_options_there_are(page: Path) -> None:
    for line in re.findall(r"^python (\S+\.py[^\n]*)", page.read_text().replace("\\\n", " "), flags=re.MULTILINE):
        path, *words = line.split()
        assert (ROOT / path).is_file(), line
        known = (ROOT / path).read_text() + (ROOT / "benchmarks" / "options.py").read_text()
        for option in re.findall(r"--([a-z-]+)", " ".join(words)):
            assert option.replace("-", "_") in known, f"{line}: --{option}"
