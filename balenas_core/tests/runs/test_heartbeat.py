"""The sign of life of a run."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from balenas_core.runs import heartbeat
from balenas_core.runs.directory import RunDirectory
from balenas_core.runs.heartbeat import EVERY, Beat, Heartbeat
from balenas_core.runs.listing import LOST, RUNNING, STALLED, read_run


class Time:
    """A clock that goes on when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(heartbeat.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Time(monkeypatch)


def test_beats_are_written_seldom_and_a_new_phase_at_once(clock):
    written = []
    beats = Heartbeat(written.append)
    for step in range(100):
        beats.reached("search", step, 100)
        clock.now += 0.1
    assert [beat["done"] for beat in written] == [0, 50]
    beats.reached("selection", 0, 0)
    assert written[-1]["phase"] == "selection"


def test_a_beat_tells_the_longest_unit_so_far(clock):
    written = []
    beats = Heartbeat(written.append)
    for seconds in (0.0, 7.0, 40.0, 6.0):
        clock.now += seconds
        beats.beat()
    assert [beat["slowest"] for beat in written] == [0.0, 7.0, 40.0, 40.0]


@pytest.fixture
def run(tmp_path):
    made = RunDirectory.create(tmp_path / "run", config_yaml="seed: 0\n", environment={})
    yield made
    made.release()


def _beat(run: RunDirectory, *, slowest: float, age: float) -> None:
    at = datetime.now().astimezone() - timedelta(seconds=age)
    beat = {"at": at.isoformat(), "phase": "search", "done": 3, "total": 9, "slowest": slowest}
    run.write_status("running", heartbeat=beat)


def test_a_slow_run_is_told_from_a_stalled_one(run):
    _beat(run, slowest=60.0, age=300.0)
    assert read_run(run.path).status == RUNNING
    _beat(run, slowest=1.0, age=300.0)
    assert read_run(run.path).status == STALLED


def test_the_first_unit_of_work_may_take_long(run):
    _beat(run, slowest=0.0, age=300.0)
    assert read_run(run.path).status == RUNNING
    _beat(run, slowest=0.0, age=3000.0)
    assert read_run(run.path).status == STALLED


def test_a_run_whose_process_is_gone_is_lost_however_fresh_its_beat(run):
    _beat(run, slowest=1.0, age=0.0)
    run.release()
    found = read_run(run.path)
    assert found.status == LOST
    assert found.beat is not None
    assert (found.beat.done, found.beat.total) == (3, 9)


def test_a_run_that_goes_on_begins_with_no_old_beat(run):
    _beat(run, slowest=1.0, age=9999.0)
    run.reopen("seed: 0\n", {})
    assert read_run(run.path).status == RUNNING


def test_a_clock_that_lags_behind_makes_no_run_stalled():
    later = datetime.now().astimezone() + timedelta(hours=1)
    beat = Beat(later.isoformat(), "search", 0, 1, 1.0)
    assert beat.age(datetime.now().astimezone()) == 0.0


def test_a_status_that_was_damaged_is_mended_by_the_next_beat(run, clock):
    (run.path / "status.json").write_text("{")
    run.reached("search", 1, 10)
    assert json.loads((run.path / "status.json").read_text())["heartbeat"]["done"] == 1


def test_a_beat_that_cannot_be_written_does_not_end_the_run(run, clock, caplog):
    status = run.path / "status.json"
    status.unlink()
    status.mkdir()
    run.reached("search", 1, 10)
    clock.now += 2 * EVERY
    run.beat()
    assert sum("The run goes on" in record.message for record in caplog.records) == 1


def test_a_run_that_is_only_read_does_not_beat(run):
    before = (run.path / "status.json").read_bytes()
    reader = RunDirectory(Path(run.path))
    reader.reached("selection", 1, 2)
    assert (run.path / "status.json").read_bytes() == before
