"""A piece of work as a worker gets it, and its answer."""

from __future__ import annotations

import faulthandler
import os
import pickle
import platform
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import cloudpickle
import torch

from balenas_core.errors import BalenasError, UsageError
from balenas_core.execution._versions import check_versions, own_versions

T = TypeVar("T")
R = TypeVar("R")

# Torch's global generators, its number of threads and the alarm are the process's: a worker
# with several threads, as Dask has them, still works for one item at a time.
_one_at_a_time = threading.Lock()
_known: dict[str, Callable[[Any], Any]] = {}


@dataclass(frozen=True, slots=True)
class Answer(Generic[R]):
    """What a worker says of one item.

    Args:
        value: What the work returned; None where it raised.
        error: What it raised.
        seconds: How long it took.
    """

    value: R | None
    error: Exception | None
    seconds: float


class Work(Generic[T, R]):
    """A function that workers call, with what it takes to call it there as here.

    In the process that made it, it calls the function itself. Anywhere else it is unpickled by
    the first call and kept for the next ones, under as many threads as here, since sums of other
    numbers of threads differ in their last digits.

    Args:
        function: What is done with an item; must depend on nothing but the item and itself.
        limit: Seconds after which a worker ends itself that has not answered; None for no limit.
        size: How many times the limit an item may take; once by default.
    """

    def __init__(
        self,
        function: Callable[[T], R],
        *,
        limit: float | None = None,
        size: Callable[[T], int] | None = None,
    ) -> None:
        self._function: Callable[[T], R] | None = function
        self._limit = limit
        self._size = size
        self._threads = torch.get_num_threads()
        self._token = uuid.uuid4().hex
        self._pickled: bytes | None = None
        self._versions: Mapping[str, str] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return what is sent: the function as bytes, so that versions are compared first."""
        if self._pickled is None:
            self._versions = own_versions()
            self._pickled = _pickled(self._function)
        return {**self.__dict__, "_function": None}

    def __call__(self, item: T) -> Answer[R]:
        """Call the function with an item. Whatever it raises is in the answer."""
        if self._function is not None:
            return self._answer(self._function, item)
        with _one_at_a_time, self._alarm(item):
            torch.set_num_threads(self._threads)
            try:
                function = self._unpickled()
            except Exception as error:
                return Answer(None, _portable(error), 0.0)
            answer = self._answer(function, item)
            return Answer(answer.value, answer.error and _portable(answer.error), answer.seconds)

    def _answer(self, function: Callable[[T], R], item: T) -> Answer[R]:
        begun = time.perf_counter()
        value, failure = None, None
        try:
            value = function(item)
        except Exception as error:  # what it means is decided where the results are collected
            failure = error
        return Answer(value, failure, time.perf_counter() - begun)

    def _unpickled(self) -> Callable[[T], R]:
        if self._token not in _known:
            check_versions(self._versions)
            assert self._pickled is not None, "it was sent"
            try:
                function = pickle.loads(self._pickled)
            except ImportError as error:
                raise BalenasError(
                    f"worker {platform.node()} cannot import what the work needs ({error}); "
                    f"install there what is installed here."
                ) from error
            _known.clear()  # of one piece of work after the other
            _known[self._token] = function
        found: Callable[[T], R] = _known[self._token]
        return found

    @contextmanager
    def _alarm(self, item: T) -> Iterator[None]:
        """End this process if the block takes longer than the limit, whatever hangs in it."""
        if self._limit is None:
            yield
            return
        limit = self._limit * (self._size(item) if self._size is not None else 1)
        # A thread of the C library: it also ends what never returns to the interpreter.
        with open(os.devnull, "w") as nowhere:
            faulthandler.dump_traceback_later(limit, exit=True, file=nowhere)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()


def _pickled(function: Any) -> bytes:
    try:
        data: bytes = cloudpickle.dumps(function, protocol=pickle.HIGHEST_PROTOCOL)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise UsageError(
            f"the work cannot be sent to other processes ({type(error).__name__}: {error}); use "
            f"executor 'local'."
        ) from error
    return data


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent, with its traceback as a note."""
    trace = "".join(traceback.format_exception(error)).rstrip()
    try:
        sent = pickle.loads(pickle.dumps(error))
        if type(sent) is not type(error) or str(sent) != str(error):
            raise TypeError("it is another one when it arrives")
    except Exception:  # a class of a plugin may do anything when it is pickled
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error = error.with_traceback(None)
    error.__cause__ = error.__context__ = None
    error.add_note(f"on {platform.node()}, process {os.getpid()}, Python {sys.version.split()[0]}:")
    error.add_note(trace)
    return error
