"""Registering and selecting proxies."""

from __future__ import annotations

import hashlib
import importlib
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxies import Combination, Proxy, parts, proxy, registered, registry, select, userfile
from proxies.combine import FUNCTIONS, NAMED

MINE = """
from proxies import proxy

@proxy(source="mine")
def mine(probe):
    \"\"\"Mine, higher better.\"\"\"

number = 3
"""


@pytest.fixture
def no_trace() -> Iterator[None]:
    """What a test registers is gone after it."""
    before, files = dict(registry._registered), dict(registry._from_files)
    userfile._told.clear()
    yield
    for kept, old in ((registry._registered, before), (registry._from_files, files)):
        kept.clear()
        kept.update(old)


@pytest.fixture
def mine(tmp_path: Path, no_trace: None) -> Path:
    path = tmp_path / "own.py"
    path.write_text(MINE)
    return path


def names(text: str) -> list[str]:
    return [found.name for found in select(text)]


def test_selects_names_wildcards_and_all_in_order_and_once() -> None:
    assert names("synflow,params") == ["synflow", "params"]
    assert names("params, synflow ,params,") == ["params", "synflow"]
    assert names("sy*flow,grad_?orm") == ["synflow", "grad_norm"]
    assert names("all") == [*(found.name for found in registered()), "az_nas"]
    assert names("") == []


def test_combinations_name_their_parts_in_full() -> None:
    (vote,) = select("vote( synflow , diswot_re*)")
    assert isinstance(vote, Combination)
    assert vote.name == "vote(synflow,diswot_relation,diswot_released,diswot_released_first_image)"
    assert [proxy.name for proxy in parts([vote, *select("synflow,macs")])] == [*vote.parts, "macs"]


@pytest.mark.parametrize("text", ["vote(synflow", "vote)", "vote(az_nas,synflow)", "vote()", "mean(synflow,params)"])
def test_combinations_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"vote|combination|proxy"):
        select(text)


@given(st.text(alphabet="abv(),*:.py ", max_size=20))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        chosen = select(text)
    except ValueError:
        return
    assert all(one.name for one in chosen)


@pytest.mark.parametrize("text", ["sinflow", "params,diswott", "x*"])
def test_unknown_names_list_what_there_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"no proxy is called .*synflow.*or all"):
        select(text)


def test_a_name_is_registered_once() -> None:
    def synflow(probe: object) -> None:
        """Another."""

    with pytest.raises(ValueError, match="'synflow' is registered already"):
        proxy(source="a test")(synflow)  # type: ignore[arg-type]


def test_a_proxy_without_a_docstring_is_refused() -> None:
    def silent(probe: object) -> None: ...

    with pytest.raises(ValueError, match="no docstring"):
        proxy(source="a test")(silent)  # type: ignore[arg-type]


def test_what_is_registered_is_the_function_itself_under_its_name(no_trace: None) -> None:
    def fresh(probe: object) -> None:
        """What it says, higher better.

        And more.
        """

    before = registered()
    assert proxy(source="a test")(fresh) is fresh  # type: ignore[arg-type, comparison-overlap]
    assert registered() == [*before, Proxy("fresh", fresh, "a test", whole=False)]  # type: ignore[arg-type]
    (found,) = select("fresh")
    assert isinstance(found, Proxy)
    assert (found.summary, found.key, found.version) == ("What it says, higher better.", "fresh", "")
    assert Proxy("bare", lambda probe: None, "").summary == ""  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("name", ["az_nas", "vote"])
def test_the_names_of_combinations_are_taken(name: str) -> None:
    def score(probe: object) -> None:
        """Another."""

    score.__name__ = name
    with pytest.raises(ValueError, match=f"proxy '{name}' is registered already; registered are: .*synflow"):
        proxy(source="a test")(score)  # type: ignore[arg-type]


def test_refusals_name_everything_there_is() -> None:
    there = ", ".join([*(one.name for one in registered()), *NAMED, *(f"{function}(...)" for function in FUNCTIONS)])
    with pytest.raises(ValueError) as refused:  # noqa: PT011, all of the message is compared
        select("nothing")
    assert str(refused.value) == f"no proxy is called 'nothing'; there are: {there}, or all"
    with pytest.raises(ValueError, match=f"'mean'; there are: {', '.join(FUNCTIONS)}$"):
        select("mean(synflow,params)")


def test_a_combination_knows_its_function_and_source() -> None:
    (vote, ranks) = select("vote(synflow,params),ranksum(params,macs)")
    for found, function in ((vote, "vote"), (ranks, "ranksum")):
        assert isinstance(found, Combination)
        assert (found.combine, found.source) == FUNCTIONS[function]


def test_brackets_that_do_not_close_say_so_and_one_part_is_too_few() -> None:
    with pytest.raises(ValueError, match=r"'vote\(synflow': a bracket is open"):
        select("vote(synflow")
    with pytest.raises(ValueError, match=r"vote\(synflow\): two proxies at least"):
        select("vote(synflow)")
    with pytest.raises(ValueError, match=r"vote\(az_nas,synflow\): combines proxies, not az_nas"):
        select("vote(az_nas,synflow)")
    with pytest.raises(ValueError, match="no proxy is called '\\)'"):
        select(")synflow(")


def test_a_function_in_a_file_is_a_proxy_of_that_version_of_the_file(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = registered()
    (found,) = select(f"{mine}:mine")
    assert capsys.readouterr().err == f"--proxy {mine}:mine: ran the code in this file\n"
    digest = hashlib.sha256(mine.read_bytes()).hexdigest()[:12]
    assert isinstance(found, Proxy)
    assert (found.name, found.version, found.source) == ("own.py:mine", digest, str(mine))
    assert found.key == f"own.py:mine@{digest}"
    assert found.summary == "Mine, higher better."
    assert registered() == before
    (vote,) = select(f"vote({mine}:mine,synflow)")
    assert isinstance(vote, Combination)
    assert [part.name for part in parts([vote])] == ["own.py:mine", "synflow"]
    assert parts([vote])[0].score.__name__ == "mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [("number", "'number' is no function"), ("other", "the file has no 'other'")],
)
def test_what_a_file_lacks_is_told_and_leaves_no_trace(mine: Path, name: str, message: str) -> None:
    before = registered()
    with pytest.raises(ValueError, match=f"--proxy .*own.py:{name}: .*{message}"):
        select(f"{mine}:{name}")
    assert registered() == before


def test_two_files_of_one_name_are_refused(tmp_path: Path, no_trace: None) -> None:
    for folder, value in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my.py").write_text(f"def score(probe):\n    return {value}\n")
    one, other = (f"{tmp_path / folder / 'my.py'}:score" for folder in ("a", "b"))
    for text in (f"{one},{other}", f"vote({one},{other})", f"{one},vote({other},params)"):
        with pytest.raises(ValueError, match=r"a/my\.py and .*b/my\.py would both be called my\.py:score; rename"):
            select(text)
    assert len(select(f"{one},vote({one},params)")) == 2
    (tmp_path / "b" / "other.py").write_text((tmp_path / "b" / "my.py").read_text())
    assert names(f"{one},{tmp_path / 'b' / 'other.py'}:score") == ["my.py:score", "other.py:score"]
    assert select(other)[0].score(None) == 2  # type: ignore[union-attr,arg-type]


@pytest.mark.parametrize(
    "line", ["None.real_name", "[][1]", "1 / 0", "open('/no/such/file')", "int('a')", "assert 0", "raise SystemExit"]
)
def test_whatever_a_file_raises_is_one_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "broken.py").write_text(f"{line}\n")
    with pytest.raises(ValueError, match="the file does not run"):
        select(f"{tmp_path / 'broken.py'}:score")


def test_a_file_may_hold_a_dataclass_with_late_annotations(tmp_path: Path, no_trace: None) -> None:
    path = tmp_path / "late.py"
    head = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    head += "@dataclass\nclass At:\n    place: int\n"
    path.write_text(f"{head}\ndef score(probe):\n    return At(3).place\n")
    proxy = select(f"{path}:score")[0]
    assert pickle.loads(cloudpickle.dumps(proxy)).score(None) == 3


def test_a_file_that_does_not_run_leaves_no_trace(mine: Path) -> None:
    mine.write_text(MINE + "\nimport no_such_module\n")
    before = registered()
    with pytest.raises(ValueError, match="ModuleNotFoundError"):
        select(f"{mine}:mine")
    assert registered() == before


def test_a_file_takes_from_what_lies_beside_it_and_its_version_from_both(tmp_path: Path, no_trace: None) -> None:
    found = []
    for folder, value in (("a", 1), ("b", 2), ("b", 333)):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "helper_of_mine.py").write_text(f"VALUE = {value}\n")
        (tmp_path / folder / "my.py").write_text(
            "from helper_of_mine import VALUE\ndef score(probe):\n    return VALUE\n"
        )
        found += select(f"{tmp_path / folder / 'my.py'}:score")
    assert [one.score(None) for one in found] == [1, 2, 333]  # type: ignore[union-attr,arg-type]
    assert len({one.version for one in found}) == 3  # type: ignore[union-attr]
    assert pickle.loads(cloudpickle.dumps(found[0])).score(None) == 1
    assert "helper_of_mine" not in sys.modules
    assert str(tmp_path / "b") not in sys.path


def test_a_helper_that_is_imported_already_is_the_same_one(
    tmp_path: Path, no_trace: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "helper_of_mine.py").write_text("class Net:\n    pass\n")
    (tmp_path / "my.py").write_text(
        "from helper_of_mine import Net\ndef score(probe):\n    return isinstance(probe, Net)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    helper = importlib.import_module("helper_of_mine")
    monkeypatch.setitem(sys.modules, "helper_of_mine", helper)
    (found,) = select(f"{tmp_path / 'my.py'}:score")
    assert found.score(helper.Net())  # type: ignore[union-attr]
    assert sys.modules["helper_of_mine"] is helper


def test_a_version_does_not_go_by_how_the_file_is_named(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine.parent)
    assert userfile.load("own.py:mine", "--proxy")[1] == hashlib.sha256(mine.read_bytes()).hexdigest()[:12]
