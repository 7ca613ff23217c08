"""Installing the distribution of a plugin, by pip."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys

from balenas_cli.shell.console import confirm, say
from balenas_core.errors import BalenasError, UsageError
from balenas_core.plugins.known import providers
from balenas_core.plugins.plugin import GROUPS


def install(name: str, *, asks: bool) -> None:
    """Show the command of pip, ask, and run it.

    Args:
        name: A requirement, or the name of a plugin that a known distribution provides.
        asks: Whether to ask.

    Raises:
        UsageError: It is no requirement, or there is no pip.
        BalenasError: pip failed.
        typer.Abort: The answer is no, or there is none.
    """
    requirement = _distribution_of(name.strip())
    if importlib.util.find_spec("pip") is None:
        raise UsageError(
            f"there is no pip in the environment of {sys.executable}; install "
            f"{requirement!r} with what has made it, such as: uv pip install {requirement!r}"
        )
    command = [sys.executable, "-m", "pip", "install", requirement]
    say(shlex.join(command))
    if asks:
        confirm("Run this?")
    if subprocess.run(command, check=False, stdout=sys.stderr).returncode:
        raise BalenasError(
            f"pip has not installed {requirement!r}; the lines above say why. "
            f"Nothing of balenas was changed."
        )
    say("'balenas plugins list --check' tells whether it works.")


def _distribution_of(name: str) -> str:
    """Return what to install for a name."""
    # A name may be one of several kinds, in the order of which a search needs them.
    for kind in GROUPS:
        if len(found := providers(kind, name)) == 1:
            return found[0].name
    if not re.match(r"[A-Za-z0-9]", name) or "\n" in name or "://" in name:
        raise UsageError(
            f"name a distribution, such as acme-space or 'acme-space>=1.2' (got {name!r}); for "
            f"anything else, use pip itself."
        )
    return name
