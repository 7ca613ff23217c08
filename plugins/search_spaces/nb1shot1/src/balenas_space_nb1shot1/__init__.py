"""NAS-Bench-1Shot1 search spaces for balenas. Imports no torch until something else is used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from balenas_core.plugins.plugin import Plugin
from balenas_space_nb1shot1._options import NB1Shot1Options as NB1Shot1Options

if TYPE_CHECKING:
    from balenas_space_nb1shot1._architecture import (
        NB1Shot1Architecture as NB1Shot1Architecture,
    )
    from balenas_space_nb1shot1._benchmark import NB1Shot1Benchmark as NB1Shot1Benchmark
    from balenas_space_nb1shot1._nb101 import (
        NB101Cell as NB101Cell,
        module_hash as module_hash,
        to_nb101 as to_nb101,
    )
    from balenas_space_nb1shot1._network import NB101Network as NB101Network
    from balenas_space_nb1shot1._space import NB1Shot1Space as NB1Shot1Space
    from balenas_space_nb1shot1._supernet import NB1Shot1Supernet as NB1Shot1Supernet
    from balenas_space_nb1shot1._topology import OPERATIONS as OPERATIONS

plugin = Plugin(
    kind="space",
    summary="NAS-Bench-1Shot1: three one-shot views of NAS-Bench-101 (s1, s2, s3)",
    api_version=1,
    implementation="balenas_space_nb1shot1._space:NB1Shot1Space",
    options=NB1Shot1Options,
    provides=("supernet", "benchmark"),
    recommends={
        "selector": {
            "name": "az_expressivity+params > supernet > refine",
            "draws": 512,
            "neighbors": 4,
            "drawn": True,
            "survivors": [48, 48],
            "supernet": {"optional": True},
        }
    },
)

_HOME = {
    "NB101Cell": "_nb101",
    "NB101Network": "_network",
    "NB1Shot1Architecture": "_architecture",
    "NB1Shot1Benchmark": "_benchmark",
    "NB1Shot1Space": "_space",
    "NB1Shot1Supernet": "_supernet",
    "OPERATIONS": "_topology",
    "module_hash": "_nb101",
    "to_nb101": "_nb101",
}

__all__ = [
    "OPERATIONS",
    "NB1Shot1Architecture",
    "NB1Shot1Benchmark",
    "NB1Shot1Options",
    "NB1Shot1Space",
    "NB1Shot1Supernet",
    "NB101Cell",
    "NB101Network",
    "module_hash",
    "plugin",
    "to_nb101",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
