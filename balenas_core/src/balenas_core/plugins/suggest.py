"""Hints for mistyped names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import PurePath


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def did_you_mean_file(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the file name with the closest stem, or an empty string.

    Extensions are left out of the comparison: a shared one makes unlike names look alike. Of
    files that differ in the extension alone, the one with the extension of ``name`` is taken.
    """
    wanted = PurePath(name)
    by_preference = sorted(known, key=lambda file: PurePath(file).suffix == wanted.suffix)
    files = {PurePath(file).stem: file for file in by_preference}
    close = difflib.get_close_matches(wanted.stem, files, n=1)
    return f" Did you mean {files[close[0]]!r}?" if close else ""
