"""Running code of a plugin so that it can hurt nobody else.

Whatever it raises is an ``Exception`` afterwards, so that no handler misses it: a plugin that
calls ``sys.exit`` is broken, a user who presses Ctrl-C is not. What it prints goes to stderr, since
stdout is for results. What it changes of the process is named and put back.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, Final

from balenas_core.errors import ForeignExit, SearchInterrupted
from balenas_core.plugins.known import is_first_party
from balenas_core.plugins.policy import DISABLE_VARIABLE
from balenas_core.plugins.process_state import ProcessState

_log = logging.getLogger(__name__)
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_PATIENCE: Final = 10.0
"""Seconds after which it is said which plugin an import waits for."""


@contextmanager
def foreign_code(
    who: str,
    doing: str,
    *,
    draws: bool = False,
    report: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Run code of a plugin.

    Args:
        who: What messages call the plugin: kind, name and distribution.
        doing: What it does here, such as ``"while it was imported"``.
        draws: Whether it may draw from global generators of random numbers.
        report: Is told what it changed of the process, as a sentence; a warning by default.

    Raises:
        ForeignExit: It raised ``SystemExit`` or another exception that is none of errors, or
            ``KeyboardInterrupt`` though nobody interrupted.
    """
    state = ProcessState(with_generators=not draws)
    with _stdout_aside(), _contained() as signals, _kept_alive():
        try:
            yield
        finally:
            changes = [*state.restore(), *signals.changes()]
            if changes:
                tell = report or _log.warning
                tell(f"{who} changed {', '.join(changes)} {doing}. This was put back.")


@contextmanager
def named_if_slow(who: str, name: str, distribution: str) -> Iterator[None]:
    """Say which plugin is waited for, and how to go on without it, where an import takes long.

    What balenas publishes is waited for in silence: it is torch that takes long.
    """
    if is_first_party(distribution):
        yield
        return
    text = "%s is still being imported, after %.0f s. To go on without it: Ctrl-C, and %s=%s:%s"
    timer = threading.Timer(
        _PATIENCE,
        _log.warning,
        (text, who, _PATIENCE, DISABLE_VARIABLE, distribution, name),
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class _Inside(threading.local):
    """The processes that have begun the plugins' code that this thread is in, a fork's too."""

    def __init__(self) -> None:
        self.processes: list[int] = []


_inside, _lock, _in_all = _Inside(), threading.Lock(), 0
_end_process = os._exit


def _refuse_to_end(status: int) -> None:
    """Stand for ``os._exit`` in plugins' code; what they have forked ends by it as ever."""
    if _inside.processes[-1:] != [os.getpid()]:
        _end_process(status)
    raise SystemExit(f"os._exit({status})")


@contextmanager
def _kept_alive() -> Iterator[None]:
    """Let ``os._exit`` raise in this thread and process, so that who calls it can be named."""
    global _in_all
    with _lock:
        _in_all += 1
        setattr(os, "_exit", _refuse_to_end)  # noqa: B010 (a type checker refuses it)
    _inside.processes.append(os.getpid())
    try:
        yield
    finally:
        _inside.processes.pop()
        with _lock:
            _in_all -= 1
            if not _in_all:
                setattr(os, "_exit", _end_process)  # noqa: B010


@contextmanager
def contained() -> Iterator[None]:
    """Let nothing but errors and interrupts leave code that calls plugins among others.

    Raises:
        ForeignExit: It raised ``SystemExit``, or another exception that is none of errors.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise ForeignExit(error) from error


@contextmanager
def _contained() -> Iterator[_Signals]:
    with _signals() as signals:
        try:
            yield signals
        except (Exception, SearchInterrupted):
            raise
        except KeyboardInterrupt as error:
            if signals.has_arrived:
                raise
            raise ForeignExit(error) from error
        except BaseException as error:
            raise ForeignExit(error) from error


class _Aside(io.TextIOBase):
    """Stands for stdout and writes to stderr; closing it closes nothing."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()

    def close(self) -> None:
        pass

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return sys.stderr.fileno()

    @property
    def buffer(self) -> Any:
        return sys.stderr.buffer


@contextmanager
def _stdout_aside() -> Iterator[None]:
    """Let what is written to stdout appear on stderr, also by what is not Python."""
    before: IO[str] = sys.stdout
    if isinstance(before, _Aside):  # inside of another plugin's code
        yield
        return
    with suppress(OSError, ValueError):  # it is closed
        before.flush()
    copy = _redirected(1, 2)
    sys.stdout = _Aside()
    try:
        yield
    finally:
        sys.stdout = before
        if copy is not None:
            os.dup2(copy, 1)
            os.close(copy)


def _redirected(number: int, to: int) -> int | None:
    """Let one file descriptor be another; return a copy of what it was, None where it is closed."""
    try:
        copy = os.dup(number)
    except OSError:
        return None
    try:
        os.dup2(to, number)
    except OSError:  # the other is closed
        os.close(copy)
        return None
    return copy


class _Signals:
    """Whether the user interrupted, and whether the handlers of signals are what they were."""

    def __init__(self) -> None:
        self.has_arrived = False
        # Signals arrive in the main thread alone, and only it may set handlers.
        is_main = threading.current_thread() is threading.main_thread()
        self._before = {n: signal.getsignal(n) for n in _SIGNALS} if is_main else {}
        self._watched = {n: self._watch(n, before) for n, before in self._before.items()}

    def _watch(self, number: int, before: Any) -> Any:
        if not callable(before):
            return before

        def handle(received: int, frame: Any) -> None:
            self.has_arrived = True
            before(received, frame)

        signal.signal(number, handle)
        return handle

    def changes(self) -> list[str]:
        """Put handlers back that are not what they were, and name their signals."""
        changed = []
        for number, before in self._before.items():
            now = signal.getsignal(number)
            if now is not self._watched[number] and not self.has_arrived and before is not None:
                changed.append(f"what {signal.Signals(number).name} does")
                signal.signal(number, before)
        return changed

    def end(self) -> None:
        """Let signals go where they went before."""
        for number, before in self._before.items():
            # A handler that has run may have set another for the next signal.
            if callable(before) and signal.getsignal(number) is self._watched[number]:
                signal.signal(number, before)


@contextmanager
def _signals() -> Iterator[_Signals]:
    signals = _Signals()
    try:
        yield signals
    finally:
        signals.end()
