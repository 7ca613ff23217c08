"""Items handed out, tried again, and put back into their order."""

from concurrent.futures import Future

import pytest

from balenas_core.errors import DataError
from balenas_core.execution import Answer, LocalExecutor, as_done, in_order, open_workers
from balenas_core.interfaces.executor import WorkerLostError, Workers
from balenas_core.plugins.options import ExecutorOptions, WorkerOptions

TWICE = ExecutorOptions(attempts=2)


class Scripted(Workers):
    """Two workers that answer in the reverse order, as a script says.

    ``fates[item]`` has what becomes of it each time: a value, an error that the work raises, or
    a lost worker.
    """

    def __init__(self, fates):
        self.fates = {item: list(fate) for item, fate in fates.items()}
        self.waiting = []
        self.most = 0
        self.log = []

    @property
    def count(self):
        return 2

    def submit(self, item):
        future = Future()
        self.waiting.append((item, future))
        self.log.append(item)
        self.most = max(self.most, len(self.waiting))
        if len(self.waiting) == 2 or len(self.fates) == 1:
            self.answer()
        return future

    def answer(self):
        for item, future in reversed(self.waiting):
            fate = self.fates[item].pop(0)
            if isinstance(fate, WorkerLostError):
                future.set_exception(fate)
            elif isinstance(fate, Exception):
                future.set_result(Answer(None, fate, 0.1))
            else:
                future.set_result(Answer(fate, None, 0.1))
        self.waiting.clear()

    def close(self):
        pass


@pytest.fixture
def scripted():
    """Return ``scripted(fates)``, which answers whatever is left once a second at the latest."""

    def scripted(fates):
        return Scripted(fates)

    return scripted


def outcomes(workers, items, options=TWICE):
    return list(in_order(workers, items, options, tick=workers.answer))


def test_results_come_in_the_order_of_the_items_whoever_is_done_first(scripted):
    workers = scripted({n: [n * n] for n in range(6)})
    assert [o.value for o in outcomes(workers, range(6))] == [0, 1, 4, 9, 16, 25]
    assert workers.most == 2


def test_without_an_order_results_come_as_they_are_done(scripted):
    workers = scripted({n: [n] for n in range(4)})
    done = as_done(workers, range(4), TWICE, tick=workers.answer)
    assert sorted(place for place, _ in done) == [0, 1, 2, 3]


def test_items_are_read_as_workers_become_free(scripted):
    read = []

    def items():
        for n in range(10):
            read.append(n)
            yield n

    found = in_order(scripted({n: [n] for n in range(10)}), items(), TWICE)
    next(found)
    assert len(read) < 10


def test_what_raises_is_tried_again_and_then_fails_with_its_error(scripted):
    fates = {0: ["a"], 1: [ValueError("no"), "b"], 2: [ValueError("no"), ValueError("never")]}
    found = outcomes(scripted(fates), range(3))
    assert [o.value for o in found] == ["a", "b", None]
    assert [o.attempts for o in found] == [1, 2, 2]
    assert str(found[2].error) == "never"


def test_a_lost_worker_counts_like_an_error(scripted):
    lost = WorkerLostError("gone")
    found = outcomes(scripted({0: [lost, "a"], 1: ["b"], 2: [lost, lost]}), range(3))
    assert [o.value for o in found] == ["a", "b", None]
    assert isinstance(found[2].error, WorkerLostError)


def test_who_was_lost_with_others_is_tried_alone_and_only_then_blamed(scripted):
    shared = WorkerLostError("gone", is_shared=True)
    # The guilty one is lost each time, the innocent one only with it.
    workers = scripted({0: ["a"], 1: ["b"], 2: [shared, shared, shared], 3: [shared, "d"]})
    found = outcomes(workers, range(4))
    assert [o.value for o in found] == ["a", "b", None, "d"]
    assert found[2].attempts == 2
    assert found[3].attempts == 1
    assert workers.log[4:] == [3, 2, 2] or workers.log[4:] == [2, 3, 2]


def test_what_is_every_item_s_failure_ends_all(scripted):
    workers = scripted({0: [DataError("no images")], 1: [1], 2: [2]})
    with pytest.raises(DataError, match="no images"):
        outcomes(workers, range(3))


def test_missing_memory_ends_all(scripted):
    with pytest.raises(RuntimeError, match="out of memory"):
        outcomes(scripted({0: [RuntimeError("CUDA out of memory")], 1: [1]}), range(2))


def test_a_tick_can_end_the_work(scripted):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_order(scripted({n: [n] for n in range(4)}), range(4), TWICE, tick=stop))


def test_a_loss_after_the_limit_says_so(scripted):
    lost = WorkerLostError("gone")
    options = WorkerOptions(attempts=1, limit=1e-9)
    found = outcomes(scripted({0: [lost]}), [0], options)
    assert "not done within the limit of 1e-09 s (gone)" in str(found[0].error)


def test_the_local_executor_does_it_here_one_by_one():
    seen = []
    with open_workers(LocalExecutor(TWICE), lambda n: seen.append(n) or n + 1) as workers:
        assert [o.value for o in in_order(workers, range(3), TWICE)] == [1, 2, 3]
    assert seen == [0, 1, 2]


def test_no_items_are_no_work():
    with open_workers(LocalExecutor(TWICE), abs) as workers:
        assert list(in_order(workers, [], TWICE)) == []
