"""The first signal asks a search to save its state; a second one ends it at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from balenas_core.engine.launch import is_launched
from balenas_core.errors import SearchInterrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stops(request: Callable[[], None], *, what: str = "search") -> Iterator[None]:
    """Answer the first SIGINT or SIGTERM inside the block by ``request()``.

    When the block then ends by ``SearchInterrupted``, the signal takes its usual course, so
    that the program ends as after any signal. Under torchrun further signals change nothing: it
    passes on what its whole group has got already, and ends by SIGKILL what takes too long.

    Args:
        request: Asks the search to stop.
        what: What is being saved, for the message.
    """
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    received: list[int] = []

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        if received:
            return
        received.append(number)
        end = ""
        if not is_launched():
            restore()
            end = "; a second one ends it at once"
        request()
        _say(f"{signal.Signals(number).name}: saving the {what}{end}\n")

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # a parent such as nohup may have chosen so
            signal.signal(number, handle)
    try:
        yield
    except SearchInterrupted:
        restore()
        if received:
            signal.raise_signal(received[0])
        raise
    finally:
        restore()


def _say(line: str) -> None:
    # sys.stderr may be in the middle of a write, and allows no other inside of it.
    with suppress(OSError):
        os.write(2, line.encode())
