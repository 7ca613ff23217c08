"""A hash of the code of a plugin: one version may have had two."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from balenas_core.plugins.installed import UNKNOWN
from balenas_core.plugins.ref import RUN_TIME, PluginRef
from balenas_core.plugins.registry import HookRef

_SUFFIXES = frozenset({".py", ".so", ".pyd", ".dll", ".dylib", ".cpp", ".cu", ".cuh", ".h"})
_LENGTH = 16


def code_of(ref: PluginRef | HookRef, implementation: object = None) -> str:
    """Return a hash of the code of a plugin; empty where there are no files.

    It is that of the packages of its light module and of its implementation, and of what else its
    distribution has installed.

    Args:
        ref: The plugin.
        implementation: The dotted name of its implementation, where that is known.
    """
    packages = {ref.target.partition(":")[0].partition(".")[0]}
    if isinstance(implementation, str):
        packages.add(implementation.partition(":")[0].partition(".")[0])
    return _hash(ref.distribution, frozenset(packages))


@cache
def _hash(distribution: str, packages: frozenset[str]) -> str:
    if distribution == RUN_TIME:
        return ""
    files = {path: name for name, path in _files(distribution, packages)}
    if not files:
        return ""
    digest = hashlib.sha256()
    for path, name in sorted(files.items(), key=lambda item: (item[1], str(item[0]))):
        try:
            content = path.read_bytes()
        except OSError:  # it is listed and not there
            continue
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:_LENGTH]


def _files(distribution: str, packages: frozenset[str]) -> Iterator[tuple[str, Path]]:
    for package in packages:
        yield from _in_package(package)
    if distribution == UNKNOWN:
        return
    try:
        listed = metadata.distribution(distribution).files or ()
    except (metadata.PackageNotFoundError, OSError, ValueError):
        return
    for file in listed:
        if file.suffix in _SUFFIXES:
            yield file.as_posix(), Path(str(file.locate())).resolve()


def _in_package(package: str) -> Iterator[tuple[str, Path]]:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError, AttributeError):
        return
    if spec is None:
        return
    for folder in map(Path, spec.submodule_search_locations or ()):
        for path in folder.rglob("*"):
            if path.suffix in _SUFFIXES:
                yield path.relative_to(folder.parent).as_posix(), path.resolve()
    if spec.submodule_search_locations is None and spec.origin is not None and spec.has_location:
        yield Path(spec.origin).name, Path(spec.origin).resolve()
