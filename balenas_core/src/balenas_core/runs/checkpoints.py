"""The last few checkpoints of a run, each with its checksum."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from balenas_core.errors import DamagedError
from balenas_core.files import is_unfinished, read_regular, write_atomically

_log = logging.getLogger(__name__)

_NAME = re.compile(r"epoch-(\d+)-step-(\d+)-([0-9a-f]{32})\.pt")

_COLOUR = re.compile(r"\x1b\[[\d;]*m")

_LARGEST = 1 << 40
"""Bytes: more than any machine has memory."""
_TOLD_CHARACTERS = 200
"""Characters of an error of torch that are told: it lists every tensor of a network."""

_MISFIT = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, ArithmeticError)
"""What loading the state of something else ends in."""


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
        check: Raises ValueError for a state that is none of this kind.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep: int = 2,
        check: Callable[[dict[str, Any]], None] = lambda state: None,
    ) -> None:
        self.folder = folder
        self._keep = keep
        self._check = check

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
        """Return the checkpoints, newest first.

        Raises:
            OSError: The folder cannot be read.
        """
        found = []
        with contextlib.suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                match = _NAME.fullmatch(path.name)
                if match is not None:
                    place = (int(match[1]), int(match[2]), path.lstat().st_mtime_ns)
                    found.append((place, path))
        return [path for _, path in sorted(found, reverse=True)]

    def whole(self) -> Iterator[Checkpoint]:
        """Yield the checkpoints that can be read, newest first, on the CPU.

        Damaged ones are reported, and the ones before them are taken. Where the bytes of all are
        damaged, there is none.

        Raises:
            DamagedError: None is left, and one of them has other content than a checkpoint of
                this version, in bytes that are whole.
            OSError: One cannot be read.
        """
        complaints: list[str] = []
        has_strange = False
        for path in self.paths():
            try:
                data = read_regular(path, limit=_LARGEST)
                checksum = path.stem.rpartition("-")[2]
                if _checksum(data) != checksum:
                    raise DamagedError(
                        f"checkpoint {path} is damaged: its content does not have the checksum of "
                        f"its name"
                    )
            except DamagedError as error:
                complaints.append(str(error))
                continue
            try:
                state = self._state(data)
            except ValueError as error:
                has_strange = True
                complaints.append(f"checkpoint {path} is damaged: {error}")
                continue
            if complaints:
                _log.warning("%s; going on from %s", "; ".join(complaints), path.name)
                complaints.clear()
            yield Checkpoint(path, checksum, state)
        if has_strange:
            raise _none_is_left(complaints, self.folder)
        if complaints:
            _log.warning("%s, and no other is left", "; ".join(complaints))

    def newest(self) -> Checkpoint | None:
        """Return the first of ``whole``, which also says what it raises; None if there is none."""
        return next(self.whole(), None)

    def _state(self, data: bytes) -> dict[str, Any]:
        """Return a checked state.

        Raises:
            ValueError: The bytes hold none.
        """
        import torch

        try:
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except (MemoryError, torch.cuda.OutOfMemoryError):
            raise
        except Exception as error:  # whatever bytes make the reader of pickles do
            raise ValueError(f"{type(error).__name__}: {_told(error)}") from error
        if not isinstance(state, dict):
            raise ValueError(f"it holds a {type(state).__name__} and no state")
        self._check(state)
        return state

    def tidy(self, newest: Checkpoint | None) -> None:
        """Remove what damaged writes have left, and what is newer than the checkpoint in use.

        Args:
            newest: The checkpoint that is gone on from; those before it that are whole stay.
        """
        is_newer = newest is not None
        for path in self.paths():
            is_newer = is_newer and path != (newest.path if newest else None)
            if is_newer or path.stem.rpartition("-")[2] != _checksum_of(path):
                path.unlink()
        for path in self.folder.glob("*"):
            if is_unfinished(path):
                path.unlink()


class Candidates:
    """Goes from the newest checkpoint of a run to older ones, until one fits.

    Args:
        checkpoints: Those that can be read, newest first.
    """

    def __init__(self, checkpoints: Iterator[Checkpoint]) -> None:
        self._others = checkpoints
        self._misfits: list[str] = []
        self.current = next(checkpoints, None)
        """The one to try; None where there is none at all."""

    def reject(self, error: MisfitError) -> None:
        """Take the one before the present one, with a warning.

        Raises:
            DamagedError: None is left.
        """
        assert self.current is not None, "something has not fitted"
        folder = self.current.path.parent
        self._misfits.append(f"checkpoint {self.current.path} does not fit: {error}")
        self.current = next(self._others, None)
        if self.current is None:
            raise _none_is_left(self._misfits, folder) from error
        _log.warning("%s; going on from %s", self._misfits[-1], self.current.path.name)


class MisfitError(Exception):
    """A checkpoint is not one of the network or the plugins that it is to be loaded into."""


@contextmanager
def loading() -> Iterator[None]:
    """Turn an error of loading a state inside the block into a ``MisfitError``."""
    import torch

    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise
    except _MISFIT as error:
        raise MisfitError(f"{type(error).__name__}: {_told(error)}") from error


def _none_is_left(complaints: Sequence[str], folder: Path) -> DamagedError:
    told = "; ".join(complaints)
    return DamagedError(
        f"{told}. No other checkpoint is left. Use the versions of {folder.parent / 'environment'}"
        f".json if they were others; to start anew from nothing, remove {folder}."
    )


def _told(error: BaseException) -> str:
    text = " ".join(_COLOUR.sub("", str(error)).split())[:_TOLD_CHARACTERS]
    return "".join(char if char.isprintable() else "?" for char in text)


def _checksum_of(path: Path) -> str | None:
    try:
        return _checksum(read_regular(path, limit=_LARGEST))
    except DamagedError:
        return None


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
