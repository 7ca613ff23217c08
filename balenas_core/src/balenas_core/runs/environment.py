"""What a run ran on, for its record and for ``balenas doctor``."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import Any

from balenas_core.plugins.installed import name_of


def versions() -> dict[str, str]:
    """Return the version of every installed balenas distribution and of what they stand on."""
    stack = ("torch", "torchvision", "numpy", "pydantic", "pluggy", "timm", "scikit-learn")
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = name_of(distribution)
        if name and (name in stack or name == "balenas" or name.startswith("balenas-")):
            found.setdefault(name, distribution.version)
    return dict(sorted(found.items()))


def describe(device: str, threads: int) -> dict[str, Any]:
    """Return interpreter, platform, versions, device and threads as plain data."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": sys.argv,
        "device": device,
        "threads": threads,
        "versions": versions(),
    }
