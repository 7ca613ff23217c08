"""Selectors in stages: expressions, options, problems with their places, round trips."""

import itertools

import pytest
from hypothesis import given, strategies as st

from balenas_core.config import StagedOptions, example_yaml, load_config, parse_stages, to_yaml
from balenas_core.config._stages import default_survivors
from balenas_core.errors import ConfigError


def load(registry, selector):
    config = load_config(
        base={"space": "plain", "optimizer": "ngvi", "selector": selector}, registry=registry
    )
    return config.selector


def test_stages_have_names_and_default_survivors(registry):
    section = load(registry, " Synflow+naswot>random  > params")
    assert section.name == "synflow+naswot > random > params"
    assert isinstance(section.options, StagedOptions)
    assert section.options.survivors == (16, 4)
    assert list(section.options.stages) == ["synflow+naswot", "random", "params"]
    assert list(section.options.stages["synflow+naswot"].options.proxies) == ["synflow", "naswot"]


def test_options_of_a_stage_stand_below_its_name_or_that_of_its_proxy(registry):
    loose = {"name": "synflow+naswot > params", "naswot": {"log": True}, "aggregate": "log_rank"}
    nested = {
        "name": "synflow+naswot > params",
        "stages": {
            "synflow + naswot": {"aggregate": "log_rank", "proxies": {"naswot": {"log": True}}},
            "params": None,
        },
    }
    assert load(registry, loose) == load(registry, nested)
    ranking = load(registry, loose).options.stages["synflow+naswot"].options
    assert ranking.aggregate == "log_rank"
    assert ranking.proxies["naswot"].options.log


@pytest.mark.parametrize(
    "selector",
    [
        "synflow > random",
        {"name": "synflow+naswot > random", "survivors": [7], "draws": 9, "max_params": 1e6},
        {"name": "naswot > synflow", "naswot": {"log": True}, "keep": 3},
    ],
)
def test_a_dump_and_the_template_read_back_as_the_same(registry, selector):
    base = {"space": "plain", "optimizer": "ngvi", "selector": selector}
    config = load_config(base=base, registry=registry)
    assert load_config(base=config.model_dump(mode="json"), registry=registry) == config
    for text in (to_yaml(config), example_yaml(config, registry=registry)):
        import yaml

        assert load_config(base=yaml.safe_load(text), registry=registry) == config


def test_the_dump_of_a_stage_has_no_pool_of_its_own(registry):
    stages = load(registry, "synflow > random").model_dump(mode="json")["stages"]
    assert stages["random"] == {}
    assert "draws" not in stages["synflow"]


@pytest.mark.parametrize(
    ("selector", "problem"),
    [
        (
            "synflow >",
            "selector: must be stages joined by '>', such as synflow+naswot > supernet; expected "
            "a name at character 10 (got 'synflow >')",
        ),
        ("synflow > > random", "selector: must be stages joined by '>'"),
        ("synflow+ > random", "selector: must be stages joined by '>'"),
        ("a > b+a", "selector: names 'a' twice, again at character 7 (got 'a > b+a')"),
        ("synflow > argmax", "selector: 'argmax' is a selector that cannot be a stage"),
        ("synflow > randm", "selector: no selector or proxy called 'randm'. Did you mean 'random'"),
        (
            {"name": "synflow > random", "survivors": [4, 2]},
            "selector.survivors: must be one number, one for each stage but the last (got 2)",
        ),
        (
            {"name": "synflow > random > params", "survivors": [4, 9]},
            "selector.survivors.1: must be at most 4, those of the stage before (got 9)",
        ),
        (
            {"name": "synflow > random", "random": {"draws": 9}},
            "selector.random.draws: belongs to the whole selection; write it as selector.draws",
        ),
        (
            {"name": "synflow > random", "synflow": {"lag": 1}},
            "selector.synflow.lag: unknown key. Did you mean 'log'?",
        ),
        (
            {"name": "synflow > random", "stages": {"synflow": {"proxies": {"synflow": 3}}}},
            "selector.stages.synflow.proxies.synflow: must be a mapping",
        ),
        (
            {"name": "synflow > random", "stages": {"naswot": {}}},
            "selector.stages.naswot: unknown key",
        ),
        (
            {"name": "synflow > naswot", "aggregate": "log_rank"},
            "selector.aggregate: is for a stage of several proxies, and there is none",
        ),
        ({"name": "synflow > random", "survivers": [1]}, "selector.survivers: unknown key. Did"),
        (
            {"name": "synflow+naswot > params", "weights": {"naswot": 1}},
            "selector.weights: needs aggregate: weighted (got log_rank)",
        ),
    ],
)
def test_explains_what_is_wrong(registry, selector, problem):
    with pytest.raises(ConfigError) as caught:
        load(registry, selector)
    assert str(caught.value).startswith(f"preset: {problem}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("selector", "problem"),
    [
        (
            {"aggregate": "mean"},
            "selector.aggregate: must be 'mean_rank', 'log_rank' or 'weighted'",
        ),
        ({"weights": {"naswot": 1}}, "selector.weights: needs aggregate: weighted"),
        (
            {"aggregate": "weighted", "weights": {"params": 1}},
            "selector.weights.params: unknown key. Known here: synflow, naswot.",
        ),
        (
            {"aggregate": "weighted", "weights": {"naswot": -1}},
            "selector.weights.naswot: must be at least 0 (got -1)",
        ),
        (
            {"aggregate": "weighted", "weights": {"naswot": 0, "synflow": 0}},
            "selector.weights: must have one that is greater than 0",
        ),
    ],
)
def test_explains_what_is_wrong_with_an_aggregate(registry, selector, problem):
    with pytest.raises(ConfigError) as caught:
        load(registry, {"name": "synflow+naswot", **selector})
    assert str(caught.value).startswith(f"preset: {problem}")


@given(st.integers(2, 6))
def test_default_survivors_end_in_four(stages):
    survivors = default_survivors(stages)
    assert len(survivors) == stages - 1
    assert survivors[-1] == 4
    assert all(a == 4 * b for a, b in itertools.pairwise(survivors))


@given(
    st.lists(
        st.lists(st.text("abcdefgh:_0", min_size=1), min_size=1, max_size=3),
        min_size=1,
        max_size=4,
    ).filter(lambda s: len({n.lower().replace("_", "-") for x in s for n in x}) == sum(map(len, s)))
)
def test_an_expression_reads_back_what_it_was_made_of(stages):
    text = " > ".join(" + ".join(names) for names in stages)
    assert parse_stages(text) == tuple(map(tuple, stages))
