"""Reading cells as programs print them that use NAS-Bench-101, without evaluating anything."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from balenas_core.errors import ArchitectureError
from balenas_space_nb1shot1._architecture import NB1Shot1Architecture
from balenas_space_nb1shot1._nb101 import VERTICES
from balenas_space_nb1shot1._topology import Topology

_LONGEST: Final = 10_000
_KEY: Final = r"[\"']?\b(?:{})\b[\"']?\s*[:=]\s*"
_MATRIX: Final = re.compile(
    _KEY.format("matrix|adjacency|adjacency_matrix|module_adjacency")
    + r"(?:(?:\w+\.)*\w+\()?(\[\s*\[[0-9\s,.\[\]]*\]\s*\])"
)
_OPERATIONS: Final = re.compile(
    _KEY.format("ops|operations|node_list|module_operations") + r"(\[[^\[\]]*\])"
)
_FORM: Final = "ModelSpec(matrix=[[0, 1, ...], ...], ops=['input', ..., 'output'])"


def is_nb101_text(text: str) -> bool:
    """Whether a text has a matrix, which no other form of an architecture has."""
    return "[" in text


def parse_nb101(text: str, topology: Topology) -> NB1Shot1Architecture:
    """Read a matrix and operations, as ``ModelSpec`` takes them or a dict with the file's names.

    Spaces of four choice blocks may have the unconnected node that completes seven.

    Raises:
        ArchitectureError: They are not there, or are no cell with the space's nodes.
    """
    matrix, operations = _read(text)
    count = len(operations)
    if len(matrix) != count or any(len(row) != count for row in matrix):
        raise ArchitectureError(
            f"expected a matrix of {count} rows and columns for {count} operations; got rows of "
            f"{[len(row) for row in matrix]}."
        )
    _check(matrix, operations)
    inner = topology.blocks
    is_padded = count == VERTICES and inner < VERTICES - 2
    if is_padded:
        spare = range(inner + 1, VERTICES - 1)
        if any(matrix[i][j] for i in range(count) for j in range(count) if {i, j} & set(spare)):
            raise ArchitectureError(
                f"a cell of space {topology.name} has {inner} nodes between input and output; "
                f"nodes {', '.join(map(str, spare))} of the matrix must not be connected."
            )
    elif count != inner + 2:
        raise ArchitectureError(
            f"a cell of space {topology.name} has {inner} nodes between input and output; "
            f"got {count - 2}."
        )
    columns = [*range(1, inner + 1), count - 1]
    number = {column: node for node, column in enumerate([0, *columns])}
    parents = tuple(
        tuple(number[row] for row in range(count) if matrix[row][column]) for column in columns
    )
    return NB1Shot1Architecture(tuple(operations[1 : inner + 1]), parents)


def _read(text: str) -> tuple[list[list[int]], list[str]]:
    if len(text) > _LONGEST:
        raise ArchitectureError(f"a cell of {len(text)} characters is too long; expected {_FORM}")
    found = _MATRIX.search(text), _OPERATIONS.search(text)
    if found[0] is None or found[1] is None:
        what = "matrix" if found[0] is None else "ops"
        raise ArchitectureError(f"the text has no {what}; expected {_FORM}")
    # numpy prints neither commas nor, in a float matrix, digits after the point.
    numbers = re.sub(r"(?<=[0-9\].])\s+(?=[0-9\[])", ", ", found[0][1])
    try:
        matrix: Any = json.loads(re.sub(r"\.(?:0+)?(?=[\s,\]])", "", numbers))
        operations: Any = json.loads(found[1][1].replace("'", '"'))
    except (ValueError, RecursionError) as error:
        raise ArchitectureError(f"cannot read the cell ({error}); expected {_FORM}") from error
    if not all(isinstance(row, list) for row in matrix) or not all(
        isinstance(name, str) for name in operations
    ):
        raise ArchitectureError(f"expected rows of a matrix and names of operations: {_FORM}")
    return matrix, operations


def _check(matrix: list[list[int]], operations: list[str]) -> None:
    for row, values in enumerate(matrix):
        for column, value in enumerate(values):
            if value not in (0, 1) or (value and column <= row):
                raise ArchitectureError(
                    f"the matrix must be upper triangular, of zeros and ones; got {value!r} in "
                    f"row {row}, column {column}."
                )
    if len(operations) < 2 or (operations[0], operations[-1]) != ("input", "output"):
        raise ArchitectureError(
            f"the operations begin with 'input' and end with 'output'; got {operations[:1]} and "
            f"{operations[-1:]}."
        )
