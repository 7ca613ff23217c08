"""The main job: ``make search``'s command, its time and memory, and how good its cell is.

    python benchmarks/main_job.py [--epochs 6] [--train-epochs 30]

Runs the search as a process of its own, on one thread, and then trains the network of the cell
that it found on the training half of digits, from scratch, to state its accuracy on the
validation half. The network of a random cell is trained beside it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from balenas_core.config import SearchConfig, load_config
from balenas_core.data import BatchLoader, split
from balenas_core.engine.bilevel import Precision, evaluation
from balenas_core.engine.components import build_components
from balenas_core.interfaces.architecture import Architecture
from balenas_core.plugins.registry import default_registry
from balenas_core.random import derive_seed, generator, seeded


def train(config: SearchConfig, architecture: str | None, epochs: int) -> tuple[str, float]:
    """Train an architecture (a random one for None); return it and its accuracy in percent."""
    parts_of = build_components(config, default_registry())
    space = parts_of.space
    chosen: Architecture = (
        space.random(generator(config.seed, "control"))
        if architecture is None
        else space.parse(architecture)
    )
    parts = split(parts_of.dataset, 0.5, seed=derive_seed(config.seed, "split"))
    loader = BatchLoader(parts.train, batch_size=64, seed=0)
    validation = BatchLoader(
        parts.validation, batch_size=64, seed=0, shuffle=False, drop_last=False
    )
    with seeded(0):
        network = space.network(chosen, parts_of.task)
        sgd = torch.optim.SGD(
            network.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(sgd, epochs)
        for epoch in range(epochs):
            network.train()
            for batch in loader.iterate(epoch):
                sgd.zero_grad()
                F.cross_entropy(network(batch.images), batch.labels).backward()
                sgd.step()
            schedule.step()
    precision = Precision(torch.device("cpu"), torch.float32)
    return str(chosen), evaluation(network, validation.iterate(0), precision)[1]


def main() -> None:
    """Search, train, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--train-epochs", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [
            *(str(Path(sys.executable).with_name("balenas")), "search", "--space", "darts"),
            *("--optimizer", "ngvi", "--selector", "synflow", "--data", "digits"),
            *("--epochs", str(arguments.epochs), "--threads", "1"),
            *("--output", str(run), "--quiet", "--json"),
        ]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        config = load_config(run / "config.yaml")
        result = json.loads((run / "result.json").read_text())
    found, of_found = train(config, result["architecture"], arguments.train_epochs)
    _, of_random = train(config, None, arguments.train_epochs)
    print(f"search: {wall:.0f} s wall clock, {peak:.2f} GiB peak memory, 1 thread")
    print(f"supernet, validation half: {result['final_metrics']['validation_accuracy']:.2f} %")
    print(f"found: {found}")
    print(f"found cell trained {arguments.train_epochs} epochs, validation half: {of_found:.2f} %")
    print(f"random cell trained likewise: {of_random:.2f} %")


if __name__ == "__main__":
    main()
