"""Metadata in every state, read line by line."""

from __future__ import annotations

import pytest

from balenas_core.plugins.registry import Registry

GROUP = "balenas.proxies"
SOURCE = """
from balenas_core import Plugin
plugin = Plugin(kind="proxy", summary="", api_version=1, implementation="math:sqrt")
"""


def declare(install, text: str, **more):
    folder = install("acme-odd", "acme_odd", SOURCE, {GROUP: {"fine": "acme_odd:plugin"}}, **more)
    (folder / "entry_points.txt").write_text(f"[{GROUP}]\nfine = acme_odd:plugin\n{text}\n")
    return folder


def test_a_line_without_equals_is_named_and_hides_nothing(install):
    declare(install, "this is no entry point")
    registry = Registry()
    assert registry.find("proxy", "fine").load().kind == "proxy"
    (stray,) = registry.stray_entries()
    assert (stray.distribution, stray.name) == ("acme-odd", "this is no entry point")
    assert f"in group '{GROUP}'" in stray.fault
    assert "pip uninstall acme-odd" in stray.remedy


def test_what_stands_outside_of_any_group_is_named(install):
    folder = declare(install, "")
    (folder / "entry_points.txt").write_text("no file of this kind\n%%%\n")
    assert {e.fault.rpartition(", ")[2] for e in Registry().stray_entries()} == {
        "outside of any group"
    }


@pytest.mark.parametrize("group", ["balenas.proxy", "Balenas.Proxies", "balenas_proxies"])
def test_a_misspelt_group_is_named(install, group):
    declare(install, f"[{group}]\nlost = acme_odd:plugin")
    (stray,) = Registry().stray_entries()
    assert stray.fault == (
        f"there is no entry-point group {group!r}. Did you mean 'balenas.proxies'?"
    )


@pytest.mark.parametrize(
    "name", ["a:b", "a+b", "a>b", "a,b", "a b", "\x1b[31mred", "a\u202eb", "x" * 65, "auto", "[x]"]
)
def test_a_name_that_cannot_be_asked_for_is_refused(install, name):
    declare(install, f"{name} = acme_odd:plugin")
    refs = {ref.name: ref for ref in Registry().refs("proxy")}
    assert not refs[name].is_usable
    assert "its author has to rename it" in refs[name].fault
    assert name not in Registry().names("proxy")


@pytest.mark.parametrize("value", ["", "acme odd", ":plugin", "a:b:c"])
def test_an_entry_point_that_points_nowhere_is_refused(install, value):
    declare(install, f"lost = {value}")
    refs = {ref.name: ref for ref in Registry().refs("proxy")}
    assert "no 'package.module:attribute'" in refs["lost"].fault


@pytest.mark.parametrize(
    "metadata", ["Metadata-Version: 2.1\nVersion: 1\n", "", "\x00 junk"], ids=repr
)
def test_a_distribution_without_a_name_says_where_it_lies(install, metadata):
    folder = declare(install, "", metadata=metadata)
    ref = Registry().find("proxy", "fine")
    assert ref.distribution == "(unknown)"
    assert ref.remedy == f"Its metadata has no name: remove {folder}, and install it again."


def test_metadata_without_a_version_are_of_an_unknown_one(install):
    declare(install, "", metadata="Metadata-Version: 2.1\nName: acme-odd\n")
    assert Registry().find("proxy", "fine").origin == "acme-odd"


def test_entry_points_that_are_no_text_hide_no_other_distribution(install):
    folder = declare(install, "")
    (folder / "entry_points.txt").write_bytes(b"\xff\xfe\x00")
    registry = Registry()
    assert registry.find("distribution", "gaussian").distribution == "balenas-core"
    assert "cannot be read" in registry.stray_entries()[0].fault


def test_of_names_that_differ_in_case_the_exact_one_is_found(install):
    declare(install, "FINE = acme_odd:plugin")
    assert Registry().find("proxy", "fine").name == "fine"
    assert Registry().find("proxy", "FINE").name == "FINE"


def test_of_a_name_that_is_declared_twice_the_first_line_holds(install):
    declare(install, "fine = acme_elsewhere:plugin")
    registry = Registry()
    assert registry.find("proxy", "fine").target == "acme_odd:plugin"
    (second,) = [ref for ref in registry.refs("proxy") if ref.target == "acme_elsewhere:plugin"]
    assert "declares the name a second time" in second.fault
