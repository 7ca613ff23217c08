"""Is a choice better for what was learned? The same selector on learned and on uniform draws.

    python benchmarks/choice.py [--spaces darts nb1shot1 timm_stages] [--seeds 0 1 2]
        [--selector synflow] [--epochs 6] [--alone 20] [--data digits | --data cifar10_16.npz]
        [--set space.channels=4] [--output runs/choice]

With each seed a search by each preset, and draws of a distribution that stays uniform; the
selector chooses from both. Each choice is trained alone, from scratch, for so many epochs on the
training half, and measured on the validation half; so is one uniform draw, the same for all.
Every search has a folder: what is there is not run again.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from balenas_core import Search, default_registry, load_config
from balenas_core.interfaces.result import SearchResult

_UNIFORM: Mapping[str, Any] = {
    "distribution": {"name": "gumbel_softmax", "initial_scale": 0.0},
    "optimizer": {"name": "random"},
}
SIDES = ("balenas", "balenas-informed", "uniform")


def searched(side: str, space: str, seed: int, given: argparse.Namespace) -> SearchResult:
    """Return the result of a search, from its folder if it is there."""
    preset: Mapping[str, Any] = (
        _UNIFORM
        if side == "uniform"
        else default_registry().find("preset", side).load_implementation()
    )
    data = {"data": given.data} if given.data == "digits" else {"data": "npz"}
    flags = {
        **data,
        **({} if given.data == "digits" else {"data.path": given.data}),
        "space": space,
        "selector": given.selector,
        "training.epochs": given.epochs,
        "check_epochs": given.alone,
        "seed": seed,
        "threads": 1,
        "output": given.output / f"{space}-{side}-{seed}",
    }
    return Search(load_config(base=preset, flags=flags, overrides=given.set)).run(resume="allow")


def rows(given: argparse.Namespace) -> Iterator[str]:
    """Yield the table, one row for each space."""
    yield "| space | " + " | ".join(SIDES) + " | a uniform draw | choices that differ |"
    yield "|---|" + "---|" * (len(SIDES) + 2)
    for space in given.spaces:
        found: dict[str, list[SearchResult]] = {side: [] for side in SIDES}
        for seed in given.seeds:
            for side in SIDES:
                start = time.process_time()
                found[side].append(searched(side, space, seed, given))
                print(f"{space} {side} {seed}: {time.process_time() - start:.0f} s", flush=True)
        cells = [_listed([_accuracy(result) for result in found[side]]) for side in SIDES]
        controls = [result.check.control_accuracy for result in found["uniform"] if result.check]
        differ = [
            sum(
                str(one.architecture) != str(other.architecture)
                for one, other in zip(found[side], found["uniform"], strict=True)
            )
            for side in SIDES[:-1]
        ]
        count = len(given.seeds)
        of = ", ".join(f"{number} of {count}" for number in differ)
        yield f"| `{space}` | " + " | ".join([*cells, _listed(controls), of]) + " |"


def _accuracy(result: SearchResult) -> float:
    assert result.check is not None, "the space has other networks than the choice"
    return result.check.accuracy


def _listed(values: list[float]) -> str:
    return f"{statistics.mean(values):.2f} ({', '.join(f'{value:.2f}' for value in values)})"


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--spaces", nargs="+", default=["darts", "nb1shot1", "timm_stages"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--selector", default="synflow")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--alone", type=int, default=20, help="epochs of every choice alone")
    parser.add_argument("--data", default="digits", help="digits, or an .npz file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--output", type=Path, default=Path("runs/choice"))
    table = list(rows(parser.parse_args()))
    print("\n".join(table))


if __name__ == "__main__":
    main()
