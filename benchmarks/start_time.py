"""Start time of cheap commands, as a share of the time that ``import torch`` takes.

    python benchmarks/start_time.py [--rounds 11]

Both sides run in turn, as whole processes; medians and their ratio are printed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

BALENAS = Path(sys.executable).with_name("balenas")
COMMANDS = {
    "python -c 'import torch'": (sys.executable, "-c", "import torch"),
    "balenas --help": (BALENAS, "--help"),
    "balenas plugins list": (BALENAS, "plugins", "list"),
}


def seconds(command: Sequence[str | Path]) -> float:
    """Return the wall-clock time of one run."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=11)
    rounds = parser.parse_args().rounds
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for command in COMMANDS.values():  # warm the file cache
        seconds(command)
    for _ in range(rounds):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    baseline = statistics.median(times["python -c 'import torch'"])
    print("| command | median s | ratio to import torch |\n|---|---|---|")
    for name, values in times.items():
        median = statistics.median(values)
        print(f"| `{name}` | {median:.3f} | {median / baseline:.3f} |")


if __name__ == "__main__":
    main()
