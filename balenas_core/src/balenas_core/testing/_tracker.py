"""Checks of trackers."""

from __future__ import annotations

import random
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from balenas_core.engine.search import Search
from balenas_core.errors import SearchInterrupted
from balenas_core.interfaces.events import EpochEnded, Event, SearchFailed
from balenas_core.interfaces.tracker import Tracker
from balenas_core.testing._plugin import PluginConformance
from balenas_core.testing._toy_search import toy_config, toy_registry

if TYPE_CHECKING:
    import pytest  # the kit needs its fixtures, not the package


class TrackerConformance(PluginConformance):
    """A tracker follows searches that finish, fail and go on, and leaves no trace in them.

    Every check runs in an empty directory, so that paths in ``options`` may be relative.
    """

    kind = "tracker"

    def search(
        self, *, output: str | None = None, is_tracked: bool = True, listeners: Any = ()
    ) -> Search:
        """Return a small search, with or without the tracker."""
        registry = toy_registry()
        registry.add(self.plugin_name, self.ref().load())
        trackers = [{"name": self.plugin_name, **self.options}] if is_tracked else []
        config = toy_config(registry, trackers=trackers, output=output)
        return Search(config, registry=registry, listeners=listeners)

    def test_a_search_that_is_tracked_ends_like_one_that_is_not(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with chdir(tmp_path):
            tracked = self.search(output="tracked").run().to_dict()
            alone = self.search(output="alone", is_tracked=False).run().to_dict()
        assert not _switched_off(caplog)
        for found in (tracked, alone):
            del found["seconds"], found["final_metrics"]["seconds"]
        assert tracked == alone

    def test_it_draws_from_no_global_generator(self, tmp_path: Path) -> None:
        events: list[Event] = []
        with chdir(tmp_path):
            self.search(output="run", is_tracked=False, listeners=[events.append]).run()
            before = _global_states()
            tracker = cast(Tracker, self.build())
            for event in events:
                tracker.handle(event)
        assert _global_states() == before

    def test_a_search_that_was_interrupted_goes_on(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with chdir(tmp_path):
            self._interrupt("run")
            result = self.search(output="run").run(resume="must")
        assert len(result.metrics) == 2
        assert not _switched_off(caplog)

    def test_a_failure_before_the_start_is_no_error(self, tmp_path: Path) -> None:
        with chdir(tmp_path):
            cast(Tracker, self.build()).handle(SearchFailed(ValueError("too early")))

    def _interrupt(self, output: str) -> None:
        """Stop a search after its first epoch."""

        def stop(event: Event) -> None:
            if isinstance(event, EpochEnded):
                search.request_stop()

        search = self.search(output=output, listeners=[stop])
        try:
            search.run()
        except SearchInterrupted:
            return
        raise AssertionError("a search that is asked to stop must stop")


def _global_states() -> tuple[Any, ...]:
    numpy_state = np.random.get_state(legacy=True)  # noqa: NPY002 (it is the one to look at)
    return torch.get_rng_state().tolist(), random.getstate(), str(numpy_state)


def _switched_off(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text for text in caplog.messages if "is switched off" in text]
