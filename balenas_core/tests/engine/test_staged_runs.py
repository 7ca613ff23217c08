"""A staged selection inside a whole search: what is written, and going on after a stop."""

import json

import numpy as np
import pytest
import torch

from balenas_core import Plugin, Registry, Search, SearchConfig
from balenas_core.errors import SearchInterrupted
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.interfaces.events import SelectionProgress
from balenas_core.interfaces.optimizer import ArchitectureOptimizer
from balenas_core.interfaces.proxy import Proxy
from balenas_core.plugins.builtin import argmax, local, point, supernet, train
from balenas_core.testing import ToySpace


class Images:
    """Class 0 is dark and class 1 is bright."""

    labels = np.arange(64) % 2

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return torch.full((1, 4, 4), 200 if self.labels[index] else 20, dtype=torch.uint8)


def data():
    def to_float(image):
        return image.float() / 255 - 0.5

    return ImageDataset("toy", Images(), None, to_float, to_float, (1, 4, 4), ("dark", "bright"))


class Still(ArchitectureOptimizer):
    """Leaves the distribution as it starts."""

    def __init__(self, *, distribution, dataset_size, generator):
        self._distribution, self._generator = distribution, generator

    def step(self, objective):
        return objective(self._distribution.weights(self._generator)).item()

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        assert state == {}


class Size(Proxy):
    def score(self, network, batch):
        return float(sum(p.numel() for p in network.parameters()))


@pytest.fixture
def registry():
    registry = Registry(use_entry_points=False)
    for name, kind, made in (
        ("toy", "space", ToySpace),
        ("still", "optimizer", Still),
        ("size", "proxy", Size),
        ("data", "dataset", data),
    ):
        fields = {"defaults": {"distribution": "point"}} if kind == "optimizer" else {}
        plugin = Plugin(kind=kind, summary="toy", api_version=1, implementation=made, **fields)
        registry.add(name, plugin)
    for name, plugin in (
        ("point", point), ("argmax", argmax), ("local", local),
        ("supernet", supernet), ("train", train),
    ):  # fmt: skip
        registry.add(name, plugin)
    return registry


def search(registry, output, listeners=()):
    config = SearchConfig.model_validate(
        {
            "space": "toy",
            "optimizer": "still",
            "data": "data",
            "training": {"epochs": 1, "batch_size": 8},
            "selector": {
                "name": "size > supernet > train",
                "draws": 40,
                "survivors": [4, 3],
                "train": {"budget": 9},
            },
            "check_epochs": 0,
            "output": output,
        },
        context={"registry": registry},
    )
    return Search(config, registry=registry, listeners=listeners)


def without_seconds(value):
    if isinstance(value, dict):
        return {k: without_seconds(v) for k, v in value.items() if k != "seconds"}
    return [without_seconds(item) for item in value] if isinstance(value, list) else value


def result(run):
    return json.loads((run / "result.json").read_text())


def test_the_result_has_every_stage_and_reads_back(registry, tmp_path):
    found = search(registry, tmp_path / "run").run()
    stages = result(tmp_path / "run")["stages"]
    assert [(s["candidates"], len(s["survivors"]), s["epochs"]) for s in stages] == [
        (5, 4, 0),
        (4, 3, 0),
        (3, 1, 7),
    ]
    assert stages[-1]["survivors"] == [str(found.architecture)]
    assert search(registry, tmp_path / "run").run(resume="must").selection == found.selection


@pytest.mark.parametrize("stop_at", [0, 3, 5, 7, 8, 10])
def test_a_selection_that_was_stopped_ends_in_the_result_of_a_whole_one(
    registry, tmp_path, stop_at
):
    search(registry, tmp_path / "whole").run()
    seen = []

    def stop(event):
        if isinstance(event, SelectionProgress):
            seen.append(event)
            if len(seen) > stop_at:
                stopped.request_stop()

    stopped = search(registry, tmp_path / "run", [stop])
    with pytest.raises(SearchInterrupted):
        stopped.run()
    assert not (tmp_path / "run" / "result.json").exists()
    done = len((tmp_path / "run" / "selection.jsonl").read_text().splitlines())
    search(registry, tmp_path / "run").run(resume="must")
    assert len((tmp_path / "run" / "selection.jsonl").read_text().splitlines()) > done
    whole, resumed = (without_seconds(result(tmp_path / name)) for name in ("whole", "run"))
    assert resumed == whole
