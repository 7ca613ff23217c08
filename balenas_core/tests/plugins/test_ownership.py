"""Names that belong to a distribution, lists of what may be imported, and the index."""

from __future__ import annotations

import json
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from balenas_core import Plugin, SearchConfig
from balenas_core.config import load_config, to_yaml
from balenas_core.errors import ConfigError, PluginLoadError, PluginNotFoundError
from balenas_core.plugins.known import is_first_party, owner, providers
from balenas_core.plugins.plugin import GROUPS
from balenas_core.plugins.registry import Registry
from balenas_core.testing import ToyOptimizer, ToySpace, toy_plugin

SOURCE = """
from balenas_core import Plugin
plugin = Plugin(kind="{kind}", summary="acme's", api_version=1, implementation="math:sqrt")
"""
ROOT = Path(__file__).parents[3]


TOY = {"space": "toy", "optimizer": "toy_sgd"}


def with_toys() -> Registry:
    """Return what is installed, and a space and an optimizer of this process."""
    registry = Registry()
    optimizer = toy_plugin("optimizer", ToyOptimizer, defaults={"distribution": "point"})
    registry.add("toy", toy_plugin("space", ToySpace, provides=("supernet",)))
    registry.add("toy_sgd", optimizer)
    return registry


def offer(install, kind: str, name: str, distribution: str = "acme") -> None:
    module = f"{distribution}_{name}"
    group = {GROUPS[kind]: {name: f"{module}:plugin"}}
    install(distribution, module, SOURCE.format(kind=kind), group)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("selector", "argmax"), ("executor", "local"), ("dataset", "digits")],
)
def test_a_first_party_name_is_its_own_whoever_offers_it_too(install, caplog, kind, name):
    offer(install, kind, name)
    registry = Registry()
    assert registry.find(kind, name).distribution == "balenas-core"
    assert registry.find(kind, name).distribution == "balenas-core"
    (message,) = caplog.messages  # once
    assert f"acme offers one of that name too, which is 'acme:{name}'" in message
    assert f"BALENAS_DISABLE_PLUGINS=acme:{name}" in message
    assert registry.find(kind, f"acme:{name}").distribution == "acme"
    assert registry.rivals(registry.find(kind, name)) == []
    assert len(registry.rivals(registry.find(kind, f"acme:{name}"))) == 1


def test_a_name_that_is_switched_off_warns_nobody(install, caplog, monkeypatch):
    offer(install, "selector", "argmax")
    monkeypatch.setenv("BALENAS_DISABLE_PLUGINS", "acme:argmax")
    assert Registry().find("selector", "argmax").distribution == "balenas-core"
    assert caplog.messages == []


def test_a_foreign_selector_does_not_stand_for_a_proxy_of_ours(install, caplog):
    offer(install, "selector", "synflow")
    registry = Registry()
    if registry.has("proxy", "synflow"):
        assert not registry.means_selector("synflow")
        assert "'synflow' is a proxy of balenas-proxy-synflow" in caplog.text
    assert registry.means_selector("acme:synflow")


def test_stored_names_are_long_and_read_back_as_they_were():
    registry = with_toys()
    config = load_config(base=TOY, registry=registry)
    text = to_yaml(config, registry=registry)
    assert "name: balenas-core:argmax" in text
    assert "name: balenas-core:digits" in text
    import yaml

    assert load_config(base=yaml.safe_load(text), registry=registry) == config


def test_what_is_not_on_the_list_is_not_imported(install, monkeypatch):
    install("acme", "acme_bomb", "1 / 0", {GROUPS["proxy"]: {"bomb": "acme_bomb:plugin"}})
    offer(install, "proxy", "good", "bravo")
    monkeypatch.setenv("BALENAS_ALLOW_PLUGINS", "bravo")
    registry = Registry()
    with pytest.raises(PluginLoadError, match=r"is not allowed by BALENAS_ALLOW_PLUGINS=bravo; a"):
        registry.find("proxy", "bomb").load()
    assert registry.find("proxy", "good").load().summary == "acme's"
    assert registry.find("selector", "argmax").load()
    assert "bomb" not in registry.names("proxy")


def test_hooks_that_are_not_on_the_list_are_not_imported(install, monkeypatch):
    install("acme", "acme_hook", "1 / 0", {"balenas.hooks": {"bomb": "acme_hook"}})
    monkeypatch.setenv("BALENAS_ALLOW_PLUGINS", "")
    assert Registry().hooks.failures == []


def test_the_list_of_a_configuration_holds_for_its_sections(install):
    offer(install, "selector", "good", "bravo")
    base = {**TOY, "selector": "good"}
    registry = with_toys()
    for allow, is_allowed in ((["bravo"], True), (["good"], True), (["acme"], False)):
        settings = {**base, "plugins": {"allow": allow}}
        if is_allowed:
            assert load_config(base=settings, registry=registry).selector.name == "good"
        else:
            with pytest.raises(PluginLoadError, match=r"not allowed by plugins\.allow of the conf"):
                load_config(base=settings, registry=registry)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("acme-nowhere>=2", r"acme-nowhere is not installed; type: balenas plugins install 'acme-"),
        ("pydantic<1", r"pydantic 2\S* is installed, which is not <1; type: balenas plugins inst"),
        ("no name!", r"must be a distribution, such as 'acme-space'"),
    ],
)
def test_a_distribution_that_a_configuration_requires_is_named(text, message):
    base = {**TOY, "plugins": {"require": ["pydantic", text]}}
    with pytest.raises(ConfigError, match=rf"plugins\.require\.1: {message}"):
        load_config(base=base, registry=with_toys())


def test_an_unknown_name_of_a_known_distribution_says_what_to_install():
    registry = Registry(use_entry_points=False)
    with pytest.raises(PluginNotFoundError, match="balenas plugins install balenas-space-nb201'"):
        registry.find("space", "nb201")
    with pytest.raises(PluginNotFoundError, match="comes with acme; type 'balenas plugins inst"):
        registry.find("space", "acme:maze")


def test_the_index_names_what_this_repository_provides():
    text = resources.files("balenas_core.plugins").joinpath("known.json").read_text("utf-8")
    known = {one["name"]: one["plugins"] for one in json.loads(text) if one.get("first_party")}
    files = [ROOT / "balenas_core/pyproject.toml", *(ROOT / "plugins").glob("*/*/pyproject.toml")]
    kinds = {group: kind for kind, group in GROUPS.items()}
    declared = {}
    for file in files:
        project = tomllib.loads(file.read_text("utf-8"))["project"]
        points = project.get("entry-points", {})
        plugins = {kinds[g]: sorted(n) for g, n in points.items() if g in kinds}
        if plugins:
            declared[project["name"]] = plugins
    assert known == declared, "bring balenas_core/plugins/known.json up to date"


def test_the_index_knows_owners():
    assert is_first_party("Balenas_Core")
    assert not is_first_party("acme")
    assert owner("selector", "ARGMAX") == "balenas-core"
    assert providers("selector", "nobody") == []


@pytest.mark.parametrize("version", [(1, 3), (0, 1), 1])
def test_a_plugin_may_work_with_several_interfaces(version):
    registry = Registry(use_entry_points=False)
    plugin = Plugin(kind="proxy", summary="", api_version=version, implementation=len)
    registry.add("many", plugin)
    assert registry.find("proxy", "many").load() is plugin


def test_a_plugin_of_an_interface_that_will_go_is_warned_of(monkeypatch, caplog):
    from balenas_core.plugins import declaration, ref

    monkeypatch.setattr(declaration, "API_VERSION", 2)
    monkeypatch.setattr(ref, "API_VERSION", 2)
    registry = Registry(use_entry_points=False)
    registry.add("old", Plugin(kind="proxy", summary="", api_version=1, implementation=len))
    assert "written for plugin API 1; the next minor release of balenas-core" in caplog.text
    caplog.clear()
    registry.add("new", Plugin(kind="proxy", summary="", api_version=(1, 2), implementation=len))
    assert caplog.messages == []


def test_plugins_come_first_in_a_configuration():
    # What is allowed has to be known before the section of a plugin is looked at.
    assert next(iter(SearchConfig.model_fields)) == "plugins"
