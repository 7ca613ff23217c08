"""Signals and the processes that load images: their parent answers for all of them.

A batch system, a terminal and ``kill`` with a process group send a signal to every process. A
worker that followed it would die under its parent, which still needs it to save its state.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STOPS = frozenset({signal.SIGINT, signal.SIGTERM})
_CAN_BLOCK = hasattr(signal, "pthread_sigmask")


@contextmanager
def born_deaf() -> Iterator[None]:
    """Let processes that the block starts be deaf to SIGINT and SIGTERM from their first moment.

    It also takes back torch's handler of SIGCHLD, which raises in the middle of anything, such as
    the writing of a checkpoint, when a worker dies. Without it the next batch that is missing
    says so.
    """
    is_main = threading.current_thread() is threading.main_thread()
    on_child = signal.getsignal(signal.SIGCHLD) if _CAN_BLOCK else None
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS) if _CAN_BLOCK else set()
    try:
        yield
    finally:
        if is_main and on_child is not None:
            signal.signal(signal.SIGCHLD, on_child)
        if _CAN_BLOCK:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def end_with_parent_alone(worker: int) -> None:
    """Let a worker follow no SIGINT, and SIGTERM only from its parent.

    Args:
        worker: Its number, which torch hands over.
    """
    del worker
    if not _CAN_BLOCK:
        return
    # Its parent sends one when it does not end by itself, stuck in a read for example.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    if hasattr(signal, "sigwaitinfo"):
        threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()


def _follow(parent: int) -> None:
    while True:
        received = signal.sigwaitinfo(_STOPS)
        if received.si_signo == signal.SIGTERM and received.si_pid == parent:
            os._exit(0)
