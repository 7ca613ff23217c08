"""What a run ran on, for its record and for ``balenas doctor``."""

from __future__ import annotations

import logging
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

from balenas_core.plugins.installed import name_of, version_of

_log = logging.getLogger(__name__)


def versions() -> dict[str, str]:
    """Return the version of every installed balenas distribution and of what they stand on."""
    stack = ("torch", "torchvision", "numpy", "pydantic", "pluggy", "timm", "scikit-learn")
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = name_of(distribution)
        if name and (name in stack or name == "balenas" or name.startswith("balenas-")):
            found.setdefault(name, version_of(distribution))
    return dict(sorted(found.items()))


def describe(
    device: str, threads: int, plugins: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """Return interpreter, platform, versions, device, threads and plugins as plain data."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "command": sys.argv,
        "device": device,
        "threads": threads,
        "versions": versions(),
        "plugins": list(plugins),
    }


def warn_of_other_versions(stored: Mapping[str, str]) -> None:
    """Say which packages changed since the run started: the last digits may differ."""
    now = versions()
    changed = [
        f"{name} {was} -> {now.get(name, 'missing')}"
        for name, was in stored.items()
        if now.get(name) != was
    ]
    if changed:
        _log.warning(
            "this run was started with other versions (%s); its result may differ in the last "
            "digits from an uninterrupted one",
            ", ".join(changed),
        )
