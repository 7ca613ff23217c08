"""Two processes that share a search against one: seconds a step, and their ratio.

    python benchmarks/processes.py [--processes 2] [--steps 20] [--repeats 3] [--batch 64]

NAS-Bench-201 with 16 channels and two cells a stage, on random images of 32x32. Every process has
one thread. One process and several take turns, so that what else the machine does falls on both;
the ratio is only worth something where it does nothing else. A step is an architecture step and a
weight step, loading of images included, from the end of one to the end of the next; the first
three are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from balenas_core import Search, SearchConfig
from balenas_core.engine.launch import is_first_process
from balenas_core.errors import SearchInterrupted
from balenas_core.interfaces.events import StepEnded

_WARM_UP = 3


def measure(data: Path, steps: int, batch: int) -> None:
    """Search for some steps, and print the median of their seconds from the first process."""
    ends: list[float] = []

    def note(event: object) -> None:
        if isinstance(event, StepEnded):
            ends.append(time.perf_counter())
            if len(ends) > steps + _WARM_UP:
                search.request_stop()

    config = SearchConfig(
        space={"name": "nb201", "channels": 16, "cells_per_stage": 2},
        optimizer="ngvi",
        selector="argmax",
        data={"name": "npz", "path": data},
        training={"epochs": 1, "batch_size": batch},
        threads=1,
    )
    search = Search(config, listeners=[note])
    with contextlib.suppress(SearchInterrupted):
        search.run()
    if is_first_process():
        taken = [after - before for before, after in itertools.pairwise(ends)]
        print(json.dumps(statistics.median(taken[_WARM_UP - 1 :])))


def run(processes: int, arguments: list[str]) -> float:
    """Return the seconds of a step with so many processes."""
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", f"--nproc-per-node={processes}"]
        launcher += ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0"]
    done = subprocess.run(
        [*launcher, __file__, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        measure(given.measure, given.steps, given.batch)
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "images.npz"
        random = np.random.default_rng(0)
        count = 2 * given.batch * (given.steps + _WARM_UP + 2)
        images = random.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        labels = np.arange(count) % 10
        np.savez(data, x_train=images, y_train=labels, x_test=images[:10], y_test=labels[:10])
        sizes = ["--steps", str(given.steps), "--batch", str(given.batch)]
        rounds = [
            [run(n, ["--measure", str(data), *sizes]) for n in (1, given.processes)]
            for _ in range(given.repeats)
        ]
    one, several = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(a / b for a, b in rounds)
    print(f"1 process: {one:.3f} s a step; {given.processes} processes: {several:.3f} s a step")
    print(f"ratio: {ratio:.2f}")


if __name__ == "__main__":
    main()
