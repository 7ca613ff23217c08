"""Whether what a plugin declares, and what it implements, is what its kind asks for."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from balenas_core.errors import PluginLoadError
from balenas_core.plugins.plugin import (
    API_VERSION,
    BASES,
    CLAIMS,
    CONTEXT,
    GROUPS,
    OLDEST_API_VERSION,
    VALUES,
    Plugin,
    resolve,
)
from balenas_core.plugins.suggest import did_you_mean

_TARGET = re.compile(r"[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*(\.\w+)*")


class DeclarationError(PluginLoadError):
    """What a plugin declares or implements is not what its kind asks for."""


def check_declaration(plugin: object, kind: str) -> None:
    """Check what a plugin says of itself, importing nothing of it.

    Raises:
        DeclarationError: Something of it cannot work; the message says what to declare instead.
    """
    if not isinstance(plugin, Plugin):
        raise DeclarationError(f"expected a balenas_core.Plugin, got {type(plugin).__name__}")
    if plugin.kind != kind:
        raise DeclarationError(f"declares kind {plugin.kind!r} but is registered as {kind!r}")
    _check_api(plugin.api_version)
    if not isinstance(plugin.summary, str):
        raise DeclarationError(f"summary must be a line of text; got {plugin.summary!r}")
    _check_target("implementation", plugin.implementation)
    if plugin.status is not None and not isinstance(plugin.status, str):
        raise DeclarationError(f"status must be 'package.module:function'; got {plugin.status!r}")
    _check_target("status", plugin.status)
    _check_partners(plugin)
    _check_options(plugin.options)


def is_outdated(plugin: Plugin) -> bool:
    """Whether a plugin was written against an interface that will be refused one day."""
    return _range(plugin.api_version)[1] < API_VERSION


def _range(version: int | tuple[int, int]) -> tuple[int, int]:
    return version if isinstance(version, tuple) else (version, version)


def _check_api(version: object) -> None:
    pair = version if isinstance(version, tuple) else (version, version)
    if len(pair) != 2 or not all(type(number) is int for number in pair) or pair[0] > pair[1]:
        raise DeclarationError(
            f"api_version must be a number, or the first and the last of a range; got {version!r}"
        )
    first, last = pair
    if first <= API_VERSION and last >= OLDEST_API_VERSION:
        return
    written = f"{first}" if first == last else f"{first} to {last}"
    known = (
        f"{API_VERSION}"
        if OLDEST_API_VERSION == API_VERSION
        else f"{OLDEST_API_VERSION} to {API_VERSION}"
    )
    raise DeclarationError(f"written for plugin API {written}, this balenas-core has {known}")


def _check_target(field: str, target: object) -> None:
    if target is None and field == "implementation":
        raise DeclarationError("implementation must be 'package.module:attribute'; got None")
    if isinstance(target, str) and not _TARGET.fullmatch(target):
        raise DeclarationError(f"{field} must be 'package.module:attribute'; got {target!r}")


def _check_partners(plugin: Plugin) -> None:
    _check_names("provides", plugin.provides)
    for field in ("needs", "defaults", "recommends"):
        partners: Any = getattr(plugin, field)
        if not isinstance(partners, Mapping):
            raise DeclarationError(f"{field} must be a mapping of kinds; got {partners!r}")
        for kind, value in partners.items():
            if kind not in GROUPS:
                hint = did_you_mean(str(kind), GROUPS)
                raise DeclarationError(f"{field} names {kind!r}, which is no kind.{hint}")
            if field == "needs":
                _check_names(f"needs[{kind!r}]", value)
            elif not isinstance(value, str) and not (
                field == "recommends" and isinstance(value, Mapping) and "name" in value
            ):
                raise DeclarationError(f"{field}[{kind!r}] must be a plugin's name; got {value!r}")


def _check_names(field: str, names: object) -> None:
    if isinstance(names, tuple | list) and all(isinstance(name, str) for name in names):
        return
    example = f"({names!r},)" if isinstance(names, str) else "('supernet',)"
    raise DeclarationError(f"{field} must be a tuple of names, such as {example}; got {names!r}")


def _check_options(model: object) -> None:
    if model is None:
        return
    from balenas_core.plugins.options import PluginOptions

    if not isinstance(model, type) or not issubclass(model, PluginOptions):
        shown = model.__name__ if isinstance(model, type) else repr(model)
        raise DeclarationError(
            f"options must be a class derived from balenas_core.PluginOptions; got {shown}"
        )
    if "name" in model.model_fields:
        # A section is flat: an option called `name` could not be told from the plugin's name.
        raise DeclarationError(
            "an option is called 'name', which a section keeps for the plugin's own name; rename it"
        )
    if not any(field.is_required() for field in model.model_fields.values()):
        try:
            made = model()
        except ValueError as error:
            raise DeclarationError(
                f"the defaults of its options are refused: {_refused(error)}"
            ) from error
        try:
            made.model_dump(mode="json")
        except ValueError as error:
            raise DeclarationError(
                f"the defaults of its options cannot be written into a file, as runs keep them: "
                f"{error}"
            ) from error


def _refused(error: ValueError) -> str:
    """Return what is wrong with options in one line; pydantic's own text has many."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, one['loc']))}: {one['msg']} (got {one['input']!r})"
        for one in error.errors(include_url=False)
    )


def check_implementation(plugin: Plugin, implementation: object) -> None:
    """Check that an implementation is one of its kind, as far as that is known without calling it.

    Args:
        plugin: Its declaration, checked.
        implementation: What it names, imported.

    Raises:
        DeclarationError: It is not.
    """
    if plugin.kind in VALUES:
        _check_value(plugin.kind, implementation)
        return
    base = resolve(BASES[plugin.kind])
    if isinstance(implementation, type):
        if not issubclass(implementation, base):
            raise DeclarationError(
                f"{implementation.__name__} is no {base.__name__}; derive it from "
                f"balenas_core.{base.__name__}"
            )
        if inspect.isabstract(implementation):
            methods: frozenset[str] = getattr(implementation, "__abstractmethods__", frozenset())
            missing = ", ".join(sorted(methods))
            raise DeclarationError(f"{implementation.__name__} does not implement {missing}")
    elif not callable(implementation):
        raise DeclarationError(
            f"its implementation cannot be called; got {type(implementation).__name__}"
        )
    _check_signature(plugin, implementation)


def _check_value(kind: str, value: object) -> None:
    base = resolve(VALUES[kind])
    if not isinstance(value, base):
        wanted = "mapping of settings" if base is Mapping else base.__name__
        raise DeclarationError(f"a {kind} must be a {wanted}; got {type(value).__name__}")


def _check_signature(plugin: Plugin, implementation: Any) -> None:
    options = () if plugin.options is None else (None,)
    names = CONTEXT.get(plugin.kind, ())
    try:
        signature = inspect.signature(implementation)
    except (TypeError, ValueError):  # of what is not written in Python
        return
    try:
        signature.bind(*options, **dict.fromkeys(names))
    except TypeError as error:
        given = ", ".join((*(["options"] if options else []), *(f"{n}=..." for n in names)))
        raise DeclarationError(
            f"its implementation cannot be called as {plugin.kind}({given}): {error}"
        ) from error


def check_built(plugin: Plugin, made: object) -> None:
    """Check that what an implementation has made is of its kind, and what the plugin claims.

    Raises:
        DeclarationError: It is not.
    """
    base = resolve(BASES[plugin.kind])
    if not isinstance(made, base):
        raise DeclarationError(
            f"its implementation made an object of {type(made).__name__}, which is no "
            f"{base.__name__}"
        )
    for capability in plugin.provides:
        target = CLAIMS.get((plugin.kind, capability))
        if target is not None and not isinstance(made, claimed := resolve(target)):
            raise DeclarationError(
                f"it says that it provides {capability!r}, but {type(made).__name__} is no "
                f"{claimed.__name__}; derive it from that class, or take {capability!r} out of "
                f"provides"
            )
