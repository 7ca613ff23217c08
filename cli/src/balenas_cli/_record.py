"""What is left of a search that did not end well."""

from __future__ import annotations

from pathlib import Path

from balenas_core.events import EpochEnded, Event, RunFinished, SearchStarted


class Record:
    """A listener that knows how far a search came and where it writes."""

    def __init__(self) -> None:
        self._run: Path | None = None
        self._epochs = self._done = 0
        self._is_finished = False

    def __call__(self, event: Event) -> None:
        """Take note of one event."""
        if isinstance(event, SearchStarted):
            self._run, self._epochs = event.run, event.epochs
        elif isinstance(event, EpochEnded):
            self._done = event.epoch + 1
        elif isinstance(event, RunFinished):
            self._is_finished = True

    @property
    def kept(self) -> str:
        """One line on what the run directory keeps; empty if there is none."""
        if self._run is None:
            return ""
        if self._is_finished:
            return f"the search is done; its result is in {self._run}"
        return (
            f"stopped after {self._done} of {self._epochs} epochs; {self._run} keeps the "
            "configuration, the metrics and the last checkpoint"
        )
