"""Soak: searches killed at random moments and resumed, until they are done; and what saving costs.

    python benchmarks/kill_and_resume.py [--kills 100] [--preset balenas-tf] [--space nb201] ...

Starts ``balenas`` as processes of its own, kills them by SIGKILL (every fifth by SIGTERM) after a
random time, resumes them, and compares what they end in with one uninterrupted search: metrics,
result and weights, to the bit. Arguments after ``--`` are given to ``balenas search``.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from balenas_core.engine._learning import Learning
from balenas_core.files import holder
from balenas_core.runs.directory import RunDirectory

_SMALL = [
    *("--space", "nb201", "--set", "space.channels=2", "--optimizer", "ngvi"),
    *("--selector", "synflow", "--draws", "24", "--data", "digits", "--epochs", "3"),
    *("--seed", "3", "--set", "checkpoint.every_steps=5", "--threads", "1", "--quiet"),
]
_COMMAND = [sys.executable, "-m", "balenas_cli"]


def without_seconds(value: Any) -> Any:
    """Return ``value`` without what may differ between two runs of one search."""
    if isinstance(value, dict):
        return {key: without_seconds(item) for key, item in value.items() if key != "seconds"}
    return [without_seconds(item) for item in value] if isinstance(value, list) else value


def outcome(run: Path) -> tuple[Any, dict[str, Any]]:
    """Return result and metrics as plain data, and the final state."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    texts = [(run / "result.json").read_text(), *lines]
    checkpoint = RunDirectory(run).read_checkpoint()
    assert checkpoint is not None
    return [without_seconds(json.loads(text)) for text in texts], checkpoint.state["loop"]


def is_same(first: Any, second: Any) -> bool:
    """Whether nested containers of tensors are equal to the bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(is_same(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(is_same, first, second))
    return bool(first == second)


def killed_after(
    command: list[str], run: Path, seconds: float | None, number: int
) -> tuple[int, float]:
    """Run a command and send it a signal some time after it took the run.

    Returns:
        Its exit code, and for how long it held the run.
    """
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # Before that it imports torch and has nothing to lose.
    while process.poll() is None and holder(run) is None:
        time.sleep(0.01)
    begun = time.perf_counter()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        process.wait()
    return process.returncode, time.perf_counter() - begun


def soak(folder: Path, search: list[str], kills: int, seed: int) -> None:
    """Kill until the number is reached; exit 1 at the first difference."""
    whole = folder / "whole"
    command = [*_COMMAND, "search", *search, "--output", str(whole)]
    code, seconds = killed_after(command, whole, None, signal.SIGKILL)
    if code != 0:
        sys.exit(f"the search itself fails with exit code {code}")
    expected = outcome(whole)
    chance = random.Random(seed)
    done = chains = 0
    while done < kills:
        run = folder / f"run{chains}"
        command = [*_COMMAND, "search", *search, "--output", str(run), "--resume", "allow"]
        while True:
            number = signal.SIGTERM if done % 5 == 4 else signal.SIGKILL
            code, _ = killed_after(command, run, chance.uniform(0, 1.2 * seconds), number)
            if code == 0:
                break
            if code not in (-signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGTERM):
                sys.exit(f"run {run}: unexpected exit code {code}")
            done += 1
        chains += 1
        if not is_same(outcome(run), expected):
            sys.exit(f"run {run} ended in something else after {done} kills in all")
        print(f"{chains} runs finished after {done} kills, all equal to the bit", flush=True)


def cost(folder: Path, search: list[str], rounds: int) -> None:
    """Print the share of a search's time that saving takes at the default interval."""
    from balenas_core import Search
    from balenas_core.config import load_config

    arguments = [*search, "--set", "checkpoint.every_steps=100", "--dry-run", "--json"]
    described = subprocess.run(
        [*_COMMAND, "search", *arguments], check=True, capture_output=True, text=True
    )
    settings = json.loads(described.stdout)
    shares = []
    for number in range(rounds):
        settings["output"] = str(folder / f"cost{number}")
        spent = _Spent()
        result = Search(load_config(base=settings)).run() if spent.watch() else None
        assert result is not None
        shares.append(100 * spent.seconds / result.seconds["search"])
    rounds_shown = [round(share, 2) for share in shares]
    print(json.dumps({"percent": round(statistics.median(shares), 2), "rounds": rounds_shown}))


class _Spent:
    """Counts the time that saving takes, from gathering the state to the disk."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def watch(self) -> bool:
        """Count from now on, instead of whoever counted before."""
        save = getattr(Learning._save, "original", Learning._save)

        def timed(learning: Learning) -> None:
            start = time.perf_counter()
            try:
                save(learning)
            finally:
                self.seconds += time.perf_counter() - start

        timed.original = save  # type: ignore[attr-defined]
        Learning._save = timed  # type: ignore[method-assign]
        return True


def main() -> None:
    """Soak, or measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--cost", type=int, metavar="ROUNDS", help="measure what saving costs")
    parser.add_argument("search", nargs="*", default=_SMALL, help="arguments of balenas search")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.cost:
            cost(Path(folder), arguments.search, arguments.cost)
        else:
            soak(Path(folder), arguments.search, arguments.kills, arguments.seed)


if __name__ == "__main__":
    main()
