"""From exceptions and signals to messages and exit codes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from balenas_cli.shell import explained
from balenas_core.errors import PluginConflictError

PROGRAM = """
import logging, os, signal, sys, time, warnings
from balenas_cli.shell.border import run_guarded
from balenas_core.errors import BalenasError, ConfigError
import typer

def command():
{body}

run_guarded(command)
"""


@pytest.fixture
def run(environment):
    def run(body: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM.format(body=f"    {body}")],
            env=environment | extra, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip

    return run


def test_success_is_zero_and_silent(run):
    done = run("print('result')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "result\n", "")


@pytest.mark.parametrize(
    ("error", "code"), [("BalenasError('no space left')", 1), ("ConfigError('no space left')", 2)]
)
def test_a_known_error_is_one_line_and_its_exit_code(run, error, code):
    done = run(f"raise {error}")
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "error: no space left\n")


def test_every_problem_of_a_configuration_has_its_own_line(run):
    done = run(r"raise ConfigError('a.yaml:1: seed: wrong\na.yaml:3: lr: wrong')")
    assert done.stderr == "error: a.yaml:1: seed: wrong\nerror: a.yaml:3: lr: wrong\n"


def test_an_error_that_a_page_explains_names_the_page(run):
    done = run("from balenas_core.errors import RunLockedError; raise RunLockedError('in use.')")
    assert (done.returncode, done.stderr) == (1, "error: in use. See docs/runs.md\n")


def test_a_page_is_on_the_site_once_there_is_one(monkeypatch):
    urls = {"Project-URL": ["Source, there", "Documentation, https://docs.invalid/en/"]}
    monkeypatch.setattr(explained.metadata, "metadata", lambda _: SimpleNamespace(get_all=urls.get))
    address = "https://docs.invalid/en/plugins.html#names"
    assert explained.page_of(PluginConflictError("two")) == address


def test_a_bug_shows_its_traceback_and_asks_for_a_report(run):
    done = run("[][0]")
    assert done.returncode == 1
    assert "IndexError: list index out of range" in done.stderr
    assert "balenas doctor" in done.stderr.splitlines()[-1]


def test_debug_shows_the_traceback_of_a_known_error(run):
    done = run("raise ConfigError('wrong')", BALENAS_DEBUG="1")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1] == "error: wrong"


def test_debug_zero_is_off(run):
    assert "Traceback" not in run("raise ConfigError('wrong')", BALENAS_DEBUG="0").stderr


LACKS_OF_MEMORY = {
    "python": "raise MemoryError",
    "cpu": "import torch; torch.empty(2**58)",
    "cpu, overflow": "import torch; torch.empty(2**40, 2**40)",
    "cuda": "import torch; raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate')",
    "cuda, late": "raise RuntimeError('CUDA error: out of memory')",
    "cudnn": "raise RuntimeError('cuDNN error: CUDNN_STATUS_ALLOC_FAILED')",
    "mps": "raise RuntimeError('MPS backend out of memory (MPS allocated: 9 GB')",
    "system": "import errno; raise OSError(errno.ENOMEM, 'Cannot allocate memory')",
}


@pytest.mark.parametrize("where", LACKS_OF_MEMORY)
def test_lack_of_memory_is_no_bug(run, where):
    done = run(LACKS_OF_MEMORY[where])
    assert done.returncode == 1
    assert done.stderr == (
        "error: out of memory; lower --batch-size, or the space's channels or cells.\n"
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_bug(environment, tmp_path, closed):
    body = (
        "print('result'); assert sys.stdin.read() == ''; sys.stderr.write('note\\n'); "
        "made = open('made', 'w'); assert made.fileno() > 2; made.write('whole'); made.close()"
    )
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c",
         PROGRAM.format(body=f"    {body}")],
        cwd=tmp_path, env=environment, input="", capture_output=True, text=True, timeout=600,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made").read_text() == "whole"
    assert done.stdout == ("" if ">&- " in f"{closed.replace('2>&-', '')} " else "result\n")
    warning = "warning: standard output is closed; results are not shown\n"
    if "2>&-" in closed:
        assert done.stderr == ""
    else:
        assert done.stderr == (warning if closed == ">&-" else "") + "note\n"


def test_a_name_that_is_too_long_is_refused(run):
    done = run("open('a' * 300)")
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {'a' * 60}... is too long for the name of a file; choose a shorter one.\n"
    )


def test_a_typer_exit_code_is_kept(run):
    assert run("raise SystemExit(7)").returncode == 7


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    "surfaces_as",
    [
        "time.sleep(30)",
        "exec('try: time.sleep(30)\\nexcept KeyboardInterrupt: raise RuntimeError(\"worker\")')",
        "exec('try: time.sleep(30)\\nexcept KeyboardInterrupt: raise SystemExit(1)')",
    ],
)
def test_a_signal_ends_cleanly_however_it_surfaces(environment, name, surfaces_as):
    number = signal.Signals[name]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=f"    print('up', flush=True); {surfaces_as}")],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "up\n"
    time.sleep(0.05)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 128 + number
    assert stderr == f"interrupted ({name})\n"


def test_a_warning_is_one_line_on_stderr(run):
    done = run("logging.getLogger('acme').warning('no %s', 'kernel'); print('done')")
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert done.stderr == "warning: no kernel\n"


def test_a_python_warning_is_one_line_without_its_source(run):
    done = run("warnings.warn('slow [path]', stacklevel=1)")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("warning: ")
    assert done.stderr.endswith("UserWarning: slow [path]\n")


def test_a_text_that_the_terminal_cannot_show_is_replaced(run):
    done = run(r"print('\u2500')", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, "?\n")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full is Linux's")
def test_a_full_disk_behind_stdout_is_a_failure_without_traceback(environment):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM.format(body="    print('x')")],
            env=environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
