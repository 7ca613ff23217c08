import struct

import pytest
from hypothesis import given, strategies as st

from balenas_core.benchmarks import protobuf_fields


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def test_published_example_is_read():
    # "Encoding", protobuf.dev: a field 1 of 150, and a string field 2 of "testing".
    assert list(protobuf_fields(bytes.fromhex("089601"))) == [(1, 150)]
    assert list(protobuf_fields(bytes.fromhex("120774657374696e67"))) == [(2, b"testing")]


messages = st.lists(
    st.tuples(
        st.integers(1, 2**29 - 1),
        st.integers(0, 2**64 - 1) | st.floats(allow_nan=False) | st.binary(max_size=300),
    ),
    max_size=6,
)


@given(messages)
def test_fields_come_back_in_order(fields):
    message = b"".join(field(number, value) for number, value in fields)
    assert list(protobuf_fields(message)) == fields


@given(messages, st.data())
def test_truncated_message_gives_fewer_fields_or_an_error(fields, data):
    message = b"".join(field(number, value) for number, value in fields)
    cut = data.draw(st.integers(0, len(message)))
    try:
        found = list(protobuf_fields(message[:cut]))
    except ValueError as error:
        found = []
        assert "truncated" in str(error)  # noqa: PT017
    assert found == fields[: len(found)]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"\x0d\x00\x00\x00\x00", "field 1 has the wire type 5"),
        (b"\x80" * 11, "integer at byte 10 is truncated or too long"),
        (b"\x09\x00", "field 1 is truncated"),
        (b"\x0a\xff\xff\xff\xff\x0f", "field 1 is truncated"),
    ],
)
def test_other_messages_are_refused(message, reason):
    with pytest.raises(ValueError, match=reason):
        list(protobuf_fields(message))
