"""Searches that two processes share, as torchrun starts them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from balenas_core import Search
from balenas_core.runs.listing import read_run

sys.path.insert(0, str(Path(__file__).parent))
from shared_searches import SHARED, config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="needs torch.distributed"),
]

TORCHRUN = (
    sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2",
    "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0",
)  # fmt: skip
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TORCHRUN, *arguments], cwd=folder, env=os.environ | ENVIRONMENT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def ended(process: subprocess.Popen[str], timeout: float) -> tuple[str, str]:
    try:
        return process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        end(process)
        raise


def end(process: subprocess.Popen[str]) -> None:
    """Kill the launcher's processes, each of which leads a group of its own, and the launcher."""
    for pid in (*children(process.pid), process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait(timeout=60)


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(text) for text in found.read_text().split()] if found.exists() else []


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Return the folder and the lines of two processes."""
    folder = tmp_path_factory.mktemp("processes")
    script = Path(__file__).with_name("shared_searches.py")
    process = start(folder, str(script), str(folder))
    out, err = ended(process, 600)
    assert process.returncode == 0, err
    return folder, out.splitlines()


def metrics(run: Path):
    records = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in record.items() if k != "seconds"} for record in records]


def assert_equal_to_round_off(one, two):
    assert len(one) == len(two)
    for alone, together in zip(one, two, strict=True):
        assert alone.pop("architecture") == together.pop("architecture")
        assert together == pytest.approx(alone, rel=1e-9)


def test_with_shared_noise_and_statistics_two_processes_equal_one(shared, tmp_path):
    folder, lines = shared
    result = Search(config(processes=SHARED, output=tmp_path / "one")).run()
    assert_equal_to_round_off(metrics(tmp_path / "one"), metrics(folder / "shared"))
    for rank, writes in enumerate((True, False)):
        assert f"rank {rank}: chose {result.architecture}, run {writes}" in lines


def test_a_look_ahead_of_two_processes_equals_that_of_one(shared, tmp_path):
    folder, _ = shared
    stored = read_run(folder / "unrolled").config
    one = config(
        optimizer={"name": "adam", "unrolled": True},
        distribution="point",
        selector="argmax",
        training={"epochs": stored["training"]["epochs"]},
        output=tmp_path / "one",
    )
    Search(one).run()
    assert_equal_to_round_off(metrics(tmp_path / "one"), metrics(folder / "unrolled"))


def test_what_one_process_interrupts_both_stop_and_resume_to_the_same_bits(shared):
    folder, lines = shared
    stops = [line.partition(": ")[2] for line in lines if "stopped after" in line]
    assert len(stops) == 2
    assert len(set(stops)) == 1
    assert metrics(folder / "cut") == metrics(folder / "own")
    results = [json.loads((folder / name / "result.json").read_text()) for name in ("cut", "own")]
    assert results[0]["architecture"] == results[1]["architecture"]
    assert [c["scores"] for c in results[0]["candidates"]] == [
        c["scores"] for c in results[1]["candidates"]
    ]


def test_hard_draws_of_each_process_compute_other_operations_and_come_together(shared):
    _, lines = shared
    chosen = [line.partition(": ")[2] for line in lines if " hard " in line]
    assert len(chosen) == 2
    assert len(set(chosen)) == 1


@pytest.mark.parametrize(
    "told",
    [
        "training.batch_size (241) must be a multiple of the number of processes, 2.",
        "processes.noise is own, and this optimizer learns from the losses of its draws, which "
        "all processes must share; set it to shared.",
    ],
)
def test_what_cannot_be_shared_is_refused_in_every_process_and_writes_nothing(shared, told):
    folder, lines = shared
    assert {f"rank {rank}: {told}" for rank in (0, 1)} <= set(lines)
    assert not (folder / "refused").exists()


def test_numbers_that_differ_are_told_with_their_checksums(shared):
    _, lines = shared
    told = [line for line in lines if "x must be the same in every process, and is not" in line]
    assert len(told) == 2
    assert told[0].endswith("Do this.")


def test_what_one_process_cannot_begin_the_first_one_tells(shared):
    _, lines = shared
    assert "rank 0: process 1 of 2 cannot begin: no data here" in lines
    assert "rank 1: no data here" in lines


SEARCH = (
    "-m", "balenas_cli", "search", "--space", "nb201", "--optimizer", "ngvi", "--epochs", "200",
    "--selector", "argmax", "--check-epochs", "0", "--batch-size", "240", "--threads", "1",
    "--set", "space.channels=4", "--set", "checkpoint.every_steps=1", "--output", "run",
)  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
def test_a_killed_rank_ends_the_job_within_a_minute_and_resume_goes_on(tmp_path):
    process = start(tmp_path, *SEARCH)
    try:
        wait_for(lambda: list(tmp_path.glob("run/checkpoints/*")), process)
        os.kill(children(process.pid)[1], signal.SIGKILL)
        killed = time.monotonic()
        _, err = ended(process, 60)
    finally:
        end(process)
    assert time.monotonic() - killed < 60
    assert process.returncode != 0
    assert "error: another of the 2 processes that share this work has ended" in err
    assert "torchrun --nproc-per-node=2 -m balenas_cli resume run" in err
    assert read_run(tmp_path / "run").status in ("failed", "lost")
    before = len(metrics(tmp_path / "run"))
    again = start(tmp_path, "-m", "balenas_cli", "resume", "run", "--quiet")
    try:
        wait_for(lambda: len(metrics(tmp_path / "run")) > before, again)
        again.terminate()  # as a batch system does
        ended(again, 90)
    finally:
        end(again)
    assert read_run(tmp_path / "run").status == "interrupted"


def wait_for(condition, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "nothing happened for long"
        time.sleep(0.2)


def test_a_number_of_processes_alone_is_refused_with_what_to_type(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "balenas_cli", "search", "--optimizer", "ngvi", "--space", "nb201"],
        cwd=tmp_path, env=os.environ | ENVIRONMENT | {"WORLD_SIZE": "2"}, text=True,
        capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "WORLD_SIZE=2 says that 2 processes share this work, but RANK, LOCAL_RANK" in done.stderr
    assert "torchrun --nproc-per-node=2 -m balenas_cli" in done.stderr
    assert "Traceback" not in done.stderr
