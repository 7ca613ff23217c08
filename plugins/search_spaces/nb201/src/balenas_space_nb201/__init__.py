"""NAS-Bench-201 search space for balenas. Imports no torch until something else is used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from balenas_core.plugins.plugin import Plugin
from balenas_space_nb201._options import NB201Options as NB201Options

if TYPE_CHECKING:
    from balenas_space_nb201._architecture import (
        EDGES as EDGES,
        OPERATIONS as OPERATIONS,
        NB201Architecture as NB201Architecture,
        all_architectures as all_architectures,
    )
    from balenas_space_nb201._benchmark import NB201Benchmark as NB201Benchmark
    from balenas_space_nb201._network import NB201Network as NB201Network
    from balenas_space_nb201._space import NB201Space as NB201Space
    from balenas_space_nb201._supernet import NB201Supernet as NB201Supernet

plugin = Plugin(
    kind="space",
    summary="NAS-Bench-201: one cell of 6 edges and 5 operations (15,625 architectures)",
    api_version=1,
    implementation="balenas_space_nb201._space:NB201Space",
    options=NB201Options,
    provides=("supernet", "benchmark"),
    recommends={
        "selector": {
            "name": "feature_correlation+zen > supernet > refine",
            "draws": 512,
            "neighbors": 4,
            "drawn": True,
            "survivors": [16, 16],
            "supernet": {"optional": True},
            "refine": {"trainings": 8},
        }
    },
)

_HOME = {
    "EDGES": "_architecture",
    "OPERATIONS": "_architecture",
    "NB201Architecture": "_architecture",
    "NB201Benchmark": "_benchmark",
    "NB201Network": "_network",
    "NB201Space": "_space",
    "NB201Supernet": "_supernet",
    "all_architectures": "_architecture",
}

__all__ = [
    "EDGES",
    "OPERATIONS",
    "NB201Architecture",
    "NB201Benchmark",
    "NB201Network",
    "NB201Options",
    "NB201Space",
    "NB201Supernet",
    "all_architectures",
    "plugin",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
