"""Core of balenas: interfaces, plugin registry, typed configuration and search engine.

Names that need pydantic or torch are imported when first used, so that importing this
package is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from balenas_core.errors import BalenasError as BalenasError
from balenas_core.plugin import API_VERSION as API_VERSION, Plugin as Plugin

if TYPE_CHECKING:
    from balenas_core.architecture import (
        Architecture as Architecture,
        Cell as Cell,
        Edge as Edge,
    )
    from balenas_core.benchmark import Benchmark as Benchmark, BenchmarkEntry as BenchmarkEntry
    from balenas_core.config import SearchConfig as SearchConfig, load_config as load_config
    from balenas_core.dataset import ImageDataset as ImageDataset
    from balenas_core.distribution import ArchitectureDistribution as ArchitectureDistribution
    from balenas_core.executor import Executor as Executor
    from balenas_core.hooks import hookimpl as hookimpl
    from balenas_core.optimizer import (
        ArchitectureOptimizer as ArchitectureOptimizer,
        Objective as Objective,
    )
    from balenas_core.options import PluginOptions as PluginOptions
    from balenas_core.proxy import Batch as Batch, Proxy as Proxy
    from balenas_core.registry import Registry as Registry, default_registry as default_registry
    from balenas_core.result import SearchResult as SearchResult
    from balenas_core.search import Search as Search
    from balenas_core.selection import (
        Candidate as Candidate,
        Selection as Selection,
        SelectionContext as SelectionContext,
        Selector as Selector,
    )
    from balenas_core.space import (
        Decision as Decision,
        SearchSpace as SearchSpace,
        Supernet as Supernet,
        Task as Task,
        Weights as Weights,
    )
    from balenas_core.tracker import Tracker as Tracker

__version__ = "0.1.0"

_MODULE_OF = {
    "Architecture": "architecture",
    "ArchitectureDistribution": "distribution",
    "ArchitectureOptimizer": "optimizer",
    "Batch": "proxy",
    "Benchmark": "benchmark",
    "BenchmarkEntry": "benchmark",
    "Candidate": "selection",
    "Cell": "architecture",
    "Decision": "space",
    "Edge": "architecture",
    "Executor": "executor",
    "ImageDataset": "dataset",
    "Objective": "optimizer",
    "PluginOptions": "options",
    "Proxy": "proxy",
    "Registry": "registry",
    "Search": "search",
    "SearchConfig": "config",
    "SearchResult": "result",
    "SearchSpace": "space",
    "Selection": "selection",
    "SelectionContext": "selection",
    "Selector": "selection",
    "Supernet": "space",
    "Task": "space",
    "Tracker": "tracker",
    "Weights": "space",
    "default_registry": "registry",
    "hookimpl": "hooks",
    "load_config": "config",
}

__all__ = ["API_VERSION", "BalenasError", "Plugin", *_MODULE_OF]  # noqa: PLE0604 (strings)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
