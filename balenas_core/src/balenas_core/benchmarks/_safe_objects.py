"""What a streamed pickle may refer to by name: stand-ins that only make data."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from balenas_core.benchmarks._pickle_limits import check_keys
from balenas_core.benchmarks._series import Series

_CODE: Final = re.compile(r"[<>|=]?[biuf]\d")


class Safe:
    """A function that a pickle may call."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call


class Skipped:
    """Something of no interest, such as the weights of a network."""


class StatefulSafe:
    """A numpy dtype that is being read."""

    def __init__(self, code: str) -> None:
        if not isinstance(code, str) or not _CODE.fullmatch(code):
            raise ValueError(f"numpy scalars of type {str(code)[:20]!r} are not read")
        self.dtype = np.dtype(code)

    def set_state(self, state: tuple[Any, ...]) -> None:
        """Set the byte order."""
        if state[1] in "<>":
            self.dtype = self.dtype.newbyteorder(state[1])


def _ordered(pairs: Any = ()) -> Series:
    items = list(pairs.items()) if isinstance(pairs, Series) else [(k, v) for k, v in pairs]
    check_keys([key for key, _ in items])
    return Series(dict(items))


def _set(items: Any = ()) -> set[Any]:
    made = list(items)
    check_keys(made)
    return set(made)


def _dtype(code: str, *_: Any) -> StatefulSafe:
    return StatefulSafe(code)


def _scalar(dtype: StatefulSafe, content: bytes) -> Any:
    return np.frombuffer(content, dtype.dtype, count=1)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"bytes in the encoding {encoding!r} are not read")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""  # protocol 2 has no other way to write it


def _skip(*_: Any) -> Skipped:
    return Skipped()


_STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")

SAFE: Final[dict[tuple[str, str], Safe]] = {
    ("collections", "OrderedDict"): Safe(_ordered),
    ("builtins", "set"): Safe(_set),
    ("__builtin__", "set"): Safe(_set),
    ("builtins", "bytes"): Safe(_no_bytes),
    ("__builtin__", "bytes"): Safe(_no_bytes),
    ("_codecs", "encode"): Safe(_encode),
    ("numpy", "dtype"): Safe(_dtype),
    ("numpy.core.multiarray", "scalar"): Safe(_scalar),
    ("numpy._core.multiarray", "scalar"): Safe(_scalar),
    ("torch._utils", "_rebuild_tensor_v2"): Safe(_skip),
    ("torch._utils", "_rebuild_parameter"): Safe(_skip),
    **{("torch", f"{name}Storage"): Safe(_skip) for name in _STORAGES},
}
"""(module, name) as pickles have them -> the stand-in."""
