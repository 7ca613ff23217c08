"""What a plugin says about how it runs here."""

from __future__ import annotations

import pytest

from balenas_core import Plugin


def plugin(status: str | None) -> Plugin:
    return Plugin(kind="proxy", summary="", api_version=1, implementation=len, status=status)


def test_no_status_is_an_empty_mapping():
    assert plugin(None).load_status() == {}


def test_a_line_of_text_has_an_empty_key():
    assert plugin("os:getcwd").load_status().keys() == {""}


def test_a_mapping_becomes_text():
    status = plugin("sysconfig:get_paths").load_status()
    assert isinstance(status["stdlib"], str)


def test_anything_else_is_refused():
    with pytest.raises(TypeError, match="os:getpid must return text or a mapping; got "):
        plugin("os:getpid").load_status()
