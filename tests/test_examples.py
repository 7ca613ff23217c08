"""The examples: each passes its own tests and is used in a search, on a small budget."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ("proxy", "optimizer", "dataset", "transformer_space")
SMALL = (
    *("--epochs", "1", "--batch-size", "32", "--check-epochs", "0", "--quiet"),
    *("--set", "training.validation_fraction=0.1"),
)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Return a folder in which every example is installed."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--no-index", "--target", str(folder)]
    subprocess.run([*command, *(str(ROOT / "examples" / name) for name in EXAMPLES)], check=True)
    return folder


def _run(site: Path, folder: Path, *arguments: str) -> str:
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_passes_its_own_tests(name, site):
    _run(site, ROOT / "examples" / name, "pytest", "-q", "-p", "no:cacheprovider")


def test_the_proxy_the_optimizer_and_the_data_set_are_used_in_one_search(site, tmp_path):
    _run(
        site,
        tmp_path,
        *("balenas_cli", "search", "--space", "nb201", "--optimizer", "mirror_descent"),
        *("--selector", "alive_layers", "--draws", "4", "--data", "stripes", *SMALL),
        *("--output", "run"),
    )
    assert (tmp_path / "run" / "result.json").is_file()


def test_a_transformer_is_searched_retrained_and_exported(site, tmp_path):
    _run(
        site,
        tmp_path,
        *("balenas_cli", "search", "--space", "transformer", "--optimizer", "ngvi"),
        *("--selector", "supernet", "--draws", "4", "--data", "digits", *SMALL),
        *("--output", "run"),
    )
    _run(site, tmp_path, "balenas_cli", "train", "run", "--epochs", "1", "--quiet")
    _run(
        site,
        tmp_path,
        *("balenas_cli", "export", "run", "--format", "torch-export", "-o", "vit.pt2"),
    )
    assert (tmp_path / "vit.pt2").stat().st_size > 10_000
