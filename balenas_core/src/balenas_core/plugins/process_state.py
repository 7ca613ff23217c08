"""What a process has only one of, and plugins may change by mistake.

A plugin that is imported, built or called is to leave all of this as it was: a default type, a
working directory or a generator that it changes is everybody's. It is looked at before and after;
what was changed is named and put back.
"""

from __future__ import annotations

import gc
import logging
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_PREFIXES = (
    "BALENAS_", "OMP_", "MKL_", "CUDA_", "CUBLAS_", "NVIDIA_", "PYTORCH_", "TORCH_", "PYTHON"
)  # fmt: skip
"""Beginnings of environment variables whose appearance changes results, or what is loaded.

Libraries set others of their own when they are imported, which hurts nobody.
"""


@dataclass(frozen=True, slots=True)
class _Setting:
    """A thing of which a process has one.

    Args:
        name: What messages call it.
        read: Returns it, as something that is compared by ``==``.
        write: Sets it.
        pristine: What it is where nobody has touched it, for settings of a library that may be
            imported in between; None where that is not known.
        is_generator: Whether it gives random numbers, which what is called may draw.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    pristine: Any = None
    is_generator: bool = False


class ProcessState:
    """The state of this process at one moment.

    Args:
        with_generators: Whether global generators of random numbers belong to it. They do while
            something is imported.
    """

    def __init__(self, *, with_generators: bool = True) -> None:
        self._with_generators = with_generators
        self._values = {setting.name: setting.read() for setting in self._settings()}

    def restore(self) -> list[str]:
        """Put back what was changed since, and return what that was, as phrases."""
        changes = []
        for setting in self._settings():
            before = self._values.get(setting.name, setting.pristine)
            if before is None:  # nobody knows how it was
                continue
            after = setting.read()
            # By `==`, which those that are lists and mappings define anew.
            if before is after or before == after:
                continue
            setting.write(before)
            changes.append(_phrase(setting.name, before, after))
        return changes

    def _settings(self) -> Iterator[_Setting]:
        settings = list(_PYTHON)
        # A library of which the import failed is there in part.
        if hasattr(sys.modules.get("numpy"), "random"):
            settings.append(_NUMPY_GENERATOR)
        if hasattr(sys.modules.get("torch"), "get_default_dtype"):
            settings += _torch()
        return (s for s in settings if self._with_generators or not s.is_generator)


def _phrase(name: str, before: object, after: object) -> str:
    if all(isinstance(one, bool | int | float | str) for one in (before, after)):
        return f"{name} from {before} to {after}"
    return name


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


class _Variables(dict[str, str]):
    """Environment variables; equal where none is changed, lost, or added that matters."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Variables) and not self._differing(other)

    def _differing(self, now: Mapping[str, str]) -> list[str]:
        changed = [key for key, value in self.items() if now.get(key) != value]
        return changed + [key for key in now if key not in self and key.startswith(_PREFIXES)]

    def restore(self) -> None:
        for key in self._differing(dict(os.environ)):
            if key in self:
                os.environ[key] = self[key]
            else:
                del os.environ[key]


class _SearchPath(list[str]):
    """``sys.path``; equal where it begins as before: what comes after shadows nothing."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list) and list(self) == list(other[: len(self)])

    def restore(self) -> None:
        # What was added stays behind: a plugin may bring modules of its own.
        sys.path[:] = [*self, *(path for path in sys.path if path not in self)]


class _Filters(list[Any]):
    """Filters of warnings; equal where none is lost, and none was added that takes everything.

    Libraries add some for warnings of their own.
    """

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, list)
            and all(one in list(other) for one in self)
            and not any(map(_takes_all, self._added(other)))
        )

    def _added(self, now: list[Any]) -> list[Any]:
        known = list(self)
        return [one for one in now if one not in known]

    def restore(self) -> None:
        own = [one for one in self._added(list(warnings.filters)) if not _takes_all(one)]
        # Through the module: it keeps track of when filters change.
        warnings.resetwarnings()
        for action, message, category, module, line in reversed([*own, *self]):
            warnings.filterwarnings(
                action,
                getattr(message, "pattern", message) or "",
                category,
                getattr(module, "pattern", module) or "",
                line,
            )


def _takes_all(one: Any) -> bool:
    _, message, category, module, line = one
    return message is None and module is None and line == 0 and category is Warning


class _RootLogger:
    """Level, switch and handlers of the root logger."""

    def __init__(self) -> None:
        root = logging.getLogger()
        self.state = (root.level, root.manager.disable, list(root.handlers))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _RootLogger) and self.state == other.state

    def restore(self) -> None:
        root = logging.getLogger()
        level, disabled, root.handlers[:] = self.state
        root.setLevel(level)
        logging.disable(disabled)


def _switch_collector(is_on: bool) -> None:
    (gc.enable if is_on else gc.disable)()


_PYTHON: tuple[_Setting, ...] = (
    _Setting("the working directory", _working_directory, os.chdir),
    _Setting("environment variables", lambda: _Variables(os.environ), _Variables.restore),
    _Setting("sys.path", lambda: _SearchPath(sys.path), _SearchPath.restore),
    _Setting("the filters of warnings", lambda: _Filters(warnings.filters), _Filters.restore),
    _Setting("the root logger", _RootLogger, _RootLogger.restore),
    _Setting("Python's recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    _Setting("Python's garbage collection", gc.isenabled, _switch_collector),
    _Setting("Python's random numbers", random.getstate, random.setstate, is_generator=True),
)


def _numpy_state() -> tuple[Any, ...]:
    import numpy as np

    state: Any = np.random.get_state()  # noqa: NPY002 (it is looked at, not used)
    name, keys, *rest = state
    return (name, keys.tobytes(), *rest)


def _set_numpy_state(state: tuple[Any, ...]) -> None:
    import numpy as np

    name, keys, *rest = state
    np.random.set_state((name, np.frombuffer(keys, np.uint32), *rest))  # noqa: NPY002


_NUMPY_GENERATOR = _Setting(
    "numpy's random numbers", _numpy_state, _set_numpy_state, is_generator=True
)


def _torch() -> list[_Setting]:
    import torch

    def name_of_dtype() -> str:
        return str(torch.get_default_dtype()).removeprefix("torch.")

    def set_dtype(name: str) -> None:
        torch.set_default_dtype(getattr(torch, name))

    def device() -> str:
        return str(torch.get_default_device())

    def set_device(name: str) -> None:
        torch.set_default_device(None if name == "cpu" else name)

    def deterministic() -> tuple[bool, bool]:
        is_on = torch.are_deterministic_algorithms_enabled()
        return is_on, torch.is_deterministic_algorithms_warn_only_enabled()

    def set_deterministic(state: tuple[bool, bool]) -> None:
        torch.use_deterministic_algorithms(state[0], warn_only=state[1])

    def generator() -> bytes:
        return torch.get_rng_state().numpy().tobytes()

    def set_generator(state: bytes) -> None:
        torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))

    def cudnn() -> tuple[bool, bool, bool]:
        flags = torch.backends.cudnn
        return flags.enabled, flags.benchmark, flags.deterministic

    def set_cudnn(state: tuple[bool, bool, bool]) -> None:
        flags = torch.backends.cudnn
        flags.enabled, flags.benchmark, flags.deterministic = state

    precision = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
    return [
        _Setting("torch's default type", name_of_dtype, set_dtype, "float32"),
        _Setting("torch's default device", device, set_device, "cpu"),
        _Setting("torch's gradient mode", torch.is_grad_enabled, torch.set_grad_enabled, True),
        _Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
        _Setting(
            "torch's deterministic algorithms", deterministic, set_deterministic, (False, False)
        ),
        _Setting("torch's precision of float32 products", *precision, "highest"),
        _Setting("torch's settings of cuDNN", cudnn, set_cudnn, (True, False, False)),
        _Setting(
            "torch's detection of anomalies",
            torch.is_anomaly_enabled,
            torch.set_anomaly_enabled,
            False,
        ),
        _Setting("torch's random numbers", generator, set_generator, is_generator=True),
    ]
