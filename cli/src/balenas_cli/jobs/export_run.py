"""From the arguments of ``balenas export`` to what was written."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balenas_cli.plans.described import options_of, shape_of
from balenas_cli.plans.train_plan import warn_of_run
from balenas_cli.shell.run_names import run_path
from balenas_cli.shell.typed import as_typed
from balenas_core.errors import UsageError
from balenas_core.runs.directory import holds_run

if TYPE_CHECKING:
    from balenas_timm.export import Exported, Format, Source

_SHAPE, _CLASSES = "3x32x32", 10


@dataclass(frozen=True, slots=True)
class Written:
    """What was exported, and what was written."""

    format: str
    source: Source
    exported: Exported

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            **self.exported.facts,
            "format": self.format,
            "path": str(self.exported.path),
            "files": dict(self.exported.files),
            "max_difference": self.exported.max_difference,
            "plugin": dict(self.exported.plugin),
            "weights": self.source.weights,
            "warnings": list(self.source.warnings),
            "network": self.source.blueprint.model_dump(mode="json", exclude={"provenance"}),
        }


def write(
    target: str,
    format: str,
    output: Path | None,
    *,
    weights: Path | None,
    is_inherited: bool,
    seed: int | None,
    with_normalization: bool,
    opset: int | None,
    force: bool,
    architecture: Mapping[str, Any],
) -> Written:
    """Export a network.

    Args:
        target: A run, a file of weights, or the text of an architecture.
        format: Name of the format.
        output: Where it is written; None for the default.
        weights: File of weights.
        is_inherited: Whether to take the supernet's weights.
        seed: Seed of the run's training whose weights to take.
        with_normalization: Whether the graph normalises images.
        opset: Version of ONNX's operators.
        force: Whether to replace files.
        architecture: Flag -> value of what only an architecture needs.

    Raises:
        UsageError: It cannot be carried out.
    """
    if find_spec("balenas_timm") is None:
        raise UsageError("'balenas export' needs balenas-timm: pip install balenas-timm")
    from balenas_core.plugins.registry import default_registry
    from balenas_timm.export import export

    found = default_registry().find("format", format)
    chosen = found.load_value()
    if weights is not None and is_inherited:
        raise UsageError("--weights and --inherited are two sources of weights; give one of both.")
    if seed is not None and (weights is not None or is_inherited):
        raise UsageError("--seed names a training of a run; leave --weights and --inherited out.")
    path = _existing(target)
    if path is not None:
        _refuse(path, **architecture)
        if path.is_dir():
            warn_of_run(path)
    if output is None:
        if path is None or not path.is_dir():
            raise UsageError(f"say where to write it, with --output {_example(chosen)}.")
        output = path / "export" / found.name
    # What a plugin or a library prints is no result.
    with contextlib.redirect_stdout(sys.stderr):
        source = (
            _of_text(target, weights, is_inherited=is_inherited, seed=seed, given=architecture)
            if path is None
            else _of_path(path, weights, is_inherited=is_inherited, seed=seed)
        )
        exported = export(
            source,
            format,
            output,
            with_normalization=with_normalization,
            opset=opset,
            force=force,
        )
    return Written(found.name, source, exported)


def _existing(target: str) -> Path | None:
    """Return the run or file that is meant, None for the text of an architecture."""
    # Path.exists fails for text that is too long for a path.
    named = os.path.exists(target) or os.path.exists(Path("runs", target))
    return run_path(Path(target)) if named else None


def _example(format: Format) -> str:
    return "FOLDER" if format.is_folder else f"network{Path(format.file).suffix}"


def _refuse(path: Path, **given: object) -> None:
    """Refuse what is known of a run or a file."""
    for flag, value in given.items():
        if value is not None:
            raise UsageError(f"{path} says itself which network it is; leave {flag} out.")


def _of_path(path: Path, weights: Path | None, *, is_inherited: bool, seed: int | None) -> Source:
    from balenas_timm.export import from_file, from_run
    from balenas_timm.weights import WEIGHTS

    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file() or holds_run(path):
        return from_run(path, weights, is_inherited=is_inherited, seed=seed)
    flags = {"--weights": weights, "--inherited": is_inherited or None, "--seed": seed}
    _refuse(path, **flags)
    return from_file(file)


def _of_text(
    text: str,
    weights: Path | None,
    *,
    is_inherited: bool,
    seed: int | None,
    given: Mapping[str, Any],
) -> Source:
    from balenas_timm import Blueprint, full_sized
    from balenas_timm.export import from_architecture

    if given["--space"] is None:
        raise UsageError(
            f"{text} is no run and no file; to export an architecture, name its space with --space."
        )
    if is_inherited:
        raise UsageError("--inherited is for a run: an architecture alone has no supernet.")
    if seed is not None:
        raise UsageError("--seed is for a run: an architecture alone has no trainings.")
    with as_typed({"space": "--space"}):
        section = full_sized(given["--space"], options_of(given["--set"] or ()))
    blueprint = Blueprint.of(
        space=section,
        architecture=text,
        input_shape=shape_of(given["--input"] or _SHAPE),
        num_classes=given["--classes"] or _CLASSES,
    )
    return from_architecture(blueprint, weights)
