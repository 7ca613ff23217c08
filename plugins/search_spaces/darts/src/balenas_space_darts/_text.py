"""Reading the text form of the DARTS code, without evaluating it."""

from __future__ import annotations

import ast
from typing import Final

from balenas_core.errors import ArchitectureError
from balenas_space_darts._architecture import DartsArchitecture, DartsCell, Pair

_FIELDS: Final = ("normal", "normal_concat", "reduce", "reduce_concat")
_LONGEST: Final = 10_000
_FORM: Final = (
    "Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), "
    "reduce=[('max_pool_3x3', 0), ...], reduce_concat=range(2, 6))"
)


def parse(text: str) -> DartsArchitecture:
    """Read ``Genotype(normal=[...], normal_concat=..., reduce=[...], reduce_concat=...)``.

    A concatenation is a ``range(a, b)`` or a list.

    Raises:
        ArchitectureError: The text has another form; the message names the place.
    """
    fields = _fields(text.strip())
    cells = {}
    for kind in ("normal", "reduce"):
        try:
            cells[kind] = DartsCell(_pairs(fields[kind]), _concat(fields[f"{kind}_concat"]))
        except ArchitectureError as error:
            raise ArchitectureError(f"{kind} cell: {error}") from error
    return DartsArchitecture(cells["normal"], cells["reduce"])


def _fields(text: str) -> dict[str, ast.expr]:
    if len(text) > _LONGEST:
        raise ArchitectureError(
            f"an architecture of {len(text)} characters is too long; expected {_FORM}"
        )
    try:
        call = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise ArchitectureError(
            f"cannot read the architecture at line {error.lineno}, character {error.offset} "
            f"({error.msg}); expected {_FORM}"
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ArchitectureError(
            f"cannot read the architecture ({error}); expected {_FORM}"
        ) from error
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and not call.args) or (
        call.func.id != "Genotype"
    ):
        raise _unexpected(call, _FORM)
    fields = {keyword.arg or "**": keyword.value for keyword in call.keywords}
    if len(call.keywords) != len(_FIELDS) or set(fields) != set(_FIELDS):
        given = ", ".join(keyword.arg or "**" for keyword in call.keywords) or "none"
        raise ArchitectureError(
            f"expected the fields {', '.join(_FIELDS)}, each once; got {given}."
        )
    return fields


def _unexpected(node: ast.expr, expected: str) -> ArchitectureError:
    got = ast.unparse(node)
    shown = got if len(got) <= 60 else got[:57] + "..."
    return ArchitectureError(f"expected {expected} at character {node.col_offset + 1}, got {shown}")


def _pairs(node: ast.expr) -> tuple[Pair, ...]:
    if not isinstance(node, ast.List | ast.Tuple):
        raise _unexpected(node, "a list of ('operation', input)")
    return tuple(_pair(item) for item in node.elts)


def _pair(node: ast.expr) -> Pair:
    if isinstance(node, ast.Tuple | ast.List) and len(node.elts) == 2:
        name, source = node.elts
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            return name.value, _integer(source)
    raise _unexpected(node, "('operation', input)")


def _integer(node: ast.expr) -> int:
    # bool is a subclass of int, and True is no node.
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    raise _unexpected(node, "the number of a node")


def _concat(node: ast.expr) -> tuple[int, ...]:
    if isinstance(node, ast.List | ast.Tuple):
        return tuple(_integer(item) for item in node.elts)
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "range"
        and len(node.args) == 2
        and not node.keywords
    ):
        start, stop = (_integer(argument) for argument in node.args)
        # Compared before it is expanded: a range can be astronomically long.
        if stop - start > _LONGEST:
            raise _unexpected(node, "the nodes of the cell")
        return tuple(range(start, stop))
    raise _unexpected(node, "range(2, 6) or a list of nodes")
