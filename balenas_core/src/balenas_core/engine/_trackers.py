"""The trackers of one search; none of them can end it."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from balenas_core.config import PluginSection
from balenas_core.errors import BalenasError
from balenas_core.interfaces.events import Event
from balenas_core.interfaces.tracker import Tracker
from balenas_core.plugins.registry import Registry

_log = logging.getLogger(__name__)


class Trackers:
    """Builds trackers and sends them events; one that raises is reported and switched off.

    Args:
        registry: Where their plugins are looked up.
        sections: Names and options.
    """

    def __init__(self, registry: Registry, sections: Iterable[PluginSection]) -> None:
        self._trackers: dict[str, Tracker] = {}
        for section in sections:
            try:
                ref = registry.find("tracker", section.name)
                self._trackers[section.name] = ref.build(section.options)
            except Exception as error:
                _report(section.name, error)

    def handle(self, event: Event) -> None:
        """Send an event to every tracker that is left."""
        for name, tracker in list(self._trackers.items()):
            try:
                tracker.handle(event)
            except Exception as error:
                del self._trackers[name]
                _report(name, error)


def _report(name: str, error: Exception) -> None:
    what = str(error) if isinstance(error, BalenasError) else f"{type(error).__name__}: {error}"
    _log.warning("tracker %r failed and is switched off: %s", name, what)
