"""Files that hold a pickle of data: those of ``torch.save``, read without torch, and others."""

from __future__ import annotations

import bz2
import zipfile
import zlib
from itertools import islice
from pathlib import Path
from typing import Any, Final

from balenas_core.benchmarks._pickle_limits import PickleError
from balenas_core.benchmarks._stream_pickle import read_pickle, read_pickles

_MAGIC: Final = 0x1950A86A20F9469CFC6C


_ZIP_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,  # encrypted, or a zip feature that Python lacks
)


def read_pickle_file(path: Path) -> Any:
    """Read the pickle of a file, as ``read_pickle`` does; ``.pbz2`` is compressed by bz2.

    Raises:
        PickleError: It is no pickle, is damaged, or holds more than data.
        OSError: It cannot be read.
    """
    if path.suffix != ".pbz2":
        with path.open("rb") as file:
            return read_pickle(file)
    with bz2.open(path) as file:
        return read_pickle(file, stored=path.stat().st_size)


def read_torch_file(path: Path) -> Any:
    """Read what ``torch.save`` wrote, in the zip format or the older one; tensors are skipped.

    Raises:
        PickleError: The file is neither, is damaged, or holds more than data.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    return _read_zip(path) if is_zip else _read_legacy(path)


def _read_zip(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            found = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(found) != 1:
                raise PickleError("it is a zip file, but not one of torch.save")
            # What the archive says of the size is its own claim.
            with archive.open(found[0]) as file:
                return read_pickle(file, stored=path.stat().st_size)
    except _ZIP_DAMAGE as error:
        raise PickleError(f"it is truncated or damaged ({error})") from error


def _read_legacy(path: Path) -> Any:
    with path.open("rb") as file:
        # Four pickles in a row: magic number, protocol, platform, and what was saved.
        pickles = read_pickles(file)
        if next(pickles) != _MAGIC:
            raise PickleError("it is not a file of torch.save")
        return next(islice(pickles, 2, None))
