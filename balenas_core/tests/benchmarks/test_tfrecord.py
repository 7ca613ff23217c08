import io
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, strategies as st

from balenas_core.benchmarks import crc32c, masked_crc32c, read_tfrecords
from balenas_core.errors import DataError


def framed(content):
    length = struct.pack("<Q", len(content))
    head, body = (struct.pack("<I", int(masked_crc32c([part])[0])) for part in (length, content))
    return length + head + content + body


def records(content):
    return list(read_tfrecords(io.BytesIO(content), "x.tfrecord"))


@pytest.mark.parametrize(
    ("text", "expected"),
    # RFC 3720, appendix B.4, and the check value of the catalogue of CRC algorithms.
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_checksum_is_the_published_one(text, expected):
    assert int(crc32c([text])[0]) == expected
    assert int(crc32c([b"longer than that" * 9, text, b"x"])[1]) == expected


def straightforward_crc32c(text):
    crc = 0xFFFFFFFF
    for byte in text:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_checksums_of_many_texts_are_those_of_each(texts):
    assert crc32c(texts).tolist() == [straightforward_crc32c(text) for text in texts]


def test_masked_checksum_is_that_of_an_event_file():
    # Every event file of TensorFlow starts with a record of 24 bytes: 18 00 .. 00 a3 7f 4b 22.
    assert int(masked_crc32c([struct.pack("<Q", 24)])[0]) == 0x224B7FA3


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_records_come_back(contents):
    assert records(b"".join(map(framed, contents))) == contents


def test_more_records_than_a_batch_come_back():
    contents = [str(number).encode() for number in range(5000)]
    assert records(b"".join(map(framed, contents))) == contents


@pytest.mark.parametrize("position", range(0, 2 * 19, 3))
def test_any_changed_byte_is_noticed(position):
    content = bytearray(framed(b"abc") + framed(b"def"))
    content[position] ^= 0x10
    with pytest.raises(DataError, match=r"x\.tfrecord"):
        records(bytes(content))


def test_one_long_record_among_many_short_ones_takes_no_more_memory_than_they_have():
    contents = [bytes(100_000), *(str(number).encode() for number in range(2000))]
    tracemalloc.start()
    try:
        assert records(b"".join(map(framed, contents))) == contents
        assert tracemalloc.get_traced_memory()[1] < 200e6  # padded all together: 400 MB and more
    finally:
        tracemalloc.stop()


def test_the_damaged_record_is_named():
    content = bytearray(b"".join(framed(str(n).encode()) for n in range(2100)))
    content[-5] ^= 1
    with pytest.raises(DataError, match="checksum of record 2099 is wrong"):
        records(bytes(content))


def test_truncated_file_is_refused():
    whole = framed(b"abc") + framed(b"defgh")
    for cut in range(len(framed(b"abc")) + 1, len(whole)):
        with pytest.raises(DataError, match=r"truncated.* at record 1"):
            records(whole[:cut])


def test_other_file_is_refused():
    with pytest.raises(DataError, match="is not a TFRecord file at record 0"):
        records(b"PK\x03\x04 this is some other format")


def test_result_is_unsigned():
    assert crc32c([]).dtype == np.uint32
