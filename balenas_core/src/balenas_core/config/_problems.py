"""Problems of a configuration: what is wrong, and at which key.

Plugin sections are validated inside the validation of the whole, so a problem has to travel
through pydantic's ``ValidationError``: ``fail`` packs, ``problems_of`` unpacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from balenas_core.errors import PluginLoadError
from balenas_core.plugins.suggest import did_you_mean

Path = tuple[str | int, ...]
"""Keys and list indices from the root to a value."""

_PACKED = "balenas_problem"
_LONGEST_VALUE = 60

_TEMPLATES: Mapping[str, str] = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping",
    "finite_number": "must be a finite number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "frozen_set_type": "must be a list",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "model_attributes_type": "must be a mapping",
    "model_type": "must be a mapping",
    "none_required": "must be null",
    "path_type": "must be a path",
    "set_type": "must be a list",
    "string_type": "must be text",
    "tuple_type": "must be a list",
}
_ADVICE: Mapping[str, str] = {
    "path_type": "; put it in quotes",
    "string_type": "; put it in quotes",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Args:
        path: Where in the configuration.
        message: What is wrong, with the value.
        load_error: The error, if a plugin is installed but cannot be loaded.
    """

    path: Path
    message: str
    load_error: PluginLoadError | None = None


def fail(problems: Iterable[Problem]) -> NoReturn:
    """Raise problems, their paths relative to the value that is being validated.

    Raises:
        ValidationError: Always.
    """
    details = [
        InitErrorDetails(
            type=PydanticCustomError(
                _PACKED,
                "{message}",
                {"message": problem.message, "load_error": problem.load_error},
            ),
            loc=problem.path,
            input=None,
        )
        for problem in problems
    ]
    raise ValidationError.from_exception_data("configuration", details)


def problems_of(
    error: ValidationError, model: type[BaseModel], data: Any, *, with_defaults: bool = True
) -> list[Problem]:
    """Return what ``model`` found wrong with ``data``, in plain words.

    The members of a union each report why they refuse a value; these become one problem.
    ``with_defaults`` is whether problems of defaults count, too.
    """
    packed: list[Problem] = []
    found: dict[Path, list[str]] = {}
    got: dict[Path, str] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == _PACKED:
            context = detail["ctx"]
            packed.append(Problem(detail["loc"], context["message"], context["load_error"]))
            continue
        if detail["type"] == "default_factory_not_called":
            continue  # the consequence of another problem
        if not with_defaults and _is_default(detail, model, data):
            continue
        path = _path_in_data(detail, data)
        message = _plain_message(detail, model, path)
        if message not in found.setdefault(path, []):
            found[path].append(message)
        if detail["type"] not in ("missing", "extra_forbidden", "value_error"):
            advice = _ADVICE.get(detail["type"], "") if shown(detail["input"])[0].isdigit() else ""
            got.setdefault(path, f" (got {shown(detail['input'])}){advice}")
    plain = [Problem(path, " or ".join(m) + got.get(path, "")) for path, m in found.items()]
    return plain + packed


def shown(value: object) -> str:
    """Return a value as a message shows it: short, and containers by their kind.

    Example:
        >>> shown("3"), shown(True), shown(None), shown([1, 2])
        ("'3'", 'true', 'null', 'a list')
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return "a list"
    try:
        text = repr(value)
    except ValueError:  # CPython refuses to print integers of thousands of digits
        return "a very long number"
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def dotted(path: Iterable[str | int]) -> str:
    """Return a path as it is written for ``--set``: ``optimizer.lr``."""
    return ".".join(map(str, path))


def known_keys(model: type[BaseModel], path: Path) -> list[str]:
    """Return the keys that ``model`` knows in the mapping at ``path``."""
    models = [model]
    for part in path:
        annotations = [
            field.annotation
            for one in models
            for name, field in one.model_fields.items()
            if part in (name, field.alias)
        ]
        models = [found for one in annotations for found in _models_in(one)]
    return [field.alias or name for one in models for name, field in one.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _path_in_data(detail: ErrorDetails, data: Any) -> Path:
    """Return the location without what pydantic adds for unions and key checks."""
    path: list[str | int] = []
    last = len(detail["loc"]) - 1
    is_about_a_key = detail["type"] in ("missing", "extra_forbidden")
    for position, part in enumerate(detail["loc"]):
        if _has(data, part):
            path.append(part)
            data = data[part]
        elif position == 0 or (position == last and is_about_a_key):
            path.append(part)
            data = None
    return tuple(path)


def _is_default(detail: ErrorDetails, model: type[BaseModel], data: Any) -> bool:
    """Whether a value was refused that the data does not have, but the model."""
    if detail["type"] in ("missing", "extra_forbidden"):
        return False
    path: Path = ()
    for part in detail["loc"]:
        if not _has(data, part):
            return part in known_keys(model, path)
        data = data[part]
        path = (*path, part)
    return False


def _has(data: Any, part: str | int) -> bool:
    if isinstance(data, Mapping):
        return part in data
    return isinstance(data, Sequence) and isinstance(part, int) and part < len(data)


def _plain_message(detail: ErrorDetails, model: type[BaseModel], path: Path) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return unknown_key(str(path[-1]), known_keys(model, path[:-1]))
    if kind in _TEMPLATES:
        return _TEMPLATES[kind].format(**{key: _bound(value) for key, value in context.items()})
    if kind in ("value_error", "assertion_error"):
        return str(context.get("error", detail["msg"]))
    return detail["msg"].replace("Input should be", "must be", 1)


def _bound(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def unfit_flag(message: str, kind: str, name: object) -> str:
    """Return the message about an unknown key that comes from a flag.

    The user wrote no key but a documented flag, so it is not unknown: the plugin that was named
    has no such option.
    """
    owner = f"{kind} {name!r}" if name else f"the default {kind}"
    for start, instead in (
        ("unknown key; ", "does not apply: "),
        ("unknown key. Known here: ", f"does not apply to {owner}, whose options are: "),
        ("unknown key", f"does not apply to {owner}"),
    ):
        if message.startswith(start):
            return instead + message.removeprefix(start)
    return message


def unknown_key(key: str, known: Sequence[str]) -> str:
    """Return the message for a key that nothing reads."""
    hint = did_you_mean(key, known)
    if hint:
        return f"unknown key.{hint}"
    return f"unknown key. Known here: {', '.join(known)}." if known else "unknown key"
