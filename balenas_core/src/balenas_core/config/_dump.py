"""Configurations as YAML text."""

from __future__ import annotations

import yaml

from balenas_core.config._model import SearchConfig


def to_yaml(config: SearchConfig) -> str:
    """Return a configuration as YAML, every key with its value, in a fixed order.

    Reading the text back gives an equal configuration.
    """
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
