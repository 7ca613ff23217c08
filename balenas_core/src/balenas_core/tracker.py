"""Trackers: plugins that send a search's events to an experiment tracker."""

from __future__ import annotations

from abc import ABC, abstractmethod

from balenas_core.events import Event


class Tracker(ABC):
    """Receives every event of a search.

    A plugin's implementation is called as ``Tracker(options)``. A tracker that raises is
    reported and switched off; the search goes on.
    """

    @abstractmethod
    def handle(self, event: Event) -> None:
        """Record one event."""
