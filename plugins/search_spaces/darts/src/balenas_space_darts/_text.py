"""Reading the text form of the DARTS code, without evaluating it."""

from __future__ import annotations

import ast
import re
import warnings
from typing import Final

from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.texts import bare_text
from balenas_space_darts._architecture import DartsArchitecture, DartsCell, Pair

_FIELDS: Final = ("normal", "normal_concat", "reduce", "reduce_concat")
_LONGEST: Final = 10_000
_FORM: Final = (
    "Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), "
    "reduce=[('max_pool_3x3', 0), ...], reduce_concat=range(2, 6))"
)
_CALL: Final = re.compile(r"\bGenotype\s*\(")
_COMMENT: Final = re.compile(r"#[^\n]*")
_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_COLLECTIONS: Final = frozenset({"list", "tuple", "array", "tensor"})
_NUMBERS: Final = frozenset({"int", "int8", "int16", "int32", "int64", "tensor", "array"})


def parse(text: str) -> DartsArchitecture:
    """Read ``Genotype(normal=[...], normal_concat=..., reduce=[...], reduce_concat=...)``.

    It is found in what programs print around it: the name of a module or of a variable, the
    head of a log line, quotes, a comma at the end, line breaks. Pairs may be grouped by node;
    numbers may be numpy's or torch's as they print them; a concatenation is a ``range(a, b)``
    or a list.

    Raises:
        ArchitectureError: The text has another form; the message names the place.
    """
    fields = _fields(_call(text))
    cells = {}
    for kind in ("normal", "reduce"):
        try:
            cells[kind] = DartsCell(_pairs(fields[kind]), _concat(fields[f"{kind}_concat"]))
        except ArchitectureError as error:
            raise ArchitectureError(f"{kind} cell: {error}") from error
    return DartsArchitecture(cells["normal"], cells["reduce"])


def _call(text: str) -> str:
    """Return the call of ``Genotype`` in a text, from its name on; the whole text if none."""
    if len(text) > _LONGEST:
        raise ArchitectureError(
            f"an architecture of {len(text)} characters is too long; expected {_FORM}"
        )
    # The repr of a text has backslashes before quotes.
    plain = _COMMENT.sub("", text).replace("\\'", "'").replace('\\"', '"').replace("\\n", " ")
    starts = [found.start() for found in _CALL.finditer(plain)]
    if len(starts) > 1:
        raise ArchitectureError(f"the text holds {len(starts)} genotypes; give one of them.")
    # A terminal breaks lines anywhere, also inside of a name.
    call = bare_text(plain[starts[0] if starts else 0 :])
    return _QUOTED.sub(lambda quoted: "".join(quoted[0].split()), call)


def _fields(text: str) -> dict[str, ast.expr]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the compiler thinks of the text's style
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
    if not isinstance(call, ast.Call) or _name(call.func) != "Genotype" or call.args:
        raise _unexpected(call, _FORM)
    fields = {keyword.arg or "**": keyword.value for keyword in call.keywords}
    if len(call.keywords) != len(_FIELDS) or set(fields) != set(_FIELDS):
        given = ", ".join(keyword.arg or "**" for keyword in call.keywords) or "none"
        raise ArchitectureError(
            f"expected the fields {', '.join(_FIELDS)}, each once; got {given}."
        )
    return fields


def _name(function: ast.expr) -> str:
    """Return the last part of a dotted name, such as ``int64`` of ``np.int64``."""
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _unexpected(node: ast.expr, expected: str) -> ArchitectureError:
    got = f"{type(node).__name__.lower()} that ends at character {node.end_col_offset}"
    if isinstance(node, ast.Constant):
        got = repr(node.value)
    shown = got if len(got) <= 60 else got[:57] + "..."
    return ArchitectureError(f"expected {expected} at character {node.col_offset + 1}, got {shown}")


def _inner(node: ast.expr, names: frozenset[str]) -> ast.expr:
    """Return what stands in calls of these names, such as 2 of ``np.int64(2)``."""
    while isinstance(node, ast.Call) and len(node.args) == 1 and _name(node.func) in names:
        node = node.args[0]
    return node


def _items(node: ast.expr, expected: str) -> list[ast.expr]:
    inner = _inner(node, _COLLECTIONS)
    if not isinstance(inner, ast.List | ast.Tuple):
        raise _unexpected(inner, expected)
    return inner.elts


def _pairs(node: ast.expr) -> tuple[Pair, ...]:
    pairs: list[Pair] = []
    for item in _items(node, "a list of ('operation', input)"):
        parts = item.elts if isinstance(item, ast.List | ast.Tuple) else []
        # Some programs group the pairs by the node that they enter.
        is_group = bool(parts) and all(isinstance(part, ast.List | ast.Tuple) for part in parts)
        pairs += [_pair(part) for part in (parts if is_group else [item])]
    return tuple(pairs)


def _pair(node: ast.expr) -> Pair:
    if isinstance(node, ast.Tuple | ast.List) and len(node.elts) == 2:
        name, source = _inner(node.elts[0], frozenset({"str", "str_"})), node.elts[1]
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            return name.value, _integer(source)
    raise _unexpected(node, "('operation', input)")


def _integer(node: ast.expr) -> int:
    inner = _inner(node, _NUMBERS)
    # bool is a subclass of int, and True is no node.
    if isinstance(inner, ast.Constant) and type(inner.value) is int:
        return inner.value
    raise _unexpected(inner, "the number of a node")


def _concat(node: ast.expr) -> tuple[int, ...]:
    inner = _inner(node, _COLLECTIONS)
    if isinstance(inner, ast.List | ast.Tuple):
        return tuple(_integer(item) for item in inner.elts)
    if (
        isinstance(inner, ast.Call)
        and _name(inner.func) in ("range", "arange")
        and len(inner.args) == 2
        and not inner.keywords
    ):
        start, stop = (_integer(argument) for argument in inner.args)
        # Compared before it is expanded: a range can be astronomically long.
        if stop - start > _LONGEST:
            raise _unexpected(inner, "the nodes of the cell")
        return tuple(range(start, stop))
    raise _unexpected(inner, "range(2, 6) or a list of nodes")
