"""What ``balenas bench`` shows, as plain data."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from balenas_cli.shell.typed import as_typed
from balenas_core.config import PluginSection
from balenas_core.errors import BalenasError, ConfigError, DataError, UsageError
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.benchmark import Benchmark
from balenas_core.interfaces.space import AnySpace
from balenas_core.interfaces.texts import bare_text, is_number, text_of_number
from balenas_core.plugins.checking import loadable
from balenas_core.plugins.registry import default_registry
from balenas_core.plugins.suggest import did_you_mean

AnyBenchmark = Benchmark[Any]
_MAIN = 2
"""Metrics shown unless one is named: the first ones, such as validation and test accuracy."""


def open_space(
    name: str, overrides: Sequence[str] | None = None, *, typed: str = "SPACE"
) -> tuple[str, AnySpace]:
    """Return a space's own name, and the space; ``typed`` is what messages call the name.

    Raises:
        ConfigError: There is no such space, or it refuses the options.
        PluginLoadError: It cannot be loaded.
    """
    options = dict(map(_option, overrides or ()))
    with as_typed({"space": typed}):
        section = PluginSection.resolve("space", {**options, "name": name})
    ref = default_registry().find("space", section.name)
    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no result
        return ref.name, ref.build(section.options)


def _option(argument: str) -> tuple[str, Any]:
    import yaml

    key, equals, text = argument.partition("=")
    key = key.strip().removeprefix("space.")
    if not equals or not key:
        raise ConfigError(f"--set {argument}: expected KEY=VALUE, such as space=s2.")
    try:
        return key, yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {argument}: {text!r} is not a value of YAML.") from error


def open_benchmark(
    name: str, overrides: Sequence[str] | None = None, *, typed: str = "SPACE"
) -> tuple[AnySpace, AnyBenchmark]:
    """Return a space and its benchmark.

    Raises:
        DataError: The space has none, or none is installed.
        ConfigError, PluginLoadError: As ``open_space``.
    """
    own_name, space = open_space(name, overrides, typed=typed)
    benchmark = space.benchmark()
    if benchmark is None:
        raise DataError(_no_benchmark(own_name, space))
    return space, benchmark


def _no_benchmark(name: str, space: AnySpace) -> str:
    if "benchmark" in default_registry().find("space", name).load().provides:
        return (
            f"no benchmark of {name!r} is installed; convert an official file with "
            f"'balenas bench import {name} FILE', or see 'balenas plugins info space {name}'."
        )
    return f"space {name!r} has no benchmark. 'balenas bench list' lists those that have."


def list_rows() -> list[dict[str, Any]]:
    """Return a row for every space that says it provides a benchmark."""
    rows = []
    for ref in loadable(default_registry().refs("space")):
        row: dict[str, Any] = {"space": ref.name, "benchmark": None, "architectures": None}
        row |= {"datasets": [], "metrics": [], "costs": [], "problem": None}
        try:
            if "benchmark" not in ref.load().provides:
                continue
            row |= _summary(open_benchmark(ref.qualified_name)[1])
        except BalenasError as error:
            row["problem"] = str(error)
        rows.append(row)
    return rows


def _summary(benchmark: AnyBenchmark) -> dict[str, Any]:
    values = benchmark.values(benchmark.datasets[0], benchmark.metrics[0])
    return {
        "benchmark": benchmark.name,
        "architectures": len(values),
        "datasets": list(benchmark.datasets),
        "metrics": list(benchmark.metrics),
        "costs": list(benchmark.cost_names),
    }


def info_rows(benchmark: AnyBenchmark) -> list[dict[str, Any]]:
    """Return a row for every column of a benchmark."""
    rows = []
    for dataset in benchmark.datasets:
        for metric in benchmark.measured(dataset):
            values = benchmark.values(dataset, metric)
            best = benchmark.best(dataset, metric)[0]
            rows.append(
                {
                    "dataset": dataset,
                    "metric": metric,
                    "unit": benchmark.unit(metric),
                    "is_cost": metric in benchmark.cost_names,
                    "seeds": list(benchmark.seeds(dataset, metric)),
                    "architectures": int(np.sum(~np.isnan(values))),
                    "best": float(values[best]),
                    "median": float(np.nanmedian(values)),
                }
            )
    return rows


def parse_architectures(
    space: AnySpace, benchmark: AnyBenchmark, texts: Sequence[str], *, at_least: int = 1
) -> list[Architecture]:
    """Return the architectures that text forms or numbers stand for.

    Raises:
        ArchitectureError: A text is none, or a number is too large.
        UsageError: There are too few.
    """
    if len(texts) < at_least:
        raise UsageError("name an architecture: its text form, in quotes, or its number.")
    return [_parse(space, benchmark, text) for text in texts]


def _parse(space: AnySpace, benchmark: AnyBenchmark, text: str) -> Architecture:
    bare = bare_text(text)
    parsed: Architecture = space.parse(text_of_number(bare, benchmark) if is_number(bare) else text)
    return parsed


def columns(
    benchmark: AnyBenchmark, dataset: str | None, metric: str | None
) -> list[tuple[str, str]]:
    """Return the datasets with the metrics to show of each.

    Raises:
        DataError: There is no such dataset, or no dataset with this metric.
    """
    datasets = [dataset] if dataset is not None else list(benchmark.datasets)
    if dataset is not None and dataset not in benchmark.datasets:
        raise DataError(_unknown("dataset", dataset, benchmark.datasets))
    wanted = [metric] if metric is not None else list(benchmark.metrics[:_MAIN])
    found = [(d, m) for d in datasets for m in wanted if m in benchmark.measured(d)]
    if not found:
        known = list(dict.fromkeys(m for d in datasets for m in benchmark.measured(d)))
        raise DataError(_unknown("metric", metric or wanted[0], known))
    return found


def _unknown(what: str, name: str, known: Sequence[str]) -> str:
    return (
        f"the benchmark has no {what} {name!r}.{did_you_mean(name, known)} "
        f"Known: {', '.join(known)}."
    )


def query_rows(
    benchmark: AnyBenchmark,
    architectures: Sequence[Architecture],
    dataset: str | None,
    metric: str | None,
    seed: int | None,
) -> list[dict[str, Any]]:
    """Return a row for every architecture, dataset and metric.

    Raises:
        DataError: Something was not measured.
    """
    rows = []
    for architecture in architectures:
        for name, what in columns(benchmark, dataset, metric):
            entry = benchmark.query(architecture, name, what, seed)
            rows.append(
                {
                    "architecture": str(architecture),
                    "number": benchmark.index(architecture),
                    "dataset": name,
                    "metric": what,
                    "unit": benchmark.unit(what),
                    "value": entry.value,
                    "best": entry.best,
                    "regret": entry.regret,
                    "rank": entry.rank,
                    "total": entry.total,
                    "percentile": entry.percentile,
                }
            )
    return rows


def best_rows(
    benchmark: AnyBenchmark, dataset: str | None, metric: str | None, count: int, seed: int | None
) -> list[dict[str, Any]]:
    """Return the best architectures of each dataset, by one metric.

    Raises:
        DataError: There is no such dataset, metric or seed.
    """
    rows = []
    for name, what in columns(benchmark, dataset, metric):
        values = benchmark.values(name, what, seed)
        ranks = benchmark.ranks(name, what, seed)
        rows += [
            {
                "dataset": name,
                "metric": what,
                "rank": int(ranks[number]),
                "value": float(values[number]),
                "unit": benchmark.unit(what),
                "number": int(number),
                "architecture": benchmark.text(int(number)),
            }
            for number in benchmark.best(name, what, count, seed)
        ]
    return rows
