"""TOML, with the line of every key, which ``tomllib`` does not tell."""

from __future__ import annotations

import ast
import re
import tomllib
from bisect import bisect_right

from balenas_core.config._document import MAX_DEPTH, Document, DocumentError
from balenas_core.config._problems import Path, dotted

_POSITION = re.compile(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)\Z")
_TABLE_TWICE = re.compile(r"Cannot declare (\(.*\)) twice")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_ONE_LINE_STRING = re.compile(r'"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'")
# A multi-line string may end in up to two quotes of its own.
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})' r"|'''.*?'''(?:'{0,2})" r"|" + _ONE_LINE_STRING.pattern,
    re.DOTALL,
)
_SCALAR = re.compile(r"\d{4}-\d\d-\d\d \d\d:[^\s,\]}#]*|[^\s,\]}#]+")


def parse_toml(text: str) -> Document:
    """Parse a TOML document.

    Raises:
        DocumentError: The text is not TOML.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(str(error), text) from error
    except RecursionError as error:
        raise DocumentError("nests too deeply") from error
    except ValueError as error:  # an integer of thousands of digits
        raise DocumentError(f"not valid TOML: {error}") from error
    return Document(data, _Locator(text).locate())


def _syntax_error(message: str, text: str) -> DocumentError:
    found = _POSITION.search(message)
    if found is None:
        return DocumentError(f"not valid TOML: {message}")
    what = message[: found.start()]
    line = text.count("\n") + 1 if found[1] is None else int(found[1])
    twice = _duplicate(what, text, line)
    if found[1] is None:
        return DocumentError(f"not valid TOML: {twice or f'{what} at the end of the file'}", line)
    return DocumentError(f"not valid TOML: {twice or what}", line, int(found[2]))


def _duplicate(message: str, text: str, line: int) -> str:
    """Return the message about what is given twice, with its key; empty for other messages."""
    table = _TABLE_TWICE.fullmatch(message)
    if table:
        return f"duplicate table [{dotted(ast.literal_eval(table[1]))}]; merge the two"
    if message != "Cannot overwrite a value":
        return ""
    try:
        key, first = _Locator("\n".join(text.split("\n")[:line])).last_key(line)
    except (AssertionError, DocumentError, IndexError, ValueError):
        return ""  # the rest of a value lies beyond the line
    where = f"; it is first given in line {first}" if first else ""
    return f"duplicate key {dotted(key)!r}{where}"


class _Locator:
    """Finds the line of every key of a text that ``tomllib`` accepts."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line_starts = [0, *(m.end() for m in re.finditer("\n", text))]
        self._lines: dict[Path, int] = {}
        self._array_lengths: dict[Path, int] = {}
        self._last: Path = ()
        self._first: dict[Path, int] = {}

    def locate(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip(_BLANK) < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def last_key(self, line: int) -> tuple[Path, int | None]:
        """Return the last key, or the part of it given before ``line``, and where that was."""
        self.locate()
        for length in range(len(self._last), 0, -1):
            first = self._first.get(self._last[:length], line)
            if first < line:
                return self._last[:length], first
        return self._last, None

    def _header(self) -> Path:
        line = self._line()
        is_array = self._text.startswith("[[", self._at)
        self._at += 2 if is_array else 1
        *parents, last = self._key()
        self._at = self._text.index("]", self._at) + (2 if is_array else 1)
        path: Path = ()
        for part in parents:
            path = self._last_element((*path, part))
            self._lines.setdefault(path, line)
            self._first.setdefault(path, line)
        path = (*path, last)
        if is_array:
            self._lines.setdefault(path, line)
            self._array_lengths[path] = self._array_lengths.get(path, 0) + 1
            path = self._last_element(path)
        self._lines[path] = line
        self._first.setdefault(path, line)
        self._last = path
        return path

    def _last_element(self, path: Path) -> Path:
        length = self._array_lengths.get(path)
        return path if length is None else (*path, length - 1)

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table
        for part in self._key():
            path = (*path, part)
            self._lines.setdefault(path, line)
            self._first.setdefault(path, line)
        self._at = self._text.index("=", self._at) + 1
        self._value(path)
        self._last = path

    def _key(self) -> list[str]:
        parts: list[str] = []
        while True:
            self._skip(_BLANK)
            quoted = _ONE_LINE_STRING.match(self._text, self._at)
            found = quoted or _BARE_KEY.match(self._text, self._at)
            assert found is not None, "tomllib accepted the text"
            parts.append(tomllib.loads(f"k = {found[0]}")["k"] if quoted else found[0])
            self._at = found.end()
            self._skip(_BLANK)
            if self._text[self._at] != ".":
                return parts
            self._at += 1

    def _value(self, path: Path) -> None:
        self._skip(_BLANK)
        self._lines.setdefault(path, self._line())
        if len(path) > MAX_DEPTH:
            raise DocumentError(f"nests more than {MAX_DEPTH} levels deep", self._line())
        start = self._text[self._at]
        if start == "[":
            self._items("]", path)
        elif start == "{":
            self._items("}", path)
        else:
            self._skip(_STRING if start in "\"'" else _SCALAR)

    def _items(self, end: str, path: Path) -> None:
        self._at += 1
        index = 0
        while self._text[self._skip(_BLANK)] != end:
            if end == "]":
                self._value((*path, index))
            else:
                self._pair(path)
            index += 1
            if self._text[self._skip(_BLANK)] == ",":
                self._at += 1
        self._at += 1

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self._text, self._at)
        assert found is not None, "tomllib accepted the text"
        self._at = found.end()
        return self._at

    def _line(self) -> int:
        return bisect_right(self._line_starts, self._at)
