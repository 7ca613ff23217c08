"""What ``balenas estimate`` says of a search against what the search then takes.

    python benchmarks/estimate.py [--spaces nb201 darts nb1shot1] [--epochs 3]

Each side runs in a process of its own, with one thread, and seconds are CPU seconds of that
process, which a busy machine moves less than those of the wall clock. Memory is the process's
largest resident set. The ratio is estimate / measured; the aim is 0.8 to 1.2 in every line.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SPACES = ("nb201", "darts", "nb1shot1")


def config_of(space: str, epochs: int, output: Path | None) -> Any:
    """Return a search of a space."""
    from balenas_core import SearchConfig

    return SearchConfig(
        space=space,
        optimizer="ngvi",
        selector={"name": "naswot", "draws": 30},
        data="digits",
        training={"epochs": epochs},
        check_epochs=2,
        threads=1,
        output=output,
    )


def estimated(space: str, epochs: int) -> dict[str, float]:
    """Return what the estimate says."""
    from balenas_core.engine.estimating import estimate

    found = estimate(config_of(space, epochs, None), clock=time.process_time)
    assert found.peak_bytes is not None
    return {
        "search": found.search_seconds,
        "selection and check": found.selection_seconds,
        "in all": found.seconds,
        "MiB": found.peak_bytes / 2**20,
    }


def measured(space: str, epochs: int) -> dict[str, float]:
    """Return what the search takes."""
    from balenas_core import Search
    from balenas_core.interfaces.events import EpochEnded, RunFinished, SearchStarted

    times: dict[type, float] = {}

    def note(event: object) -> None:
        times[type(event)] = time.process_time()

    with tempfile.TemporaryDirectory() as folder:
        Search(config_of(space, epochs, Path(folder) / "run"), listeners=[note]).run()
    search = times[EpochEnded] - times[SearchStarted]
    rest = times[RunFinished] - times[EpochEnded]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "search": search,
        "selection and check": rest,
        "in all": search + rest,
        "MiB": peak / 2**20,
    }


def main() -> None:
    """Compare both sides."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--spaces", nargs="+", choices=SPACES, default=list(SPACES))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--side", choices=("estimated", "measured"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        side = estimated if given.side == "estimated" else measured
        print(json.dumps(side(given.spaces[0], given.epochs)))
        return
    for space in given.spaces:
        both = [_run(side, space, given.epochs) for side in ("estimated", "measured")]
        for name, value in both[0].items():
            ratio = value / both[1][name]
            print(f"{space:9} {name:20} {value:9.2f} {both[1][name]:9.2f}  ratio {ratio:.2f}")
        sys.stdout.flush()


def _run(side: str, space: str, epochs: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--side", side, "--spaces", space, "--epochs", str(epochs)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
