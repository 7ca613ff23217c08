"""Configurations as YAML text."""

from __future__ import annotations

from balenas_core.config._model import SearchConfig
from balenas_core.config._yaml import dump_yaml


def to_yaml(config: SearchConfig) -> str:
    """Return a configuration as YAML, every key with its value, in a fixed order.

    Reading the text back gives an equal configuration.
    """
    return dump_yaml(config.model_dump(mode="json"))
