"""Runs on the disk, without making a search."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from report_pages import Page

from balenas_core import Plugin, Registry
from balenas_core.interfaces.benchmark import Benchmark
from balenas_core.report import render_report
from balenas_core.runs.directory import RESULT, RunDirectory
from balenas_core.testing import ToySpace

_IMAGES: dict[str, str] = {}


@pytest.fixture(autouse=True)
def _each_chart_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the images of charts: nearly all tests show the same ones."""
    import vl_convert

    convert = vl_convert.vegalite_to_svg

    def once(spec: dict[str, Any], **arguments: Any) -> str:
        key = json.dumps(spec)
        if key not in _IMAGES:
            _IMAGES[key] = convert(spec, **arguments)
        return _IMAGES[key]

    monkeypatch.setattr("balenas_core.report._page.vl_convert.vegalite_to_svg", once)


class ToyBenchmark(Benchmark[Any]):
    """Accuracies 10, 20, ..., 90 of the nine architectures."""

    name = "Toy-Bench"
    datasets = ("shapes",)
    metrics = ("test_accuracy",)

    def values(self, dataset: str, metric: str, seed: int | None = None) -> Any:
        return np.arange(10.0, 100.0, 10.0)

    def index(self, architecture: Any) -> int:
        return [str(one) for one in ToySpace().architectures()].index(str(architecture))


class MeasuredSpace(ToySpace):
    def benchmark(self) -> Any:
        return ToyBenchmark()


@pytest.fixture
def registry() -> Registry:
    registry = Registry(use_entry_points=False)
    space = Plugin(
        kind="space",
        summary="toy",
        api_version=1,
        implementation=MeasuredSpace,
        provides=("supernet", "benchmark"),
    )
    registry.add("toy", space)
    return registry


def config_of(path: Path, seed: int, epochs: int) -> dict[str, Any]:
    return {
        "space": {"name": "toy"},
        "optimizer": {"name": "ngvi", "lr": 0.1},
        "distribution": {"name": "gaussian"},
        "selector": {"name": "synflow > train", "draws": 16},
        "data": {"name": "digits"},
        "training": {"epochs": epochs, "lr": 0.025},
        "seed": seed,
        "output": str(path),
    }


def metrics_of(epoch: int, seed: int) -> dict[str, Any]:
    rate = 0.6**epoch + 0.03 * seed
    return {
        "epoch": epoch,
        "step": 4 * (epoch + 1),
        "train_loss": 2 * rate,
        "train_accuracy": 100 - 80 * rate,
        "validation_loss": 2.2 * rate,
        "validation_accuracy": 100 - 85 * rate,
        "lr": 0.025,
        "sigma_mean": 0.9 - 0.1 * epoch,
        "sigma_min": 0.8 - 0.1 * epoch,
        "sigma_max": 1.0,
        "entropy": 30.0 - epoch,
        "weights_entropy": 1.0 - 0.1 * epoch,
        "kl": 0.5 * epoch,
        "hessian_top_eigenvalue": 0.2 + 0.1 * epoch,
        "temperature": 1.0 - 0.2 * epoch,
        "architecture": "skip-conv" if epoch == 0 else "conv-conv",
        "seconds": 1.5,
    }


def result_of(seed: int) -> dict[str, Any]:
    texts = ["conv-conv", "conv-skip", "skip-conv", "skip-skip"]
    candidates = [
        {
            "rank": rank,
            "architecture": text,
            "scores": {"synflow": 10.0 ** (10 - rank)} | ({"trained": 90.0} if rank < 3 else {}),
            "is_argmax": rank == 2,
            "draws": 5 - rank,
            "costs": {"params": 100.0 * (5 - rank)},
        }
        for rank, text in enumerate(texts, start=1)
    ]
    value = 90.0 - 10 * seed
    entry = {
        "dataset": "shapes",
        "metric": "test_accuracy",
        "value": value,
        "best": 90.0,
        "rank": 1 + seed,
        "total": 9,
        "is_cost": False,
        "regret": 90.0 - value,
    }
    return {
        "architecture": texts[0],
        "cells": [
            {
                "name": "toy",
                "inputs": ["in"],
                "nodes": ["out"],
                "outputs": ["out"],
                "edges": [{"source": "in", "target": "out", "operation": "conv"}],
            }
        ],
        "validation_accuracy": 61.5 + seed,
        "benchmark": [entry],
        "candidates": candidates,
        "kept": texts[:1],
        "stages": [
            {"name": "synflow", "candidates": 4, "survivors": texts[:2], "epochs": 0, "seconds": 1},
            {"name": "train", "candidates": 2, "survivors": texts[:1], "epochs": 6, "seconds": 9},
        ],
        "pareto": {"params": texts},
        "epochs": 3,
        "final_metrics": metrics_of(2, seed),
        "seconds": {"search": 3.0, "selection": 70.0},
    }


WriteRun = Callable[..., Path]


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Return ``write_run(name, ...)``, which writes what a search leaves and returns its place."""

    def write(
        name: str,
        *,
        seed: int = 0,
        status: str = "done",
        epochs: int = 3,
        message: str | None = None,
        config: Mapping[str, Any] | None = None,
        trained: bool = False,
    ) -> Path:
        path = tmp_path / "runs" / name
        settings = config_of(path, seed, 3) | dict(config or {})
        run = RunDirectory.create(
            path,
            config_yaml=f"seed: {seed}\nspace: toy\n",
            environment={
                "python": "3.11.7",
                "command": ["balenas", "search", "--seed", str(seed)],
                "threads": 1,
                "versions": {"torch": "2.14.1", "balenas": "0.1.0"},
            },
            config=settings,
        )
        source = torch.Generator().manual_seed(seed)
        for epoch in range(epochs):
            weights = torch.softmax(torch.randn(2, 3, generator=source), dim=-1)
            run.log.append(metrics_of(epoch, seed), ToySpace().decisions, {"operations": weights})
        if status == "done":
            run.write_json(RESULT, result_of(seed))
        run.write_status(status, message=message)
        run.release()
        if trained:
            write_training(path)
        return path

    return write


def write_training(run: Path) -> None:
    """Write what ``balenas train`` leaves."""
    folder = run / "training"
    folder.mkdir()
    told = {
        "preset": "quick",
        "epochs": 2,
        "test_accuracy": 93.25,
        "parameters": 12345,
        "seconds": 61.0,
    }
    (folder / "result.json").write_text(json.dumps(told))
    rows = [
        {"epoch": e, "train_loss": 1.0 / (e + 1), "test_accuracy": 80.0 + 10 * e} for e in range(2)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def page(registry: Registry) -> Callable[..., Page]:
    """Return what reads the static report of some runs."""

    def page(*runs: Path) -> Page:
        return Page(render_report(runs, registry=registry, is_static=True))

    return page


@pytest.fixture
def whole_run(write_run: Callable[..., Path]) -> Path:
    """Return a run with everything in it."""
    return write_run("first")
