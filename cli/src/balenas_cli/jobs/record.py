"""What is left of a search that did not end well."""

from __future__ import annotations

from pathlib import Path

from balenas_cli.shell.run_names import resume_command
from balenas_core.errors import DivergenceError, SelectionError
from balenas_core.interfaces.events import EpochEnded, Event, RunFinished, SearchStarted
from balenas_core.runs.directory import holds_run


class Record:
    """A listener that knows how far a search came and where it writes."""

    def __init__(self) -> None:
        self._run: Path | None = None
        self._epochs = self._done = 0
        self._is_finished = False
        self.has_started = False

    def __call__(self, event: Event) -> None:
        """Take note of one event."""
        if isinstance(event, SearchStarted):
            self.has_started = True
            self._run, self._epochs = event.run, event.epochs
            self._done = event.epochs_done
        elif isinstance(event, EpochEnded):
            self._done = event.epoch + 1
        elif isinstance(event, RunFinished):
            self._is_finished = True

    def kept(self, error: BaseException) -> list[str]:
        """Return what the run directory keeps and how to go on, as lines; none if it is none."""
        if self._run is None:
            return []
        if self._is_finished:
            return [f"the search is done; its result is in {self._run}"]
        stopped = f"stopped after {self._done} of {self._epochs} epochs"
        if not holds_run(self._run):
            return [f"{stopped}; {self._run} is gone, and the state with it."]
        kept = f"{stopped}; {self._run} keeps the state."
        # From the same state on the same numbers follow: it would diverge again.
        if isinstance(error, DivergenceError):
            return [kept]
        if isinstance(error, SelectionError):
            kept += " The selection would fail again as it is: mend what it failed on, such as a"
            kept += " proxy or a limit, or choose by another selector, and go on with:"
            command = resume_command(self._run)
            return [kept, f"  {command} [--selector NAME] [--set selector.KEY=VALUE]"]
        return [f"{kept} Go on with:", f"  {resume_command(self._run)}"]
