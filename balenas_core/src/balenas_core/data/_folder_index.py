"""What is known of the files of a folder of images, so that they are looked into once."""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from balenas_core.benchmarks import cache_folder
from balenas_core.data._image_files import check_files
from balenas_core.errors import DataError
from balenas_core.files import write_atomically

_log = logging.getLogger(__name__)

_FOLDER: Final = "image_folders"
_DAMAGE: Final = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
"""What reading a file that is no index, or half of one, ends in."""


class Facts(NamedTuple):
    """What tells that a file is still the one that was looked into, and how large its image is.

    Args:
        bytes: Size of the file.
        changed: When it was last written, in nanoseconds.
        height: Rows of its image, as the camera was held.
        width: Columns of its image.
    """

    bytes: int
    changed: int
    height: int
    width: int


class FolderIndex:
    """The facts of a folder's image files, kept in the folder for caches.

    A file is looked into when it is new or was written since. Where the cache cannot be read or
    written, all files are looked into each time.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.key = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:32]

    def checked(self, paths: Sequence[Path]) -> list[Facts]:
        """Return the facts of files, after looking into those that are not known.

        Raises:
            DataError: Some are no images, or damaged.
        """
        known = self._read()
        names = [os.path.relpath(path.absolute(), self.root) for path in paths]
        stats = [_stat(path) for path in paths]
        new = [
            i
            for i, (name, stat) in enumerate(zip(names, stats, strict=True))
            if name not in known or known[name][:2] != stat
        ]
        sizes = check_files([paths[i] for i in new])
        for i, size in zip(new, sizes, strict=True):
            known[names[i]] = Facts(*stats[i], *size)
        found = [known[name] for name in names]
        if new or len(known) > len(names):
            self._write(dict(zip(names, found, strict=True)))
        return found

    def _path(self) -> Path:
        return cache_folder() / _FOLDER / f"{self.key}.npz"

    def _read(self) -> dict[str, Facts]:
        try:
            with self._path().open("rb") as file, np.load(file, allow_pickle=False) as stored:
                names = bytes(stored["names"]).decode("utf-8", "surrogateescape").split("\0")
                facts = stored["facts"]
            if facts.shape != (len(names), len(Facts._fields)) or facts.dtype != np.int64:
                raise ValueError(f"{facts.shape=} for {len(names)} files")
            return dict(zip(names, map(Facts._make, facts.tolist()), strict=True))
        except FileNotFoundError:
            return {}
        except (*_DAMAGE, DataError) as error:
            _log.info("the index of %s cannot be used, and is made anew: %s", self.root, error)
            return {}

    def _write(self, known: dict[str, Facts]) -> None:
        text = "\0".join(known).encode("utf-8", "surrogateescape")
        names = np.frombuffer(text, dtype=np.uint8)
        facts = np.array([*known.values()], dtype=np.int64)
        try:
            path = self._path()
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, lambda file: np.savez(file, names=names, facts=facts))
        except (OSError, DataError) as error:  # it is only slower the next time
            _log.info("the index of %s cannot be kept: %s", self.root, error)


def _stat(path: Path) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:  # looking into it says what is wrong
        return -1, -1
    return found.st_size, found.st_mtime_ns


def fingerprint(facts: Iterable[Facts], names: Iterable[str]) -> str:
    """Return what tells one state of a folder from another."""
    digest = hashlib.sha256()
    for name, fact in zip(names, facts, strict=True):
        digest.update(f"{name}\0{fact}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]
