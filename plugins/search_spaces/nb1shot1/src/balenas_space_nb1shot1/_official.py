"""The official file of NAS-Bench-101, to be converted once."""

from __future__ import annotations

import base64
import json
import re
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from balenas_core.benchmarks import Column, Table, protobuf_fields, read_tfrecords
from balenas_core.errors import DataError
from balenas_space_nb1shot1._configurations import configuration_hashes
from balenas_space_nb1shot1._nb101 import VERTICES, NB101Cell, module_hash
from balenas_space_nb1shot1._topology import NB101_OPERATIONS, TOPOLOGIES

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELLS: Final = 423_624
_RUNS: Final = 3
_FULL_EPOCHS: Final = 108
_HASH: Final = re.compile(r"[0-9a-f]{32}")
_CHECKED_CELLS: Final = 200
"""So many cells at the start have their hash computed: enough to notice another file."""

_EPOCHS: Final = (4, 12, 36, _FULL_EPOCHS)
_DAMAGE: Final = (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError)
"""What reading a record of another format raises."""

_REMEDY: Final = "Give 'nasbench_only108.tfrecord' or 'nasbench_full.tfrecord', complete."
_METRICS: Final = ("training_time", "train_accuracy", "validation_accuracy", "test_accuracy")
_STAGES: Final = ("", "halfway_")


@dataclass(frozen=True, slots=True)
class Record:
    """One training run: ``evaluations`` has a row for the end and one for half of the epochs.

    A row is training time in seconds, and training, validation and test accuracy from 0 to 1.
    """

    hash: str
    epochs: int
    cell: NB101Cell
    parameters: int
    evaluations: tuple[tuple[float, ...], tuple[float, ...]]


def read_official(source: Path, *, allow_missing: bool = False) -> Table:
    """Read ``nasbench_only108.tfrecord`` or ``nasbench_full.tfrecord`` without TensorFlow.

    The table's keys are the benchmark's hashes of the cells. The three runs of a cell have the
    seeds 0, 1, 2, in the order of the file; other numbers of epochs than 108 are named at the
    end of a metric, such as ``test_accuracy@36``. For each of the spaces there is the row of
    every configuration.

    Args:
        source: The file.
        allow_missing: Whether fewer than 423,624 cells will do.

    Raises:
        DataError: The file is missing, damaged, incomplete or of another format.

    References:
        Ying et al. 2019, "NAS-Bench-101", ICML (released code, ``api.py`` and
        ``model_metrics.proto``).
    """
    collector = _Collector()
    try:
        with source.open("rb") as file:
            for number, content in enumerate(read_tfrecords(file, str(source))):
                try:
                    collector.add(parse_record(content))
                except _DAMAGE as error:
                    raise DataError(
                        f"{source}: record {number} is not one of NAS-Bench-101 "
                        f"({type(error).__name__}: {error}). {_REMEDY}"
                    ) from error
    except OSError as error:
        raise DataError(f"cannot read {source}: {error.strerror or error}. {_REMEDY}") from error
    missing = CELLS - len(collector.rows)
    if missing and not allow_missing:
        raise DataError(
            f"{source} lacks {missing} of {CELLS} cells. {_REMEDY} "
            f"With --allow-missing those that are there are taken."
        )
    if not collector.rows:
        raise DataError(f"{source} holds no cell. {_REMEDY}")
    return collector.table(f"NAS-Bench-101 ({source.name})")


def parse_record(content: bytes) -> Record:
    """Read a record: JSON of hash, epochs, matrix, operations, and base64 of a message.

    Raises:
        ValueError, TypeError, IndexError: It is something else.
    """
    name, epochs, bits, operations, message = json.loads(content)
    if not (isinstance(bits, str) and isinstance(operations, str) and len(bits) <= VERTICES**2):
        raise TypeError(f"matrix and operations must be texts, of up to {VERTICES} vertices")
    size = round(len(bits) ** 0.5)
    names = operations.split(",")
    if size * size != len(bits) or size != len(names) or set(bits) - {"0", "1"}:
        raise ValueError(f"the matrix {bits!r} does not fit the operations {operations!r}")
    if names[0] != "input" or names[-1] != "output" or set(names[1:-1]) - set(NB101_OPERATIONS):
        raise ValueError(f"the operations {operations!r} are not those of NAS-Bench-101")
    matrix = tuple(tuple(map(int, bits[k : k + size])) for k in range(0, size * size, size))
    parameters, evaluations = 0, []
    for number, value in protobuf_fields(base64.b64decode(message, validate=True)):
        if number == 1 and isinstance(value, bytes):
            evaluations.append(_evaluation(value))
        elif number == 2:
            parameters = int(value)
    if not isinstance(name, str) or not isinstance(epochs, int):
        raise TypeError("the hash must be text and the epochs a number")
    if not _HASH.fullmatch(name) or epochs not in _EPOCHS:
        raise ValueError(f"{name[:40]!r} after {epochs} epochs is no result of the benchmark")
    # Of the start, of half of the epochs, of the end.
    rows = evaluations[2], evaluations[1]
    return Record(name, epochs, NB101Cell(matrix, tuple(names[1:-1])), parameters, rows)


def _evaluation(message: bytes) -> tuple[float, ...]:
    fields = dict(protobuf_fields(message))
    # 2 training_time, 3 train_accuracy, 4 validation_accuracy, 5 test_accuracy; 0 if left out.
    return tuple(float(fields.get(number, 0.0)) for number in (2, 3, 4, 5))


class _Collector:
    """Gathers records by cell."""

    def __init__(self) -> None:
        self.rows: dict[str, int] = {}
        self._parameters: array[int] = array("q")
        self._runs: dict[tuple[int, int], int] = {}
        self._places: dict[int, array[int]] = {}
        self._values: dict[int, array[float]] = {}

    def add(self, record: Record) -> None:
        """Add one training run."""
        row = self.rows.setdefault(record.hash, len(self.rows))
        if row == len(self._parameters):
            self._parameters.append(record.parameters)
            if row < _CHECKED_CELLS and module_hash(record.cell) != record.hash:
                raise ValueError(f"{record.hash} is not the hash of its cell")
        run = self._runs.get((record.epochs, row), 0)
        if run >= _RUNS:
            raise ValueError(f"it is run {run + 1} of {record.hash}; there should be {_RUNS}")
        self._runs[record.epochs, row] = run + 1
        self._places.setdefault(record.epochs, array("q")).append(row * _RUNS + run)
        values = self._values.setdefault(record.epochs, array("d"))
        for evaluation in record.evaluations:
            values.extend(evaluation)

    def table(self, source: str) -> Table:
        """Return the table."""
        columns: dict[Column, NDArray[Any]] = {}
        for epochs in sorted(self._places, reverse=True):
            suffix = "" if epochs == _FULL_EPOCHS else f"@{epochs}"
            values = np.array(self._values[epochs]).reshape(-1, len(_STAGES), len(_METRICS))
            for stage, prefix in enumerate(_STAGES):
                for metric in (3, 2, 1, 0):  # test accuracy first
                    column = _column(prefix + _METRICS[metric] + suffix)
                    filled = np.full(len(self.rows) * _RUNS, np.nan)
                    scale = 1.0 if column.is_cost else 100.0
                    filled[np.array(self._places[epochs])] = values[:, stage, metric] * scale
                    columns[column] = filled.reshape(-1, _RUNS)
        millions = np.array(self._parameters)[:, None] / 1e6
        columns[Column("cifar10", "parameters", is_cost=True, unit="M")] = millions
        keys = np.array(list(self.rows), dtype=np.bytes_)
        extras = {name: _rows(keys, configuration_hashes(t)) for name, t in TOPOLOGIES.items()}
        return Table("nb1shot1", source, keys, columns, extras=extras)


def _column(metric: str) -> Column:
    is_cost = "time" in metric
    return Column("cifar10", metric, tuple(range(_RUNS)), is_cost, "s" if is_cost else "%")


def _rows(keys: NDArray[np.bytes_], wanted: NDArray[np.bytes_]) -> NDArray[np.int32]:
    """Return the place of each wanted key, -1 where it is missing."""
    order = np.argsort(keys)
    places = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    found = order[places]
    return np.where(keys[found] == wanted, found, -1).astype(np.int32)
