"""``balenas config``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml


def test_init_writes_a_file_that_is_valid(call):
    answer = call("config", "init", "mine.yaml", "--space", "toy", "--optimizer", "toy_adam")
    assert answer.code == 0, answer.err
    assert "balenas search mine.yaml" in answer.out
    config = yaml.safe_load(Path("mine.yaml").read_text())
    assert json.dumps(config["space"]).count("toy") == 1
    assert call("config", "validate", "mine.yaml") == (0, "mine.yaml: valid\n", "")


@pytest.mark.parametrize("name", ["x.toml", "x.txt", "x"])
def test_init_writes_nothing_but_yaml(call, name):
    answer = call("config", "init", name, "--space", "toy", "--optimizer", "toy_adam")
    assert answer == (2, "", "error: config init writes YAML; name the file x.yaml.\n")
    assert not Path(name).exists()


def test_init_replaces_a_file_only_by_force(call):
    Path("search.yaml").write_text("precious")
    answer = call("config", "init", "--space", "toy", "--optimizer", "toy_adam")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: search.yaml exists already; replace it with --force.\n"
    assert Path("search.yaml").read_text() == "precious"
    assert call("config", "init", "--space", "toy", "--optimizer", "toy_adam", "--force").code == 0
    assert "toy" in Path("search.yaml").read_text()


def test_init_into_a_missing_folder_is_a_failure(call):
    answer = call("config", "init", "no/where.yaml", "--space", "toy", "--optimizer", "toy_adam")
    assert answer.code == 1
    assert answer.err == "error: cannot write no/where.yaml: No such file or directory.\n"


def test_init_of_an_unknown_space_suggests_a_close_one(call):
    answer = call("config", "init", "--space", "toi")
    assert answer.code == 2
    assert answer.err.startswith("error: --space: no space called 'toi'. Did you mean 'toy'?")
    assert not Path("search.yaml").exists()


def test_show_fills_every_default_in_and_can_be_read_back(call):
    answer = call("config", "show", "--preset", "toy_preset", "--seed", "5")
    assert answer.code == 0
    Path("shown.yaml").write_text(answer.out)
    again = call("config", "show", "shown.yaml", "--json")
    assert json.loads(again.out) == yaml.safe_load(answer.out)
    assert json.loads(again.out)["seed"] == 5


def test_validate_takes_overrides(call):
    Path("c.yaml").write_text("space: toy\noptimizer: toy_adam\n")
    assert call("config", "validate", "c.yaml").code == 0
    answer = call("config", "validate", "c.yaml", "--set", "seed=-3")
    assert answer.code == 2
    assert answer.err.startswith("error: --set seed=-3: ")


def test_the_schema_has_a_branch_for_every_plugin(call):
    answer = call("config", "schema")
    assert answer.code == 0
    text = json.dumps(json.loads(answer.out)["properties"]) + answer.out
    assert all(name in text for name in ("toy_adam", "gaussian", "toy_params", "digits"))


@pytest.mark.parametrize("place", ["file", "--set"])
def test_a_preset_is_not_imported_that_the_configuration_does_not_allow(
    balenas, install, tmp_path, place
):
    install(
        "acme-presets",
        "acme_presets",
        "open('imported', 'w').close()\n"
        "from balenas_core.plugins.plugin import Plugin\n"
        "plugin = Plugin(kind='preset', summary='quick', api_version=1,\n"
        "                implementation='acme_presets:SETTINGS')\n"
        "SETTINGS = {'training': {'epochs': 2}}\n",
        {"balenas.presets": {"quick": "acme_presets:plugin"}},
    )
    (tmp_path / "search.yaml").write_text(
        "space: nb201\noptimizer: adam\n" + "plugins: {allow: [other]}\n" * (place == "file")
    )
    more = ("--set", "plugins.allow=[other]") if place == "--set" else ()
    answer = balenas("search", "search.yaml", "--preset", "quick", "--dry-run", *more)
    assert answer.returncode == 1, answer.stderr
    assert "is not allowed by plugins.allow of the configuration" in answer.stderr
    assert not (tmp_path / "imported").exists()
    more = (*more, "--set", "plugins.allow=[acme-presets]")
    answer = balenas("search", "search.yaml", "--preset", "quick", "--dry-run", *more)
    assert answer.returncode == 0, answer.stderr
