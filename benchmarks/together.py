"""Networks scored one by one, and many together as one program, on NAS-Bench-201 cells.

Prints cells a CPU second in both ways, their ratio and the largest difference of the scores, for
NASWOT and Jacobian covariance in several settings, single-threaded. The two ways alternate, so
that a busy machine slows both.

    python benchmarks/together.py [--cells 128] [--together 128] [--rounds 2]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time

import torch

from balenas_core.interfaces.proxy import Batch
from balenas_core.interfaces.space import Task
from balenas_core.plugins.registry import default_registry
from balenas_core.random import generator
from balenas_core.scores import ScoringJob

SETTINGS = (
    ("naswot", 4, 8, 16),
    ("naswot", 4, 16, 16),
    ("naswot", 8, 16, 32),
    ("naswot", 16, 16, 64),
    ("jacov", 4, 8, 16),
    ("jacov", 8, 8, 32),
    ("jacov", 16, 16, 64),
)
"""Proxy, channels, height and width, images; one cell in each stage."""


def main() -> None:
    """Print the table; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("cells", 128), ("together", 128), ("rounds", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'':<8}{'C':>4}{'size':>6}{'B':>4}{'one by one':>12}{'together':>10}{'ratio':>8}")
    rows = []
    for setting in SETTINGS:
        alone, together, difference = _compare(setting, arguments)
        proxy, channels, size, images = setting
        print(
            f"{proxy:<8}{channels:>4}{size:>6}{images:>4}{alone:>12.0f}{together:>10.0f}"
            f"{together / alone:>8.2f}   differ by {difference:.0e}",
            flush=True,
        )
        rows.append([*setting, alone, together])
    print(json.dumps(rows))


def _compare(
    setting: tuple[str, int, int, int], arguments: argparse.Namespace
) -> tuple[float, float, float]:
    name, channels, size, images = setting
    registry = default_registry()
    plugin = registry.find("space", "nb201").load()
    assert plugin.options is not None
    space = plugin.load_implementation()(plugin.options(channels=channels))
    proxy = registry.find("proxy", name).load()
    options = None if proxy.options is None else proxy.options()
    source = generator(0, "cells")
    cells = [space.random(source) for _ in range(arguments.cells)]
    shape = (3, size, size)
    batch = Batch(torch.randn(images, *shape, generator=source), torch.zeros(images).long())
    jobs = [
        ScoringJob(
            space,
            Task(shape, 10),
            {name: proxy.load_implementation()(options)},
            batch,
            init="supernet",
            together=together,
        )
        for together in (1, arguments.together)
    ]
    rates: list[list[float]] = [[], []]
    found = []
    for _ in range(arguments.rounds):
        found = []
        for rate, job in zip(rates, jobs, strict=True):
            start = time.process_time()
            found.append([scores[name] for scores, _ in job.scores(cells)])
            rate.append(len(cells) / (time.process_time() - start))
    difference = max(
        abs(a - b) / abs(a) if math.isfinite(a) else float(a != b)
        for a, b in zip(*found, strict=True)
    )
    return statistics.median(rates[0]), statistics.median(rates[1]), difference


if __name__ == "__main__":
    main()
