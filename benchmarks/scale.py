"""What an executor adds to the work, and how long a sweep takes to plan.

    python benchmarks/scale.py [--executor joblib] [--workers 2] [--candidates 100] [--seconds 1.0]
        [--trials 100]

Candidates sleep, so that nothing but the executor is measured: ideal is candidates * seconds /
workers, from the moment when workers have answered once. The overhead is what is above it. Planning
checks every trial of a grid and puts it into a study in a SQLite file; the import of torch and
Optuna comes before it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from balenas_core import default_registry
from balenas_core.config import PluginSection
from balenas_core.execution import in_order, open_workers
from balenas_core.interfaces.executor import Executor
from balenas_sweep import Settings, Sweep, SweepSpec, parse_objective


def overhead(executor: Executor, candidates: int, seconds: float) -> float:
    """Return the share of time above the ideal."""
    with open_workers(executor, time.sleep) as workers:
        count = workers.count
        list(in_order(workers, [0.5] * 2 * count, executor.options))  # they start
        begun = time.perf_counter()
        list(in_order(workers, [seconds] * candidates, executor.options))
        taken = time.perf_counter() - begun
    return taken / (-(-candidates // count) * seconds) - 1


def planning(trials: int) -> tuple[float, float]:
    """Return the seconds, and the CPU seconds, of planning a sweep."""
    settings = Settings(file={"space": "nb201", "optimizer": "ngvi", "selector": "argmax"})
    settings.config({}, None)  # imports what a configuration needs
    rows = tuple({"seed": seed, "training.lr": 0.01 * (1 + seed % 5)} for seed in range(trials))
    objectives = (parse_objective("check_accuracy"),)
    spec = SweepSpec(settings=settings, rows=rows, trials=trials, objectives=objectives)
    with tempfile.TemporaryDirectory() as folder:
        begun, cpu = time.perf_counter(), time.process_time()
        Sweep.begin(Path(folder) / "sweep", spec, storage=None, study="planning")
        return time.perf_counter() - begun, time.process_time() - cpu


def main() -> None:
    """Print both numbers; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--executor", default="joblib")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--trials", type=int, default=100)
    arguments = parser.parse_args()
    given = {"name": arguments.executor}
    if arguments.executor != "local":
        given["workers"] = arguments.workers
    section = PluginSection.resolve("executor", given)
    executor: Executor = default_registry().find("executor", section.name).build(section.options)
    added = overhead(executor, arguments.candidates, arguments.seconds)
    executor.close()
    print(f"{arguments.executor}: {added:.1%} above the ideal of {arguments.candidates} candidates")
    seconds, cpu = planning(arguments.trials)
    print(f"{arguments.trials} trials planned in {seconds:.1f} s ({cpu:.1f} CPU s)")
    print(json.dumps({"overhead": added, "planning_seconds": seconds, "planning_cpu": cpu}))


if __name__ == "__main__":
    main()
