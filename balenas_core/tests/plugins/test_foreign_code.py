"""What code of a plugin raises, prints and changes reaches nobody else."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch

from balenas_core.errors import ForeignExit, SearchInterrupted, told
from balenas_core.plugins import foreign
from balenas_core.plugins.foreign import contained, foreign_code


@pytest.mark.parametrize(
    "error", [SystemExit(0), KeyboardInterrupt(), GeneratorExit(), BaseException("x")]
)
def test_what_is_no_error_becomes_one(error):
    with pytest.raises(ForeignExit) as caught, foreign_code("it", "here"):
        raise error
    assert told(caught.value).startswith(type(error).__name__)


def test_around_code_of_others_interrupts_stay_what_they_are():
    with pytest.raises(KeyboardInterrupt), contained():
        raise KeyboardInterrupt
    with pytest.raises(ForeignExit, match="SystemExit: 0"), contained():
        raise SystemExit(0)


def test_errors_and_the_stop_of_a_search_stay_what_they_are():
    for error in (ValueError("v"), SearchInterrupted("s")):
        with pytest.raises(type(error)), foreign_code("it", "here"):
            raise error


def test_an_interrupt_by_the_user_is_one():
    with pytest.raises(KeyboardInterrupt), foreign_code("it", "here"):
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_end_of_the_process_is_an_error_too():
    with pytest.raises(ForeignExit, match=r"os\._exit\(3\)"), foreign_code("it", "here"):
        os._exit(3)
    assert os._exit is foreign._end_process


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be copied here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_that_a_plugin_has_forked_ends_as_it_wants():
    with foreign_code("it", "here"):
        child = os.fork()
        if child == 0:
            with foreign_code("it", "in its own process"):
                pass
            os._exit(5)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 5


def test_a_slow_import_is_named_while_it_lasts(monkeypatch, caplog):
    monkeypatch.setattr(foreign, "_PATIENCE", 0.01)
    with foreign.named_if_slow("hook plugin 'slow' (from acme)", "slow", "acme"):
        deadline = time.monotonic() + 20
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "hook plugin 'slow' (from acme) is still being imported" in caplog.text
    assert "BALENAS_DISABLE_PLUGINS=acme:slow" in caplog.text


def test_what_balenas_publishes_is_waited_for_in_silence(monkeypatch, caplog):
    monkeypatch.setattr(foreign, "_PATIENCE", 0.0)
    with foreign.named_if_slow("space plugin 'nb201'", "nb201", "balenas-space-nb201"):
        time.sleep(0.05)
    assert caplog.messages == []


def test_threads_other_than_the_first_can_call_plugins():
    done = []

    def call():
        with foreign_code("it", "here"):
            done.append(1)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert done == [1]


def test_what_is_printed_goes_to_stderr_also_by_what_is_not_python(capfd):
    with foreign_code("it", "here"):
        sys.stdout.write("by Python\n")
        sys.stdout.flush()
        os.write(1, b"by C\n")
        sys.stdout.buffer.write(b"bytes\n")
        sys.stdout.close()
    sys.stdout.write("a result\n")
    out, err = capfd.readouterr()
    assert out == "a result\n"
    assert {"by Python", "by C"} <= set(err.split("\n"))


def _clear_path():
    sys.path.clear()


def _ignore():
    signal.signal(signal.SIGINT, signal.SIG_IGN)


CHANGES = {
    "torch's default type from float32 to float64": lambda: torch.set_default_dtype(torch.float64),
    "torch's gradient mode from True to False": lambda: torch.set_grad_enabled(False),
    "torch's default device from cpu to meta": lambda: torch.set_default_device("meta"),
    "torch's deterministic algorithms": lambda: torch.use_deterministic_algorithms(True),
    "torch's random numbers": lambda: torch.manual_seed(7),
    "torch's number of threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "numpy's random numbers": lambda: np.random.seed(7),  # noqa: NPY002
    "Python's random numbers": lambda: random.seed(7),
    "Python's garbage collection": gc.disable,
    "Python's recursion limit": lambda: sys.setrecursionlimit(5000),
    "the working directory": lambda: os.chdir("/"),
    "environment variables": lambda: os.environ.update(OMP_SCHEDULE="static"),
    "sys.path": _clear_path,
    "the filters of warnings": lambda: warnings.simplefilter("ignore"),
    "the root logger": lambda: logging.disable(logging.CRITICAL),
    "what SIGINT does": _ignore,
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_changed_of_the_process_is_named_and_put_back(name):
    told_of: list[str] = []
    with foreign_code("proxy 'x'", "while it was imported", report=told_of.append):
        CHANGES[name]()
    (line,) = told_of
    assert line.startswith(f"proxy 'x' changed {name}")
    assert line.endswith("while it was imported. This was put back.")
    with foreign_code("it", "here", report=told_of.append):
        pass
    assert len(told_of) == 1


def test_what_libraries_do_when_they_are_imported_is_theirs():
    told_of: list[str] = []
    with foreign_code("it", "here", report=told_of.append):
        sys.path.append("/of/a/library")
        os.environ["A_LIBRARY_IS_HERE"] = "1"
        warnings.filterwarnings("ignore", message="of a library")
    assert told_of == []
    assert "/of/a/library" in sys.path
    assert os.environ.pop("A_LIBRARY_IS_HERE") == "1"
    sys.path.remove("/of/a/library")
    warnings.filters[:] = [one for one in warnings.filters if one[1] is None or
                           getattr(one[1], "pattern", "") != "of a library"]  # fmt: skip


def test_what_is_called_may_draw_random_numbers():
    told_of: list[str] = []
    with foreign_code("it", "here", draws=True, report=told_of.append):
        torch.rand(3), random.random()
    assert told_of == []
