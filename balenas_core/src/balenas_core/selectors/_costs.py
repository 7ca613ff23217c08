"""Costs of candidates, and the limits that a choice must keep."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from balenas_core.errors import SelectionError, UsageError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.selection import SelectionContext
from balenas_core.plugins.selector_options import PoolOptions
from balenas_core.random import seeded
from balenas_core.scores.description import describe_network
from balenas_core.selectors._draws import Draw

MEASURED = "measured"

_WARM_UP, _REPEATS = 2, 9
_MILLISECONDS = {"s": 1000.0, "ms": 1.0, "us": 1e-3}


def within_limits(
    pool: Sequence[Draw], options: PoolOptions, context: SelectionContext
) -> list[Draw]:
    """Return the draws that keep every limit, with their costs; all where there is no limit.

    Raises:
        SelectionError: None does; the message names the cheapest.
        UsageError: A latency is asked for that the space's benchmark does not have.
    """
    limits = {
        cost: limit
        for cost, limit in (
            ("params", options.max_params),
            ("flops", options.max_flops),
            ("latency", options.max_latency),
        )
        if limit is not None
    }
    if not limits:
        return list(pool)
    priced = [replace(draw, costs=_costs(draw, limits, options, context)) for draw in pool]
    kept = [draw for draw in priced if all(draw.costs[cost] <= limits[cost] for cost in limits)]
    if not kept:
        raise SelectionError(_none_kept(priced, limits))
    return kept


def _none_kept(priced: Sequence[Draw], limits: Mapping[str, float]) -> str:
    asked = " and ".join(f"at most {limit:g} {cost}" for cost, limit in limits.items())
    least = ", ".join(f"{min(draw.costs[cost] for draw in priced):g} {cost}" for cost in limits)
    names = " and ".join(f"selector.max_{cost}" for cost in limits)
    return (
        f"none of the {len(priced)} distinct candidates has {asked}; the least among them is "
        f"{least}. Raise {names}, or draw more with selector.draws."
    )


def _costs(
    draw: Draw, limits: Mapping[str, float], options: PoolOptions, context: SelectionContext
) -> dict[str, float]:
    costs: dict[str, float] = {}
    is_measured = "latency" in limits and options.latency == MEASURED
    if "latency" in limits and not is_measured:
        costs["latency"] = table_latency(draw.architecture, options.latency, context)
    if costs.keys() != limits.keys():
        costs |= context.remember(
            f"{'latency' if is_measured else 'size'}/{draw.architecture}",
            lambda: network_costs(_network(draw, context), context, latency=is_measured),
        )
    return {cost: costs[cost] for cost in limits}


def _network(draw: Draw, context: SelectionContext) -> nn.Module:
    with seeded(context.seed):
        network = context.space.network(draw.architecture, context.task)
    return network.to(device=context.device, dtype=context.batch.images.dtype)


def network_costs(
    network: nn.Module, context: SelectionContext, *, latency: bool
) -> dict[str, float]:
    """Return parameters, multiply-adds for one image and, if asked, its milliseconds."""
    described = describe_network(network, context.task.input_shape)
    costs = {"params": float(described.parameters), "flops": float(described.multiply_adds)}
    if latency:
        costs["latency"] = measured_latency(network, context.batch.images[:1])
    return costs


@torch.no_grad()
def measured_latency(network: nn.Module, images: torch.Tensor) -> float:
    """Return the median time of a forward pass in evaluation mode, in milliseconds."""
    was_training = network.training
    network.eval()
    times = []
    for _ in range(_WARM_UP + _REPEATS):
        start = time.perf_counter()
        network(images)
        if images.is_cuda:
            torch.cuda.synchronize(images.device)
        times.append(time.perf_counter() - start)
    network.train(was_training)
    return 1000.0 * statistics.median(times[_WARM_UP:])


def table_latency(architecture: Architecture, name: str, context: SelectionContext) -> float:
    """Return a cost of the space's benchmark, in milliseconds.

    The first dataset that has the cost is taken.

    Raises:
        UsageError: There is no such cost, or it is no time.
    """
    benchmark = context.space.benchmark()
    known = () if benchmark is None else benchmark.cost_names
    if benchmark is None or name not in known:
        has = f"has {', '.join(known) or 'no costs'}" if benchmark else "is not installed"
        raise UsageError(
            f"selector.latency: the benchmark of the space has no {name!r} (it {has}); set it to "
            f"{MEASURED!r} for the time on this machine."
        )
    unit = benchmark.unit(name)
    if unit not in _MILLISECONDS:
        raise UsageError(
            f"selector.latency: {name!r} of the benchmark is no time (its unit is {unit!r}); "
            f"name another cost, or {MEASURED!r}."
        )
    entry = benchmark.query(architecture, benchmark.datasets[0], name)
    return entry.value * _MILLISECONDS[unit]
