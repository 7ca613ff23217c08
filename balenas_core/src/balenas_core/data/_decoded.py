"""Decoded images in one file that is mapped into memory; what does not fit there is read again."""

from __future__ import annotations

import logging
import mmap
import os
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from balenas_core.benchmarks import cache_folder
from balenas_core.data._folder_index import Facts
from balenas_core.data._image_files import decode
from balenas_core.errors import DataError

_log = logging.getLogger(__name__)

_CHANNELS: Final = 3
_CHECK: Final = 4  # bytes before each image


class DecodedFile:
    """Pixels of image files, decoded when they are first asked for, and read from then on.

    Every image has its place in the file, behind a checksum of its pixels: what was never
    written, or not wholly, is decoded again. So several processes can share the file. It costs
    the room of all pixels, of which the system keeps in memory what it has memory for.

    Args:
        name: Of the file, in the folder for caches; another for other images.
        paths: The image files.
        facts: Their sizes.

    Raises:
        DataError: There is no room for the pixels.
    """

    def __init__(self, name: str, paths: Sequence[Path], facts: Sequence[Facts]) -> None:
        self._paths = paths
        self._shapes = np.array([(f.height, f.width) for f in facts], dtype=np.int64)
        sizes = self._shapes.prod(axis=1) * _CHANNELS + _CHECK
        self._offsets: NDArray[np.int64] = np.concatenate(([0], np.cumsum(sizes)))
        self._file = cache_folder() / "decoded" / f"{name}.pixels"
        self._descriptor: int | None = None
        self._mapped: mmap.mmap | None = None
        self._check_room()

    def __getstate__(self) -> dict[str, Any]:
        # Another process opens the file itself.
        return {**self.__dict__, "_descriptor": None, "_mapped": None}

    def __getitem__(self, index: int) -> Tensor:
        """Return an image as a `3 x height x width`-dim uint8 tensor."""
        mapped = self._open()
        start, end = int(self._offsets[index]), int(self._offsets[index + 1])
        height, width = self._shapes[index]
        stored = np.frombuffer(mapped, np.uint8, end - start - _CHECK, start + _CHECK)
        if int.from_bytes(mapped[start : start + _CHECK], "little") == _checksum(stored):
            pixels = stored.reshape(height, width, _CHANNELS).copy()
        else:
            pixels = self._decoded(index)
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def _decoded(self, index: int) -> NDArray[np.uint8]:
        pixels = decode(self._paths[index])
        if pixels.shape[:2] != tuple(self._shapes[index]):
            return pixels  # its header tells another size than its pixels have
        assert self._descriptor is not None, "it is open"
        data = np.ascontiguousarray(pixels).reshape(-1)
        check = _checksum(data).to_bytes(_CHECK, "little")
        try:
            # By a write and not through the map, which on a full disk would end the process.
            os.pwrite(self._descriptor, check + data.tobytes(), int(self._offsets[index]))
        except OSError as error:
            _log.info("a decoded image cannot be kept: %s", error)
        return pixels

    def _check_room(self) -> None:
        needed = int(self._offsets[-1])
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            there = self._file.stat().st_blocks * 512 if self._file.exists() else 0
            free = shutil.disk_usage(self._file.parent).free
        except OSError as error:
            raise DataError(
                f"data.cache cannot use {self._file.parent}: {error.strerror}. Set BALENAS_CACHE "
                f"to a folder that can be written, or data.cache to false."
            ) from error
        if needed - there > free:
            raise DataError(
                f"data.cache needs {needed / 2**30:.1f} GiB for the decoded images, and "
                f"{self._file.parent} has {free / 2**30:.1f} GiB left. Set BALENAS_CACHE to a "
                f"folder on a larger disk, or data.cache to false."
            )

    def _open(self) -> mmap.mmap:
        if self._mapped is None:
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o666)
            os.ftruncate(self._descriptor, int(self._offsets[-1]))
            self._mapped = mmap.mmap(
                self._descriptor, int(self._offsets[-1]), access=mmap.ACCESS_READ
            )
        return self._mapped


def _checksum(pixels: NDArray[np.uint8]) -> int:
    """Return a checksum that is never that of an empty place."""
    return zlib.crc32(pixels.data) or 1
