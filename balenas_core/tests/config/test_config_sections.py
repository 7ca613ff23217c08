"""Sections of plugins: names, options, selectors, and what fits together."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from balenas_core import Plugin, PluginOptions, Registry
from balenas_core.config import (
    PluginSection,
    RankingOptions,
    SearchConfig,
    load_config,
)
from balenas_core.errors import ConfigError, PluginLoadError


def load(registry: Registry, **sections: Any) -> SearchConfig:
    return load_config(base={"space": "maze", "optimizer": "ngvi", **sections}, registry=registry)


def test_a_bare_string_is_short_for_a_mapping_with_a_name(registry):
    assert load(registry, space="maze") == load(registry, space={"name": "maze"})


def test_options_are_validated_by_the_plugins_own_model(registry):
    options = load(
        registry,
        space={
            "name": "maze",
            "ops": ["a", "b"],
            "root": "/x",
            "colour": "blue",
            "inner": {"depth": 3},
            "ratio": 1,
            "amount": "ten",
        },
    ).space.options
    assert options.ops == ("a", "b")
    assert options.root == Path("/x")
    assert options.colour.name == "BLUE"
    assert options.inner.depth == 3
    assert options.ratio == 1.0
    assert options.amount == 10


def test_names_are_stored_in_the_plugins_own_spelling(registry):
    assert load(registry, space="MAZE").space.name == "maze"
    # The distribution is named where the short name alone is not clear.
    assert load(registry, space="(run time):maze").space.name == "maze"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("channels", "3", r"space.channels: must be a whole number \(got '3'\)"),
        ("channels", True, r"space.channels: must be a whole number \(got true\)"),
        ("channels", 0, r"space.channels: must be at least 1 \(got 0\)"),
        ("ratio", True, r"space.ratio: must be a number \(got true\)"),
        ("ratio", float("nan"), r"space.ratio: must be a finite number \(got nan\)"),
        ("ratio", float("inf"), r"space.ratio: must be a finite number \(got inf\)"),
        ("size", 1.5, r"space.size: must be a whole number or must be 'auto' \(got 1.5\)"),
        ("mode", "bach", r"space.mode: must be 'batch' or 'running' \(got 'bach'\)"),
        ("ops", 3, r"space.ops: must be a list \(got 3\)"),
        ("ops", ["a", 3], r"space.ops.1: must be text \(got 3\); put it in quotes"),
        ("inner", {"dept": 1}, r"space.inner.dept: unknown key. Did you mean 'depth'\?"),
        ("inner", {"depth": "x"}, r"space.inner.depth: must be a whole number \(got 'x'\)"),
        ("inner", 3, r"space.inner: must be a mapping \(got 3\)"),
        ("table", {"a": "x"}, r"space.table.a: must be a number \(got 'x'\)"),
        ("chanels", 3, r"space.chanels: unknown key. Did you mean 'channels'\?"),
    ],
)
def test_a_bad_option_is_named_with_its_value(registry, key, value, message):
    with pytest.raises(ConfigError, match=rf"^preset: {message}$"):
        load(registry, space={"name": "maze", key: value})


def test_an_integer_beyond_floating_point_is_refused(registry):
    with pytest.raises(ConfigError, match=r"space.ratio: must be a (finite )?number \(got 1000"):
        load(registry, space={"name": "maze", "ratio": 10**400})


def test_infinity_passes_where_the_plugin_admits_it(registry):
    options = load(registry, space={"name": "maze", "limit": float("inf")}).space.options
    assert options.limit == float("inf")


def test_every_problem_of_a_section_is_reported(registry):
    with pytest.raises(ConfigError) as caught:
        load(registry, space={"name": "maze", "channels": "a", "ratio": "b", "chanels": 1})
    assert len(str(caught.value).splitlines()) == 3


def test_a_plugin_without_options_takes_none(registry):
    with pytest.raises(
        ConfigError, match=r"space.size: unknown key; space 'plain' takes no options"
    ):
        load(registry, space={"name": "plain", "size": 3})


@pytest.mark.parametrize("value", [3, ["maze"], True])
def test_a_section_is_a_name_or_a_mapping(registry, value):
    with pytest.raises(ConfigError, match="space: must be the name of a space, or a mapping"):
        load(registry, space=value)


@pytest.mark.parametrize("name", ["", "  ", 3, ["maze"]])
def test_the_name_is_a_text_that_is_not_empty(registry, name):
    with pytest.raises(ConfigError, match="space: must be the name of a space"):
        load(registry, space={"name": name})


def test_the_article_fits_the_kind(registry):
    with pytest.raises(ConfigError, match="optimizer: must be the name of an optimizer"):
        load(registry, optimizer=3)


def test_a_section_without_a_name_lists_what_it_can_be(registry):
    with pytest.raises(
        ConfigError, match=r"space.name: is missing. Set it to one of: maze, plain.$"
    ):
        load(registry, space={"channels": 3})


def test_missing_sections_list_what_they_can_be(registry):
    with pytest.raises(ConfigError) as caught:
        load_config(registry=registry)
    assert str(caught.value).splitlines() == [
        "space: is missing. Set it to one of: maze, plain.",
        "optimizer: is missing. Set it to one of: adam, free, ngvi.",
    ]


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("space", "space"),
        ("optimizer", "optimizer"),
        ("distribution", "distribution"),
        ("selector", "selector or proxy"),
        ("data", "dataset"),
        ("executor", "executor"),
    ],
)
def test_an_unknown_name_of_every_kind_is_refused(registry, key, kind):
    with pytest.raises(ConfigError, match=f"^preset: {key}: no {kind} called 'nothing_like_it'"):
        load(registry, **{key: "nothing_like_it"})


def test_an_unknown_tracker_is_named_by_its_position(registry):
    with pytest.raises(ConfigError, match=r"trackers.1: no tracker called 'trackt'. Did you mean"):
        load(registry, trackers=[{"name": "tracky", "path": "x"}, "trackt"])


def test_a_close_name_is_suggested(registry):
    with pytest.raises(ConfigError, match="Did you mean 'ngvi'"):
        load(registry, optimizer="ngvy")


def test_an_option_called_name_is_the_plugins_fault(registry):
    class Bad(PluginOptions):
        name: str = Field(default="x", description="Clashes.")

    bad = Plugin(kind="space", summary="bad", api_version=1, implementation="x:y", options=Bad)
    with pytest.raises(PluginLoadError, match=r"'bad' .*an option is called 'name'"):
        registry.add("bad", bad)


def test_a_plugin_that_fails_to_load_keeps_its_own_error(monkeypatch, tmp_path):
    registry = _broken_registry(monkeypatch, tmp_path)
    with pytest.raises(PluginLoadError, match=r"broken_maze.*RuntimeError: no luck") as caught:
        load_config(base={"space": "broken_maze", "optimizer": "free"}, registry=registry)
    assert caught.value.exit_code == 1


def test_a_plugin_that_fails_to_load_joins_other_problems(monkeypatch, tmp_path):
    registry = _broken_registry(monkeypatch, tmp_path)
    with pytest.raises(ConfigError, match="seed: must be at least 0") as caught:
        load_config(
            base={"space": "broken_maze", "optimizer": "free", "seed": -1}, registry=registry
        )
    assert "space: space plugin 'broken_maze'" in str(caught.value)
    assert caught.value.exit_code == 2


def _broken_registry(monkeypatch, tmp_path: Path) -> Registry:
    """Return a registry that finds a distribution whose module raises."""
    info = tmp_path / "acme_broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[balenas.search_spaces]\nbroken_maze = acme_broken_maze:plugin\n"
    )
    (tmp_path / "acme_broken_maze.py").write_text("raise RuntimeError('no luck')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry()
    free = Plugin(
        kind="optimizer",
        summary="x",
        api_version=1,
        implementation="x:y",
        defaults={"distribution": "point"},
    )
    registry.add("free", free)
    return registry


def test_resolve_gives_one_section(registry):
    section = PluginSection.resolve("optimizer", {"name": "ngvi", "lr": 0.1}, registry)
    assert section.name == "ngvi"
    assert section.options.lr == 0.1


def test_resolve_explains_what_is_wrong(registry):
    with pytest.raises(ConfigError, match=r"optimizer.lr: must be greater than 0 \(got -1\)"):
        PluginSection.resolve("optimizer", {"name": "ngvi", "lr": -1}, registry)


def test_a_section_can_be_passed_as_an_object(registry):
    section = PluginSection.resolve("optimizer", {"name": "ngvi", "lr": 0.1}, registry)
    config = SearchConfig.model_validate(
        {"space": "maze", "optimizer": section}, context={"registry": registry}
    )
    assert config.optimizer == section


def test_a_section_object_with_options_of_another_plugin_is_refused(registry):
    section = PluginSection(
        name="ngvi", options=RankingOptions(proxies={"a": PluginSection(name="a")})
    )
    with pytest.raises(ConfigError, match="options of optimizer 'ngvi' must be LrOptions"):
        load(registry, optimizer=section)


class TestDistribution:
    def test_without_a_name_is_the_optimizers_default(self, registry):
        assert load(registry, optimizer="ngvi").distribution.name == "gaussian"
        assert load(registry, optimizer="adam").distribution.name == "point"
        assert load(registry, optimizer="adam", distribution=None).distribution.name == "point"

    def test_may_give_options_without_a_name(self, registry):
        config = load(registry, distribution={"lr": 0.5})
        assert config.distribution.name == "gaussian"
        assert config.distribution.options.lr == 0.5

    def test_must_be_named_where_the_optimizer_has_no_default(self, registry):
        with pytest.raises(
            ConfigError,
            match=r"distribution: is missing, and optimizer 'free' has no default. "
            r"Set it to one of: gaussian, point.",
        ):
            load(registry, optimizer="free")

    def test_causes_no_second_problem_where_the_optimizer_is_unknown(self, registry):
        with pytest.raises(ConfigError) as caught:
            load(registry, optimizer="ngvy")
        assert len(str(caught.value).splitlines()) == 1


class TestCompatibility:
    def test_an_optimizer_refuses_a_distribution_without_what_it_needs(self, registry):
        with pytest.raises(ConfigError) as caught:
            load(registry, optimizer="ngvi", distribution="point")
        assert str(caught.value) == (
            "preset: optimizer: optimizer 'ngvi' needs a distribution that provides 'gaussian'; "
            "'point' provides 'logits'. Use one of: gaussian."
        )

    def test_every_pair_that_does_not_fit_is_reported(self, registry):
        registry.add(
            "picky",
            Plugin(
                kind="proxy",
                summary="x",
                api_version=1,
                implementation="x:y",
                needs={"space": ("benchmark",), "optimizer": ("fast",)},
            ),
        )
        with pytest.raises(ConfigError) as caught:
            load(registry, space="plain", optimizer="adam", selector="picky")
        assert sorted(str(caught.value).splitlines()) == [
            "preset: optimizer: optimizer 'adam' needs a space that provides 'supernet'; "
            "'plain' provides nothing. Use one of: maze.",
            "preset: selector: proxy 'picky' needs a space that provides 'benchmark'; "
            "'plain' provides nothing. No installed space does; use another proxy.",
            "preset: selector: proxy 'picky' needs an optimizer that provides 'fast'; "
            "'adam' provides nothing. No installed optimizer does; use another proxy.",
        ]
