"""Core of balenas: interfaces, plugin registry, typed configuration and search engine.

Names that need pydantic or torch are imported when first used, so that importing this
package is cheap.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from balenas_core.errors import BalenasError as BalenasError
from balenas_core.plugins.plugin import API_VERSION as API_VERSION, Plugin as Plugin

if TYPE_CHECKING:
    from balenas_core.config import SearchConfig as SearchConfig, load_config as load_config
    from balenas_core.engine.search import Search as Search
    from balenas_core.interfaces.architecture import (
        Architecture as Architecture,
        Cell as Cell,
        Edge as Edge,
    )
    from balenas_core.interfaces.benchmark import (
        Benchmark as Benchmark,
        BenchmarkEntry as BenchmarkEntry,
    )
    from balenas_core.interfaces.dataset import ImageDataset as ImageDataset
    from balenas_core.interfaces.distribution import (
        ArchitectureDistribution as ArchitectureDistribution,
    )
    from balenas_core.interfaces.executor import Executor as Executor
    from balenas_core.interfaces.optimizer import (
        ArchitectureOptimizer as ArchitectureOptimizer,
        Objective as Objective,
    )
    from balenas_core.interfaces.proxy import Batch as Batch, Proxy as Proxy
    from balenas_core.interfaces.result import SearchResult as SearchResult
    from balenas_core.interfaces.selection import (
        Candidate as Candidate,
        Selection as Selection,
        SelectionContext as SelectionContext,
        Selector as Selector,
    )
    from balenas_core.interfaces.space import (
        Decision as Decision,
        SearchSpace as SearchSpace,
        Supernet as Supernet,
        Task as Task,
        Weights as Weights,
    )
    from balenas_core.interfaces.tracker import Tracker as Tracker
    from balenas_core.plugins.hooks import hookimpl as hookimpl
    from balenas_core.plugins.options import PluginOptions as PluginOptions
    from balenas_core.plugins.registry import (
        Registry as Registry,
        default_registry as default_registry,
    )

__version__ = "0.1.0"

_MODULE_OF = {
    "Architecture": "interfaces.architecture",
    "ArchitectureDistribution": "interfaces.distribution",
    "ArchitectureOptimizer": "interfaces.optimizer",
    "Batch": "interfaces.proxy",
    "Benchmark": "interfaces.benchmark",
    "BenchmarkEntry": "interfaces.benchmark",
    "Candidate": "interfaces.selection",
    "Cell": "interfaces.architecture",
    "Decision": "interfaces.space",
    "Edge": "interfaces.architecture",
    "Executor": "interfaces.executor",
    "ImageDataset": "interfaces.dataset",
    "Objective": "interfaces.optimizer",
    "PluginOptions": "plugins.options",
    "Proxy": "interfaces.proxy",
    "Registry": "plugins.registry",
    "Search": "engine.search",
    "SearchConfig": "config",
    "SearchResult": "interfaces.result",
    "SearchSpace": "interfaces.space",
    "Selection": "interfaces.selection",
    "SelectionContext": "interfaces.selection",
    "Selector": "interfaces.selection",
    "Supernet": "interfaces.space",
    "Task": "interfaces.space",
    "Tracker": "interfaces.tracker",
    "Weights": "interfaces.space",
    "default_registry": "plugins.registry",
    "hookimpl": "plugins.hooks",
    "load_config": "config",
}

__all__ = ["API_VERSION", "BalenasError", "Plugin", *_MODULE_OF]  # noqa: PLE0604 (strings)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
