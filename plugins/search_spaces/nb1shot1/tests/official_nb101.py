"""Small files in the format of NAS-Bench-101: TFRecords of JSON with a base64 message."""

import base64
import json
import struct

import numpy as np

from balenas_core.benchmarks import masked_crc32c
from balenas_space_nb1shot1 import module_hash


def framed(content):
    """One record, as tensorflow.io.TFRecordWriter writes it."""
    length = struct.pack("<Q", len(content))
    head, body = (struct.pack("<I", int(masked_crc32c([part])[0])) for part in (length, content))
    return length + head + content + body


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def evaluation(epoch, time, accuracies):
    """Message EvaluationData: five doubles and the path of a checkpoint."""
    doubles = (epoch, time, *accuracies)
    fields = [varint(k << 3 | 1) + struct.pack("<d", v) for k, v in enumerate(doubles, start=1)]
    path = b"model.ckpt-1234"
    return b"".join(fields) + varint(6 << 3 | 2) + varint(len(path)) + path


def metrics(evaluations, parameters):
    """Message ModelMetrics."""
    inner = b"".join(varint(1 << 3 | 2) + varint(len(e)) + e for e in evaluations)
    total = varint(3 << 3 | 1) + struct.pack("<d", 4321.0)
    return inner + varint(2 << 3) + varint(parameters) + total


def record(cell, epochs, accuracies, *, parameters=1_000_000, time=1000.0, name=None):
    """A training run with train, validation and test accuracy; half of each at half time."""
    rows = [
        evaluation(0.0, 0.0, (0.1, 0.1, 0.1)),
        evaluation(epochs / 2, time / 2, [a / 2 for a in accuracies]),
        evaluation(float(epochs), time, accuracies),
    ]
    matrix = "".join(str(bit) for row in cell.matrix for bit in row)
    operations = ",".join(("input", *cell.operations, "output"))
    message = base64.b64encode(metrics(rows, parameters)).decode()
    return json.dumps([name or module_hash(cell), epochs, matrix, operations, message]).encode()


def accuracies(number, run, epochs=108):
    """Train, validation and test accuracy of a cell's run: multiples of 1/9984, as there."""
    base = 5000 + number % 4000 + 10 * run + epochs
    return [np.float32((base + k) / 9984).item() for k in range(3)]


def write(path, cells, epochs=(108,)):
    """A file with three runs of every cell."""
    content = b"".join(
        framed(record(cell, e, accuracies(n, run, e), parameters=1_000_000 + n, time=100.0 + run))
        for n, cell in enumerate(cells)
        for e in epochs
        for run in range(3)
    )
    path.write_bytes(content)
    return path
