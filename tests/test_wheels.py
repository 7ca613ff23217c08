"""The built wheels, installed into an environment that holds no balenas."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECTS = (
    ROOT,
    ROOT / "balenas_core",
    ROOT / "cli",
    *sorted(path.parent for path in ROOT.glob("plugins/*/*/pyproject.toml")),
)
pytestmark = pytest.mark.slow


def _run(*command: str | Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    _run(
        sys.executable,
        *("-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"),
        *("--wheel-dir", folder, *PROJECTS),
        NGVI_BUILD="none",
    )
    return folder


@pytest.fixture(scope="module")
def environment(wheels, tmp_path_factory) -> Path:
    """Return the scripts folder of an environment with every wheel.

    What balenas depends on is linked from this environment: installing torch again would take
    minutes and gigabytes.
    """
    root = tmp_path_factory.mktemp("environment")
    venv.create(root, with_pip=False)
    target = next(root.glob("lib/python*/site-packages"))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "balenas" not in entry.name and entry.suffix != ".pth":
            (target / entry.name).symlink_to(entry)
    binaries = root / "bin"
    _run(
        binaries / "python",
        *("-m", "pip", "install", "--quiet", "--no-index", "--no-deps", *wheels.glob("*.whl")),
    )
    return binaries


def test_every_distribution_is_a_wheel(wheels):
    assert len(list(wheels.glob("*.whl"))) == len(PROJECTS)


def test_installed_wheels_list_every_plugin_and_uninstalling_one_removes_it(environment):
    def names() -> set[tuple[str, str]]:
        rows = json.loads(_run(environment / "balenas", "plugins", "list", "--json"))
        return {(row["kind"], row["name"]) for row in rows}

    before = names()
    assert {
        ("space", "darts"),
        ("space", "nb201"),
        ("optimizer", "ngvi"),
        ("optimizer", "adam"),
        ("proxy", "synflow"),
        ("proxy", "naswot"),
        ("selector", "argmax"),
        ("dataset", "digits"),
    } <= before
    python = environment / "python"
    _run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "balenas-proxy-naswot")
    assert before - names() == {("proxy", "naswot")}
    _run(environment / "balenas", "plugins", "list", "--check")
