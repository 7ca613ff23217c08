"""Trainings killed by SIGKILL anywhere, and what they end in; run by a test, in a fresh process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from training_toys import make, outcome, registry

from balenas_core.runs import environment
from balenas_core.testing import killed_at_random
from balenas_timm.training import train


def main(folder: Path, where: str, kills: int) -> None:
    """Train uninterrupted, then killed, compare, and print how many trainings that were."""
    # What takes most of the time and matters to a killed machine alone, or to none.
    os.fsync = lambda descriptor: None
    environment.versions = dict
    torch.set_num_threads(1)
    found = registry()

    def job(name):
        train(make(folder / name), registry=found, resume="allow")

    job("whole")
    expected = outcome(folder / "whole")
    done = 0
    for name in killed_at_random(job, kills=kills, seed=20240607, writes_only=where == "writing"):
        assert outcome(folder / name) == expected, name
        assert [p.name for p in (folder / name).rglob("*") if p.name.startswith(".")] == []
        assert not (folder / name / "lock").exists()
        done += 1
    sys.stdout.write(f"{done}\n")


main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
