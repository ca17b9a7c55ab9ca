"""Registering and selecting proxies."""

from __future__ import annotations

import pytest

from proxies import proxy, registered, select


def names(text: str) -> list[str]:
    return [found.name for found in select(text)]


def test_selects_names_wildcards_and_all_in_order_and_once() -> None:
    assert names("synflow,params") == ["synflow", "params"]
    assert names("params, synflow ,params,") == ["params", "synflow"]
    assert names("*flow,grad_?orm") == ["synflow", "grad_norm"]
    assert names("all") == [found.name for found in registered()]
    assert names("") == []


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
