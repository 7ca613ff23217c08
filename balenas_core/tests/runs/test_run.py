import json
import math
import os
from pathlib import Path

import pytest

from balenas_core.errors import OutputError, RunExistsError, RunLockedError
from balenas_core.files import write_atomically
from balenas_core.runs.directory import (
    CONFIG,
    METRICS,
    RunDirectory,
    RunKind,
    check_is_free,
    holds_run,
)


def _create(path: Path) -> RunDirectory:
    return RunDirectory.create(path, config_yaml="seed: 0\n", environment={"python": "3"})


def test_a_new_run_holds_its_config_and_environment(tmp_path):
    run = _create(tmp_path / "a" / "run")
    assert (run.path / CONFIG).read_text() == "seed: 0\n"
    assert json.loads((run.path / "environment.json").read_text()) == {"python": "3"}


def test_an_existing_run_is_refused_and_left_alone(tmp_path):
    run = _create(tmp_path / "run")
    run.log.append({"epoch": 0})
    before = (run.path / METRICS).read_text()
    run.release()
    with pytest.raises(RunExistsError, match="already holds a run"):
        _create(run.path)
    assert (run.path / METRICS).read_text() == before


def test_a_run_that_somebody_makes_is_refused_with_its_holder(tmp_path):
    run = _create(tmp_path / "run")
    with pytest.raises(RunLockedError, match=f"in use by process {os.getpid()} on "):
        _create(run.path)
    run.release()


def test_a_run_of_another_kind_has_a_file_and_a_command_of_its_own(tmp_path):
    kind = RunKind("recipe.yaml", "balenas train", frozenset())
    run = RunDirectory.create(tmp_path / "a", config_yaml="x: 1\n", environment={}, kind=kind)
    assert (run.path / "recipe.yaml").read_text() == "x: 1\n"
    assert holds_run(run.path, kind)
    assert not holds_run(run.path)
    run.release()
    with pytest.raises(RunExistsError, match=f"'balenas train {run.path}'"):
        check_is_free(run.path, kind)


def test_other_peoples_files_are_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunExistsError, match="already holds other files"):
        _create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_as_output_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(RunExistsError, match="is a file"):
        check_is_free(tmp_path / "out")


def test_an_output_below_a_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(RunExistsError, match="lies below the file") as raised:
        _create(tmp_path / "out" / "run")
    assert raised.value.exit_code == 2


def test_a_failed_creation_leaves_nothing_behind(tmp_path, monkeypatch):
    def no_space(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("balenas_core.files._atomic.os.fsync", no_space)
    with pytest.raises(OutputError, match="No space left"):
        _create(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_keeps_the_old_file(tmp_path):
    target = tmp_path / "file"
    write_atomically(target, lambda file: file.write(b"old"))

    def fail(file: object) -> None:
        file.write(b"ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, fail)
    assert target.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_non_finite_numbers_become_null_in_json(tmp_path):
    run = _create(tmp_path / "run")
    run.log.append({"loss": math.nan, "scores": [math.inf, 1.0]})
    assert json.loads((run.path / METRICS).read_text()) == {"loss": None, "scores": [None, 1.0]}
