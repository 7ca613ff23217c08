"""Running the command, and plugins as pip would install them."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import NamedTuple

import pytest

Balenas = Callable[..., subprocess.CompletedProcess[str]]

TOYS = Path(__file__).parent / "installed"
"""A folder as pip leaves it, with the plugins of the distribution ``acme-toys``."""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder for installed plugins, which ``balenas`` has on its path."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    return folder


@pytest.fixture
def install(site: Path) -> Callable[..., None]:
    """Return ``install(distribution, module, source, {group: {name: target}})``."""

    def install(
        distribution: str,
        module: str,
        source: str,
        entry_points: dict[str, dict[str, str]],
        *,
        extra_metadata: str = "",
    ) -> None:
        folder = site / f"{distribution.replace('-', '_')}-1.2.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n{extra_metadata}"
        )
        (folder / "entry_points.txt").write_text(
            "\n".join(
                f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in names.items())
                for group, names in entry_points.items()
            )
        )
        (site / f"{module}.py").write_text(source)

    return install


@pytest.fixture
def environment(site: Path) -> dict[str, str]:
    """Environment of a ``balenas`` process: one thread, no colour, the test's plugins."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BALENAS_")}
    for key in ("FORCE_COLOR", "COLUMNS", "TERMINAL_WIDTH", "PYTHONUNBUFFERED"):
        kept.pop(key, None)
    path = os.pathsep.join(filter(None, (str(site), kept.get("PYTHONPATH"))))
    return kept | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


@pytest.fixture(scope="session")
def without_ours() -> dict[str, str]:
    """An environment that switches off every plugin of balenas but the core's.

    Trying them all takes ten seconds of a core, of which one test is enough.
    """
    names = {str(distribution.name) for distribution in distributions()}
    ours = {name for name in names if name.startswith("balenas-")} - {"balenas-core"}
    return {"BALENAS_DISABLE_PLUGINS": ",".join(sorted(ours))}


@pytest.fixture
def toy_environment(environment: dict[str, str]) -> dict[str, str]:
    """The same, with the distribution ``acme-toys`` installed and its hook switched off."""
    path = os.pathsep.join((str(TOYS), environment["PYTHONPATH"]))
    return environment | {"PYTHONPATH": path, "BALENAS_DISABLE_PLUGINS": "acme_watch"}


def _runner(folder: Path, environment: dict[str, str]) -> Balenas:
    def balenas(*arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "balenas_cli", *arguments],
            cwd=folder,
            env=environment | extra,
            capture_output=True,
            text=True,
            timeout=600,  # a busy machine is no fault
            check=False,
        )

    return balenas


@pytest.fixture
def balenas(tmp_path: Path, environment: dict[str, str]) -> Balenas:
    """Return ``balenas(*arguments, **environment)``, a process that runs in ``tmp_path``."""
    return _runner(tmp_path, environment)


@pytest.fixture
def toy_balenas(tmp_path: Path, toy_environment: dict[str, str]) -> Balenas:
    """The same, with ``acme-toys``."""
    return _runner(tmp_path, toy_environment)


class Answer(NamedTuple):
    """What a command that ran in this process did."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Answer]]:
    """Return ``call(*arguments)``, which runs the command with ``acme-toys`` in this process.

    A process takes longer to start than most commands take to fail.
    """
    from balenas_cli.main import main
    from balenas_core.plugins.registry import default_registry

    monkeypatch.syspath_prepend(str(TOYS))
    monkeypatch.setenv("BALENAS_DISABLE_PLUGINS", "acme_watch")
    monkeypatch.delenv("BALENAS_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)
    default_registry.cache_clear()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    loggers = list(logging.getLogger().handlers)

    def call(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["balenas", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsys.readouterr()
        return Answer(exit_.value.code, out, err)

    yield call
    logging.captureWarnings(False)
    logging.getLogger().handlers[:] = loggers
    for number, handler in handlers.items():
        signal.signal(number, handler)
    default_registry.cache_clear()
