"""The JSON schema and the commented template."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import Field

from balenas_core import Plugin, PluginOptions, Registry
from balenas_core.config import (
    SearchConfig,
    TrainingConfig,
    example_yaml,
    json_schema,
    load_config,
)
from balenas_core.errors import ConfigError

GOOD = [
    {"space": "maze", "optimizer": "ngvi"},
    {"space": "plain", "optimizer": {"name": "ngvi", "lr": 0.1}, "$schema": "x"},
    {"space": {"name": "maze", "ops": ["a"], "size": "auto"}, "optimizer": "adam"},
    {"space": "maze", "optimizer": "ngvi", "distribution": {"lr": 1}},
    {"space": "maze", "optimizer": "ngvi", "distribution": None, "output": "runs/1"},
    {"space": "maze", "optimizer": "ngvi", "data": {"name": "npz", "path": "x"}},
    {"space": "maze", "optimizer": "ngvi", "data": {}, "executor": {}, "selector": {}},
    {"space": "maze", "optimizer": "ngvi", "selector": "synflow+ naswot"},
    {"space": "maze", "optimizer": "ngvi", "selector": {"name": "random", "draws": 3}},
    {"space": "maze", "optimizer": "ngvi", "selector": {"name": "synflow", "log": True}},
    {
        "space": "maze",
        "optimizer": "ngvi",
        "selector": {"name": "synflow+naswot", "naswot": {"log": True}, "draws": 3},
    },
    {"space": "maze", "optimizer": "ngvi", "selector": "synflow+naswot > random>params"},
    {
        "space": "maze",
        "optimizer": "ngvi",
        "selector": {
            "name": "synflow+naswot > random",
            "survivors": [5],
            "naswot": {"log": True},
            "stages": {"synflow+naswot": {"aggregate": "log_rank"}, "random": {}},
            "max_params": 1000,
        },
    },
    {
        "space": "maze",
        "optimizer": "ngvi",
        "selector": {
            "name": "synflow+naswot",
            "aggregate": "weighted",
            "weights": {"naswot": 2},
        },
    },
    {"space": "maze", "optimizer": "ngvi", "training": {"clip": "none", "lr": 1e-3}},
    {"space": "maze", "optimizer": "ngvi", "trackers": [{"name": "tracky", "path": "x"}]},
    {"space": "maze", "optimizer": "ngvi", "device": "cuda:3", "threads": 2, "seed": 3},
]
BAD = [
    {},
    {"space": "maze"},
    {"space": "maz", "optimizer": "ngvi"},
    {"space": {"name": "maze", "lr": 1}, "optimizer": "ngvi"},
    {"space": {"channels": 1}, "optimizer": "ngvi"},
    {"space": "maze", "optimizer": {"name": "ngvi", "lr": -1}},
    {"space": "maze", "optimizer": {"name": "ngvi", "lr": "1"}},
    {"space": "maze", "optimizer": "ngvi", "data": "npz"},
    {"space": "maze", "optimizer": "ngvi", "selector": "synflow+argmax"},
    {"space": "maze", "optimizer": "ngvi", "selector": {"name": "random", "draws": 0}},
    {"space": "maze", "optimizer": "ngvi", "selector": {"name": "synflow+naswot", "log": True}},
    {"space": "maze", "optimizer": "ngvi", "selector": {"name": "params", "log": True}},
    {"space": "maze", "optimizer": "ngvi", "selector": "synflow > argmax"},
    {"space": "maze", "optimizer": "ngvi", "selector": "synflow >"},
    {
        "space": "maze",
        "optimizer": "ngvi",
        "selector": {"name": "synflow > random", "survivors": [0]},
    },
    {
        "space": "maze",
        "optimizer": "ngvi",
        "selector": {"name": "synflow > random", "stages": {"random": {"colour": 1}}},
    },
    {"space": "maze", "optimizer": "ngvi", "training": {"epoch": 3}},
    {"space": "maze", "optimizer": "ngvi", "training": {"clip": 0}},
    {"space": "maze", "optimizer": "ngvi", "device": "gpu"},
    {"space": "maze", "optimizer": "ngvi", "seed": -1},
    {"space": "maze", "optimizer": "ngvi", "trackers": ["tracky"]},
    {"space": "maze", "optimizer": "ngvi", "sed": 1},
]


def accepts(registry: Registry, data: Any) -> bool:
    return Draft202012Validator(json_schema(registry)).is_valid(data)


@pytest.mark.parametrize("data", GOOD)
def test_the_schema_accepts_what_is_valid(registry, data):
    load_config(base={k: v for k, v in data.items() if k != "$schema"}, registry=registry)
    assert accepts(registry, data)


@pytest.mark.parametrize("data", BAD)
def test_the_schema_refuses_what_is_invalid(registry, data):
    with pytest.raises(ConfigError):
        load_config(base=data, registry=registry)
    assert not accepts(registry, data)


def test_the_schema_is_valid_and_holds_only_json(registry):
    schema = json_schema(registry)
    Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema


def test_the_schema_of_the_installed_plugins_is_valid():
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    json.dumps(schema, allow_nan=False)


def test_the_schema_has_a_branch_for_every_plugin(registry):
    branches = json_schema(registry)["properties"]["optimizer"]["anyOf"]
    assert branches[0] == {"enum": ["adam", "free", "ngvi"]}
    assert [b["properties"]["name"]["const"] for b in branches[1:]] == ["adam", "free", "ngvi"]
    assert branches[1]["properties"]["lr"]["description"] == "Step size."


def test_a_schema_without_plugins_accepts_nothing():
    empty = Registry(use_entry_points=False)
    Draft202012Validator.check_schema(json_schema(empty))
    assert not accepts(empty, {"space": "maze", "optimizer": "ngvi"})


def test_a_default_that_json_cannot_express_is_left_out(registry):
    class Endless(PluginOptions):
        limit: float = Field(default=float("inf"), allow_inf_nan=True, description="Limit.")

    registry.add(
        "endless",
        Plugin(kind="space", summary="x", api_version=1, implementation="x:y", options=Endless),
    )
    json.dumps(json_schema(registry), allow_nan=False)
    assert accepts(registry, {"space": {"name": "endless", "limit": 3}, "optimizer": "ngvi"})


def test_a_plugin_that_fails_to_load_is_left_out(monkeypatch, tmp_path):
    info = tmp_path / "acme_sick-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-sick\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[balenas.search_spaces]\nsick = acme_sick:plugin\n")
    (tmp_path / "acme_sick.py").write_text("raise RuntimeError('no luck')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry = Registry()
    assert "sick" in {ref.name for ref in registry.refs("space")}
    assert "sick" not in json.dumps(json_schema(registry))


class TestTemplate:
    def test_validates_and_has_every_default(self, registry, tmp_path):
        path = tmp_path / "a.yaml"
        path.write_text(example_yaml(registry=registry))
        config = load_config(path, registry=registry)
        assert config.space.name == "maze"
        assert config.optimizer.name == "adam"
        assert config == load_config(base={"space": "maze", "optimizer": "adam"}, registry=registry)

    def test_explains_every_key(self, registry):
        text = example_yaml({"selector": "synflow+naswot"}, registry=registry)
        comments = " ".join(line.strip("# ") for line in text.splitlines() if "#" in line)
        for model in (SearchConfig, TrainingConfig):
            for name, field in model.model_fields.items():
                assert field.description in comments, name
        assert "Paint of the walls." in comments
        assert "One of: cosine, constant." in comments
        assert "Installed: adam, free, ngvi." in comments

    def test_takes_other_settings_too(self, registry, tmp_path):
        path = tmp_path / "a.yaml"
        path.write_text(
            example_yaml({"data": {"name": "npz", "path": "x"}, "seed": 3}, registry=registry)
        )
        config = load_config(path, registry=registry)
        assert config.data.options.path == "x"
        assert config.seed == 3

    def test_asks_for_options_without_a_default(self, registry):
        with pytest.raises(ConfigError, match=r"^data.path: is missing$"):
            example_yaml({"data": "npz"}, registry=registry)

    def test_needs_a_space(self):
        with pytest.raises(ConfigError, match=r"space: is missing. No space is installed."):
            example_yaml(registry=Registry(use_entry_points=False))

    def test_lines_are_short(self, registry):
        text = example_yaml({"selector": "synflow+naswot"}, registry=registry)
        assert max(map(len, text.splitlines())) <= 96
