"""From the arguments of ``balenas train`` to trainings."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balenas_cli.plans.data_place import place_option
from balenas_cli.plans.resolve import FLAG_NAMES, dataset_name
from balenas_cli.shell.options import KEY_OF_FLAG
from balenas_cli.shell.output import RUNS, default_output
from balenas_core.errors import UsageError
from balenas_core.interfaces.texts import bare_text, is_number
from balenas_core.plugins.registry import default_registry
from balenas_core.runs.listing import SEED_MARK, read_run

if TYPE_CHECKING:
    from balenas_core.interfaces.space import AnySpace
    from balenas_core.runs.resume import Resume
    from balenas_timm.recipes import TrainingJob

_FLAGS = (
    "space", "data", "epochs", "batch_size", "lr", "seed", "device", "precision", "threads",
    "output",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """Trainings that differ in their seed, and what to do where their output is not empty."""

    jobs: tuple[TrainingJob, ...]
    resume: Resume


def check_is_installed() -> None:
    """Check that there is something to train with.

    Raises:
        UsageError: There is not.
    """
    if find_spec("balenas_timm") is None:
        raise UsageError("'balenas train' needs balenas-timm: pip install balenas-timm")


def plan(
    target: str,
    parameters: Mapping[str, Any],
    *,
    preset: str | None,
    rank: int | None,
    config: Path | None,
    overrides: Sequence[str],
    seeds: str | None,
    resume: Resume,
) -> Plan:
    """Read, merge and validate what the command was given.

    Raises:
        UsageError: It cannot be carried out.
    """
    from balenas_timm.recipes import holds_training, training_job

    place = _directory(target)
    if place is not None:
        warn_of_run(place)
    keys = {name: KEY_OF_FLAG[name] for name in _FLAGS}
    if parameters.get("data_root") is not None:
        run = {} if place is None else read_run(place).config
        dataset = dataset_name(config, parameters.get("data"), overrides, run)
        keys["data_root"] = f"data.{place_option(dataset)}"
    job = training_job(
        place or target,
        preset=preset,
        rank=rank,
        config=config,
        flags={key: parameters.get(name) for name, key in keys.items()},
        overrides=overrides,
        flag_names=FLAG_NAMES,
    )
    job = job.model_copy(update={"architecture": _checked(job)})
    if job.output is None:
        now = datetime.now().astimezone()
        output = default_output(job.space.name, "train", job.seed, now)
        job = job.model_copy(update={"output": output})
    if place is not None and holds_training(place):
        if seeds is not None:
            raise UsageError(f"{place} is a training with a seed of its own; leave --seeds out.")
        return Plan((job,), "must")
    return Plan(_by_seed(job, seeds, parameters.get("seed")), resume)


def _checked(job: TrainingJob) -> str:
    """Return the architecture's text, after a look at whether its space reads it.

    Raises:
        ArchitectureError: It does not.
    """
    with contextlib.redirect_stdout(sys.stderr):  # what a plugin prints is no result
        space: AnySpace = default_registry().find("space", job.space.name).build(job.space.options)
        architecture = space.parse(job.architecture)
    # A number means another architecture where another benchmark is installed.
    return str(architecture) if is_number(bare_text(job.architecture)) else job.architecture


def warn_of_run(run: Path) -> None:
    """Say whether the space and the data set of a run are missing now, or are others."""
    from balenas_core.runs.used_plugins import warn_of_other_plugins

    environment = read_run(run).environment
    warn_of_other_plugins(environment, default_registry(), ("space", "dataset"))


def _directory(target: str) -> Path | None:
    """Return the directory that is meant, if one is; the text of an architecture is none."""
    # Path.is_dir fails for text that is too long for a path.
    return next((Path(p) for p in (target, str(RUNS / target)) if os.path.isdir(p)), None)


def _by_seed(job: TrainingJob, seeds: str | None, seed: int | None) -> tuple[TrainingJob, ...]:
    if seeds is None:
        return (job,)
    if seed is not None:
        raise UsageError("--seed is one seed and --seeds are several; give one of both.")
    texts = [text.strip() for text in seeds.split(",")]
    if not all(text.isdecimal() for text in texts) or len(set(texts)) < len(texts):
        raise UsageError(f"--seeds must be different whole numbers, such as 0,1,2 (got {seeds!r}).")
    assert job.output is not None, "the caller chose one"
    stem = job.output.name.removesuffix(f"{SEED_MARK}{job.seed}")
    return tuple(
        job.model_copy(
            update={"seed": int(text), "output": job.output.with_name(f"{stem}{SEED_MARK}{text}")}
        )
        for text in texts
    )
