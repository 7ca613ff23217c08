"""What a streamed pickle may refer to by name: stand-ins that only make data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from balenas_core.benchmarks._series import Series


class Safe:
    """A function that a pickle may call."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call


class Skipped:
    """Something of no interest, such as the weights of a network."""


class StatefulSafe:
    """A numpy dtype that is being read."""

    def __init__(self, code: str) -> None:
        self.dtype = np.dtype(code)
        if self.dtype.kind not in "biuf":
            raise ValueError(f"numpy scalars of type {code!r} are not read")

    def set_state(self, state: tuple[Any, ...]) -> None:
        """Set the byte order."""
        if state[1] in "<>":
            self.dtype = self.dtype.newbyteorder(state[1])


def _ordered(pairs: Any = ()) -> Series:
    return Series(dict(pairs))


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
    ("builtins", "set"): Safe(lambda items=(): set(items)),
    ("__builtin__", "set"): Safe(lambda items=(): set(items)),
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
