"""The selector's section: a selector, proxies that rank, or what the space recommends."""

from typing import Any

import pytest

from balenas_core import Plugin, Registry
from balenas_core.config import (
    PluginSection,
    RankingOptions,
    SearchConfig,
    load_config,
    parse_selector,
)
from balenas_core.errors import ConfigError


def load(registry: Registry, **sections: Any) -> SearchConfig:
    return load_config(base={"space": "maze", "optimizer": "ngvi", **sections}, registry=registry)


class TestSelector:
    def test_is_argmax_by_default(self, registry):
        assert load(registry).selector == PluginSection(name="argmax")

    @pytest.mark.parametrize("section", ["auto", {"name": "auto"}])
    def test_auto_is_what_the_space_recommends(self, registry, section):
        assert load(registry, selector=section) == load(registry, selector="synflow+naswot")

    def test_options_of_auto_are_those_of_what_the_space_recommends(self, registry):
        given = {"draws": 3, "naswot": {"log": True}}
        found = load(registry, selector={"name": "auto", **given})
        assert found == load(registry, selector={"name": "synflow+naswot", **given})

    def test_a_space_may_recommend_options_which_the_users_own_go_over(self, registry):
        recommended = {"name": "synflow+naswot", "draws": 7, "aggregate": "mean_rank"}
        staged = Plugin(
            kind="space",
            summary="a space",
            api_version=1,
            implementation="nowhere:Nothing",
            provides=("supernet",),
            recommends={"selector": recommended},
        )
        registry.add("staged", staged)
        found = load(registry, space="staged", selector={"name": "auto", "draws": 3})
        given = {"name": "synflow+naswot", "draws": 3, "aggregate": "mean_rank"}
        assert found.selector == load(registry, space="staged", selector=given).selector

    def test_auto_is_refused_where_the_space_recommends_nothing(self, registry):
        with pytest.raises(ConfigError, match="selector: space 'plain' recommends no selector"):
            load(registry, space="plain", optimizer="free", distribution="point", selector="auto")

    def test_auto_causes_no_second_problem_where_the_space_is_unknown(self, registry):
        with pytest.raises(ConfigError) as caught:
            load(registry, space="mase", selector="auto")
        assert len(str(caught.value).splitlines()) == 1

    def test_may_be_a_selector_plugin_with_options(self, registry):
        section = load(registry, selector={"name": "random", "draws": 3}).selector
        assert section.options.draws == 3
        assert not isinstance(section.options, RankingOptions)

    def test_may_be_one_proxy_with_loose_options(self, registry):
        section = load(
            registry, selector={"name": "naswot", "draws": 32, "batch_size": 64}
        ).selector
        assert section.options.draws == 32
        assert section.options.proxies["naswot"].options.batch_size == 64

    @pytest.mark.parametrize(
        "section",
        [
            {"name": "synflow+naswot", "naswot": {"log": True}},
            {"name": "synflow+naswot", "proxies": {"naswot": {"log": True}}},
            {"name": " Synflow + NASWOT ", "proxies": {"Naswot": {"log": True}, "synflow": None}},
        ],
    )
    def test_may_be_several_proxies_with_options_by_name(self, registry, section):
        selector = load(registry, selector=section).selector
        assert selector.name == "synflow+naswot"
        assert selector.options.draws == 64
        assert list(selector.options.proxies) == ["synflow", "naswot"]
        assert selector.options.proxies["naswot"].options.log
        assert not selector.options.proxies["synflow"].options.log

    @pytest.mark.parametrize(
        ("section", "problem"),
        [
            ("synflw", "selector: no selector or proxy called 'synflw'. Did you mean 'synflow'?"),
            ("argmx", "selector: no selector or proxy called 'argmx'. Did you mean 'argmax'?"),
            ("synflow+argmax", "selector: 'argmax' is a selector and stands alone"),
            ("synflow+", "selector: must be names joined by '+'"),
            ("synflow+synflow", "selector: names 'synflow' twice"),
            ({"name": "synflow", "draws": 0}, "selector.draws: must be at least 1 (got 0)"),
            ({"name": "synflow", "draws": "3"}, "selector.draws: must be a whole number"),
            ({"name": "synflow", "lag": True}, "selector.lag: unknown key. Did you mean 'log'?"),
            ({"name": "params", "lag": True}, "selector.lag: unknown key; proxy 'params' takes no"),
            ({"name": "synflow", "batch_size": 0}, "selector.batch_size: must be at least 1"),
            (
                {"name": "synflow+naswot", "naswot": {"batch_size": 0}},
                "selector.naswot.batch_size: must be at least 1 (got 0)",
            ),
            (
                {"name": "synflow+naswot", "proxies": {"naswot": {"batch_size": 0}}},
                "selector.proxies.naswot.batch_size: must be at least 1 (got 0)",
            ),
            (
                {"name": "synflow+naswot", "log": True},
                "selector.log: belongs to a proxy; write it as synflow.log",
            ),
            (
                {"name": "synflow+naswot", "drows": 3},
                "selector.drows: unknown key. Did you mean 'draws'?",
            ),
            (
                {"name": "synflow+naswot", "proxies": {"params": {}}},
                "selector.proxies.params: unknown key. Known here: synflow, naswot.",
            ),
            (
                {"name": "synflow", "log": True, "proxies": {"synflow": {"log": False}}},
                "selector.proxies.synflow.log: is also given as log; keep one",
            ),
            ({"name": "synflow", "proxies": [1]}, "selector.proxies: must be a mapping"),
            ({"name": "synflow+naswot", "naswot": 3}, "selector.naswot: must be a mapping"),
        ],
    )
    def test_explains_what_is_wrong(self, registry, section, problem):
        with pytest.raises(ConfigError) as caught:
            load(registry, selector=section)
        assert str(caught.value).startswith(f"preset: {problem}")
        assert "\n" not in str(caught.value)

    def test_reports_problems_of_every_proxy(self, registry):
        with pytest.raises(ConfigError) as caught:
            load(
                registry,
                selector={
                    "name": "synflow+naswot",
                    "draws": 0,
                    "synflow": {"log": 1},
                    "naswot": {"log": 2},
                },
            )
        assert len(str(caught.value).splitlines()) == 3

    def test_a_name_that_is_both_means_the_selector(self, registry):
        for kind in ("proxy", "selector"):
            both = Plugin(kind=kind, summary="x", api_version=1, implementation="x:y")
            registry.add("both", both)
        assert load(registry, selector="both").selector.options is None

    def test_expressions_are_names_joined_by_plus(self):
        assert parse_selector("a") == ("a",)
        assert parse_selector(" a +b+ acme:c ") == ("a", "b", "acme:c")
