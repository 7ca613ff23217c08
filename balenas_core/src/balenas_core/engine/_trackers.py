"""The trackers of one search; none of them can end it."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from balenas_core.config import PluginSection
from balenas_core.errors import told
from balenas_core.interfaces.events import Event, detached
from balenas_core.interfaces.tracker import Tracker
from balenas_core.plugins.registry import PluginRef, Registry

_log = logging.getLogger(__name__)


class Trackers:
    """Builds trackers and sends them events; one that raises is reported and switched off.

    Args:
        registry: Where their plugins are looked up.
        sections: Names and options.
    """

    def __init__(self, registry: Registry, sections: Iterable[PluginSection]) -> None:
        self._trackers: dict[str, tuple[PluginRef, Tracker]] = {}
        for section in sections:
            try:
                ref = registry.find("tracker", section.name)
                self._trackers[section.name] = ref, ref.build(section.options)
            except Exception as error:
                _report(section.name, told(error))

    def handle(self, event: Event) -> None:
        """Send an event to every tracker that is left."""
        for name, (ref, tracker) in list(self._trackers.items()):
            try:
                with ref.called("while it tracked the search"):
                    tracker.handle(detached(event))
            except Exception as error:
                del self._trackers[name]
                remedy = f". {ref.remedy} It is from {ref.origin}." if ref.entry else ""
                _report(name, f"{told(error)}{remedy}")


def _report(name: str, what: str) -> None:
    _log.warning("tracker %r failed and is switched off: %s", name, what)
