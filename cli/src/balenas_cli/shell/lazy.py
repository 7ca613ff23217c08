"""Typer groups and commands that start fast.

Typer converts every parameter with pydantic, whose import takes longer than all else that
``--help`` or ``plugins list`` does. An optional parameter that was not given needs no conversion.
"""

from __future__ import annotations

import inspect
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from balenas_core.errors import UsageError


class LazyCommand(TyperCommand):
    """A command that converts only what was given, and whose help fills the terminal's width."""

    def __init__(self, *args: Any, help: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, help=None if help is None else _filled(help), **kwargs)

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters of the command."""
        return [_skip_absent(param) for param in super().get_params(ctx)]


class LazyGroup(TyperGroup):
    """A group of commands that converts only what was given."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters of the group."""
        return [_skip_absent(param) for param in super().get_params(ctx)]


def _filled(text: str) -> str:
    """Return a docstring without the line breaks inside of its paragraphs, which typer keeps."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _skip_absent(param: Any) -> Any:
    if "process_value" in vars(param) or param.required or param.multiple or param.nargs != 1:
        return param
    convert = param.process_value

    def process_value(ctx: Any, value: Any) -> Any:
        if value is not None:
            try:
                return convert(ctx, value)
            except typer.BadParameter as error:
                raise _unfit(param, value, error) from error
        return param.callback(ctx, param, None) if param.callback is not None else None

    param.process_value = process_value
    return param


def _unfit(param: Any, value: object, error: typer.BadParameter) -> UsageError:
    """Return the error as the configuration says it of values in a file."""
    message = error.message
    if "integer" in message:
        message = f"must be a whole number (got {value!r})"
    elif "number" in message or "float" in message:
        message = f"must be a number (got {value!r})"
    name = param.opts[0] if param.param_type_name == "option" else param.human_readable_name
    return UsageError(f"{name}: {message}")
