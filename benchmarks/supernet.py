"""Cost of a supernet step: the shared implementation against the textbook one.

    python benchmarks/supernet.py [--spaces darts nb201 nb1shot1] [--batch 64] [--repeats 5]
    python benchmarks/supernet.py --compile   # compiled cells too, which takes minutes first
    python benchmarks/supernet.py --curve   # how the cost grows with batch, cells, channels

"recomputed" is the shared one with training.checkpoint_cells. All run on the same modules and
give the same numbers (tests/*_sharing.py). A step is one
forward and one backward pass with soft weights; a first-order search makes two. CPU seconds
are those of the process, medians of repeats in turn; activations are the tensors that
autograd keeps for the backward pass, each memory block counted once.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from balenas_core.engine.cells import compile_cells
from balenas_core.interfaces.space import AnySpace, Supernet, Task
from balenas_core.plugins.registry import default_registry
from balenas_core.random import generator, seeded

ROOT = Path(__file__).parents[1]
SIZES: dict[str, dict[str, Any]] = {
    "nb201": {"channels": 16, "cells_per_stage": 5},
    "darts": {"channels": 16, "cells": 8},
    "nb1shot1": {"channels": 16, "cells": 9},
}

Forward = Callable[[Supernet, Tensor, dict[str, Tensor]], Tensor]


def textbook(space: str) -> Forward:
    """Return the per-edge implementation, which is the oracle of the space's tests."""
    sys.path.append(str(ROOT / "plugins" / "search_spaces" / space / "tests"))
    forward: Forward = importlib.import_module(f"textbook_{space}").supernet_forward
    return forward


def shared(supernet: Supernet, x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """Call the supernet."""
    logits: Tensor = supernet(x, weights)
    return logits


def recomputed(supernet: Supernet, x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    """Call the supernet without keeping the inside of its cells."""
    supernet.recomputes_cells = True
    try:
        return shared(supernet, x, weights)
    finally:
        supernet.recomputes_cells = False


def build(name: str, **changes: int) -> AnySpace:
    """Return the space in the size of its paper's search, with changes."""
    plugin = default_registry().find("space", name)
    options = plugin.load().options
    assert options is not None
    space: AnySpace = plugin.load_implementation()(options(**(SIZES[name] | changes)))
    return space


def measure(forward: Forward, supernet: Supernet, space: AnySpace, x: Tensor) -> dict[str, float]:
    """Return CPU seconds forward and backward, and MiB of saved activations, of one step."""
    logits = {d.name: torch.zeros(d.shape, requires_grad=True) for d in space.decisions}
    owned = {p.untyped_storage().data_ptr() for p in supernet.parameters()}
    blocks: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in owned:
            blocks[storage.data_ptr()] = storage.nbytes()
        return tensor

    def keep_inputs(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        for tensor in inputs:
            if isinstance(tensor, Tensor):
                pack(tensor)

    # Recomputed cells keep their inputs without autograd.
    hooks = [cell.register_forward_pre_hook(keep_inputs) for cell in supernet.cell_modules]
    weights = {name: value.softmax(-1) for name, value in logits.items()}
    start = time.process_time()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = forward(supernet, x, weights).square().mean()
    middle = time.process_time()
    for hook in hooks:
        hook.remove()
    loss.backward()
    end = time.process_time()
    supernet.zero_grad()
    return {
        "forward": middle - start,
        "backward": end - middle,
        "step": end - start,
        "MiB": sum(blocks.values()) / 2**20,
    }


def compare(name: str, batch: int, repeats: int, *, is_compiling: bool) -> None:
    """Print one line an implementation, and the ratios."""
    space = build(name)
    with seeded(0):
        supernet = space.supernet(Task((3, 32, 32), 10))
    x = torch.randn(batch, 3, 32, 32, generator=generator(0))
    sides: dict[str, tuple[Forward, Supernet]] = {
        "textbook": (textbook(name), supernet),
        "shared": (shared, supernet),
        "recomputed": (recomputed, supernet),
    }
    if is_compiling:
        sides["compiled"] = shared, copy.deepcopy(supernet)
        compile_cells(sides["compiled"][1].cell_modules, x.device)
    for side in sides.values():
        measure(*side, space, x)  # the first of each also sets memory up
    runs = [
        {label: measure(*side, space, x) for label, side in sides.items()} for _ in range(repeats)
    ]
    medians = {label: _medians([run[label] for run in runs]) for label in sides}
    for label, values in medians.items():
        print(name, f"{label:<10}", *(f"{k} {v:9.3f}" for k, v in values.items()), sep="  ")
    for label in list(sides)[1:]:
        ratios = {key: value / medians[label][key] for key, value in medians["textbook"].items()}
        print(name, f"/ {label:<8}", *(f"{k} {v:9.2f}" for k, v in ratios.items()), sep="  ")
    sys.stdout.flush()


def _medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def curve(repeats: int) -> None:
    """Print the cost of the shared NAS-Bench-201 step as one size after the other doubles."""
    base = {"batch": 16, "cells_per_stage": 1, "channels": 8}
    for changed in base:
        for factor in (1, 2, 4):
            size = base | {changed: base[changed] * factor}
            batch = size.pop("batch")
            space = build("nb201", **size)
            supernet = space.supernet(Task((3, 32, 32), 10))
            x = torch.randn(batch, 3, 32, 32, generator=generator(0))
            runs = [measure(shared, supernet, space, x) for _ in range(repeats + 1)]
            typical = _medians(runs[1:])
            print(
                f"{changed} x {factor}",
                *(f"{key} {typical[key]:8.3f}" for key in ("step", "MiB")),
                sep="  ",
                flush=True,
            )


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spaces", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="compiled cells too")
    parser.add_argument("--curve", action="store_true", help="growth of the cost instead")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.curve:
        curve(arguments.repeats)
        return
    for name in arguments.spaces:
        compare(name, arguments.batch, arguments.repeats, is_compiling=arguments.compile)


if __name__ == "__main__":
    main()
