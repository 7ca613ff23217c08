"""A plugin of every kind as ``balenas plugins new`` writes it.

One is built and installed as a wheel; the others, which differ from it in what is theirs alone,
stand beside it as they were written.
"""

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from balenas_cli.jobs.plugin_project import write_project
from balenas_cli.plans.plugin_templates import KINDS, project_files

NAME = "acme"
BUILT = "space"
TOGETHER = ("space", "distribution", "optimizer", "selector", "dataset", "tracker", "executor")
"""What one search can use at once."""
FLAGS = {"dataset": "--data"}
SMALL = ("--epochs", "1", "--batch-size", "32", "--draws", "3", "--check-epochs", "0", "--quiet")
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
    """Return a folder with a project of each kind; that which is built is written by a command."""
    folder = tmp_path_factory.mktemp("projects")
    for kind in KINDS:
        if kind != BUILT:
            files = project_files(kind, NAME, now=datetime.now(UTC))
            write_project(folder / f"balenas-{kind}-{NAME}", files)
    _run(sys.executable, "-m", "balenas_cli", "plugins", "new", BUILT, NAME, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def python(projects, tmp_path_factory) -> Path:
    """Return the Python of a fresh environment with all of them; it sees what is used here."""
    root = tmp_path_factory.mktemp("environment")
    wheels = tmp_path_factory.mktemp("wheels")
    _run(
        sys.executable,
        *("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"),
        *("--wheel-dir", wheels, projects / f"balenas-{BUILT}-{NAME}"),
        cwd=projects,
    )
    venv.create(root, with_pip=False)
    target = next(root.glob("lib/python*/site-packages"))
    seen = [
        sysconfig.get_path("purelib"),
        *(p for p in sys.path if p.endswith(("src", "packages"))),
    ]
    for project in projects.iterdir():
        if project.name != f"balenas-{BUILT}-{NAME}":
            seen.append(str(project / "src"))
            _declare(project, target)
    (target / "here.pth").write_text("\n".join(dict.fromkeys(seen)) + "\n")
    python = root / "bin" / "python"
    _run(
        python,
        *("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", *wheels.glob("*.whl")),
        cwd=projects,
    )
    return python


def _declare(project: Path, target: Path) -> None:
    """Write the metadata that an installed project has."""
    about = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    name, version = about["name"], about["version"]
    folder = target / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    (folder / "METADATA").write_text("".join(lines))
    (folder / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
            for group, points in about["entry-points"].items()
        )
    )


def test_types_are_strict(projects, python):
    _run(
        python,
        *("-m", "mypy", "--strict", "--cache-dir", projects / ".cache"),
        *sorted(projects.glob("balenas-*/src/*")),
        cwd=projects,
    )


def test_every_plugin_passes_its_own_tests(projects, python):
    tests = sorted(projects.glob("balenas-*/tests"))
    assert len(tests) == len(KINDS)
    _run(
        python,
        *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"),
        *("--rootdir", projects, *tests),
        cwd=projects,
    )


def test_one_search_uses_those_that_go_together(python, tmp_path):
    flags = [part for kind in TOGETHER for part in (FLAGS.get(kind, f"--{kind}"), NAME)]
    _run(
        python,
        *("-m", "balenas_cli", "search", *flags, *SMALL, "--set", "data.images=400"),
        *("--set", "training.validation_fraction=0.1", "--output", "all"),
        cwd=tmp_path,
    )
    assert (tmp_path / "all" / "result.json").is_file()
    assert (tmp_path / "record.jsonl").read_text().count('"event": "epoch"') == 1


def test_one_search_uses_the_others(python, tmp_path):
    _run(
        python,
        *("-m", "balenas_cli", "search", "--preset", NAME, "--space", NAME, "--data", "digits"),
        # There is a selector of that name, too.
        *("--selector", f"balenas-proxy-{NAME}:{NAME}", *SMALL, "--output", "others"),
        *("--set", "training.validation_fraction=0.1"),
        cwd=tmp_path,
    )
    assert (tmp_path / "others" / "result.json").is_file()


def test_a_training_and_an_export_use_the_rest(python, tmp_path):
    cell = "|skip_connect~0|+|none~0|none~1|+|none~0|none~1|nor_conv_3x3~2|"
    network = (cell, "--space", "nb201")
    train = ("train", *network, "--preset", NAME, "--dry-run")
    assert "epochs: 30\n" in _run(python, "-m", "balenas_cli", *train, cwd=tmp_path)
    export = ("export", *network, "--set", "channels=4", "--format", NAME, "--output", "net")
    _run(python, "-m", "balenas_cli", *export, cwd=tmp_path)
    assert {file.name for file in (tmp_path / "net").iterdir()} == {"README.md", "model.npz"}
