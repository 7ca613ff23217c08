"""The CUDA kernel's source over a software grid, under address and undefined-behaviour checks."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import plant_bugs
import toolchain

pytestmark = pytest.mark.skipif(not toolchain.has("g++"), reason="needs g++")


def test_kernel_planner_and_formulas_hold_under_sanitizers(tmp_path):
    built = toolchain.build_softgrid(tmp_path / "tests")
    assert built.returncode == 0, built.stderr
    assert "warning" not in built.stderr, built.stderr
    ran = toolchain.run_softgrid(tmp_path / "tests")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_planted_bugs_still_have_a_place(tmp_path):
    for number, bug in enumerate(plant_bugs.BUGS):
        plant_bugs.plant(bug, tmp_path / str(number))


@pytest.mark.slow
@pytest.mark.parametrize("bug", plant_bugs.BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug):
    how, output = plant_bugs.verdict(bug)
    assert how, f"{bug.name} was not caught: {output}"
    assert how != "compiler", output
