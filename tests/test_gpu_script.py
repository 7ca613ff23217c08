"""The script for a machine with a GPU, in miniature: its time there is too dear for a typo."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
pytestmark = pytest.mark.slow


def test_every_step_runs_and_is_reported(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--output", tmp_path, "--miniature"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "report.json").read_text())
    assert list(facts) == ["environment", "build", "test", "optimizers", "bandwidth", "search"]
    assert not any("error" in found for found in facts.values()), facts
    assert facts["test"]["ok"], facts["test"]
    assert facts["optimizers"]["nb201"]["NGVI vadam"]["to_adam"] > 0
    assert facts["search"]["steps_a_second"] > 0
    assert (tmp_path / "report.md").read_text().startswith("# ")
