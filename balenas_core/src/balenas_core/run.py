"""A run's directory: configuration, environment, metrics, checkpoint and result.

``config.yaml``      what was asked for, with every default
``environment.json`` versions and machine
``metrics.jsonl``    one line per epoch, appended
``checkpoint.pt``    the last good state (tensors and plain data only)
``result.json``      what was found
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from balenas_core._atomic import write_atomically
from balenas_core.errors import OutputError, RunExistsError

CONFIG, ENVIRONMENT, METRICS = "config.yaml", "environment.json", "metrics.jsonl"
CHECKPOINT, RESULT = "checkpoint.pt", "result.json"


class RunDirectory:
    """An output directory that holds one run.

    Args:
        path: A directory made by ``create``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, *, config_yaml: str, environment: Mapping[str, Any]) -> RunDirectory:
        """Make a new run directory, with its configuration and environment.

        Raises:
            RunExistsError: ``path`` exists and is not an empty directory.
            OutputError: It cannot be written; nothing is left behind.
        """
        check_is_free(path)
        run = cls(path)
        existed = path.is_dir()
        with _output_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            try:
                write_atomically(path / CONFIG, lambda file: file.write(config_yaml.encode()))
                run.write_json(ENVIRONMENT, environment)
                (path / METRICS).touch()
            except BaseException:
                _remove(path, keep_directory=existed)
                raise
        return run

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Write ``value`` as JSON, atomically; non-finite numbers become null.

        Raises:
            OutputError: The file cannot be written.
        """
        text = json.dumps(finite(value), indent=2, ensure_ascii=False) + "\n"
        with _output_errors(self.path / name):
            write_atomically(self.path / name, lambda file: file.write(text.encode()))

    def write_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint by ``state``, atomically.

        Raises:
            OutputError: The file cannot be written; the previous checkpoint is intact.
        """
        import torch

        with _output_errors(self.path / CHECKPOINT):
            write_atomically(self.path / CHECKPOINT, lambda file: torch.save(dict(state), file))

    def read_checkpoint(self) -> dict[str, Any]:
        """Return the state of the checkpoint, on the CPU."""
        import torch

        state = torch.load(self.path / CHECKPOINT, map_location="cpu", weights_only=True)
        assert isinstance(state, dict)
        return state

    def append_metrics(self, record: Mapping[str, Any]) -> None:
        """Append one line to ``metrics.jsonl`` and push it to the disk.

        Raises:
            OutputError: The file cannot be written.
        """
        with _output_errors(self.path / METRICS), (self.path / METRICS).open("a") as file:
            file.write(json.dumps(finite(record), ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def check_is_free(path: Path) -> None:
    """Check that a run can be made at ``path``.

    Raises:
        RunExistsError: ``path`` exists and is not an empty directory.
        OutputError: ``path`` cannot be looked at.
    """
    with _output_errors(path):
        if not path.exists():
            return
        if not path.is_dir():
            raise RunExistsError(f"output {path} is a file; choose a directory with --output.")
        if any(path.iterdir()):
            what = "a run" if (path / CONFIG).exists() else "other files"
            raise RunExistsError(
                f"output {path} already holds {what}; choose another with --output, "
                f"or remove it first."
            )


def finite(value: Any) -> Any:
    """Return ``value`` with every non-finite float replaced by None, for strict JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def _remove(path: Path, *, keep_directory: bool) -> None:
    if not keep_directory:
        shutil.rmtree(path, ignore_errors=True)
        return
    for name in (CONFIG, ENVIRONMENT, METRICS):
        (path / name).unlink(missing_ok=True)


@contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}. "
            f"Choose a writable place with free space with --output."
        ) from error
