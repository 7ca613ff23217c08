"""A plugin of every kind as ``balenas plugins new`` writes it, built and installed as a wheel."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from balenas_cli.plans.plugin_templates import KINDS

NAME = "acme"
USES = {
    "space": ("--space", NAME),
    "distribution": ("--optimizer", "adam", "--distribution", NAME),
    "optimizer": ("--optimizer", NAME),
    "selector": ("--selector", NAME, "--draws", "3"),
    "proxy": ("--selector", NAME, "--draws", "3"),
    "dataset": ("--data", NAME, "--set", "data.images=200"),
    "tracker": ("--tracker", NAME),
    "preset": ("--preset", NAME),
}
pytestmark = pytest.mark.slow


def _run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, "PIP_NO_INDEX": "1", "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def projects(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("projects")
    for kind in KINDS:
        _run(sys.executable, "-m", "balenas_cli", "plugins", "new", kind, NAME, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def python(projects, tmp_path_factory) -> Path:
    """Return the Python of a fresh environment with every wheel; it sees what is used here."""
    root = tmp_path_factory.mktemp("environment")
    wheels = tmp_path_factory.mktemp("wheels")
    _run(
        sys.executable,
        *("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"),
        *("--wheel-dir", wheels, *sorted(projects.iterdir())),
        cwd=projects,
    )
    venv.create(root, with_pip=False)
    target = next(root.glob("lib/python*/site-packages"))
    seen = [
        sysconfig.get_path("purelib"),
        *(p for p in sys.path if p.endswith(("src", "packages"))),
    ]
    (target / "here.pth").write_text("\n".join(dict.fromkeys(seen)) + "\n")
    python = root / "bin" / "python"
    _run(
        python,
        *("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", *wheels.glob("*.whl")),
        cwd=projects,
    )
    return python


def test_types_are_strict(projects, python):
    _run(
        python,
        *("-m", "mypy", "--strict", "--cache-dir", projects / ".cache"),
        *sorted(projects.glob("balenas-*/src/*")),
        cwd=projects,
    )


def test_every_plugin_passes_its_own_tests(projects, python):
    for project in sorted(projects.glob("balenas-*")):
        _run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)


def test_searches_use_all_of_them(python, tmp_path):
    common = ("--space", "nb201", "--optimizer", "adam", "--selector", "argmax", "--data", "digits")
    options = dict(zip(common[::2], common[1::2], strict=True))
    small = ("--epochs", "1", "--batch-size", "16", "--check-epochs", "0", "--quiet")
    for kind, use in USES.items():
        replaced = {key: value for key, value in options.items() if key not in use}
        if kind == "preset":
            replaced = {"--space": "nb201", "--data": "digits"}
        arguments = [part for pair in replaced.items() for part in pair]
        _run(
            python,
            *("-m", "balenas_cli", "search", *arguments, *use, *small),
            *("--output", kind, "--set", "training.validation_fraction=0.1"),
            cwd=tmp_path,
        )
        assert (tmp_path / kind / "result.json").is_file()
    assert (tmp_path / "record.jsonl").read_text().count('"event": "epoch"') == 1
