"""Candidates in processes of this machine."""

import os
import signal
import sys
import time
from typing import ClassVar

import cloudpickle
import pytest

from balenas_core.execution import in_order, open_workers
from balenas_core.interfaces.executor import WorkerLostError
from balenas_core.testing import ExecutorConformance
from balenas_executor_joblib import JoblibExecutor, JoblibOptions

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def square(n):
    if n < 0:
        raise ValueError(f"{n} is negative")
    return n * n, os.getpid()


def run(function, items, **options):
    executor = JoblibExecutor(JoblibOptions(**{"workers": 2, **options}))
    with open_workers(executor, function) as workers:
        return list(in_order(workers, items, executor.options))


def test_other_processes_do_it_in_the_order_of_the_items():
    found = run(square, [1, 2, 3, -4, 5, 6])
    assert [o.value and o.value[0] for o in found] == [1, 4, 9, None, 25, 36]
    assert os.getpid() not in {o.value[1] for o in found if o.value}
    assert str(found[3].error) == "-4 is negative"
    assert found[3].attempts == 2


def treacherous(n):
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if n == 6:
        time.sleep(600)
    if n == 7:
        time.sleep(3)
    return n


@pytest.mark.slow
def test_who_kills_or_hangs_its_process_fails_alone():
    found = run(treacherous, range(8), attempts=1, limit=5.0)
    assert [o.value for o in found] == [0, 1, 2, None, 4, 5, None, 7]
    assert isinstance(found[3].error, WorkerLostError)
    assert "not done within the limit of 5 s" in str(found[6].error)


def doze(seconds):
    time.sleep(seconds)


@pytest.mark.slow
def test_loky_ends_in_order_while_items_wait_to_be_handed_on():
    with JoblibExecutor(JoblibOptions(workers=2)).open(doze) as workers:
        for busy in (0.0, 0.01, 0.02, 0.03, 0.04):
            workers.submit(0.0).result()  # both processes have begun
            futures = [workers.submit(0.01) for _ in range(40)]
            time.sleep(busy)
            workers.give_up(futures[-1])  # an error in loky's thread would fail this test
            lost = futures[-1].exception()
            assert isinstance(lost, WorkerLostError)
            assert lost.is_shared


@pytest.mark.slow
class TestConformance(ExecutorConformance):
    plugin_name = "joblib"
    options: ClassVar = {"workers": 2}
