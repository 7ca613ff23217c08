"""``balenas plugins install``: pip, shown and asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.fixture
def pip(monkeypatch):
    """Return the list of commands that were run; the next one ends with ``codes[-1]``."""
    commands, codes = [], [0]

    def run(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, codes[-1])

    from balenas_cli.jobs import install

    monkeypatch.setattr(install.subprocess, "run", run)
    return commands, codes


@pytest.mark.parametrize(
    ("name", "requirement"),
    [
        ("acme-space>=1.2", "acme-space>=1.2"),
        ("nb201", "balenas-space-nb201"),
        ("balenas-space-nb201", "balenas-space-nb201"),
    ],
)
def test_the_command_is_shown_and_run(call, pip, name, requirement):
    answer = call("plugins", "install", name, "--yes")
    assert answer.code == 0, answer.err
    assert pip[0] == [[sys.executable, "-m", "pip", "install", requirement]]
    assert answer.err.splitlines()[0].endswith(
        f"-m pip install '{requirement}'" if ">" in name else f"-m pip install {requirement}"
    )
    assert "balenas plugins list --check" in answer.err


def test_without_an_answer_nothing_is_installed(call, pip, monkeypatch):
    import io

    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    answer = call("plugins", "install", "acme-space")
    assert (answer.code, pip[0]) == (1, [])


@pytest.mark.parametrize("name", ["--index-url=x", "https://acme/x.whl", "/tmp/x", ""])
def test_what_is_no_distribution_is_refused(call, pip, name):
    answer = call("plugins", "install", "--yes", "--", name)
    assert (answer.code, pip[0]) == (2, [])
    assert "name a distribution, such as acme-space" in answer.err


def test_a_pip_that_fails_is_a_failure(call, pip):
    pip[1].append(1)
    answer = call("plugins", "install", "acme-space", "--yes")
    assert answer.code == 1
    assert "pip has not installed 'acme-space'" in answer.err
