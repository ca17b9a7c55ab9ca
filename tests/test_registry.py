"""Registering and selecting proxies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxies import Combination, parts, proxy, registered, select


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
    assert vote.name == "vote(synflow,diswot_relation,diswot_released)"
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
