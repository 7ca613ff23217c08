"""Checks that hold for a plugin of any kind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any, ClassVar

from balenas_core.config import PluginSection
from balenas_core.plugins.plugin import API_VERSION
from balenas_core.plugins.registry import PluginRef, default_registry


class PluginConformance:
    """Base of the kit. Subclasses of the kit's classes give ``plugin_name``."""

    kind: ClassVar[str]
    plugin_name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}

    def ref(self) -> PluginRef:
        """Return the plugin as the registry finds it."""
        return default_registry().find(self.kind, self.plugin_name)

    def section(self) -> PluginSection:
        """Return the plugin's section with ``options``, validated by its own model."""
        return PluginSection.resolve(
            self.kind, {"name": self.plugin_name, **self.options}, default_registry()
        )

    def build(self, **context: Any) -> Any:
        """Build the implementation from ``options``."""
        return self.ref().build(self.section().options, **context)

    def test_is_found_by_its_entry_point(self) -> None:
        ref = self.ref()
        assert ref.distribution != "(run time)", "declare an entry point in pyproject.toml"

    def test_declares_kind_api_version_and_a_one_line_summary(self) -> None:
        plugin = self.ref().load()
        assert plugin.kind == self.kind
        assert plugin.api_version == API_VERSION
        assert plugin.summary.strip(), "say in one line what the plugin is"
        assert "\n" not in plugin.summary

    def test_light_module_imports_no_torch(self) -> None:
        code = (
            "import sys; from balenas_core.plugins.registry import default_registry; "
            f"default_registry().find({self.kind!r}, {self.plugin_name!r}).load(); "
            "sys.exit('torch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], check=False)
        assert done.returncode == 0, "move torch imports out of the light module"

    def test_options_survive_a_round_trip(self) -> None:
        options = self.section().options
        if options is not None:
            assert type(options).model_validate_json(options.model_dump_json()) == options

    def test_every_option_has_a_description(self) -> None:
        model = self.ref().load().options
        if model is not None:
            missing = [name for name, field in model.model_fields.items() if not field.description]
            assert not missing, f"give Field(description=...) to {missing}"

    def test_implementation_is_importable_and_callable(self) -> None:
        assert callable(self.ref().load_implementation())
