"""Checks of presets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from balenas_core.config import SearchConfig, load_config
from balenas_core.testing._settings import SettingsConformance


class PresetConformance(SettingsConformance):
    """A preset is a part of a configuration that can be used as it is."""

    kind = "preset"
    keys_are_shown_by = "balenas config schema"

    completion: ClassVar[Mapping[str, Any]] = {"space": "nb201", "optimizer": "adam"}

    def configuration(self) -> SearchConfig:
        """Return the configuration of a search with the preset."""
        return load_config(
            None,
            flags=self.open_parts(),
            base=self.make(),
            base_name="the preset",
            registry=self.registry(),
        )
