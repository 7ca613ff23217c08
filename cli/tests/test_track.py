"""``--tracker``: what records a search."""

from __future__ import annotations

import json
from pathlib import Path

TOY = (
    "search",
    "--space",
    "toy",
    "--optimizer",
    "toy_adam",
    "--check-epochs",
    "0",
    "--epochs",
    "1",
    "--quiet",
)


def test_a_tracker_is_sent_the_events_of_the_search(call):
    answer = call(*TOY, "--tracker", "toy_diary")
    assert answer.code == 0, answer.err
    events = Path("diary.txt").read_text().split()
    assert events[0] == "SearchStarted"
    assert events[-3:] == ["EpochEnded", "ArchitectureSelected", "RunFinished"]


def test_a_tracker_that_cannot_be_imported_is_a_warning_and_the_search_goes_on(call):
    answer = call(*TOY, "--tracker", "toy_broken", "--tracker", "toy_diary")
    assert answer.code == 0
    (warning,) = (line for line in answer.err.splitlines() if line.startswith("warning: "))
    assert "tracker 'toy_broken' failed and is switched off" in warning
    assert "No module named 'acme_toys_missing'" in warning
    assert Path("diary.txt").exists()


def test_trackers_of_the_file_give_way_to_those_of_the_command(call):
    Path("c.yaml").write_text("trackers: [toy_broken]\n")
    answer = call(*TOY, "c.yaml", "--tracker", "toy_diary", "--dry-run", "--json")
    assert json.loads(answer.out)["trackers"] == [{"name": "toy_diary"}]
    answer = call(*TOY, "c.yaml", "--dry-run", "--json")
    assert json.loads(answer.out)["trackers"] == [{"name": "toy_broken"}]


def test_a_tracker_is_not_named_twice(call):
    answer = call(*TOY, "--tracker", "toy_diary", "--tracker", "toy_diary")
    assert answer.code == 2
    assert answer.err == "error: --tracker: 'toy_diary' is given twice; leave one\n"


def test_the_trackers_of_a_run_that_goes_on_may_change(call):
    answer = call(*TOY, "--output", "run", "--set", "optimizer.explode_at=3")
    assert answer.code == 1
    answer = call("resume", "run", "--quiet", "--tracker", "toy_diary")
    assert answer.code == 1  # from the same state it diverges again
    events = Path("diary.txt").read_text().split()
    assert (events[0], events[-1]) == ("SearchStarted", "SearchFailed")
