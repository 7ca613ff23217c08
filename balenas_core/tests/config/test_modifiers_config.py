import pytest
from pydantic import ValidationError

from balenas_core import SearchConfig, load_config
from balenas_core.config import ModifiersConfig, json_schema, to_yaml
from balenas_core.errors import ConfigError
from balenas_core.testing import toy_config, toy_plugin, toy_registry

BASE = {"space": "nb201", "optimizer": "adam"}


def test_nothing_is_modified_by_default():
    assert SearchConfig.model_validate(BASE).modifiers == ModifiersConfig()
    assert not any(ModifiersConfig().model_dump().values())


def test_an_empty_mapping_switches_a_modifier_on_with_its_defaults():
    modifiers = {"perturbation": {}, "curvature": {}, "early_stopping": {}}
    config = SearchConfig.model_validate({**BASE, "modifiers": modifiers})
    assert config.modifiers.perturbation.end == 0.3
    assert config.modifiers.curvature.iterations == 10
    assert config.modifiers.early_stopping.window == 5


def test_modifiers_are_read_back_from_yaml(tmp_path):
    modifiers = {"limits": {"skip_connect": 2}, "curvature": {"samples": 3}}
    config = SearchConfig.model_validate({**BASE, "modifiers": modifiers})
    path = tmp_path / "search.yaml"
    path.write_text(to_yaml(config))
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("modifiers.limits.skip_connect=-1", r"must be at least 0 \(got -1\)"),
        ("modifiers.perturbation.end=0.01", r"must be at least start, 0.03 \(got 0.01\)"),
        ("modifiers.early_stopping.ratio=1.5", "must be less than 1"),
        ("modifiers.perturbaton={}", "unknown key. Did you mean 'perturbation'?"),
        ("modifiers.curvature.samples=0", "must be at least 1"),
        ("modifiers.informed_prior.architectures=1", "must be at least 2"),
        ("modifiers.informed_prior.scale=-1", "must be at least 0"),
        ("modifiers.informed_prior.proxies=synflw", "Did you mean 'synflow'?"),
        (
            "modifiers.informed_prior.proxies=argmax",
            "'argmax' is a selector, and proxies are needed",
        ),
        ("modifiers.informed_prior.proxies=params > train", "must be one stage, without '>'"),
    ],
)
def test_wrong_values_are_named(override, message):
    with pytest.raises(ConfigError, match=message):
        load_config(base=BASE, overrides=[override])


def test_models_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        ModifiersConfig().limits = {}


def test_the_schema_defines_every_modifier():
    schema = json_schema()
    target = schema["properties"]["modifiers"]["$ref"].rpartition("/")[2]
    properties = schema["$defs"][target]["properties"]
    switched = {"perturbation", "curvature", "early_stopping", "informed_prior"}
    assert set(properties) == switched | {"limits"}
    for name in switched:
        reference = properties[name]["anyOf"][0]["$ref"].rpartition("/")[2]
        assert schema["$defs"][reference]["additionalProperties"] is False


@pytest.mark.parametrize(
    ("space", "proxies"),
    [
        ("nb201", "feature_correlation+zen"),
        ("nb1shot1", "az_expressivity+params"),
        ("darts", "swap+synflow"),
    ],
)
def test_the_informed_prior_asks_the_proxies_that_the_space_recommends(space, proxies):
    config = load_config(
        base={**BASE, "space": space}, overrides=["modifiers.informed_prior.scale=0.5"]
    )
    assert config.modifiers.informed_prior.proxies == proxies
    assert config.modifiers.informed_prior.scale == 0.5
    assert config.modifiers.informed_prior.architectures == 480


def test_the_proxies_of_the_informed_prior_are_written_out(tmp_path):
    config = SearchConfig.model_validate({**BASE, "modifiers": {"informed_prior": {}}})
    text = to_yaml(config)
    assert "proxies: feature_correlation+zen" in text
    path = tmp_path / "search.yaml"
    path.write_text(text)
    assert load_config(path) == config


def test_a_space_that_recommends_no_proxies_asks_for_some():
    registry = toy_registry()
    with pytest.raises(ValidationError, match="space 'toy' recommends no proxies; name some"):
        toy_config(registry, modifiers={"informed_prior": {}})


def test_a_distribution_without_an_offset_is_refused_with_those_that_have_one():
    registry = toy_registry()
    registry.add("proxy", toy_plugin("proxy", object))
    registry.add("plain", toy_plugin("distribution", object, provides=("logits",)))
    message = (
        "modifiers.informed_prior needs a distribution that provides 'offset'; 'plain' provides "
        "'logits'. Use one of: gaussian, point."
    )
    with pytest.raises(ValidationError, match=message):
        toy_config(
            registry, distribution="plain", modifiers={"informed_prior": {"proxies": "proxy"}}
        )
