"""What the variables of torchrun say, and what they leave out."""

from __future__ import annotations

import pytest

from balenas_core.engine.launch import Launch, launch, refuse_others
from balenas_core.errors import UsageError

TORCHRUN = {
    "RANK": "3",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "4",
    "MASTER_ADDR": "host",
    "MASTER_PORT": "29500",
}


def test_the_variables_of_torchrun_are_read():
    assert launch(TORCHRUN) == Launch(rank=3, local_rank=1, count=4)


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1"}, {"RANK": "3"}])
def test_one_process_is_alone_whatever_else_is_set(environment):
    assert launch(environment) == Launch()


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"])
def test_a_variable_that_is_missing_is_named_with_what_sets_it(name):
    environment = {key: value for key, value in TORCHRUN.items() if key != name}
    with pytest.raises(UsageError, match=rf"{name} is not set.*torchrun --nproc-per-node=4"):
        launch(environment)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE must be a whole number.*got 'two'"),
        ({"WORLD_SIZE": "-1"}, "WORLD_SIZE must be a whole number.*got '-1'"),
        ({"RANK": ""}, "RANK must be a whole number.*got ''"),
        ({"RANK": "4"}, "RANK=4 must be less than WORLD_SIZE=4"),
    ],
)
def test_variables_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(UsageError, match=message):
        launch(TORCHRUN | changes)


def test_work_of_one_process_is_refused_where_there_are_several(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    refuse_others("a search")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="a search uses one process, and WORLD_SIZE=2 says"):
        refuse_others("a search")
