"""What a run remembers of its plugins, and what it says of others in their place."""

from __future__ import annotations

import importlib
import json
import sys

import pytest

from balenas_core import Search
from balenas_core.config import load_config
from balenas_core.errors import ConfigError, SearchInterrupted
from balenas_core.interfaces.events import EpochEnded
from balenas_core.plugins.code import _hash
from balenas_core.plugins.registry import Registry
from balenas_core.runs.used_plugins import changed_plugins

SPACE = """
from balenas_core import Plugin
from balenas_core.testing import ToySpace
# {version}
plugin = Plugin(kind="space", summary="", api_version=1, implementation=ToySpace,
                provides=("supernet",))
"""
OPTIMIZER = """
from balenas_core import Plugin
from balenas_core.testing import ToyOptimizer
plugin = Plugin(kind="optimizer", summary="", api_version=1, implementation=ToyOptimizer,
                defaults={"distribution": "point"})
"""
DATA = """
from balenas_core import Plugin
from balenas_core.testing import toy_data
plugin = Plugin(kind="dataset", summary="", api_version=1, implementation=toy_data)
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def put(site, distribution, group, name, source, version="1.0"):
    for old in site.glob(f"{distribution}-*.dist-info"):
        for file in old.iterdir():
            file.unlink()
        old.rmdir()
    folder = site / f"{distribution}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
    )
    (folder / "entry_points.txt").write_text(f"[{group}]\n{name} = {distribution}:plugin\n")
    (site / f"{distribution}.py").write_text(source.replace("{version}", version))
    sys.modules.pop(distribution, None)
    importlib.invalidate_caches()
    _hash.cache_clear()


@pytest.fixture
def interrupted(site, tmp_path):
    """A run of installed toys that was stopped after its first epoch."""
    put(site, "acme_maze", "balenas.search_spaces", "maze", SPACE)
    put(site, "acme_sgd", "balenas.optimizers", "acme_sgd", OPTIMIZER)
    put(site, "acme_data", "balenas.datasets", "acme_data", DATA)
    registry = Registry()
    config = load_config(
        base={
            "space": "maze", "optimizer": "acme_sgd", "data": "acme_data", "check_epochs": 0,
            "training": {"epochs": 2, "batch_size": 8, "lr": 0.1},
            "output": str(tmp_path / "run"),
        },
        registry=registry,
    )  # fmt: skip
    search = Search(config, registry=registry)

    def stop(event):
        if isinstance(event, EpochEnded):
            search.request_stop()

    search._listeners.append(stop)
    with pytest.raises(SearchInterrupted):
        search.run()
    return tmp_path / "run"


def test_a_run_keeps_distribution_version_and_code_of_its_plugins(interrupted):
    stored = json.loads((interrupted / "environment.json").read_text())["plugins"]
    used = {(one["kind"], one["name"]): one for one in stored}
    assert used["space", "maze"]["distribution"] == "acme_maze"
    assert used["space", "maze"]["version"] == "1.0"
    assert len(used["space", "maze"]["code"]) == 16
    assert used["selector", "argmax"]["distribution"] == "balenas-core"
    assert "name: acme_maze:maze" in (interrupted / "config.yaml").read_text()


def test_going_on_with_the_same_plugins_says_nothing(interrupted, caplog):
    Search.of_run(interrupted, registry=Registry()).run(resume="must")
    assert "other plugins" not in caplog.text


def test_going_on_with_another_version_names_it(interrupted, site, caplog):
    put(site, "acme_maze", "balenas.search_spaces", "maze", SPACE, version="1.1")
    Search.of_run(interrupted, registry=Registry()).run(resume="must")
    assert (
        "made with other plugins: space 'maze' was of acme_maze 1.0 and is of 1.1 now; pip install "
        "'acme_maze==1.0' brings it back" in caplog.text
    )


def test_other_code_of_the_same_version_is_named(interrupted, site):
    put(site, "acme_maze", "balenas.search_spaces", "maze", SPACE + "# patched\n")
    environment = json.loads((interrupted / "environment.json").read_text())
    (change,) = changed_plugins(environment, Registry())
    assert change.startswith("space 'maze' of acme_maze 1.0 has other code now (hash ")


def test_a_plugin_that_is_missing_is_named_with_what_brings_it_back(interrupted, site):
    for file in (site / "acme_maze-1.0.dist-info").iterdir():
        file.unlink()
    (site / "acme_maze-1.0.dist-info").rmdir()
    registry = Registry()
    environment = json.loads((interrupted / "environment.json").read_text())
    (change,) = changed_plugins(environment, registry)
    assert change == (
        "space 'maze' of acme_maze 1.0 is missing now; pip install 'acme_maze==1.0' brings it back"
    )
    with pytest.raises(ConfigError, match=r"no space called 'acme_maze:maze'\. It comes with a"):
        Search.of_run(interrupted, registry=registry)


def test_a_run_goes_on_where_somebody_else_has_taken_its_names_since(interrupted, site):
    put(site, "bravo", "balenas.search_spaces", "maze", SPACE)
    put(site, "charlie", "balenas.selectors", "argmax", DATA.replace("dataset", "selector"))
    result = Search.of_run(interrupted, registry=Registry()).run(resume="must")
    assert len(result.metrics) == 2
