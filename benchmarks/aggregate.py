"""Sum of log ranks against mean of ranks, from a file of scores.

    balenas score --random 1000 --space nb201 --proxy synflow,naswot,jacov,... --output scores.csv
    python benchmarks/aggregate.py scores.csv [--space nb201] [--draws 64] [--pools 1000]

For every combination it prints the rank correlation with the benchmark over the whole file, and
in random pools the regret of the choice and of the best of the 16 that a next stage would get,
as ``mean_rank / log_rank``, averaged over the benchmark's datasets.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from balenas_core.plugins.registry import default_registry
from balenas_core.scores import Aggregate, combined, descending_ranks

COMBINATIONS = (
    "synflow+naswot",
    "synflow+jacov",
    "naswot+jacov",
    "jacov+params",
    "naswot+params",
    "swap+jacov",
    "synflow+zico",
    "synflow+snip",
    "synflow+zen",
    "naswot+meco",
    "synflow+naswot+jacov",
    "jacov+params+swap",
    "synflow+naswot+jacov+flops",
    "az_expressivity+az_progressivity+az_trainability+flops",
)
WAYS: tuple[Aggregate, ...] = ("mean_rank", "log_rank")
SURVIVORS = 16

Floats = NDArray[np.float64]


def number(text: str) -> float:
    """Return a score; what is none ranks last."""
    value = float(text) if text else -np.inf
    return -np.inf if np.isnan(value) else value


def together(names: list[str], scores: Mapping[str, Floats], way: Aggregate) -> Floats:
    """Return one value for each architecture."""
    return np.array(combined({name: scores[name].tolist() for name in names}, way))


def measured(
    names: list[str],
    scores: Mapping[str, Floats],
    columns: list[Floats],
    pools: list[NDArray[np.int64]],
    way: Aggregate,
) -> Floats:
    """Return rank correlation, regret of the choice, and of the best survivor."""
    # Ranks are those of the pool, as in a selection.
    whole = together(names, scores, way)
    ordered = [together(names, {n: s[pool] for n, s in scores.items()}, way) for pool in pools]
    found = []
    for accuracies in columns:
        rho = np.corrcoef(descending_ranks(whole), descending_ranks(accuracies))[0, 1]
        lost = [regrets(v, accuracies[pool]) for v, pool in zip(ordered, pools, strict=True)]
        found.append([rho, *np.mean(lost, axis=0)])
    mean: Floats = np.mean(found, axis=0)
    return mean


def regrets(values: Floats, accuracies: Floats) -> list[float]:
    """Return the regret of the choice, and of the best of those that survive."""
    order = np.argsort(-values, kind="stable")
    return [float(accuracies.max() - accuracies[order[:k]].max()) for k in (1, SURVIVORS)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--space", default="nb201")
    parser.add_argument("--draws", type=int, default=64)
    parser.add_argument("--pools", type=int, default=1000)
    arguments = parser.parse_args()
    ref = default_registry().find("space", arguments.space)
    options = ref.load().options
    space = ref.build(options() if options else None)
    with arguments.file.open(newline="") as file:
        table = list(csv.DictReader(file))
    benchmark = space.benchmark()
    assert benchmark is not None, f"install the benchmark of {arguments.space}"
    places = benchmark.indices(space.parse(row["architecture"]) for row in table)
    metric = benchmark.metrics[0]
    columns = [benchmark.values(dataset, metric)[places] for dataset in benchmark.datasets]
    random = np.random.default_rng(0)
    size = len(table), arguments.draws
    pools = [random.choice(*size, replace=False) for _ in range(arguments.pools)]
    print("| proxies | Spearman | regret of the choice | regret of the best of 16 |")
    print("|---|---|---|---|")
    for combination in COMBINATIONS:
        names = combination.split("+")
        if not set(names) <= table[0].keys():
            continue
        scores = {name: np.array([number(row[name]) for row in table]) for name in names}
        found = [measured(names, scores, columns, pools, way) for way in WAYS]
        cells = [f"{a:.3f} / {b:.3f}" for a, b in zip(*found, strict=True)]
        print(f"| `{combination}` | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
