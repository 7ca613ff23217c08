"""The choice and a uniform draw, trained alike when the search is done."""

import functools
import json

import pytest

from balenas_core import Search
from balenas_core.errors import SearchInterrupted
from balenas_core.interfaces.events import SelectionProgress
from balenas_core.testing import toy_config, toy_registry


@pytest.fixture
def registry():
    return toy_registry()


@pytest.fixture
def make(registry):
    return functools.partial(toy_config, registry)


def _run(registry, config, listeners=()):
    return Search(config, registry=registry, listeners=listeners).run()


def test_the_choice_stands_beside_a_uniform_draw(registry, make, tmp_path):
    result = _run(registry, make(check_epochs=2, output=tmp_path / "run"))
    check = result.check
    assert check.epochs == 2
    assert 0 <= check.accuracy <= 100
    assert 0 <= check.control_accuracy <= 100
    assert str(check.control) != str(result.architecture)
    assert result.seconds["check"] > 0
    stored = json.loads((tmp_path / "run" / "result.json").read_text())
    assert stored["check"] == check.to_dict()


def test_without_epochs_nothing_is_trained(registry, make):
    events = []
    result = _run(registry, make(check_epochs=0), [events.append])
    assert result.check is None
    assert "check" not in result.seconds
    assert not any(isinstance(e, SelectionProgress) and e.phase == "check" for e in events)


def test_one_seed_gives_one_check_and_another_one_another_control(registry, make):
    first, again = (_run(registry, make(check_epochs=1)).check for _ in range(2))
    assert first == again
    controls = {str(_run(registry, make(check_epochs=1, seed=s)).check.control) for s in range(6)}
    assert len(controls) > 1


def test_the_check_changes_nothing_of_the_search(registry, make):
    with_check, without = (_run(registry, make(check_epochs=n)).to_dict() for n in (2, 0))
    for name in ("check", "seconds", "final_metrics"):
        with_check.pop(name), without.pop(name)
    assert with_check == without


def test_a_check_that_is_stopped_goes_on_and_ends_like_one_that_is_not(registry, make, tmp_path):
    whole = _run(registry, make(check_epochs=2, output=tmp_path / "whole"))
    search = Search(make(check_epochs=2, output=tmp_path / "stopped"), registry=registry)

    def stop(event):
        if isinstance(event, SelectionProgress) and event.phase == "check" and event.done:
            search.request_stop()

    search._listeners.append(stop)
    with pytest.raises(SearchInterrupted):
        search.run()
    remembered = (tmp_path / "stopped" / "selection.jsonl").read_text()
    assert '"check/2/' in remembered, "the choice was trained and is not trained again"
    result = Search.of_run(tmp_path / "stopped", registry=registry).run(resume="must")
    assert result.check == whole.check


def test_a_run_that_is_done_is_read_with_its_check(registry, make, tmp_path):
    config = make(check_epochs=1, output=tmp_path / "run")
    result = _run(registry, config)
    assert Search(config, registry=registry).run(resume="must").check == result.check


def test_another_number_of_epochs_may_be_asked_for_until_there_is_a_result(
    registry, make, tmp_path
):
    run = tmp_path / "run"
    search = Search(make(check_epochs=1, output=run), registry=registry)
    search._listeners.append(lambda event: search.request_stop())
    with pytest.raises(SearchInterrupted):
        search.run()
    again = Search(make(check_epochs=2, output=run), registry=registry)
    assert again.run(resume="must").check.epochs == 2
