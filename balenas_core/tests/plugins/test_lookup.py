"""Finding plugins by kind and name."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, strategies as st

from balenas_core import Plugin
from balenas_core.errors import PluginConflictError, PluginLoadError, PluginNotFoundError
from balenas_core.plugins.registry import Registry


def proxy(summary: str = "counts") -> Plugin:
    return Plugin(kind="proxy", summary=summary, api_version=1, implementation=len)


@pytest.fixture
def registry() -> Registry:
    registry = Registry(use_entry_points=False)
    for name in ("synflow", "naswot", "grad_norm"):
        registry.add(name, proxy())
    return registry


def test_a_plugin_is_found_by_kind_and_name(registry):
    assert registry.find("proxy", "naswot").load_implementation() is len
    assert registry.has("proxy", "naswot")
    assert not registry.has("space", "naswot")


@pytest.mark.parametrize("name", ["grad-norm", "Grad_Norm", "GRAD-NORM"])
def test_case_and_hyphens_do_not_matter(registry, name):
    assert registry.find("proxy", name).name == "grad_norm"


def test_an_unknown_name_suggests_a_close_one(registry):
    with pytest.raises(PluginNotFoundError, match=r"no proxy called 'synflwo'.*mean 'synflow'\?"):
        registry.find("proxy", "synflwo")


def test_an_unknown_name_lists_what_is_installed(registry):
    with pytest.raises(PluginNotFoundError, match="Installed: grad_norm, naswot, synflow"):
        registry.find("proxy", "zzz")


def test_a_name_of_another_kind_is_pointed_out(registry):
    with pytest.raises(PluginNotFoundError, match=r"no space called 'naswot'\. There is a proxy"):
        registry.find("space", "naswot")


def test_a_registry_without_plugins_says_none(registry):
    with pytest.raises(PluginNotFoundError, match="Installed: none"):
        registry.find("tracker", "tensorboard")


def test_plugins_are_found_when_a_library_has_imported_the_backport_of_importlib_metadata():
    pytest.importorskip("importlib_metadata")
    # In a process of its own: the backport takes the place of the standard library's finder.
    code = (
        "import importlib_metadata; from balenas_core.plugins.registry import default_registry; "
        "default_registry().find('distribution', 'gaussian').load()"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_adding_a_name_again_replaces_it(registry):
    registry.add("naswot", proxy("another"))
    assert registry.find("proxy", "naswot").load().summary == "another"
    assert len(registry.refs("proxy")) == 3


def test_what_is_not_a_plugin_is_refused(registry):
    with pytest.raises(PluginLoadError, match=r"'thing': kind must be one of space, .*'unknown'"):
        registry.add("thing", object())


def test_a_plugin_of_an_old_interface_is_refused(registry):
    old = Plugin(kind="proxy", summary="", api_version=0, implementation=len)
    with pytest.raises(PluginLoadError, match="written for plugin API 0, this balenas-core has 1"):
        registry.add("old", old)
    assert not registry.has("proxy", "old")


@given(st.lists(st.text("abc_-", min_size=1, max_size=6), unique=True, max_size=8))
def test_listing_is_sorted_by_name_whatever_the_order_of_registration(names):
    registry = Registry(use_entry_points=False)
    for name in names:
        registry.add(name, proxy())
    assert [ref.name for ref in registry.refs("proxy")] == sorted(names)


GROUP = "balenas.proxies"
SOURCE = """
from balenas_core.plugins.plugin import Plugin
plugin = Plugin(kind="proxy", summary="acme's", api_version=1, implementation="math:sqrt")
"""


def test_an_installed_plugin_is_found_by_its_metadata(install):
    install("acme-proxies", "acme_proxies", SOURCE, {GROUP: {"acme_one": "acme_proxies:plugin"}})
    ref = Registry().find("proxy", "acme_one")
    assert (ref.distribution, ref.version, ref.target) == (
        "acme-proxies",
        "1.2",
        "acme_proxies:plugin",
    )
    assert ref.load_implementation()(9.0) == 3.0


def test_two_distributions_of_one_name_are_told_apart_by_the_long_name(install):
    install("acme", "acme_a", SOURCE, {GROUP: {"twice": "acme_a:plugin"}})
    install("bravo", "bravo_b", SOURCE, {GROUP: {"twice": "bravo_b:plugin"}})
    registry = Registry()
    with pytest.raises(PluginConflictError, match="use one of 'acme:twice', 'bravo:twice'"):
        registry.find("proxy", "twice")
    assert registry.find("proxy", "bravo:twice").distribution == "bravo"
    ours = registry.find("proxy", "acme:twice")
    assert [rival.distribution for rival in registry.rivals(ours)] == ["bravo"]


def test_a_plugin_that_is_switched_off_causes_no_conflict(install, monkeypatch):
    install("acme", "acme_a", SOURCE, {GROUP: {"twice": "acme_a:plugin"}})
    install("bravo", "bravo_b", SOURCE, {GROUP: {"twice": "bravo_b:plugin"}})
    monkeypatch.setenv("BALENAS_DISABLE_PLUGINS", "acme:twice")
    registry = Registry()
    assert registry.find("proxy", "twice").distribution == "bravo"
    assert registry.rivals(registry.find("proxy", "twice")) == []
    with pytest.raises(PluginLoadError, match="switched off by BALENAS_DISABLE_PLUGINS=acme:twice"):
        registry.find("proxy", "acme:twice").load()


@pytest.mark.parametrize("value", ["acme_one", "ACME-ONE", "acme-proxies", " x, acme_one ,"])
def test_a_plugin_is_switched_off_by_name_or_distribution(install, monkeypatch, value):
    install("acme-proxies", "acme_proxies", SOURCE, {GROUP: {"acme_one": "acme_proxies:plugin"}})
    monkeypatch.setenv("BALENAS_DISABLE_PLUGINS", value)
    assert Registry().find("proxy", "acme_one").is_disabled


def test_a_registry_without_entry_points_sees_nothing_installed(install):
    install("acme-proxies", "acme_proxies", SOURCE, {GROUP: {"acme_one": "acme_proxies:plugin"}})
    assert Registry(use_entry_points=False).refs() == []
