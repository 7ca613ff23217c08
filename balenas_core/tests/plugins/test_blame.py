"""Whose code an error comes from."""

from __future__ import annotations

import pytest

from balenas_core.errors import ForeignExit
from balenas_core.plugins.blame import culprit
from balenas_core.plugins.code import code_of
from balenas_core.plugins.foreign import contained
from balenas_core.plugins.registry import Registry

SOURCE = """
from balenas_core import Plugin
plugin = Plugin(kind="proxy", summary="", api_version=1, implementation="acme_faulty_impl:fail")
"""
FAILS = "import sys\ndef fail(call=None):\n    (call or sys.exit)()\n"


@pytest.fixture
def ref(install):
    folder = install(
        "acme", "acme_faulty", SOURCE, {"balenas.proxies": {"bad": "acme_faulty:plugin"}}
    )
    (folder.parent / "acme_faulty_impl.py").write_text(FAILS)
    registry = Registry()
    return registry, registry.find("proxy", "bad")


def test_the_plugin_whose_implementation_ended_the_program_is_found(ref):
    registry, bad = ref
    fail = bad.load_implementation()
    with pytest.raises(SystemExit) as caught:
        fail()
    found, place = culprit(caught.value, registry)
    assert (found.name, found.distribution) == ("bad", "acme")
    assert place.endswith("acme_faulty_impl.py:3")
    with pytest.raises(ForeignExit) as wrapped, contained():
        fail()
    assert culprit(wrapped.value, registry)[0].name == "bad"


def test_an_error_of_nobody_has_no_culprit(ref):
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    assert culprit(caught.value, ref[0]) is None


def test_the_hash_of_its_code_is_another_where_a_line_of_its_implementation_is(ref, tmp_path):
    from balenas_core.plugins.code import _hash

    _, bad = ref
    implementation = bad.load().implementation
    before = code_of(bad, implementation)
    assert len(before) == 16
    (file,) = tmp_path.rglob("acme_faulty_impl.py")
    file.write_text(FAILS + "# another line\n")
    _hash.cache_clear()
    assert code_of(bad, implementation) != before
