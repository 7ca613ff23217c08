"""Searches killed by SIGKILL anywhere, and what they end in."""

from __future__ import annotations

import os
import random
import time
from functools import partial

import pytest
import torch

from balenas_core import Search
from balenas_core.testing import killed_at_random, run_forked

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

# In each of two tests; ten more come from outside. More, for a soak, by the environment.
KILLS = int(os.environ.get("BALENAS_TEST_KILLS", "15"))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Leave out what takes most of the time and matters to a killed machine alone, or to none."""
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    monkeypatch.setattr("balenas_core.runs.environment.versions", dict)


@pytest.fixture
def search(registry, make, tmp_path):
    """Return ``search(name)``, which starts or resumes a run.

    One search is made in this process, so that no child has to import what torch imports late.
    """
    Search(make(threads=1), registry=registry).run()

    def job(name):
        torch.set_num_threads(1)
        Search(make(output=tmp_path / name), registry=registry).run(resume="allow")

    return job


@pytest.mark.slow
@pytest.mark.parametrize("writes_only", [False, True], ids=["anywhere", "while writing"])
def test_a_search_killed_at_random_points_ends_bit_identical(
    search, tmp_path, the_outcome, same, writes_only
):
    assert run_forked(lambda: search("whole")) == 0
    expected = the_outcome(tmp_path / "whole")
    for name in killed_at_random(search, kills=KILLS, seed=20240607, writes_only=writes_only):
        same(the_outcome(tmp_path / name), expected)
        leftovers = [p.name for p in (tmp_path / name).rglob("*") if p.name.startswith(".")]
        assert leftovers == []
        assert not (tmp_path / name / "lock").exists()


@pytest.mark.slow
def test_a_search_killed_from_outside_ends_bit_identical(search, tmp_path, the_outcome, same):
    start = time.perf_counter()
    assert run_forked(lambda: search("whole")) == 0
    total = time.perf_counter() - start
    expected = the_outcome(tmp_path / "whole")
    chance = random.Random(7)
    kills = chains = 0
    while kills < 10:
        name = f"run{chains}"
        chains += 1
        while run_forked(partial(search, name), after=chance.uniform(0, total)) != 0:
            kills += 1
        same(the_outcome(tmp_path / name), expected)
    assert chains >= 1
