"""Step time of NGVI beside Adam and ivon-opt, all interleaved in one run.

A cycle is what a training step asks of the optimizer: draw weights, put the mean back, make
the update. Gradients are given. Every column is the median over rounds; ratios are medians of
the ratio to `torch.optim.Adam(foreach=True)` of the same round, so that a busy machine moves
both sides.

    python benchmarks/optimizer.py                # all cases, 2 threads
    python benchmarks/optimizer.py --case resnet18 --threads 1 --json
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import torch

from balenas_optimizer_ngvi import NGVI, native_status

Run = Callable[[], object]
Shapes = list[tuple[int, ...]]

AIMS = {
    "native cycle, vadam": {"nb201": 0.8, "darts": 0.8, "resnet18": 1.5},
    "native cycle, ivon": {"nb201": 0.8, "darts": 0.8, "resnet18": 1.5},
    "foreach cycle, vadam": {"nb201": 1.2, "darts": 1.2, "resnet18": 4.0},
    "foreach cycle, ivon": {"nb201": 1.2, "darts": 1.2, "resnet18": 4.0},
}
OPERATOR_AIM = 1.3
"""Largest ratio of the step operator alone to `Adam(fused=True)` on resnet18."""


def resnet18_shapes() -> Shapes:
    """Return the shapes of ResNet-18's 62 parameters, 11,689,512 values."""

    def norm(width: int) -> Iterator[tuple[int, ...]]:
        yield from ((width,), (width,))

    shapes: Shapes = [(64, 3, 7, 7), *norm(64)]
    before = 64
    for width in (64, 128, 256, 512):
        for block in range(2):
            shapes += [(width, before, 3, 3), *norm(width), (width, width, 3, 3), *norm(width)]
            if block == 0 and width != before:
                shapes += [(width, before, 1, 1), *norm(width)]
            before = width
    return [*shapes, (1000, 512), (1000,)]


CASES: dict[str, Shapes] = {
    "nb201": [(6, 5)],
    "darts": [(14, 8), (14, 8)],
    "resnet18": resnet18_shapes(),
}


def parameters(shapes: Shapes) -> list[torch.nn.Parameter]:
    """Return parameters with gradients, the same for every contestant."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for shape in shapes:
        parameter = torch.nn.Parameter(0.05 * torch.randn(shape, generator=generator))
        parameter.grad = 0.01 * torch.randn(shape, generator=generator)
        made.append(parameter)
    return made


def ngvi_cycle(shapes: Shapes, variant: str, backend: str) -> Run:
    """Return a cycle of NGVI."""
    optimizer = NGVI(
        parameters(shapes), 1e-4, ess=5e4, variant=variant, backend=backend, initial_sigma=0.01
    )

    def run() -> None:
        with optimizer.sampled_params():
            pass
        optimizer.step()

    return run


def ivon_opt_cycle(shapes: Shapes) -> Run | None:
    """Return a cycle of ivon-opt, None where it is not installed."""
    try:
        import ivon
    except ImportError:
        return None
    optimizer = ivon.IVON(parameters(shapes), lr=1e-4, ess=5e4)

    def run() -> None:
        with optimizer.sampled_params(train=True):
            pass
        optimizer.step()

    return run


def native_operator(shapes: Shapes, rule: int) -> Run:
    """Return the compiled step alone: 0 vadam, 1 ivon."""
    values = [p.detach() for p in parameters(shapes)]
    gradients = [0.01 * torch.randn_like(v) for v in values]
    momenta = [torch.zeros_like(v) for v in values]
    curvatures = [torch.ones_like(v) for v in values]
    noise = [torch.randn_like(v) for v in values] if rule == 1 else []
    numbers = (1e-4, 0.9, 0.999, 5e4, 1.0, float("inf"), 3, True)
    step = torch.ops.balenas_ngvi.step_
    return lambda: step(values, momenta, curvatures, gradients, noise, rule, rule == 1, *numbers)


def contestants(shapes: Shapes) -> dict[str, Run]:
    """Return everything to be timed, Adam(foreach) first."""
    found: dict[str, Run | None] = {
        "Adam(foreach)": torch.optim.Adam(parameters(shapes), lr=1e-4, foreach=True).step,
        "Adam(fused)": torch.optim.Adam(parameters(shapes), lr=1e-4, fused=True).step,
        "ivon-opt cycle": ivon_opt_cycle(shapes),
        "foreach cycle, vadam": ngvi_cycle(shapes, "vadam", "torch"),
        "foreach cycle, ivon": ngvi_cycle(shapes, "ivon", "torch"),
    }
    if native_status().cpu == "native":
        found |= {
            "native cycle, vadam": ngvi_cycle(shapes, "vadam", "native"),
            "native cycle, ivon": ngvi_cycle(shapes, "ivon", "native"),
            "native operator, vadam": native_operator(shapes, 0),
            "native operator, ivon": native_operator(shapes, 1),
        }
    return {name: run for name, run in found.items() if run is not None}


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def measure(
    runs: dict[str, Run], rounds: int, inner: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Return microseconds per call of each contestant in each round."""
    for run in runs.values():
        for _ in range(3):
            run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = clock()
            for _ in range(inner):
                run()
            times[name].append((clock() - start) / inner * 1e6)
    return times


def ratio(times: dict[str, list[float]], name: str, base: str) -> float:
    """Return the median over rounds of the ratio of two contestants."""
    pairs = zip(times[name], times[base], strict=True)
    return statistics.median(own / other for own, other in pairs)


def rows(case: str, times: dict[str, list[float]]) -> Iterator[dict[str, object]]:
    """Yield one record for each contestant of a case."""
    for name, values in times.items():
        to_fused = ratio(times, name, "Adam(fused)")
        aim = AIMS.get(name, {}).get(case)
        value = ratio(times, name, "Adam(foreach)")
        record: dict[str, object] = {
            "case": case,
            "name": name,
            "median_us": statistics.median(values),
            "to_adam_foreach": value,
            "to_adam_fused": to_fused,
        }
        if aim is not None:
            record |= {"aim_to_foreach": aim, "reached": value <= aim}
        if case == "resnet18" and name.startswith("native operator"):
            record |= {"aim_to_fused": OPERATOR_AIM, "reached": to_fused <= OPERATOR_AIM}
        yield record


def print_row(row: dict[str, object]) -> None:
    """Write a record as one line of the table."""
    aim = ""
    if "reached" in row:
        limit = row.get("aim_to_foreach", row.get("aim_to_fused"))
        aim = f"aim {limit}: {'reached' if row['reached'] else 'missed'}"
    sys.stdout.write(
        f"{row['name']:26s} {row['median_us']:11.1f} us {row['to_adam_foreach']:7.2f} "
        f"{row['to_adam_fused']:7.2f}   {aim}\n"
    )


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=[*CASES, "all"], default="all")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument(
        "--clock",
        choices=list(CLOCKS),
        default="wall",
        help="cpu: time of this process, summed over threads; for a busy machine",
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for case in CASES if arguments.case == "all" else [arguments.case]:
        shapes = CASES[case]
        size = sum(torch.Size(shape).numel() for shape in shapes)
        if not arguments.json:
            sys.stdout.write(
                f"\n{case}: {len(shapes)} tensors, {size:,} values, {arguments.threads} threads\n"
                f"{'':26s} {'median':>11s}    {'/foreach':>7s} {'/fused':>6s}\n"
            )
        inner = 1 if size > 1e5 else 100
        times = measure(contestants(shapes), arguments.rounds, inner, CLOCKS[arguments.clock])
        for row in rows(case, times):
            if arguments.json:
                sys.stdout.write(json.dumps({**row, "threads": arguments.threads}) + "\n")
            else:
                print_row(row)


if __name__ == "__main__":
    main()
