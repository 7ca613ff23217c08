"""TensorFlow's record files, without TensorFlow."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import IO, TYPE_CHECKING, Final

import numpy as np

from balenas_core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_POLYNOMIAL: Final = 0x82F63B78
_MASK_DELTA: Final = 0xA282EAD8
_BATCH: Final = 2048
_LONGEST: Final = 1 << 24
"""No record of a benchmark is near this; a length beyond it is damage."""

_BATCH_BYTES: Final = 1 << 26
"""Of records read, or padded to one length, at a time."""


def read_tfrecords(file: IO[bytes], name: str) -> Iterator[bytes]:
    """Yield the records of a file, each checked against its checksums.

    A record is: length (8 bytes), masked CRC-32C of those 8 bytes, content, masked CRC-32C of
    the content, all little-endian.

    Args:
        file: The file, at its start.
        name: What to call it in messages.

    Raises:
        DataError: The file is truncated, or a checksum is wrong.
    """
    number = 0
    while True:
        batch = list(_frames(file, name, number))
        if not batch:
            return
        lengths, contents = [b[0] for b in batch], [b[1] for b in batch]
        expected = np.array([b[2] for b in batch], dtype=np.uint64)
        wrong = (masked_crc32c(lengths) != expected[:, 0]) | (
            masked_crc32c(contents) != expected[:, 1]
        )
        if wrong.any():
            raise DataError(
                f"{name}: the checksum of record {number + int(wrong.argmax())} is wrong, so "
                f"the file is damaged. Download it again."
            )
        yield from contents
        number += len(batch)


def _frames(
    file: IO[bytes], name: str, number: int
) -> Iterator[tuple[bytes, bytes, tuple[int, int]]]:
    held = 0
    for offset in range(_BATCH):
        if held > _BATCH_BYTES:
            return
        head = file.read(12)
        if not head:
            return
        length, head_crc = struct.unpack("<QI", head) if len(head) == 12 else (_LONGEST + 1, 0)
        if length > _LONGEST:
            what = "is truncated or damaged" if number + offset else "is not a TFRecord file"
            raise DataError(f"{name} {what} at record {number + offset}. Download it again.")
        rest = file.read(length + 4)
        if len(rest) != length + 4:
            raise DataError(f"{name} is truncated at record {number + offset}. Download it again.")
        held += length
        content_crc = struct.unpack("<I", rest[length:])[0]
        yield head[:8], rest[:length], (head_crc, content_crc)


def masked_crc32c(contents: list[bytes]) -> NDArray[np.uint64]:
    """Return TensorFlow's masked CRC-32C (Castagnoli) of each text.

    ``((crc >> 15) | (crc << 17)) + 0xa282ead8`` modulo 2^32. All texts are worked on together,
    one byte of each at a time, because Python is slow one byte at a time.
    """
    crc = crc32c(contents).astype(np.uint64)
    rotated = ((crc >> np.uint64(15)) | (crc << np.uint64(17))) & np.uint64(0xFFFFFFFF)
    return (rotated + np.uint64(_MASK_DELTA)) & np.uint64(0xFFFFFFFF)


def crc32c(contents: list[bytes]) -> NDArray[np.uint32]:
    """Return the CRC-32C of each text.

    Example:
        >>> hex(crc32c([b"123456789"])[0])
        '0xe3069283'
    """
    lengths = np.fromiter(map(len, contents), np.int64, len(contents))
    order = np.argsort(-lengths, kind="stable")
    result = np.empty(len(contents), np.uint32)
    start = 0
    while start < len(order):
        # All are padded to the longest: one that is far longer than the others goes with few.
        several = max(1, _BATCH_BYTES // max(1, int(lengths[order[start]])))
        part = order[start : start + several]
        result[part] = _crc32c_by_length([contents[k] for k in part], lengths[part])
        start += several
    return result


def _crc32c_by_length(contents: list[bytes], lengths: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return the CRC-32C of each text, of which the longest come first."""
    longest = int(lengths[0])
    # Right-aligned: column t belongs to a leading slice of the rows.
    joined = b"".join(content.rjust(longest, b"\0") for content in contents)
    columns = np.frombuffer(joined, np.uint8).reshape(len(contents), longest).T.copy()
    active = np.searchsorted(longest - lengths, np.arange(longest), side="right")
    table = _table()
    crc = np.full(len(contents), 0xFFFFFFFF, np.uint32)
    for byte, count in zip(columns, active.tolist(), strict=True):
        part = crc[:count]
        crc[:count] = table[(part & 0xFF) ^ byte[:count]] ^ (part >> 8)
    return ~crc


@cache
def _table() -> NDArray[np.uint32]:
    crc = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        crc = np.where(crc & 1, (crc >> 1) ^ np.uint32(_POLYNOMIAL), crc >> 1).astype(np.uint32)
    return crc
