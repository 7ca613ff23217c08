"""Errors of balenas, by what the caller can do about them.

``exit_code`` is what the command line returns: 2 when the request was invalid, 1 when a
valid request failed.
"""

from __future__ import annotations

import errno
from typing import ClassVar


class BalenasError(Exception):
    """Base class of every error that balenas raises on purpose."""

    exit_code: ClassVar[int] = 1


class UsageError(BalenasError):
    """The request cannot be carried out as written; the message says what to change."""

    exit_code: ClassVar[int] = 2


class ConfigError(UsageError):
    """A configuration is invalid; the message has one line per problem."""


class DataError(UsageError):
    """A dataset is missing, malformed or too small for the request."""


class ArchitectureError(UsageError, ValueError):
    """A text or a set of choices is not an architecture of the search space."""


class PluginError(UsageError):
    """Base class of errors in looking up plugins."""


class PluginNotFoundError(PluginError):
    """No installed plugin has the requested kind and name."""


class PluginConflictError(PluginError):
    """Several distributions provide the same kind and name."""


class IncompatiblePluginsError(PluginError):
    """Two plugins that were asked for together do not fit each other."""


class PluginLoadError(PluginError):
    """A plugin is installed but importing or checking it failed."""

    exit_code: ClassVar[int] = 1


class UnfitError(PluginError):
    """A plugin returned what nothing can be made of.

    Args:
        kind: Kind of the plugin, by which a search knows which one it was.
        message: What it must return, and what it has returned.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class RunExistsError(UsageError):
    """The output directory already holds a run or other files."""


class ConfigChangedError(UsageError):
    """A run cannot go on under a configuration that is not its own."""


class RunLockedError(BalenasError):
    """Another process works in the run directory."""


class OutputError(BalenasError):
    """The output directory cannot be written (read-only, full, removed)."""


class DamagedError(OutputError):
    """A file of a run is not what was written there; the message names it and says where."""


class DivergenceError(BalenasError):
    """A loss became non-finite; the last good state is kept."""


class SelectionError(BalenasError):
    """No candidate can be chosen; the message says why."""


class TooLargeError(UsageError):
    """A network needs more memory than the machine has."""


_LONGEST_TOLD = 2000


class ForeignExit(Exception):
    """A plugin raised what is meant to end the program: ``SystemExit``, or its like.

    Args:
        error: What it raised.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error

    def __str__(self) -> str:
        """Name what was raised."""
        return told(self.error)


def told(error: BaseException) -> str:
    """Return kind and text of an error that a plugin raised; of one of balenas, the text.

    Example:
        >>> told(ValueError("no"))
        'ValueError: no'
    """
    error = error.error if isinstance(error, ForeignExit) else error
    text = text_of(error)
    if isinstance(error, BalenasError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def text_of(error: BaseException) -> str:
    """Return the text of an error that a plugin raised, whatever making it does."""
    try:
        text = str(error)
    except BaseException:  # it is foreign code, too
        return "(its text cannot be shown)"
    return text if len(text) <= _LONGEST_TOLD else f"{text[:_LONGEST_TOLD]}..."


LESS_MEMORY = "lower --batch-size, or the space's channels or cells"
"""What to do where memory does not suffice."""

_NO_MEMORY = (
    "can't allocate memory",  # of torch on the CPU, a plain RuntimeError
    "not enough memory",  # the same on Windows
    "out of memory",
    "alloc_failed",  # of cuBLAS and cuDNN
    "storage size calculation overflowed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: on the CPU, on a GPU, or Python's own.

    Example:
        >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
        True
    """
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)


class SearchInterrupted(KeyboardInterrupt):
    """A search stopped because it was asked to; its run directory can be resumed.

    It is a ``KeyboardInterrupt`` so that no handler of errors swallows it.
    """
