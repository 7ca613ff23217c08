"""Mistakes of executors, planted one at a time: the kit finds each and says what to mend."""

from __future__ import annotations

import json
import os
import pickle
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from planted import assert_found, faults, held_against

from balenas_core.interfaces.executor import Executor, Workers
from balenas_core.plugins.options import ExecutorOptions, PluginOptions
from balenas_core.testing import ExecutorConformance

KIT = ExecutorConformance
KNOWN: dict[str, object] = {}


class Threads(Workers):
    """Two threads."""

    count = 2

    def __init__(self, work):
        self.work, self.pool = work, ThreadPoolExecutor(2)

    def submit(self, item):
        return self.pool.submit(self.do, item)

    def do(self, item):
        return self.work(item)

    def close(self):
        self.pool.shutdown(cancel_futures=True)


class Good(Executor):
    """Works in two threads."""

    workers = Threads

    def open(self, work):
        return self.workers(work)


def working(**members):
    """Return the good executor whose workers have other members."""
    workers = type("Planted", (Threads,), members)
    return type("Planted", (Good,), {"workers": workers})


def doing(rule):
    """Return the good executor whose workers do something else with work and item."""
    return working(do=lambda self, item: rule(self.work, item))


def submitting(rule):
    """Return the good executor that takes items in another way."""
    return working(submit=rule)


def _loses(self, item):
    self.seen = getattr(self, "seen", 0) + 1
    return Future() if self.seen == 3 else Threads.submit(self, item)


def _skips_zero(self, item):
    return Threads.submit(self, item) if item else Future()


def _in_order_of_answers(self, item):
    """Give the first answer to the first who waits."""
    waiting = self.__dict__.setdefault("waiting", [])
    future: Future = Future()
    waiting.append(future)
    self.pool.submit(self.work, item).add_done_callback(
        lambda done: waiting.pop(0).set_result(done.result())
    )
    return future


def _by_item(self, item):
    answers = self.__dict__.setdefault("answers", {})
    if item in answers:
        return answers[item]
    answers[item] = Threads.submit(self, item)
    return answers[item]


def _once(self, item):
    if self.__dict__.setdefault("done", set()) & {repr(item)}:
        return Future()
    self.done.add(repr(item))
    return Threads.submit(self, item)


def _swallows(work, item):
    answer = work(item)
    return answer if answer.error is None else None


def _twice(work, item):
    work(item)
    return work(item)


class Renamed(Exception):
    """Stands for what was raised."""


def _renames(work, item):
    answer = work(item)
    if answer.error is not None:
        return type(answer)(None, Renamed("a worker failed"), answer.seconds)
    return answer


class Stale(Good):
    """Knows the first work for ever."""

    def open(self, work):
        return Threads(self.__dict__.setdefault("work", work))


class Shared(Good):
    """Knows the last work alone."""

    def open(self, work):
        self.work = work
        return Threads(lambda item: self.work(item))


class ByPickle(Good):
    """Sends work as pickle does, without what cloudpickle can."""

    def open(self, work):
        pickle.dumps(work._function)
        return Threads(work)


class NoOptions(Good):
    """Forgets its options."""

    def __init__(self, options):
        self.own = options


class ClosesOnce(Threads):
    """Cannot be closed a second time."""

    def close(self):
        super().close()
        del self.pool


class NeverEnds(Threads):
    """Waits for all that was asked of it."""

    def close(self):
        self.pool.shutdown(wait=True)


class Answers(Threads):
    """Has answers and no futures."""

    def submit(self, item):
        return self.work(item)


class OneOpen(Good):
    """Cannot be used after it was closed."""

    def open(self, work):
        if KNOWN.get("is_open"):
            raise RuntimeError("it is open")
        KNOWN["is_open"] = True
        return super().open(work)


class LeavesThread(Good):
    """Leaves a thread behind."""

    def open(self, work):
        threading.Thread(target=time.sleep, args=(4,)).start()
        return super().open(work)


class Environment(Good):
    """Changes the environment of this process."""

    def open(self, work):
        os.environ["PLANTED"] = "1"
        return super().open(work)


class Prints(Good):
    """Says how many they are."""

    def open(self, work):
        sys.stdout.write("2 workers")
        return super().open(work)


class OtherOptions(PluginOptions):
    """Lacks what executors share."""


ORDER = "test_every_item_comes_back_once_as_it_is_and_in_order"
ERRORS = "test_an_error_of_the_work_is_that_item_s_alone"
MISTAKES = {
    "loses an item": (submitting(_loses), ORDER, "not answered"),
    "leaves out what is false": (submitting(_skips_zero), ORDER, "not answered"),
    "answers of others": (
        submitting(_in_order_of_answers), ORDER, "another item's",
    ),
    "answers by item": (
        submitting(_by_item), ORDER, "unhashable|as they are",
    ),
    "each item once": (submitting(_once), ORDER, "not answered"),
    "every item twice": (doing(_twice), ORDER, "called 2 times"),
    "swallows errors": (
        doing(_swallows), ERRORS, "what the work returns",
    ),
    "other errors": (
        doing(_renames), ERRORS, "the work's own",
    ),
    "unpacks answers": (doing(lambda work, item: work(item).value), ORDER, "what the work returns"),
    "unpacks items": (
        doing(lambda work, item: work(*item) if isinstance(item, tuple) else work(item)),
        ORDER,
        "takes|positional|as they are",
    ),
    "items as JSON": (
        doing(lambda work, item: work(json.loads(json.dumps(item, default=str)))),
        ORDER,
        "as they are",
    ),
    "no future": (
        type("Planted", (Good,), {"workers": Answers}),
        "test_workers_say_how_many_they_are",
        "must return a Future",
    ),
    "no workers": (
        type("Planted", (Good,), {"open": lambda self, work: None}),
        "test_workers_say_how_many_they_are",
        "must return Workers",
    ),
    "nobody works": (working(count=0), "test_workers_say_how_many_they_are", "at least 1"),
    "nobody knows how many": (
        working(count=None), "test_workers_say_how_many_they_are", "whole number",
    ),
    "half a worker": (working(count=1.5), "test_workers_say_how_many_they_are", "whole number"),
    "the first work for ever": (
        Stale, ERRORS, "after an error of other work",
    ),
    "the last work alone": (
        Shared, "test_two_pieces_of_work_at_once_are_told_apart", "answer for the other",
    ),
    "functions by their names": (
        ByPickle, "test_work_may_be_any_function", "balenas_core.execution.Work|pickle",
    ),
    "closes once": (
        type("Planted", (Good,), {"workers": ClosesOnce}),
        "test_closing_twice_is_no_error",
        "pool",
    ),
    "waits for what nobody wants": (
        type("Planted", (Good,), {"workers": NeverEnds}),
        "test_closing_forgets_what_is_not_answered",
        "forget",
    ),
    "opens once": (
        OneOpen, ERRORS, "it is open",
    ),
    "forgets its options": (
        NoOptions, "test_it_has_its_options", r"super\(\).__init__\(options\)",
    ),
    "a thread that stays": (LeavesThread, "test_leaves_the_process_as_it_was", "threads"),
    "an environment variable": (Environment, "test_leaves_the_process_as_it_was", "PLANTED"),
    "prints": (Prints, "test_leaves_the_process_as_it_was", "print"),
    "not an executor": (lambda options: print, ORDER, "Executor"),
}  # fmt: skip


def _kit(implementation, **fields):
    kit = held_against(KIT, implementation, **{"options": ExecutorOptions, **fields})
    kit.patience = 2.0
    return kit


def test_a_good_executor_passes(tmp_path):
    assert faults(_kit(Good), tmp_path) == {}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found_and_explained(mistake, tmp_path):
    KNOWN.clear()
    implementation, *expected = MISTAKES[mistake]
    assert_found(_kit(implementation), *expected, tmp_path)


def test_options_that_lack_what_executors_share_are_found(tmp_path):
    kit = _kit(Good, options=OtherOptions)
    assert_found(kit, "test_it_has_its_options", "ExecutorOptions", tmp_path)
