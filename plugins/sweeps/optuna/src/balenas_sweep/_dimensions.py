"""From ``--over`` and ``--seeds`` to what differs between trials."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from balenas_core.config import DocumentError, parse_yaml
from balenas_core.errors import UsageError
from balenas_sweep._spec import Dimension, Scalar

MOST: Final = 1_000_000
"""Trials of a sweep."""

_RANGE = re.compile(r"(?P<low>[^.\s]\S*?|\.\d\S*?)\.\.(?P<high>\S+?)(?P<log>:log)?")


def parse_seeds(text: str) -> list[int]:
    """Return the seeds of a list such as ``0..4,7``.

    Raises:
        UsageError: It is none.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})(?:\.\.(\d{1,18}))?\s*", part)
        if match is None:
            raise UsageError(f"--seeds must be such as 0..9 or 0,3,7 (got {text!r}).")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if last < first:
            raise UsageError(f"--seeds {text}: {last} is less than {first}.")
        if last - first >= MOST:
            raise UsageError(f"--seeds {text}: at most {MOST:,} seeds.")
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {text} names a seed twice.")
    return seeds


def parse_dimensions(texts: Sequence[str]) -> list[Dimension]:
    """Return what ``--over KEY=A,B`` and ``--over KEY=LOW..HIGH[:log]`` say.

    Raises:
        UsageError: One says nothing that can be understood, or a key is named twice.
    """
    found: dict[str, Dimension] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        key = key.strip()
        if not equals or not re.fullmatch(r"\w[\w-]*(\.[\w:-]+)*", key) or not values.strip():
            raise UsageError(
                f"--over {text}: expected KEY=VALUE,VALUE or KEY=LOW..HIGH, such as "
                f"optimizer.lr=1e-3,1e-2."
            )
        if key in found:
            raise UsageError(f"--over names {key!r} twice; give all its values at once.")
        found[key] = _range(key, values.strip()) or _choices(key, values)
    return list(found.values())


def _range(key: str, text: str) -> Dimension | None:
    match = _RANGE.fullmatch(text)
    if match is None or "," in text:
        return None
    low, high = (_scalar(key, match[side]) for side in ("low", "high"))
    numbers = [n for n in (low, high) if isinstance(n, int | float) and not isinstance(n, bool)]
    if len(numbers) < 2:
        return None
    first, last = float(numbers[0]), float(numbers[1])
    is_log = match["log"] is not None
    if not first < last or (is_log and first <= 0):
        raise UsageError(
            f"--over {key}={text}: the second number must be larger than the first"
            f"{', and both above 0' if is_log else ''}."
        )
    is_integer = all(isinstance(n, int) for n in numbers)
    return Dimension(key=key, low=first, high=last, is_log=is_log, is_integer=is_integer)


def _choices(key: str, text: str) -> Dimension:
    values = [_scalar(key, part) for part in _split(text)]
    if len(set(map(repr, values))) < len(values):
        raise UsageError(f"--over {key}={text} has a value twice.")
    return Dimension(key=key, choices=tuple(values))


def _split(text: str) -> Iterator[str]:
    """Split at commas outside of brackets and quotes."""
    part, depth, quote = "", 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "[{(":
            depth += 1
        elif letter in "]})":
            depth -= 1
        if letter == "," and depth == 0 and not quote:
            yield part
            part = ""
        else:
            part += letter
    yield part


def _scalar(key: str, text: str) -> Scalar:
    """Return a number, a truth or a text; lists and mappings as the text that means them."""
    try:
        value: Any = parse_yaml(text).data
    except DocumentError as error:
        raise UsageError(f"--over {key}: {text.strip()!r}: {error.message}.") from error
    if value is None:
        raise UsageError(f"--over {key}: a value is missing (got {text!r}).")
    is_as_written = isinstance(value, bool | int | float) or value == text.strip()
    return value if is_as_written else text.strip()


def grid(dimensions: Sequence[Dimension]) -> list[dict[str, Scalar]]:
    """Return every combination of values.

    Raises:
        UsageError: A range has no end of values, or there are too many combinations.
    """
    axes = [_values(dimension) for dimension in dimensions]
    count = 1
    for axis in axes:
        count *= len(axis)
    if count > MOST:
        raise UsageError(f"the grid has {count:,} trials, more than {MOST:,}; add --trials N.")
    keys = [dimension.key for dimension in dimensions]
    return [dict(zip(keys, values, strict=True)) for values in itertools.product(*axes)]


def _values(dimension: Dimension) -> tuple[Scalar, ...]:
    if dimension.choices:
        return dimension.choices
    assert dimension.low is not None
    assert dimension.high is not None
    if not dimension.is_integer or dimension.is_log or dimension.high - dimension.low >= MOST:
        raise UsageError(
            f"--over {dimension.key}: a range of numbers is for a sampler; add --trials N, or list "
            f"the values of a grid."
        )
    return tuple(range(int(dimension.low), int(dimension.high) + 1))
