"""Protocol buffers by their wire format, without a schema compiler."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_DOUBLE = struct.Struct("<d").unpack_from


def protobuf_fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Yield number and value of every field of a message, in order.

    Fixed 64-bit fields are read as doubles, varints as unsigned integers, and strings, bytes and
    inner messages as bytes.

    Raises:
        ValueError: It is truncated, or has fields of other types.

    References:
        "Encoding", protobuf.dev: a field is a varint (number << 3 | type) and its content.

    Example:
        >>> list(protobuf_fields(bytes.fromhex("1096010a02686911000000000000f03f")))
        [(2, 150), (1, b'hi'), (2, 1.0)]
    """
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == 1:
            if at + 8 > end:
                raise ValueError(f"field {number} is truncated")
            yield number, _DOUBLE(message, at)[0]
            at += 8
        elif kind == 2:
            size, at = _varint(message, at)
            if at + size > end:
                raise ValueError(f"field {number} is truncated")
            yield number, message[at : at + size]
            at += size
        elif kind == 0:
            value, at = _varint(message, at)
            yield number, value
        else:
            raise ValueError(f"field {number} has the wire type {kind}; 0, 1 and 2 are read")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return the integer at a position, and the position behind it."""
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError(f"the integer at byte {at} is truncated or too long")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
