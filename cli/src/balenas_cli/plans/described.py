"""What ``balenas describe`` finds out: from texts to an architecture and its network."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from balenas_cli.shell.typed import as_typed
from balenas_core.config import DocumentError, PluginSection, parse_yaml
from balenas_core.errors import OutputError, UsageError, is_out_of_memory
from balenas_core.files import write_atomically
from balenas_core.interfaces.architecture import Architecture
from balenas_core.interfaces.space import AnySpace, Task
from balenas_core.plugins.registry import default_registry
from balenas_core.random import seeded
from balenas_core.scores.description import NetworkDescription, describe_network
from balenas_core.scores.room import check_room


@dataclass(frozen=True, slots=True)
class Described:
    """An architecture, where it comes from, and the size of its network."""

    section: PluginSection
    task: Task
    architecture: Architecture
    canonical: Architecture
    network: NetworkDescription


def build(text: str, space: str, settings: Sequence[str], *, shape: str, classes: int) -> Described:
    """Read an architecture and describe its network.

    Args:
        text: Text form of the architecture.
        space: Name of its search space.
        settings: Options of the space, as ``KEY=VALUE`` with the value in YAML.
        shape: Shape of an image, as ``CxHxW``.
        classes: Number of classes.

    Raises:
        ConfigError: No such space, or it refuses the options.
        ArchitectureError: The text is not an architecture of the space.
        UsageError: A setting or the shape cannot be read, or the network cannot take such
            images.
    """
    task = Task(shape_of(shape), classes)
    with as_typed({"space": "--space"}):
        section = PluginSection.resolve("space", {"name": space, **options_of(settings)})
    # What a plugin or a library prints is no result.
    with contextlib.redirect_stdout(sys.stderr):
        built: AnySpace = default_registry().find("space", section.name).build(section.options)
        architecture = built.parse(text)
        check_room(built, task, architecture=architecture)
        with seeded(0):
            network = built.network(architecture, task)
        try:
            described = describe_network(network, task.input_shape)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            reason = str(error).splitlines()[0]
            raise UsageError(
                f"the network cannot take images of {shape}: {reason}; try another --input."
            ) from error
        canonical = built.canonical(architecture)
    return Described(section, task, architecture, canonical, described)


def to_dict(found: Described) -> dict[str, Any]:
    """Return everything as plain data."""
    return {
        "architecture": str(found.architecture),
        "canonical": str(found.canonical),
        "space": found.section.model_dump(mode="json"),
        "input_shape": list(found.task.input_shape),
        "num_classes": found.task.num_classes,
        "parameters": found.network.parameters,
        "multiply_adds": found.network.multiply_adds,
        "layers": [dataclasses.asdict(layer) for layer in found.network.layers],
        "cells": [dataclasses.asdict(cell) for cell in found.architecture.cells()],
    }


def write_svg(path: Path, image: str) -> None:
    """Write an image.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        write_atomically(path.resolve(), lambda file: file.write(image.encode()))
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}. Choose another file with --svg."
        ) from error


def shape_of(text: str) -> tuple[int, int, int]:
    """Return channels, height and width of ``CxHxW``.

    Raises:
        UsageError: The text is none.
    """
    match = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})x([1-9]\d{0,5})", text.strip())
    if match is None:
        raise UsageError(f"--input {text}: expected channels, height and width, such as 3x32x32.")
    return int(match[1]), int(match[2]), int(match[3])


def options_of(settings: Sequence[str]) -> dict[str, Any]:
    """Return the options of a space, given as ``KEY=VALUE`` with the value in YAML.

    Raises:
        UsageError: One of them is something else.
    """
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        # The configuration of a search spells it out.
        key = key.strip().removeprefix("space.")
        if not equals or not re.fullmatch(r"[^.\s]+", key) or key == "name":
            raise UsageError(f"--set {setting}: expected KEY=VALUE, such as channels=16.")
        try:
            options[key] = parse_yaml(value).data
        except DocumentError as error:
            raise UsageError(f"--set {setting}: {error.message}.") from error
    return options
