"""DARTS search space for balenas. Imports no torch until something else is used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from balenas_core.plugins.plugin import Plugin
from balenas_space_darts._options import DartsOptions as DartsOptions

if TYPE_CHECKING:
    from balenas_space_darts._architecture import (
        DartsArchitecture as DartsArchitecture,
        DartsCell as DartsCell,
    )
    from balenas_space_darts._choices import OPERATIONS as OPERATIONS
    from balenas_space_darts._network import DartsNetwork as DartsNetwork
    from balenas_space_darts._published import PUBLISHED as PUBLISHED
    from balenas_space_darts._space import DartsSpace as DartsSpace
    from balenas_space_darts._supernet import DartsSupernet as DartsSupernet

plugin = Plugin(
    kind="space",
    summary="DARTS: normal and reduction cell of 14 edges and 8 operations",
    api_version=1,
    implementation="balenas_space_darts._space:DartsSpace",
    options=DartsOptions,
    provides=("supernet",),
    recommends={"selector": "swap+synflow"},
)

_HOME = {
    "OPERATIONS": "_choices",
    "PUBLISHED": "_published",
    "DartsArchitecture": "_architecture",
    "DartsCell": "_architecture",
    "DartsNetwork": "_network",
    "DartsSpace": "_space",
    "DartsSupernet": "_supernet",
}

__all__ = [
    "OPERATIONS",
    "PUBLISHED",
    "DartsArchitecture",
    "DartsCell",
    "DartsNetwork",
    "DartsOptions",
    "DartsSpace",
    "DartsSupernet",
    "plugin",
]


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
