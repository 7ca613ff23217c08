"""The presets on real search spaces, on a few images of the size of CIFAR's."""

from __future__ import annotations

import json

import numpy as np
import pytest

from balenas_core.plugins.registry import default_registry
from balenas_timm.recipes import training_job
from balenas_timm.training import train

NB201 = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"


@pytest.fixture
def images(tmp_path):
    random = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 24), ("test", 10)):
        arrays[f"x_{part}"] = random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        arrays[f"y_{part}"] = np.arange(count) % 10
    np.savez(tmp_path / "images.npz", **arrays)
    return {"name": "npz", "path": str(tmp_path / "images.npz")}


def _trained(images, text, preset, *, folder=None, **overrides):
    job = training_job(
        text,
        preset=preset,
        flags={"device": "cpu", "threads": 1, "output": folder},
        overrides={"data": images, "training.epochs": 2, "training.batch_size": 8, **overrides},
    )
    return job, train(job)


def test_the_darts_preset_trains_a_published_cell_with_its_auxiliary_head(images, tmp_path):
    small = {"space.channels": 4, "space.cells": 5}
    job, result = _trained(images, "DARTS_V2", "darts-cifar", folder=tmp_path / "out", **small)
    assert job.training.cutout == 16
    assert result.auxiliary_parameters > 0
    assert result.architecture.startswith("Genotype(normal=[('sep_conv_3x3', 0)")
    lines = (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["drop_path"] for line in lines] == [0.0, 0.1]


def test_the_nb201_preset_trains_the_benchmarks_network(images):
    _, result = _trained(images, NB201, "nb201", **{"space.cells_per_stage": 1})
    assert result.space == "nb201"
    assert result.auxiliary_parameters == 0
    assert 0 <= result.test_accuracy <= 100


@pytest.mark.parametrize("preset", ["darts-cifar", "nb201", "quick"])
def test_every_preset_says_what_space_it_is_for_or_none(preset):
    settings = default_registry().find("recipe", preset).load_value()
    space = settings.get("space", {}).get("name")
    assert space == {"darts-cifar": "darts", "nb201": "nb201", "quick": None}[preset]


def test_the_memory_format_changes_results_by_round_off_alone(images):
    settings = {"space.cells_per_stage": 1, "space.channels": 4}
    _, plain = _trained(images, NB201, "nb201", **settings)
    _, last = _trained(images, NB201, "nb201", **settings, **{"training.channels_last": True})
    assert last.train_loss == pytest.approx(plain.train_loss, rel=1e-4)


@pytest.mark.slow
def test_a_compiled_network_trains_as_one_that_is_not(images):
    settings = {"space.cells_per_stage": 1, "space.channels": 4}
    _, plain = _trained(images, NB201, "nb201", **settings)
    _, compiled = _trained(images, NB201, "nb201", **settings, **{"training.compile": True})
    assert compiled.train_loss == pytest.approx(plain.train_loss, rel=1e-3)
