"""Text from outside, made fit for a terminal.

Names of directories, strings in stored files, keys of YAML and what was typed can hold codes
that move the cursor, clear the screen, set the window's title, or turn the direction of text
around. The command line prints nothing that did not go through here.
"""

from __future__ import annotations

import re

_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
_DIRECTIONS = r"\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_UNPRINTABLE = r"\ud800-\udfff\U000e0000-\U000e007f"
"""Halves of characters, which no stream can encode, and tags, which no terminal shows."""

_UNFIT = re.compile(f"[{_CONTROLS}{_DIRECTIONS}{_UNPRINTABLE}]")
_UNFIT_IN_A_LINE = re.compile(f"[\\t\\n{_CONTROLS}{_DIRECTIONS}{_UNPRINTABLE}]")
_NAMES = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def printable(text: str) -> str:
    """Return text in which control characters are written out; it may have several lines.

    Example:
        >>> print(printable("a\\x1b[2Jb\\u202ec"))
        a\\x1b[2Jb\\u202ec
    """
    return _UNFIT.sub(_written_out, text)


def one_line(text: str) -> str:
    """Return text in which also tabs and line breaks are written out: a name, in a listing."""
    return _UNFIT_IN_A_LINE.sub(_written_out, text)


def json_text(text: str) -> str:
    """Return JSON that means the same, and is printable."""
    return _UNFIT.sub(_escaped, text)


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:  # Python's way to keep a byte of a file's name that is no UTF-8
        code -= 0xDC00
    if found[0] in _NAMES:
        return _NAMES[found[0]]
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[k : k + 2].hex()}" for k in range(0, len(units), 2))
