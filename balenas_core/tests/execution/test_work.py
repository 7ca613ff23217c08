"""Work as it is sent to other processes."""

import pickle
import subprocess
import sys

import pytest
import torch

from balenas_core.errors import BalenasError, UsageError
from balenas_core.execution import Work, _versions
from balenas_core.execution._versions import check_versions, own_versions


def sent(function, **how):
    return pickle.loads(pickle.dumps(Work(function, **how)))


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_it_answers_there_as_here():
    work = Work(lambda n: n + 1)
    assert work(1).value == sent(lambda n: n + 1)(1).value == 2


def test_there_are_as_many_threads_as_here():
    torch.set_num_threads(2)
    work = sent(lambda _: torch.get_num_threads())
    torch.set_num_threads(1)
    assert work(0).value == 2


def test_the_function_is_unpickled_once_for_all_items():
    def count(_, calls=[]):  # noqa: B006
        calls.append(1)
        return len(calls)

    work = sent(count)
    assert [work(0).value, work(0).value] == [1, 2]


def test_an_error_arrives_with_its_class_and_its_traceback():
    def fail(_):
        raise UsageError("not like this")

    error = sent(fail)(0).error
    assert isinstance(error, UsageError)
    assert any("in fail" in note for note in error.__notes__)


def test_an_error_that_cannot_be_sent_arrives_as_its_text():
    class Odd(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    def fail(_):
        raise Odd("this", "that")

    error = sent(fail)(0).error
    assert type(error) is RuntimeError
    assert str(error) == "Odd: this and that"


def test_what_cannot_be_sent_is_refused_at_once():
    with pytest.raises(UsageError, match=r"cannot be sent to other processes.*executor 'local'"):
        pickle.dumps(Work(sys.stdout.write))


def test_other_versions_on_a_worker_are_named(monkeypatch):
    work = sent(abs)
    there = {**own_versions(), "balenas-core": "9.9"}
    monkeypatch.setattr(
        "balenas_core.execution._work.check_versions", lambda wanted: check_versions(wanted)
    )
    monkeypatch.setattr(_versions, "own_versions", lambda: there)
    error = work(-1).error
    assert isinstance(error, UsageError)
    assert "balenas-core 9.9 there and 0.1.0 here" in str(error)


def test_what_only_one_side_has_is_no_other_version(monkeypatch):
    monkeypatch.setattr(_versions, "own_versions", lambda: {"torch": "2.0"})
    check_versions({"torch": "2.0", "balenas-tracker-x": "1.0"})


def test_a_package_that_is_missing_there_is_named(monkeypatch):
    module = type(sys)("only_here")
    module.function = eval("lambda n: n")
    module.function.__module__, module.function.__qualname__ = "only_here", "function"
    monkeypatch.setitem(sys.modules, "only_here", module)
    data = pickle.dumps(Work(module.function))
    monkeypatch.delitem(sys.modules, "only_here")
    error = pickle.loads(data)(0).error
    assert isinstance(error, BalenasError)
    assert "cannot import what the work needs (No module named 'only_here')" in str(error)


def test_a_worker_that_hangs_ends_itself():
    script = (
        "import pickle, time\n"
        "from balenas_core.execution import Work\n"
        "pickle.loads(pickle.dumps(Work(lambda n: time.sleep(60), limit=0.2)))(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=60, check=False)
    assert done.returncode == 1
