"""Checks of trackers."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from balenas_core.engine.search import Search
from balenas_core.errors import SearchInterrupted
from balenas_core.interfaces.events import EpochEnded, Event, SearchFailed, SearchStarted, StepEnded
from balenas_core.interfaces.tracker import Tracker
from balenas_core.runs.directory import CHECKPOINTS
from balenas_core.testing._events import plain, with_all_kinds, with_unknowns
from balenas_core.testing._plugin import PluginConformance
from balenas_core.testing._toy_search import toy_config, toy_registry

if TYPE_CHECKING:
    import pytest  # the kit needs its fixtures, not the package

_EPOCHS = 4
_STOPPED_AFTER = 3
_LEAST_KEPT = 0.6
_LONGEST_STEP = 0.1
"""Seconds that an event of a step may take; a step of a small supernet takes less."""


class TrackerConformance(PluginConformance):
    """A tracker follows searches that finish, fail and go on, and leaves no trace in them.

    Every check runs in an empty directory, so that paths in ``options`` may be relative.
    """

    kind = "tracker"
    base = Tracker

    def search(
        self,
        *,
        output: str | None = None,
        is_tracked: bool = True,
        listeners: Any = (),
        epochs: int = 2,
    ) -> Search:
        """Return a small search, with or without the tracker."""
        registry = toy_registry()
        registry.add(self.plugin_name, self.ref().load())
        trackers = [{"name": self.plugin_name, **self.options}] if is_tracked else []
        config = toy_config(registry, trackers=trackers, output=output, training={"epochs": epochs})
        return Search(config, registry=registry, listeners=listeners)

    def events(self, *, output: str | None = None) -> list[Event]:
        """Return the events of a small search that is not tracked."""
        events: list[Event] = []
        self.search(output=output, is_tracked=False, listeners=[events.append]).run()
        return events

    def use(self) -> None:
        """Record a search."""
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            _handle_all(cast(Tracker, self.build()), self.events(output="run"))

    def test_a_search_that_is_tracked_ends_like_one_that_is_not(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with chdir(tmp_path):
            tracked = self.search(output="tracked").run().to_dict()
            alone = self.search(output="alone", is_tracked=False).run().to_dict()
        _assert_not_switched_off(caplog)
        for found in (tracked, alone):
            del found["seconds"], found["final_metrics"]["seconds"]
        assert tracked == alone, "the tracker changes what the search finds"

    def test_it_leaves_events_alone(self, tmp_path: Path) -> None:
        with chdir(tmp_path):
            events = self.events(output="run")
            tracker = cast(Tracker, self.build())
            for event in events:
                before = plain(event)
                tracker.handle(event)
                assert plain(event) == before, (
                    f"handle() changes {type(event).__name__}, which others get after it; work on "
                    f"copies"
                )

    def test_a_search_without_a_directory_is_tracked(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with chdir(tmp_path):
            self.search().run()
        _assert_not_switched_off(caplog, " where SearchStarted.run is None")

    def test_a_search_that_was_interrupted_goes_on(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with chdir(tmp_path):
            self._interrupt("run")
            result = self.search(output="run").run(resume="must")
        assert len(result.metrics) == 2
        _assert_not_switched_off(caplog, " when the search goes on")

    def test_what_was_recorded_before_an_interruption_is_kept(self, tmp_path: Path) -> None:
        sizes = {}
        for name, is_stopped in (("whole", False), ("resumed", True)):
            (tmp_path / name).mkdir()
            with chdir(tmp_path / name):
                if is_stopped:
                    self._interrupt("run", epochs=_EPOCHS, after=_STOPPED_AFTER)
                self.search(output="run", epochs=_EPOCHS).run(
                    resume="must" if is_stopped else "never"
                )
            sizes[name] = sum(self._recorded(tmp_path / name).values())
        assert sizes["resumed"] >= _LEAST_KEPT * sizes["whole"], (
            f"a search of {_EPOCHS} epochs leaves {sizes['whole']} bytes of records; one that was "
            f"interrupted after {_STOPPED_AFTER} and went on, {sizes['resumed']}: what stood there "
            f"was overwritten. Open files to append where SearchStarted.first_step is above zero"
        )

    def test_everything_is_written_when_the_search_ends(self, tmp_path: Path) -> None:
        with chdir(tmp_path):
            events = self.events()
            tracker = cast(Tracker, self.build())
            _handle_all(tracker, events)
            gc.collect()
            before = self._recorded(tmp_path)
            del tracker
            gc.collect()
            after = self._recorded(tmp_path)
        late = sorted(name for name, size in after.items() if size > before.get(name, 0))
        assert not late, (
            f"{late} grew after RunFinished: flush or close files there, and at SearchFailed; a "
            f"process can be killed"
        )

    def test_a_failure_before_the_start_is_no_error(self, tmp_path: Path) -> None:
        with chdir(tmp_path):
            cast(Tracker, self.build()).handle(SearchFailed(ValueError("too early")))

    def test_a_search_that_fails_or_is_stopped_is_no_error(self, tmp_path: Path) -> None:
        with chdir(tmp_path):
            events = self.events()
            begun = [e for e in events if isinstance(e, SearchStarted | StepEnded | EpochEnded)]
            for error in (ValueError("it broke"), KeyboardInterrupt(), SystemExit(0)):
                tracker = cast(Tracker, self.build())
                _handle_all(tracker, [*begun[:3], SearchFailed(error)])

    def test_unknown_losses_and_numbers_are_no_error(self, tmp_path: Path) -> None:
        with chdir(tmp_path):
            events = self.events()
            _handle_all(cast(Tracker, self.build()), with_unknowns(events))

    def test_every_event_is_handled(self, tmp_path: Path) -> None:
        with chdir(tmp_path):
            events = self.events()
            tracker = cast(Tracker, self.build())
            for event in with_all_kinds(events):
                try:
                    tracker.handle(event)
                except Exception as error:
                    raise AssertionError(
                        f"handle() fails with {type(event).__name__} ({error!r}); leave events "
                        f"alone that are not yours: new ones may come"
                    ) from error

    def test_two_searches_are_recorded_apart(self, tmp_path: Path) -> None:
        sizes = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            with chdir(tmp_path / name):
                self.search(output="run").run()
            sizes.append(sum(self._recorded(tmp_path / name).values()))
        first, second = sizes
        assert second >= _LEAST_KEPT * first, (
            f"a search leaves {first} bytes of records, and the next one of the same process "
            f"{second} where its own belong; keep nothing from one search to the next in the "
            f"module or the class"
        )

    def test_it_leaves_the_files_of_the_run_alone(self, tmp_path: Path) -> None:
        with chdir(tmp_path):
            events = self.events(output="run")
            own = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
            _handle_all(cast(Tracker, self.build()), events)
            changed = sorted(
                str(path)
                for path, content in own.items()
                if not path.is_file() or path.read_bytes() != content
            )
        assert not changed, (
            f"the tracker changes or removes {changed}, files of the run itself; write into a "
            f"folder of your own, such as 'trackers'"
        )

    def test_a_step_is_not_held_up(self, tmp_path: Path) -> None:
        seconds = []
        with chdir(tmp_path):
            tracker = cast(Tracker, self.build())
            for event in self.events():
                begun = time.perf_counter()
                tracker.handle(event)
                if isinstance(event, StepEnded):
                    seconds.append(time.perf_counter() - begun)
        assert statistics.median(seconds) < _LONGEST_STEP, (
            f"handle() of StepEnded takes {statistics.median(seconds):.2f} s, for which every step "
            f"of a search waits; send in the background, or some steps and epochs alone"
        )

    def _recorded(self, folder: Path) -> dict[str, int]:
        """Return file -> size of what the tracker has written below a folder."""
        with tempfile.TemporaryDirectory() as other, chdir(other):
            self.search(output="run", is_tracked=False).run()
            own = {str(path) for path in Path().rglob("*")}
        return {
            name: path.stat().st_size
            for path in folder.rglob("*")
            if path.is_file()
            and (name := str(path.relative_to(folder))) not in own
            and CHECKPOINTS not in path.parts
        }

    def _interrupt(self, output: str, *, epochs: int = 2, after: int = 1) -> None:
        """Stop a search after some epochs."""

        def stop(event: Event) -> None:
            if isinstance(event, EpochEnded) and event.epoch + 1 == after:
                search.request_stop()

        search = self.search(output=output, listeners=[stop], epochs=epochs)
        try:
            search.run()
        except SearchInterrupted:
            return
        raise AssertionError("a search that is asked to stop must stop")


def _handle_all(tracker: Tracker, events: list[Event]) -> None:
    here = Path.cwd()
    for event in events:
        tracker.handle(event)
        assert Path.cwd() == here, (
            f"handle() of {type(event).__name__} changes the working directory, in which paths of "
            f"others lie; give your own files whole paths"
        )


def _assert_not_switched_off(caplog: pytest.LogCaptureFixture, where: str = "") -> None:
    said = [text for text in caplog.messages if "is switched off" in text]
    assert not said, f"the tracker raises{where}: {said[0]}"
