"""Texts of architectures as people paste them, and numbers of a benchmark. For spaces' parsers."""

from __future__ import annotations

import string
from typing import Any, Final

from balenas_core.errors import ArchitectureError
from balenas_core.interfaces.benchmark import Benchmark

_AROUND: Final = string.whitespace + "\ufeff\"'`,;"
_MOST_DIGITS: Final = 12
"""Python converts 4,300 digits at most, and no benchmark counts so far."""


def bare_text(text: str) -> str:
    r"""Return a text without what stands around it where it was copied from.

    That is blanks, quotes, commas, semicolons and a byte order mark.

    Example:
        >>> bare_text('\ufeff"DARTS_V2",\n')
        'DARTS_V2'
    """
    return text.strip(_AROUND)


def is_number(text: str) -> bool:
    """Whether a text is the number of an architecture in a benchmark."""
    return text.isascii() and text.isdigit()


def text_of_number(number: str, benchmark: Benchmark[Any] | None) -> str:
    """Return the text form of the architecture with a number in a benchmark.

    Args:
        number: Digits.
        benchmark: Where it is looked up; None if the space has none here.

    Raises:
        ArchitectureError: There is no benchmark, or the number is too large.
    """
    shown = number if len(number) <= _MOST_DIGITS else f"{number[:_MOST_DIGITS]}..."
    if benchmark is None:
        raise ArchitectureError(
            f"{shown} is a number in a benchmark, and none of this space is installed; give the "
            f"architecture's text form, or see 'balenas bench list'."
        )
    total = len(benchmark.values(benchmark.datasets[0], benchmark.metrics[0]))
    digits = number.lstrip("0") or "0"
    if len(digits) > _MOST_DIGITS or int(digits) >= total:
        raise ArchitectureError(
            f"architectures of {benchmark.name} are numbered 0 to {total - 1}; got {shown}."
        )
    found = benchmark.text(int(digits))
    if found is None:
        raise ArchitectureError(
            f"{benchmark.name} keeps no text forms, so number {shown} stands for none; "
            f"give the text form."
        )
    return found
