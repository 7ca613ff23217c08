"""YAML as its version 1.2 reads it, without the surprises of PyYAML's 1.1.

``1e-3`` is a number; ``on``, ``yes``, ``off``, ``no``, dates, ``1:30`` and ``010`` are text.
``010`` is 10 in YAML 1.2 and 8 in 1.1: as text it is refused where a number is expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from balenas_core.config._document import MAX_DEPTH, MAX_NODES, Document, DocumentError, Finding
from balenas_core.config._problems import Path, shown

_TAG = "tag:yaml.org,2002:"
_MAX_DIGITS = 4000  # CPython refuses to convert longer texts to int

PATTERNS: dict[str, tuple[re.Pattern[str], list[str]]] = {
    "null": (re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""]),
    "bool": (re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")),
    "int": (
        re.compile(r"(?:[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+)\Z"),
        list("-+0123456789"),
    ),
    "float": (
        re.compile(
            r"(?:[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
        ),
        list("-+.0123456789"),
    ),
}
"""Type -> the pattern of its plain scalars, and the characters they can start with."""


_OPEN = (
    "while parsing a flow sequence",
    "while parsing a flow mapping",
    "while scanning a quoted scalar",
)
"""What PyYAML was at when a bracket or a quote is left open."""


class _Loader(yaml.SafeLoader):
    """Composes nodes with the scalar types of ``PATTERNS`` and no others."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (the name and type are PyYAML's)


for _type, (_pattern, _first) in PATTERNS.items():
    _Loader.add_implicit_resolver(f"{_TAG}{_type}", _pattern, _first)


def parse_yaml(text: str) -> Document:
    """Parse one YAML document.

    Raises:
        DocumentError: The text is not YAML, nests too deeply, or expands to too much.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise DocumentError(f"holds the control character {error.character!r}", line) from error
    except RecursionError as error:
        raise DocumentError("nests too deeply") from error
    if root is None:
        return Document(None)
    builder = _Builder()
    builder.document.data = builder.build(root, ())
    return builder.document


def _syntax_error(error: yaml.MarkedYAMLError, text: str) -> DocumentError:
    mark = error.problem_mark or error.context_mark
    problem = error.problem or "cannot be parsed"
    opened = error.context_mark
    if mark and opened and error.context in _OPEN:
        # The parser stops where it can read no further, which may be far below the mistake.
        return DocumentError(
            f"not valid YAML: {text[opened.index]!r} is opened here and not closed before line "
            f"{mark.line + 1}, column {mark.column + 1}: {problem}",
            opened.line + 1,
            opened.column + 1,
        )
    if "'\\t'" in problem:
        problem += "; indent with spaces"
    elif "mapping values are not allowed" in problem:
        problem += "; check the indentation, and put text with ': ' in quotes"
    context = f" ({error.context})" if error.context else ""
    line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
    return DocumentError(f"not valid YAML: {problem}{context}", line, column)


class _Builder:
    """Turns nodes into values, recording lines and findings."""

    def __init__(self) -> None:
        self.document = Document(None)
        self._nodes = 0

    def build(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self._count(node)
        if len(path) > MAX_DEPTH:
            raise DocumentError(f"nests more than {MAX_DEPTH} levels deep", line)
        if isinstance(node, yaml.MappingNode):
            self._check_tag(node, "map", path)
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            self._check_tag(node, "seq", path)
            return self._sequence(node, path)
        assert isinstance(node, yaml.ScalarNode), "YAML has no other nodes"
        return self._scalar(node, path)

    def _count(self, node: yaml.Node) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            line = node.start_mark.line + 1
            raise DocumentError(f"expands to more than {MAX_NODES} values", line)

    def _find(self, node: yaml.Node, path: Path, message: str) -> None:
        finding = Finding(node.start_mark.line + 1, path, message)
        # A node that is merged or aliased is met again at other paths.
        if all((f.line, f.message) != (finding.line, message) for f in self.document.findings):
            self.document.findings.append(finding)

    def _check_tag(self, node: yaml.Node, expected: str, path: Path) -> None:
        if node.tag != f"{_TAG}{expected}":
            self._find(node, path, f"the tag {_tag_name(node)!r} is not supported")

    def _sequence(self, node: yaml.SequenceNode, path: Path) -> list[Any]:
        items = []
        for index, item in enumerate(node.value):
            self.document.lines[*path, index] = item.start_mark.line + 1
            items.append(self.build(item, (*path, index)))
        return items

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        self._add_entries(node, path, values, merges=0)
        return values

    def _add_entries(
        self, node: yaml.MappingNode, path: Path, values: dict[str, Any], *, merges: int
    ) -> None:
        """Add the entries whose keys are new; a mapping's own go before those it merges."""
        self._count(node)  # merged entries that are overridden build nothing, but take time
        if merges > MAX_DEPTH:
            raise DocumentError("merges itself", node.start_mark.line + 1)
        first_lines: dict[str, int] = {}
        for key, value in self._entries(node, path):
            here, line = (*path, key.value), key.start_mark.line + 1
            if key.value in first_lines:
                first = first_lines[key.value]
                self._find(key, here, f"duplicate key; it is first given in line {first}")
                continue
            first_lines[key.value] = line
            if key.value not in values:
                self.document.lines[here] = line
                values[key.value] = self.build(value, here)
        for merged in self._merged(node, path):
            self._add_entries(merged, path, values, merges=merges + 1)

    def _entries(
        self, node: yaml.MappingNode, path: Path
    ) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        for key, value in node.value:
            if _is_merge(key):
                continue
            if isinstance(key, yaml.ScalarNode) and key.tag == f"{_TAG}str":
                yield key, value
            else:
                got = key.value if isinstance(key, yaml.ScalarNode) else shown(key.value)
                self._find(key, path, f"keys must be text (got {got}); put it in quotes")

    def _merged(self, node: yaml.MappingNode, path: Path) -> Iterator[yaml.MappingNode]:
        for key, value in node.value:
            if not _is_merge(key):
                continue
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(source, yaml.MappingNode):
                    yield source
                else:
                    self._find(key, path, "'<<' must merge a mapping, such as *defaults")

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        text: str = node.value
        if node.tag == f"{_TAG}str":
            return text
        name = node.tag.removeprefix(_TAG)
        if name not in PATTERNS:
            self._find(node, path, f"the tag {_tag_name(node)!r} is not supported")
            return text
        if not PATTERNS[name][0].match(text) or len(text) > _MAX_DIGITS:
            self._find(node, path, f"is not a valid {name} (got {shown(text)})")
            return text
        return _CONVERT[name](text)


def _is_merge(key: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.value == "<<" and key.style is None


def _tag_name(node: yaml.Node) -> str:
    return str(node.tag).replace(_TAG, "!!")


def _int(text: str) -> int:
    return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


def _float(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_CONVERT: dict[str, Callable[[str], Any]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": _int,
    "float": _float,
}


class _Dumper(yaml.SafeDumper):
    """Writes text that YAML 1.1 and 1.2 read alike, without aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _type, (_pattern, _first) in PATTERNS.items():
    _Dumper.add_implicit_resolver(f"{_TAG}{_type}", _pattern, _first)


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # Left plain or in single quotes, PyYAML reads these line breaks back as blanks.
    style = '"' if any(character in text for character in "\x85\u2028\u2029") else None
    return dumper.represent_scalar(f"{_TAG}str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def dump_yaml(data: Any) -> str:
    """Return plain data as YAML that ``parse_yaml`` reads back, in the given order."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=96)
    return text
