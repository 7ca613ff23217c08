"""Time and size of a report, in terms of ``import torch``, which is most of any start.

    python benchmarks/report.py [RUN ...] [--count 5]

Without runs, one is made as by ``make search`` and copied with other seeds and numbers. Time is
that of all of the process, first without and then with the library of charts in the cache. The
aims: 5 runs within 5 s and 5 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_SEARCH = ["--space", "darts", "--optimizer", "ngvi", "--selector", "synflow", "--data", "digits"]
_COMMAND = [sys.executable, "-m", "balenas_cli"]


def main() -> None:
    """Measure, and print a line for each way of making the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--count", type=int, default=5, help="runs, where none are given")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = arguments.runs or _made(Path(folder), arguments.count)
        page, cache = Path(folder) / "report.html", Path(folder) / "cache"
        report = [*_COMMAND, "report", *map(str, runs), "--output", str(page)]
        torch = _seconds([sys.executable, "-c", "import torch"], cache)
        print(f"import torch: {_told(*torch)}")
        for name, command in (
            ("first", report),
            ("again", report),
            ("static", [*report, "--static"]),
        ):
            took = _seconds(command, cache)
            size = page.stat().st_size / 1e6
            ratio = took[1] / torch[1]
            print(f"{len(runs)} runs, {name}: {_told(*took)}, {ratio:.1f} x torch, {size:.2f} MB")


def _made(folder: Path, count: int) -> list[Path]:
    first = folder / "run-0"
    options = ["--epochs", "6", "--threads", "1", "--quiet", "--output", str(first)]
    subprocess.run([*_COMMAND, "search", *_SEARCH, *options], check=True, stdout=subprocess.DEVNULL)
    return [first, *(_copy(first, seed) for seed in range(1, count))]


def _copy(first: Path, seed: int) -> Path:
    """Return a copy that passes for a run of another seed."""
    path = first.with_name(f"run-{seed}")
    shutil.copytree(first, path, ignore=shutil.ignore_patterns("checkpoints"))
    status = json.loads((path / "status.json").read_text())
    status["config"]["seed"] = seed
    (path / "status.json").write_text(json.dumps(status))
    lines = []
    for line in (path / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        for key, value in record.items():
            if isinstance(value, float):
                record[key] = value * (1 + 0.02 * seed)
        lines.append(json.dumps(record) + "\n")
    (path / "metrics.jsonl").write_text("".join(lines))
    return path


def _seconds(command: list[str], cache: Path) -> tuple[float, float]:
    """Return the time that a process took, by the clock and of processors."""
    environment = os.environ | {"BALENAS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _told(wall: float, processor: float) -> str:
    return f"{wall:.1f} s, {processor:.1f} s of a processor"


if __name__ == "__main__":
    main()
