"""A pickle machine that only builds data, for files too big and too strange for ``pickle``.

The official NAS-Bench-201 files are pickles of 2 GB and more, mostly dicts of 200 floats. The
standard unpickler needs more than 10 GB for them, and runs what they say. This one keeps such a
dict as an array, knows no instruction that could import or call anything outside ``_SAFE``, and
reads the file in pieces. What it takes in time and memory grows with the file, whatever that
holds: see ``_pickle_limits``.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, Final, NoReturn

import numpy as np

from balenas_core.benchmarks._pickle_limits import (
    Budget,
    PickleError,
    check_keys,
    check_shape,
    without_garbage_collection,
)
from balenas_core.benchmarks._safe_objects import SAFE, Safe, Skipped, StatefulSafe
from balenas_core.benchmarks._series import Series

_CHUNK: Final = 1 << 20
_MARGIN: Final = 64
"""Bytes that the longest instruction of fixed size needs, and more."""

_LONGEST: Final = 1 << 26
"""No text of a benchmark is near this."""

_PACK_FROM: Final = 8
"""A dict update of at least so many floats is kept as an array."""

_DAMAGE: Final = (
    struct.error,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    zlib.error,
)
"""What running damaged instructions raises."""

_MARK: Final = object()
_RUNS: Final = tuple(
    (
        re.compile(pattern, re.DOTALL),
        np.dtype([("op", "S1"), ("key", key), ("g", "S1"), ("x", ">f8")]),
    )
    for pattern, key in (
        (rb"(?:K.G.{8})+", "u1"),
        (rb"(?:h.G.{8})+", "u1"),
        (rb"(?:j.{4}G.{8})+", "<u4"),
    )
)
"""Items of a dict from an int, or a string seen before, to a float; many at once."""


class _Run:
    """Consecutive items of a dict."""

    __slots__ = ("keys", "values")

    def __init__(self, keys: list[Any], values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        self.keys = keys
        self.values = values


def read_pickle(file: IO[bytes], *, stored: int | None = None) -> Any:
    """Read the first pickle of a file.

    Dicts come as ``Series``. Tensors come as objects of no use: their contents are skipped.

    Args:
        file: The stream.
        stored: Bytes that the stream takes on the disk, where it is compressed: one that unpacks
            to far more than any data does is refused.

    Raises:
        PickleError: The stream ends early, or holds anything but plain data, sets, numpy
            scalars and tensors, or would take more time or memory than its length explains.
    """
    return next(read_pickles(file, stored=stored))


def read_pickles(file: IO[bytes], *, stored: int | None = None) -> Iterator[Any]:
    """Yield pickles that stand one behind the other, as ``read_pickle`` reads each.

    Raises:
        PickleError: As ``read_pickle``; also at the end of the file, where no pickle follows.
    """
    machine = _Machine(file, stored)
    while True:
        try:
            with without_garbage_collection():
                value = machine.run()
        except EOFError as error:
            raise PickleError("it is truncated") from error
        except _DAMAGE as error:
            # Only these say something about the file; the others are of this machine's inside.
            reason = f" ({error})" if type(error) is ValueError else ""
            raise PickleError(
                f"it is no pickle or archive, or is truncated or damaged{reason}"
            ) from error
        yield value


class _Machine:
    """Stack, memo and input of one pickle."""

    def __init__(self, file: IO[bytes], stored: int | None = None) -> None:
        self._file = file
        self._budget = Budget(stored)
        self._data = b""
        self._at = 0
        self._stack: list[Any] = []
        self._memo: list[Any] = []
        self._strings: dict[str, str] = {}
        self._keys: dict[tuple[Any, ...], tuple[Any, ...]] = {}

    def run(self) -> Any:
        """Run until STOP and return the value; stack and memo start empty."""
        self._stack, self._memo = [], []
        stack, memo = self._stack, self._memo
        unpack_float = struct.Struct(">d").unpack_from
        while True:
            if len(self._data) - self._at < _MARGIN:
                self._fill(_MARGIN)
            data, at = self._data, self._at
            op = data[at : at + 1]
            # The four instructions that make up most of a file come first, in line.
            if op == b"G":
                stack.append(unpack_float(data, at + 1)[0])
                self._at = at + 9
            elif op == b"j":
                stack.append(memo[int.from_bytes(data[at + 1 : at + 5], "little")])
                self._at = at + 5
            elif op == b"h":
                stack.append(memo[data[at + 1]])
                self._at = at + 2
            elif op == b"K":
                stack.append(data[at + 1])
                self._at = at + 2
            elif op == b".":
                self._at = at + 1
                value = stack.pop()
                check_shape(value, self._budget.read)
                return value
            elif op == b"":
                raise PickleError("it is truncated")
            else:
                self._at = at + 1
                _OPERATIONS.get(op, _unknown_operation)(self)

    def _fill(self, size: int) -> None:
        """Read on until ``size`` bytes are there, or the file ends."""
        parts = [self._data[self._at :]]
        have = len(parts[0])
        while have < size:
            part = self._file.read(max(_CHUNK, min(size - have, 16 * _CHUNK)))
            if not part:
                break
            self._budget.unpack(len(part))
            parts.append(part)
            have += len(part)
        self._data, self._at = b"".join(parts), 0

    def take(self, size: int) -> bytes:
        """Return the next bytes."""
        if size > _LONGEST:
            raise PickleError(f"it is truncated or damaged: it claims a text of {size:,} bytes")
        if len(self._data) - self._at < size:
            self._fill(size)
        if len(self._data) - self._at < size:
            raise PickleError("it is truncated")
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken

    def skip(self, size: int) -> None:
        """Pass over the next bytes."""
        self.take(size)

    def drop(self, value: Any) -> None:
        """Forget a value."""

    def integer(self, size: int) -> int:
        """Return the next unsigned integer."""
        return int.from_bytes(self.take(size), "little")

    def line(self) -> str:
        """Return the text up to the end of the line."""
        end = self._data.find(b"\n", self._at, self._at + 256)
        if end < 0:
            self._fill(256)
            end = self._data.find(b"\n", self._at, self._at + 256)
            if end < 0:
                raise PickleError("it is truncated or damaged")
        text = self._data[self._at : end].decode()
        self._at = end + 1
        return text

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self._stack.append(value)

    def put(self, made: Any) -> None:
        """Put something on the stack that takes more memory than its instruction."""
        self._budget.make()
        self._stack.append(made)

    def pop(self) -> Any:
        """Take a value from the stack."""
        return self._stack.pop()

    def pop_mark(self) -> list[Any]:
        """Take everything above the last mark."""
        at = len(self._stack) - 1
        while self._stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise PickleError("it is damaged: a mark is missing")
        items = self._stack[at + 1 :]
        del self._stack[at:]
        return items

    def mark(self) -> None:
        """Set a mark, and take a run of items behind it in one go."""
        self._stack.append(_MARK)
        if len(self._data) - self._at < _CHUNK // 16:
            self._fill(_CHUNK // 16)
        for pattern, dtype in _RUNS:
            found = pattern.match(self._data, self._at)
            if found is not None:
                items = np.frombuffer(found.group(), dtype)
                keys = items["key"].tolist()
                if dtype["key"] == np.uint32 or found.group()[:1] == b"h":
                    keys = [self._memo[key] for key in keys]
                self._stack.append(_Run(keys, items["x"].astype(np.float64)))
                self._at = found.end()
                return

    def text(self, size: int) -> None:
        """Push a string; equal ones are one object."""
        text = self.take(size).decode("utf-8", "surrogatepass")
        self._stack.append(self._strings.setdefault(text, text))

    def memoize(self, index: int | None = None) -> None:
        """Remember the top of the stack."""
        top = self._stack[-1]
        if top is _MARK or isinstance(top, _Run):
            raise PickleError("it is damaged: it remembers a mark")
        if index is None or index == len(self._memo):
            self._memo.append(top)
        elif index < len(self._memo):
            self._memo[index] = top
        else:
            raise PickleError(f"it is damaged: memo number {index} comes after {len(self._memo)}")

    def set_items(self, items: list[Any]) -> None:
        """Add keys and values, in turn, to the dict on top of the stack."""
        target = self._stack[-1]
        if not isinstance(target, Series):
            raise PickleError(f"it sets items of {type(target).__name__}")
        if items and isinstance(items[0], _Run):
            run, items = items[0], items[1:]
            check_keys(run.keys, len(target))
            self._pack(target, run.keys, run.values)
        keys, values = items[::2], items[1::2]
        if len(keys) != len(values):
            raise PickleError("it is damaged: a dict has a key without a value")
        check_keys(keys, len(target))
        if len(values) >= _PACK_FROM and set(map(type, values)) == {float}:
            self._pack(target, keys, np.array(values))
        else:
            target.update(dict(zip(keys, values, strict=True)))

    def _pack(
        self, target: Series, keys: list[Any], values: np.ndarray[Any, np.dtype[np.float64]]
    ) -> None:
        made = tuple(keys)
        target.pack(self._keys.setdefault(made, made), values)

    def extend(self, items: list[Any]) -> None:
        """Add items to the list on top of the stack."""
        target = self._stack[-1]
        if not isinstance(target, list):
            raise PickleError(f"it appends to {type(target).__name__}")
        target.extend(_flat(items))

    def add(self, items: list[Any]) -> None:
        """Add items to the set on top of the stack."""
        target = self._stack[-1]
        if not isinstance(target, set):
            raise PickleError(f"it adds to {type(target).__name__}")
        added = _flat(items)
        check_keys(added, len(target))
        target.update(added)

    def frozen_set(self) -> None:
        """Push a set of everything above the last mark."""
        items = _flat(self.pop_mark())
        check_keys(items)
        self.put(frozenset(items))

    def find(self, module: str, name: str) -> None:
        """Push one of the few classes and functions that only make data."""
        found = SAFE.get((module, name))
        if found is None:
            raise PickleError(f"it refers to {module}.{name}, and only plain data is read")
        self._stack.append(found)

    def call(self) -> None:
        """Call one of them."""
        arguments = self._stack.pop()
        function = self._stack.pop()
        if not isinstance(function, Safe) or not isinstance(arguments, tuple):
            raise PickleError(f"it calls {type(function).__name__}, and only plain data is read")
        self._budget.copy(arguments)
        self.put(function.call(*arguments))

    def build(self) -> None:
        """Give an object its state."""
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, StatefulSafe):
            target.set_state(state)
        elif not isinstance(target, Series | Skipped):  # theirs are attributes that we drop
            raise PickleError(
                f"it sets the state of {type(target).__name__}, and only plain data is read"
            )

    def protocol(self) -> None:
        """Check the version of the pickle."""
        version = self.take(1)[0]
        if not 2 <= version <= 5:
            raise PickleError(f"it is of pickle protocol {version}; 2 to 5 are read")


def _flat(items: list[Any]) -> list[Any]:
    """Undo a run that was not a dict's."""
    if items and isinstance(items[0], _Run):
        run = items[0]
        pairs = zip(run.keys, run.values.tolist(), strict=True)
        return [value for pair in pairs for value in pair] + items[1:]
    return items


def _unknown_operation(machine: _Machine) -> NoReturn:
    raise PickleError("it is damaged, or holds more than plain data")


def _long(machine: _Machine, size: int) -> None:
    if size > 1024:
        raise PickleError(f"it holds an integer of {size} bytes")
    machine.push(int.from_bytes(machine.take(size), "little", signed=True))


def _stack_global(machine: _Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.find(str(module), str(name))


def _tuple(machine: _Machine, size: int) -> None:
    items = [machine.pop() for _ in range(size)]
    machine.put(tuple(reversed(items)))


def _dict(machine: _Machine) -> None:
    items = machine.pop_mark()
    machine.put(Series())
    machine.set_items(items)


def _set_item(machine: _Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items([key, value])


def _persistent(machine: _Machine) -> None:
    machine.pop()
    machine.put(Skipped())  # a storage of torch


_OPERATIONS: Final[dict[bytes, Callable[[_Machine], None]]] = {
    b"\x80": _Machine.protocol,
    b"\x95": lambda m: m.skip(8),  # FRAME: how the rest was buffered when written
    b"(": _Machine.mark,
    b"0": lambda m: m.drop(m.pop()),
    b"1": lambda m: m.drop(m.pop_mark()),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(int.from_bytes(m.take(4), "little", signed=True)),
    b"M": lambda m: m.push(m.integer(2)),
    b"\x8a": lambda m: _long(m, m.integer(1)),
    b"\x8b": lambda m: _long(m, m.integer(4)),
    b"X": lambda m: m.text(m.integer(4)),
    b"\x8c": lambda m: m.text(m.integer(1)),
    b"\x8d": lambda m: m.text(m.integer(8)),
    b"C": lambda m: m.push(m.take(m.integer(1))),
    b"B": lambda m: m.push(m.take(m.integer(4))),
    b"\x8e": lambda m: m.push(m.take(m.integer(8))),
    b"q": lambda m: m.memoize(m.integer(1)),
    b"r": lambda m: m.memoize(m.integer(4)),
    b"\x94": _Machine.memoize,
    b"}": lambda m: m.put(Series()),
    b"]": lambda m: m.put([]),
    b")": lambda m: m.push(()),
    b"\x8f": lambda m: m.put(set()),
    b"t": lambda m: m.put(tuple(_flat(m.pop_mark()))),
    b"\x85": lambda m: _tuple(m, 1),
    b"\x86": lambda m: _tuple(m, 2),
    b"\x87": lambda m: _tuple(m, 3),
    b"l": lambda m: m.put(_flat(m.pop_mark())),
    b"d": _dict,
    b"a": lambda m: m.extend([m.pop()]),
    b"e": lambda m: m.extend(m.pop_mark()),
    b"s": _set_item,
    b"u": lambda m: m.set_items(m.pop_mark()),
    b"\x90": lambda m: m.add(m.pop_mark()),
    b"\x91": _Machine.frozen_set,
    b"c": lambda m: m.find(m.line(), m.line()),
    b"\x93": _stack_global,
    b"R": _Machine.call,
    b"b": _Machine.build,
    b"Q": _persistent,
}
"""Instruction -> what it does. There is none that makes an object of a class."""
