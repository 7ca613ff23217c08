"""The border of the program: from exceptions and signals to messages and exit codes."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

import typer

from balenas_cli.shell import warnings as _warnings
from balenas_cli.shell.console import say
from balenas_cli.shell.explained import page_of
from balenas_core.errors import LESS_MEMORY, BalenasError, is_out_of_memory, text_of, told

DEBUG_VARIABLE = "BALENAS_DEBUG"
_FAILED, _INVALID = 1, 2
_LONGEST_SHOWN = 60
_MALFORMED: Any = typer.BadParameter.__base__  # of every usage error; typer exports only this one
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


class Interrupts:
    """Turns the first SIGINT or SIGTERM into ``KeyboardInterrupt``, and remembers which it was.

    The exception alone is not enough: it can surface as another one, such as a DataLoader's
    "worker exited unexpectedly" or an ``ImportError`` of a module that was being imported.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    def install(self) -> None:
        """Handle both signals from now on."""
        for number in (signal.SIGINT, signal.SIGTERM):
            # A parent such as nohup may have chosen to ignore it.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.received = signal.Signals(number)
        signal.signal(number, signal.SIG_DFL)  # a second one ends the program at once
        raise KeyboardInterrupt


_BUG = (
    "this is a bug in balenas or in a plugin. Please report it with the lines above and the "
    "output of 'balenas doctor'."
)


def run_guarded(command: Callable[[], object]) -> NoReturn:
    """Run ``command`` and exit: 0 done, 1 failed, 2 invalid request, 128 + n by signal n.

    Args:
        command: May return an exit code, raise ``SystemExit`` or any error.
    """
    is_stdout_closed = _open_standard_streams()
    _warnings.install()
    for stream in (sys.stdout, sys.stderr):
        # A terminal without UTF-8 shows "?" where it cannot draw a line.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if is_stdout_closed:
        say("warning: standard output is closed; results are not shown")
    interrupts = Interrupts()
    interrupts.install()
    code = _exit_code(command, interrupts)
    if interrupts.received is not None and code != 0:
        say(f"interrupted ({interrupts.received.name})")
        code = 128 + interrupts.received
    sys.exit(_flush(code))


def _open_standard_streams() -> bool:
    """Put the null device where a standard stream was closed; return whether that is stdout.

    Otherwise the next file that is opened gets its number, and a library's print goes there.
    """
    closed = set()
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            closed.add(name)
            # The lowest free number is given, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    return "stdout" in closed


def _exit_code(command: Callable[[], object], interrupts: Interrupts) -> int:
    try:
        code = command()
    except SystemExit as exit_:
        if _blame(exit_):
            return _FAILED
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except KeyboardInterrupt as error:
        if interrupts.received is None and _blame(error):
            return _FAILED
        return 128 + signal.SIGINT
    except BrokenPipeError:
        return _FAILED
    except typer.Abort:
        say("aborted")
        return _FAILED
    except _MALFORMED as error:
        return _explain(error)
    except Exception as error:
        if interrupts.received is not None and not _wants_tracebacks():
            return _FAILED
        return _report(error)
    except BaseException as error:  # what is meant to end a coroutine, or a test
        if _blame(error):
            return _FAILED
        raise
    return code if isinstance(code, int) else 0  # as typer.Exit has it


def _explain(error: Any) -> int:
    """Say what typer does not understand in a command, in one line."""
    message = error.format_message().strip()
    if type(error).__name__ == "NoArgsIsHelpError":  # where rich is, it is on the screen by now
        say(message)
    else:
        end = "" if message[-1:] in ".?!" else "."
        where = f" See '{error.ctx.command_path} --help'." if error.ctx else ""
        say(f"error: {message[:1].lower()}{message[1:]}{end}{where}")
    exit_code: int = error.exit_code
    return exit_code


def _blame(error: BaseException) -> bool:
    """Name the plugin in whose code an error was raised, what it is and where; False for none."""
    from balenas_core.plugins.blame import culprit
    from balenas_core.plugins.policy import DISABLE_VARIABLE
    from balenas_core.plugins.registry import default_registry

    found = culprit(error, default_registry())
    if found is None:
        return False
    if _wants_tracebacks():
        say("".join(traceback.format_exception(error)))
    ref, place = found
    kind = getattr(ref, "kind", "hook")
    say(
        f"error: {kind} plugin {ref.name!r} (from {ref.distribution} {ref.version}) failed with "
        f"{told(error)} at {place}. {ref.remedy} To go on without it: "
        f"{DISABLE_VARIABLE}={ref.qualified_name}"
    )
    return True


def _report(error: Exception) -> int:
    message = text_of(error) if isinstance(error, BalenasError) else _machine_failure(error)
    if message is None and _blame(error):
        return _FAILED
    if message is None or _wants_tracebacks():
        say("".join(traceback.format_exception(error)))
    page = page_of(error)
    if page is not None and message is not None:
        message += f" See {page}"
    for line in (message or _BUG).splitlines():
        say(f"error: {line}")
    if isinstance(error, BalenasError):
        return error.exit_code
    return _INVALID if _is_name_too_long(error) else _FAILED


def _is_name_too_long(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG


def _machine_failure(error: Exception) -> str | None:
    """Return what to say of an error that is the machine's, None for one that is ours."""
    if is_out_of_memory(error):
        return f"out of memory; {LESS_MEMORY}."
    if isinstance(error, OSError) and _is_name_too_long(error):
        name = str(error.filename or "a name")
        shown = name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}..."
        return f"{shown} is too long for the name of a file; choose a shorter one."
    if isinstance(error, OSError) and error.errno in _DISK:
        return f"cannot write {error.filename or 'the output'}: {error.strerror}."
    return None


def _wants_tracebacks() -> bool:
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def _flush(code: int) -> int:
    try:
        sys.stdout.flush()
    except OSError:  # the reader has gone (| head), or the disk behind > is full
        # Without this the interpreter flushes again at exit and prints a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code or _FAILED
    return code
