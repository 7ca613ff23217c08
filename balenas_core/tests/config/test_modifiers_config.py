import pytest
from pydantic import ValidationError

from balenas_core import SearchConfig, load_config
from balenas_core.config import ModifiersConfig, json_schema, to_yaml
from balenas_core.errors import ConfigError

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
    assert set(properties) == {"perturbation", "curvature", "early_stopping", "limits"}
    for name in ("perturbation", "curvature", "early_stopping"):
        reference = properties[name]["anyOf"][0]["$ref"].rpartition("/")[2]
        assert schema["$defs"][reference]["additionalProperties"] is False
