"""A plugin's options model as rows of a table."""

from __future__ import annotations

import json
import re
import types
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from balenas_core.plugins.options import PluginOptions

_SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "multiple_of": "multiple of"}


def option_rows(model: type[PluginOptions] | None) -> list[dict[str, Any]]:
    """Return name, type, default, description and required-ness of every option."""
    if model is None:
        return []
    return [
        {
            "name": field.alias or name,
            "type": _type_with_limits(field),
            "default": None if field.is_required() else _default(field),
            "description": field.description or "",
            "required": field.is_required(),
        }
        for name, field in model.model_fields.items()
    ]


def type_text(annotation: Any) -> str:
    """Return a type as a reader would write it.

    Example:
        >>> type_text(Literal["mean", "sample"] | None)
        'mean | sample | none'
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is None or annotation is type(None):
        return "none"
    if origin is Literal:
        return " | ".join(str(value) for value in arguments)
    if origin in (Union, types.UnionType):
        return " | ".join(type_text(argument) for argument in arguments)
    if hasattr(annotation, "__metadata__"):  # Annotated
        return type_text(arguments[0])
    if origin is not None:
        inner = ", ".join("..." if a is Ellipsis else type_text(a) for a in arguments)
        return f"{getattr(origin, '__name__', origin)}[{inner}]"
    return str(getattr(annotation, "__name__", annotation))


def _type_with_limits(field: FieldInfo) -> str:
    limits = [
        f"{sign} {value:g}" if isinstance(value, int | float) else f"{sign} {value}"
        for constraint in field.metadata
        for name, sign in _SIGNS.items()
        if (value := getattr(constraint, name, None)) is not None
    ]
    return " ".join((type_text(field.annotation), ", ".join(limits))).strip()


def _default(field: FieldInfo) -> Any:
    from pydantic_core import to_jsonable_python

    value = field.get_default(call_default_factory=True, validated_data={})
    plain = to_jsonable_python(value, fallback=str)
    return plain if isinstance(plain, str) else re.sub(r'"', "", json.dumps(plain))
