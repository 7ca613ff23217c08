"""Errors by the names that the user typed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from balenas_core.errors import ConfigError


@contextmanager
def as_typed(labels: Mapping[str, str]) -> Iterator[None]:
    """Name what chose a plugin as the user typed it, such as ``--space``, in errors of the block.

    Args:
        labels: Key of a plugin's section -> how it was typed. Errors in its options keep theirs.

    Raises:
        ConfigError: The block raised it; the lines about a plugin's name begin with its label.
    """
    try:
        yield
    except ConfigError as error:
        keys = "|".join(map(re.escape, labels))
        pattern = re.compile(rf"^({keys})(?:\.name)?: ", re.MULTILINE)
        text = pattern.sub(lambda found: f"{labels[found[1]]}: ", str(error))
        raise ConfigError(text) from error
