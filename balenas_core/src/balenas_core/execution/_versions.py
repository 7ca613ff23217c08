"""Whether a worker has the versions of those that sent it work."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata

from balenas_core.errors import UsageError
from balenas_core.plugins.installed import name_of

_STACK = ("numpy", "torch")
"""What numbers depend on, beside balenas itself."""


@cache
def own_versions() -> Mapping[str, str]:
    """Return the version of every distribution here that a result may depend on."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for distribution in metadata.distributions():
        name = name_of(distribution)
        if name and (name in _STACK or name.startswith("balenas-")):
            # What follows the plus says how it was built, such as for which GPU.
            found.setdefault(name, distribution.version.partition("+")[0])
    return found


def check_versions(wanted: Mapping[str, str]) -> None:
    """Check that what is installed here as there has the same version.

    What is missing here shows itself if it is needed.

    Raises:
        UsageError: Something has another version; the message names it.
    """
    own = own_versions()
    others = [
        f"{name} {own[name]} there and {version} here"
        for name, version in sorted(wanted.items())
        if own.get(name, version) != version
    ]
    if others:
        raise UsageError(
            f"worker {platform.node()} has other versions than this machine: {', '.join(others)}. "
            f"Install the same on both; results would not be the same."
        )
