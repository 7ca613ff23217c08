"""The last few checkpoints of a run, each with its checksum."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from balenas_core.files import is_unfinished, write_atomically

_log = logging.getLogger(__name__)

_NAME = re.compile(r"epoch-(\d+)-step-(\d+)-([0-9a-f]{32})\.pt")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was read, and its checksum, which identifies it."""

    path: Path
    checksum: str
    state: dict[str, Any]


class Checkpoints:
    """A folder of checkpoints.

    A file is called ``epoch-0003-step-00000042-<checksum>.pt``; the checksum is the first half
    of the SHA-256 of its bytes. So one rename makes a checkpoint and its checksum visible
    together, and what is not whole is known as such.

    Args:
        folder: Made with the first checkpoint.
        keep: How many of the newest stay.
    """

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        self.folder = folder
        self._keep = keep

    def write(self, state: Mapping[str, Any], *, epoch: int, step: int) -> str:
        """Write a checkpoint atomically, remove those that are too old, return the checksum.

        Raises:
            OSError: It cannot be written; the ones before are intact.
            TypeError: The state is not tensors and plain data, which alone can be read back.
        """
        import torch

        check_plain(state)
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        data = buffer.getbuffer()
        checksum = _checksum(data)
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"epoch-{epoch:04d}-step-{step:08d}-{checksum}.pt"
        write_atomically(path, lambda file: file.write(data))
        for old in self.paths()[self._keep :]:
            old.unlink(missing_ok=True)
        return checksum

    def paths(self) -> list[Path]:
        """Return the checkpoints, newest first."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                match = _NAME.fullmatch(path.name)
                if match is not None:
                    place = (int(match[1]), int(match[2]), path.stat().st_mtime_ns)
                    found.append((place, path))
        return [path for _, path in sorted(found, reverse=True)]

    def newest(self) -> Checkpoint | None:
        """Return the newest whole checkpoint, on the CPU; None if there is none.

        A damaged one is reported, and the one before it is taken.

        Raises:
            OSError: One cannot be read.
        """
        import torch

        damaged = []
        for path in self.paths():
            data = path.read_bytes()
            checksum = path.stem.rpartition("-")[2]
            if _checksum(data) != checksum:
                damaged.append(path)
                continue
            if damaged:
                _log.warning("%s; going on from %s", _complaint(damaged), path.name)
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            assert isinstance(state, dict)
            return Checkpoint(path, checksum, state)
        if damaged:
            _log.warning("%s, and no other is left: starting anew", _complaint(damaged))
        return None

    def tidy(self) -> None:
        """Remove what damaged writes have left, so that a newer damaged file is not kept."""
        for path in self.folder.glob("*"):
            match = _NAME.fullmatch(path.name)
            is_damaged = match is not None and _checksum(path.read_bytes()) != match[3]
            if is_unfinished(path) or is_damaged:
                path.unlink()


def _complaint(damaged: Sequence[Path]) -> str:
    names = " and ".join(str(path) for path in damaged)
    return f"checkpoint {names} is damaged: its content does not have the checksum of its name"


def _checksum(data: bytes | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def check_plain(value: Any, place: str = "state") -> None:
    """Check that a state is made of what ``torch.load(weights_only=True)`` reads.

    Raises:
        TypeError: Something else is in it.
    """
    import torch

    if isinstance(value, Mapping) and type(value).__module__ in ("builtins", "collections"):
        for key, item in value.items():
            check_plain(key, f"{place} key")
            check_plain(item, f"{place}.{key}")
    elif type(value) in (list, tuple, torch.Size):
        for index, item in enumerate(value):
            check_plain(item, f"{place}[{index}]")
    elif not (
        value is None
        or type(value) in (bool, int, float, str, bytes)
        or type(value) in (torch.Tensor, torch.nn.Parameter)
        or isinstance(value, torch.dtype | torch.device)
    ):
        raise TypeError(
            f"{place} is of type {type(value).__module__}.{type(value).__qualname__}; a checkpoint "
            "holds tensors and plain data only. Convert it in the plugin's state_dict()."
        )
