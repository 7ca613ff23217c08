"""What a plugin must leave alone in its process: compared before and after."""

from __future__ import annotations

import contextlib
import functools
import gc
import io
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

RANDOM_NUMBERS = (
    "torch's global random numbers",
    "numpy's global random numbers",
    "Python's global random numbers",
)

_MOVED_BY_LIBRARIES = (
    "the filters of warnings",
    "the environment variables",
    "the threads that keep the process alive",
    "sys.path",
)
"""What large libraries change when they are first used."""

_READERS: Mapping[str, Callable[[], Any]] = {
    RANDOM_NUMBERS[0]: lambda: torch.get_rng_state().numpy().tobytes(),
    RANDOM_NUMBERS[1]: lambda: repr(np.random.get_state(legacy=True)),  # noqa: NPY002 (it is it)
    RANDOM_NUMBERS[2]: random.getstate,
    "torch's default dtype": torch.get_default_dtype,
    "torch's default device": torch.get_default_device,
    "torch's gradient mode": torch.is_grad_enabled,
    "torch's inference mode": torch.is_inference_mode_enabled,
    "torch's number of threads": torch.get_num_threads,
    "torch's deterministic algorithms": torch.are_deterministic_algorithms_enabled,
    "torch's precision of matrix products": torch.get_float32_matmul_precision,
    "torch's autocast": lambda: torch.is_autocast_enabled("cpu"),
    "torch's anomaly detection": torch.is_anomaly_enabled,
    "torch.backends.cudnn": lambda: (
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.enabled,
    ),
    "torch's hooks of all modules": lambda: [
        list(table)
        for name, table in vars(torch.nn.modules.module).items()
        if name.startswith("_global") and name.endswith("hooks")
    ],
    "numpy's handling of floating-point errors": np.geterr,
    "the working directory": os.getcwd,
    "the environment variables": lambda: {
        key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")
    },
    "the handler of SIGINT": lambda: signal.getsignal(signal.SIGINT),
    "the handler of SIGTERM": lambda: signal.getsignal(signal.SIGTERM),
    "the root logger": lambda: (
        logging.getLogger().level,
        len(logging.getLogger().handlers),
        logging.root.manager.disable,
    ),
    "the filters of warnings": lambda: list(warnings.filters),
    "sys.path": lambda: list(sys.path),
    "sys.excepthook": lambda: sys.excepthook,
    "sys.stdout and sys.stderr": lambda: (id(sys.stdout), id(sys.stderr)),
    "Python's limit of recursion": sys.getrecursionlimit,
    "Python's garbage collection": gc.isenabled,
    "the threads that keep the process alive": lambda: {
        thread.name for thread in threading.enumerate() if not thread.daemon
    },
}

_OWNERS: Mapping[str, Any] = {
    "torch": torch,
    "torch.Tensor": torch.Tensor,
    "torch.nn": nn,
    "torch.nn.functional": F,
    **{
        f"torch.nn.{layer.__name__}": layer
        for layer in (nn.Module, nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.LayerNorm, nn.ReLU)
    },
}


class ProcessState:
    """Settings of Python, numpy and torch at one time that every plugin of a process shares."""

    def __init__(self) -> None:
        self._values = {name: read() for name, read in _READERS.items()}
        self._functions = {
            name: {key: value for key, value in vars(owner).items() if callable(value)}
            for name, owner in _OWNERS.items()
        }

    def changes(self, *, ignoring: Collection[str] = ()) -> list[str]:
        """Say what is another now, one line for each."""
        now = {name: read() for name, read in _READERS.items()}
        found = [
            f"{name}{_difference(before, now[name])}"
            for name, before in self._values.items()
            if now[name] != before and name not in ignoring
        ]
        return found + [
            f"{name}.{key} was replaced"
            for name, functions in self._functions.items()
            for key, function in functions.items()
            if (new := vars(_OWNERS[name]).get(key)) is not function
            and not getattr(new, "__module__", "").startswith("torch.")  # its compiler does so
        ]

    def restore(self) -> None:
        """Put back what makes other tests fail."""
        values = self._values
        torch.set_default_dtype(values["torch's default dtype"])
        torch.set_default_device(values["torch's default device"])
        torch.set_grad_enabled(values["torch's gradient mode"])
        torch.set_num_threads(values["torch's number of threads"])
        torch.use_deterministic_algorithms(values["torch's deterministic algorithms"])
        torch.set_float32_matmul_precision(values["torch's precision of matrix products"])
        os.chdir(values["the working directory"])
        known = values["the environment variables"]
        for key in [k for k in os.environ if k not in known and not k.startswith("PYTEST_")]:
            del os.environ[key]
        os.environ.update(known)
        for number, name in ((signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM")):
            if threading.current_thread() is threading.main_thread():
                signal.signal(number, values[f"the handler of {name}"])
        (gc.enable if values["Python's garbage collection"] else gc.disable)()
        np.seterr(**values["numpy's handling of floating-point errors"])
        warnings.filters[:] = values["the filters of warnings"]  # type: ignore[index]
        sys.path[:] = values["sys.path"]
        for name, functions in self._functions.items():
            for key, function in functions.items():
                if vars(_OWNERS[name]).get(key) is not function:
                    setattr(_OWNERS[name], key, function)


def stir() -> None:
    """Move every global generator on, so that whoever seeds one is seen to."""
    torch.rand(1)
    np.random.rand()  # noqa: NPY002 (it is it)
    random.random()


class _PutBack(logging.Handler):
    """Remembers what a plugin changed where balenas has put it back at once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "put back" in record.getMessage():
            self.said.append(record.getMessage())


def guarded(test: Callable[..., None]) -> Callable[..., None]:
    """Return a test of the kit that finds what it did not look for: a process that is changed."""

    @functools.wraps(test)
    def run(self: Any, *args: Any, **kwargs: Any) -> None:
        before, put_back = ProcessState(), _PutBack()
        foreign = logging.getLogger("balenas_core.plugins.foreign")
        foreign.addHandler(put_back)
        failure: Exception | None = None
        try:
            try:
                test(self, *args, **kwargs)
            except Exception as error:
                failure = error
            changes = before.changes(ignoring=(*RANDOM_NUMBERS, *_MOVED_BY_LIBRARIES))
            changes += put_back.said
        finally:
            foreign.removeHandler(put_back)
            before.restore()
        if failure is not None and not changes:
            raise failure
        # What is changed is often why the check failed.
        also = f" The check failed, too: {failure}" if failure is not None else ""
        assert not changes, _changed(f"plugin {self.plugin_name!r}", changes) + also

    return run


@contextlib.contextmanager
def unchanged_process(what: str, *, ignoring: Collection[str] = ()) -> Iterator[None]:
    """Check that the body leaves the process as it was, and prints nothing on standard output.

    Args:
        what: The plugin and what it does here, for the message.
        ignoring: Names of what may change.

    Raises:
        AssertionError: Something is changed; the message names it. It is put back, where that
            can be done.
    """
    before, output = ProcessState(), io.StringIO()
    threads = set(threading.enumerate())
    try:
        with contextlib.redirect_stdout(output):
            yield
        for thread in set(threading.enumerate()) - threads:
            thread.join(timeout=0 if thread.daemon else 1)
        changes = before.changes(ignoring=ignoring)
    finally:
        before.restore()
    assert not changes, _changed(what, changes)
    printed = output.getvalue()
    assert not printed, (
        f"{what} must print nothing on standard output, which belongs to results and to --json; "
        f"use logging.getLogger(__name__). It printed {printed[:80]!r}."
    )


def _changed(what: str, changes: list[str]) -> str:
    return (
        f"{what} must leave the process as it was, for everything else runs in it too; changed: "
        f"{'; '.join(changes)}. Draw from a torch.Generator, and change settings only inside of a "
        f"context that puts them back."
    )


def _difference(before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(k for k in {*before, *now} if before.get(k) != now.get(k))
        return f" ({', '.join(map(str, keys))})"
    if isinstance(before, set) and isinstance(now, set):
        return f" ({', '.join(sorted(map(str, before ^ now)))})"
    texts = str(before), str(now)
    return f" ({texts[0]} -> {texts[1]})" if max(map(len, texts)) < 60 else ""
