"""From files, flags and ``--set`` to one validated configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from balenas_core.config._document import DocumentError
from balenas_core.config._layers import SECTION_KINDS, Layer, Origin, layer
from balenas_core.config._model import (
    DEFAULT_DATASET,
    DEFAULT_EXECUTOR,
    SearchConfig,
)
from balenas_core.config._problems import Path, Problem, known_keys, problems_of, unfit_flag
from balenas_core.config._read import read_document
from balenas_core.config._sections import choices
from balenas_core.config._selector import DEFAULT_SELECTOR
from balenas_core.config._yaml import parse_yaml
from balenas_core.errors import BalenasError, ConfigError, PluginLoadError
from balenas_core.plugins.registry import Registry, default_registry

_KEY = re.compile(r"[^.=\s]+(?:\.[^.=\s]+)*")
_DEFAULT_NAMES = {
    "data": DEFAULT_DATASET,
    "executor": DEFAULT_EXECUTOR,
    "selector": DEFAULT_SELECTOR,
}
_BASE, _FILE, _FLAG, _SET, _NOWHERE = range(5)

_Located = tuple[Origin, Problem]
_Model = TypeVar("_Model", bound=BaseModel)


def load_config(
    path: FilePath | str | None = None,
    *,
    flags: Mapping[str, Any] = {},
    overrides: Sequence[str] | Mapping[str, Any] = (),
    base: Mapping[str, Any] = {},
    registry: Registry | None = None,
    flag_names: Mapping[str, str] = {},
    base_name: str = "preset",
) -> SearchConfig:
    """Read, merge and validate the settings of a search.

    Overrides go over flags, flags over the file, the file over ``base``, and ``base`` over the
    defaults. Mappings are merged key by key, lists are replaced. Where a level changes the name
    in a plugin's section, the options that lower levels give there belong to another plugin and
    are dropped.

    Args:
        path: A ``.yaml``, ``.yml``, ``.toml`` or ``.json`` file; None for no file.
        flags: Dotted key -> value, such as ``{"training.lr": 0.1}``. None means that the flag
            was not given.
        overrides: ``--set`` arguments, ``"training.lr=0.1"``, with the value in YAML, the last
            of one key counting; or dotted key -> value.
        base: A preset, as nested mappings.
        registry: Where plugins are looked up; the process's own by default.
        flag_names: Dotted key -> how messages name its flag; ``training.batch_size`` is
            ``--batch-size`` if it is not here.
        base_name: How messages name ``base``.

    Raises:
        ConfigError: With one line for every problem.
        PluginLoadError: The only problem is a plugin that is installed but cannot be loaded.
    """
    return load_settings(
        SearchConfig,
        path,
        flags=flags,
        overrides=overrides,
        bases=((base_name, base),),
        registry=registry,
        flag_names=flag_names,
    )


def load_settings(
    model: type[_Model],
    path: FilePath | str | None = None,
    *,
    flags: Mapping[str, Any] = {},
    overrides: Sequence[str] | Mapping[str, Any] = (),
    bases: Sequence[tuple[str, Mapping[str, Any]]] = (),
    registry: Registry | None = None,
    flag_names: Mapping[str, str] = {},
) -> _Model:
    """Read, merge and validate the settings of anything that a model describes.

    Works as ``load_config``, which is about searches.

    Args:
        model: What the settings are of; its plugins' sections have the names that they have in
            a search.
        path: As for ``load_config``.
        flags: As for ``load_config``.
        overrides: As for ``load_config``.
        bases: What lies below the file, the lowest first: how messages name each, and its
            settings as nested mappings.
        registry: As for ``load_config``.
        flag_names: As for ``load_config``.

    Raises:
        ConfigError: With one line for every problem.
        PluginLoadError: The only problem is a plugin that is installed but cannot be loaded.
    """
    registry = registry or default_registry()
    problems: list[_Located] = []
    merged = Layer()
    for position, (name, settings) in enumerate(bases):
        merged.lay(layer(settings, Origin(name, (_BASE, position))))
    if path is not None:
        merged.lay(_file_layer(FilePath(path), problems))
    merged.lay(_flag_layer(flags, flag_names))
    merged.lay(_override_layer(overrides, problems))
    try:
        config = model.model_validate(merged.data, context={"registry": registry})
    except ValidationError as error:
        nowhere = Origin("" if path is None else str(path), (_NOWHERE, 0))
        for problem in problems_of(error, model, merged.data):
            origin = merged.origin(problem.path) or nowhere
            clarified = _clarified(problem, origin, model, merged.data, registry)
            problems.append((origin, clarified))
        raise _error(problems) from error
    if problems:
        raise _error(problems)
    return config


def _file_layer(path: FilePath, problems: list[_Located]) -> Layer:
    document = read_document(path)
    problems += [
        (Origin(str(path), (_FILE, 0), line=finding.line), Problem(finding.path, finding.message))
        for finding in document.findings
    ]
    return layer(document.data, Origin(str(path), (_FILE, 0)), document.lines)


def _flag_layer(flags: Mapping[str, Any], names: Mapping[str, str]) -> Layer:
    result = Layer()
    for position, (key, value) in enumerate(flags.items()):
        if value is not None:
            label = names.get(key) or f"--{key.rpartition('.')[2].replace('_', '-')}"
            path = tuple(key.split("."))
            result.put(path, value, Origin(label, (_FLAG, position), path, repeats_key=False))
    return result


def _override_layer(
    overrides: Sequence[str] | Mapping[str, Any], problems: list[_Located]
) -> Layer:
    result = Layer()
    if isinstance(overrides, Mapping):
        for position, (key, value) in enumerate(overrides.items()):
            path = tuple(key.split("."))
            result.put(path, value, Origin(f"--set {key}={value}", (_SET, position), path))
        return result
    for position, argument in enumerate(overrides):
        key, equals, text = argument.partition("=")
        path = tuple(key.strip().split("."))
        origin = Origin(f"--set {argument}", (_SET, position), path)
        mistake = _mistake(key.strip(), equals, text.strip())
        if mistake:
            problems.append((origin, Problem((), mistake)))
            continue
        try:
            document = parse_yaml(text)
        except DocumentError as error:
            message = f"{error.message}; put text in quotes, inside those of the shell"
            problems.append((origin, Problem(path, message)))
            continue
        problems += [
            (origin, Problem((*path, *finding.path), finding.message))
            for finding in document.findings
        ]
        result.put(path, document.data, origin)
    return result


def _mistake(key: str, equals: str, value: str) -> str:
    """Return what is wrong with the form of a ``--set`` argument, or an empty string."""
    if not equals or not key:
        return "expected KEY=VALUE, such as training.lr=0.1"
    if not _KEY.fullmatch(key):
        return (
            f"malformed key {key!r}; write names with single dots between them, "
            "such as training.lr=0.1"
        )
    return "" if value else "has no value; write null for none"


def _clarified(
    problem: Problem,
    origin: Origin,
    model: type[BaseModel],
    data: Mapping[str, Any],
    registry: Registry,
) -> Problem:
    """Say more where the whole is known: what can be named, where a key belongs."""
    message, path = problem.message, problem.path
    key = str(path[0]) if path else ""
    if path == (key,) and key in SECTION_KINDS and message == "is missing":
        message = f"is missing. {choices(SECTION_KINDS[key], registry)}"
    elif path == (key,) and key in known_keys(model, ("training",)):
        message = f"unknown key. Did you mean 'training.{key}'?"
    elif path == origin.path and key in SECTION_KINDS and not origin.repeats_key:
        message = unfit_flag(message, SECTION_KINDS[key], _name_of(key, data[key]))
    elif path[-1:] == ("name",) and _is_bare(path[:-1], data):
        path = path[:-1]
    return Problem(path, message, problem.load_error)


def _name_of(key: str, section: Any) -> object:
    """Return the name of a section's plugin; None where it depends on other sections."""
    name = section.get("name") if isinstance(section, Mapping) else section
    return name or _DEFAULT_NAMES.get(key)


def _is_bare(path: Path, data: Any) -> bool:
    """Whether a section may have been written as a bare name, or not at all."""
    if path and path[0] in SECTION_KINDS:
        section = data.get(path[0])
        # Merging spells bare names out.
        return section is None or (isinstance(section, Mapping) and "name" in section)
    for part in path:
        data = data[part]
    return isinstance(data, str)


def _error(problems: list[_Located]) -> BalenasError:
    load_errors = [problem.load_error for _, problem in problems]
    only = load_errors[0]
    if len(load_errors) == 1 and only is not None:
        return only
    in_order = sorted(problems, key=lambda item: (item[0].order, item[0].line or 0))
    lines = list(dict.fromkeys(origin.describe(problem) for origin, problem in in_order))
    kind = PluginLoadError if all(load_errors) else ConfigError
    return kind("\n".join(lines))
