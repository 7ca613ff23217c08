"""From a run or an architecture, and settings in levels, to a training."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from balenas_core.config import load_settings, read_document
from balenas_core.errors import UsageError
from balenas_core.plugins.known import is_first_party
from balenas_core.plugins.names import names_the_same
from balenas_core.plugins.registry import PluginRef, Registry, default_registry
from balenas_core.runs import listing as runs
from balenas_core.runs.directory import holds_run
from balenas_core.runs.listing import RunInfo
from balenas_timm.recipes._job import TRAINING, TrainingJob

_DEFAULT = "quick"


def holds_training(path: Path) -> bool:
    """Whether a directory is that of a training."""
    return holds_run(path, TRAINING)


def training_job(
    target: Path | str,
    *,
    preset: str | None = None,
    rank: int | None = None,
    config: Path | str | None = None,
    flags: Mapping[str, Any] = {},
    overrides: Sequence[str] | Mapping[str, Any] = (),
    registry: Registry | None = None,
    flag_names: Mapping[str, str] = {},
) -> TrainingJob:
    """Return the training of what a run found, or of an architecture.

    Overrides go over flags, flags over the file, the file over the preset, and the preset over
    what is known from the run: space, data set, architecture.

    Args:
        target: The directory of a run that is done, that of a training, whose own settings are
            taken; or an architecture in the text form of the space that ``flags`` or the file
            name.
        preset: Name of a recipe; by default the file's, or ``quick``.
        rank: Which of the run's candidates to train; by default the chosen one.
        config: A file of settings.
        flags: Dotted key -> value, such as ``{"training.lr": 0.1}``.
        overrides: ``--set`` arguments, or dotted key -> value.
        registry: Where plugins are looked up; the process's own by default.
        flag_names: Dotted key -> how messages name its flag.

    Raises:
        UsageError: The run is not done, or there is no such candidate.
        PluginError: There is no such recipe, or it cannot be loaded, or may not be.
        ConfigError: The settings are invalid.
    """
    registry = registry or default_registry()
    path = Path(target)
    settings: dict[str, Any] = {
        "flags": flags,
        "overrides": overrides,
        "registry": registry,
        "flag_names": flag_names,
    }
    if os.path.isdir(target):  # Path.is_dir fails for the long text of an architecture
        if holds_training(path):
            _refuse_ignored(path, {"--preset": preset, "--rank": rank, "--config": config})
            stored = load_settings(TrainingJob, path / TRAINING.config, **settings)
            return stored.model_copy(update={"output": path})
        known = _of_run(path, rank)
        label, output = f"run {path}", path / runs.TRAINING
    else:
        if rank is not None:
            raise UsageError(f"--rank chooses a candidate of a run, and {target} is none.")
        known, label, output = {"architecture": str(target)}, "", None
    recipe = registry.find("recipe", preset or _preset_of(config) or _DEFAULT)
    name, chosen = _stored_name(recipe), recipe.load_value()
    _check_space(name, chosen, flags.get("space") or known.get("space", {}).get("name"))
    if output is None and config is None and not (flags.get("space") or "space" in chosen):
        raise UsageError(
            f"{target} is no directory of a run; to train an architecture, name its space with "
            f"--space."
        )
    job = load_settings(
        TrainingJob,
        config,
        bases=((label, known), (f"--preset {name}", {**chosen, "preset": name})),
        **settings,
    )
    return job if job.output is not None else job.model_copy(update={"output": output})


def _refuse_ignored(path: Path, flags: Mapping[str, Any]) -> None:
    for flag, value in flags.items():
        if value is not None:
            raise UsageError(f"{path} is a training with settings of its own; leave {flag} out.")


def _of_run(path: Path, rank: int | None) -> dict[str, Any]:
    run, result = runs.read_chosen(path)
    return {
        "architecture": _architecture(run, result, rank),
        "space": run.config["space"],
        "data": run.config["data"],
    }


def _architecture(run: RunInfo, result: Mapping[str, Any], rank: int | None) -> str:
    if rank is None:
        return str(result["architecture"])
    for candidate in result["candidates"]:
        if candidate["rank"] == rank:
            return str(candidate["architecture"])
    count = len(result["candidates"])
    raise UsageError(f"--rank {rank}: run {run.path} has the candidates 1 to {count}.")


def _preset_of(config: Path | str | None) -> str | None:
    name = None if config is None else read_document(Path(config)).data.get("preset")
    return name if isinstance(name, str) else None


def _stored_name(recipe: PluginRef) -> str:
    """Return the name that the training keeps, by which somebody else's is found elsewhere."""
    return recipe.name if is_first_party(recipe.distribution) else recipe.stored_name


def _check_space(name: str, settings: Mapping[str, Any], given: Any) -> None:
    """Refuse a recipe for another space: its sizes would be no options of this one."""
    section = settings.get("space")
    wanted = section.get("name") if isinstance(section, Mapping) else section
    if isinstance(wanted, str) and given is not None and not names_the_same(str(given), wanted):
        raise UsageError(
            f"--preset {name} is for networks of space {wanted!r}, and this one is of {given!r}. "
            f"Use --preset {_DEFAULT}, with what you need of the other by --set."
        )
