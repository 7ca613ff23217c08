"""From a configuration to the objects of a search."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator

from balenas_core.config import (
    InformedPriorConfig,
    PluginSection,
    RankingOptions,
    SearchConfig,
    StagedOptions,
    resolve_proxies,
)
from balenas_core.engine._trackers import Trackers
from balenas_core.errors import PluginLoadError, UnfitError
from balenas_core.interfaces.dataset import ImageDataset
from balenas_core.interfaces.distribution import ArchitectureDistribution
from balenas_core.interfaces.executor import Executor
from balenas_core.interfaces.optimizer import ArchitectureOptimizer
from balenas_core.interfaces.proxy import Proxy
from balenas_core.interfaces.selection import Selector
from balenas_core.interfaces.space import AnySpace, Decision, Task
from balenas_core.plugins.registry import Registry
from balenas_core.plugins.selector_options import PoolOptions
from balenas_core.random import generator
from balenas_core.selectors import PoolSelector, RankingSelector, StagedSelector, scoped

DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


# What is drawn and how scores are combined changes no score.
_POOL = frozenset({*PoolOptions.model_fields, "aggregate", "weights", "drawn"})


@dataclass(frozen=True, slots=True)
class Components:
    """The plugins of one search, built once. Building them loads data but no supernet."""

    space: AnySpace
    dataset: ImageDataset
    task: Task
    distribution: ArchitectureDistribution
    make_optimizer: Callable[[int, Generator], ArchitectureOptimizer]
    selector: Selector
    executor: Executor
    trackers: Trackers
    prior_proxies: Mapping[str, Proxy]


def build_components(config: SearchConfig, registry: Registry) -> Components:
    """Build every plugin that the configuration names.

    Raises:
        PluginLoadError: A plugin other than a tracker cannot be imported or built.
        UsageError: A plugin refuses its options.
    """
    space: AnySpace = _build(registry, "space", config.space)
    dataset: ImageDataset = _build(registry, "dataset", config.data)
    distribution: ArchitectureDistribution = _build(
        registry,
        "distribution",
        config.distribution,
        decisions=_decisions(space),
        generator=generator(config.seed, "distribution"),
    )

    def make_optimizer(dataset_size: int, random: Generator) -> ArchitectureOptimizer:
        optimizer: ArchitectureOptimizer = _build(
            registry,
            "optimizer",
            config.optimizer,
            distribution=distribution,
            dataset_size=dataset_size,
            generator=random,
        )
        return optimizer

    return Components(
        space=space,
        dataset=dataset,
        task=_task(dataset),
        distribution=distribution,
        make_optimizer=make_optimizer,
        selector=_build_selector(registry, config.selector),
        executor=_build(registry, "executor", config.executor),
        trackers=Trackers(registry, config.trackers),
        prior_proxies=_prior_proxies(registry, config.modifiers.informed_prior),
    )


def _prior_proxies(registry: Registry, config: InformedPriorConfig | None) -> dict[str, Proxy]:
    """Return the proxies of the informed prior, by name; none without one."""
    if config is None:
        return {}
    options = resolve_proxies(config.proxies, registry).options
    assert isinstance(options, RankingOptions), "an expression of proxies"
    return _build_proxies(registry, options)


def _build_proxies(registry: Registry, options: RankingOptions) -> dict[str, Proxy]:
    return {name: _build(registry, "proxy", s) for name, s in options.proxies.items()}


def _decisions(space: AnySpace) -> tuple[Decision, ...]:
    """Return the decisions of a space, once they are some: a distribution is built for them.

    Raises:
        UnfitError: They are not.
    """
    decisions: object = space.decisions
    if (
        not isinstance(decisions, tuple | list)
        or not decisions
        or not all(isinstance(one, Decision) and one.slots and one.choices for one in decisions)
    ):
        raise UnfitError(
            "space",
            f"decisions must be a tuple of at least one Decision, each with slots and choices; got "
            f"{str(decisions)[:80]}",
        )
    return tuple(decisions)


def _task(dataset: ImageDataset) -> Task:
    """Return what networks are built for.

    Raises:
        UnfitError: The data set has no shape, or no classes.
    """
    try:
        channels, height, width = dataset.input_shape
        return Task((channels, height, width), dataset.num_classes)
    except (TypeError, ValueError) as error:
        raise UnfitError(
            "dataset",
            f"input_shape must be (channels, height, width) and class_names a list; got "
            f"{dataset.input_shape!r} and {str(dataset.class_names)[:80]}",
        ) from error


def _build_selector(registry: Registry, section: PluginSection) -> Selector:
    """Return a selector whose remembered work is known by what it depends on."""
    options = section.options
    if isinstance(options, StagedOptions):
        stages = {name: _build_stage(registry, s) for name, s in options.stages.items()}
        return StagedSelector(stages, options.survivors, options)
    return scoped(_build_single(registry, section), _work(section))


def _build_single(registry: Registry, section: PluginSection) -> Selector:
    options = section.options
    if isinstance(options, RankingOptions):
        proxies = _build_proxies(registry, options)
        return RankingSelector(
            proxies,
            options,
            aggregate=options.aggregate,
            weights=options.weights,
            drawn=options.drawn,
            origins={name: registry.find("proxy", name).origin for name in proxies},
        )
    selector: Selector = _build(registry, "selector", section)
    return selector


def _work(section: PluginSection) -> str:
    """Return what numbers of a selector depend on: its options but for those of the pool."""
    options = section.model_dump(mode="json")
    text = json.dumps({k: v for k, v in options.items() if k not in _POOL}, sort_keys=True)
    return f"{section.name}@{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _build_stage(registry: Registry, section: PluginSection) -> PoolSelector:
    selector = _build_single(registry, section)
    if not isinstance(selector, PoolSelector):
        ref = registry.find("selector", section.name)
        raise PluginLoadError(
            f"selector {section.name!r} (from {ref.origin}) cannot be a stage: "
            f"{type(selector).__name__} is no PoolSelector; its author has to derive it from "
            f"balenas_core.selectors.PoolSelector. {ref.remedy}"
        )
    return scoped(selector, _work(section))


def _build(registry: Registry, kind: str, section: PluginSection, **context: Any) -> Any:
    return registry.find(kind, section.name).build(section.options, **context)
