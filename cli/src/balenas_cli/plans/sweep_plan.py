"""From the arguments of ``balenas sweep`` to a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from balenas_cli.plans.data_place import place_option
from balenas_cli.plans.resolve import dataset_name, settings_of_preset
from balenas_cli.plans.workers import worker_flags
from balenas_cli.shell.options import KEY_OF_FLAG
from balenas_cli.shell.output import RUNS, free_path
from balenas_cli.shell.typed import as_typed
from balenas_core.config import (
    DEFAULT_EXECUTOR,
    DocumentError,
    PluginSection,
    parse_yaml,
    read_document,
)
from balenas_core.errors import ConfigError, UsageError
from balenas_core.plugins.registry import default_registry
from balenas_core.plugins.suggest import did_you_mean

if TYPE_CHECKING:
    from balenas_core.interfaces.executor import Executor
    from balenas_sweep import Dimension, SweepSpec

_PACKAGE = "balenas_sweep"
_EXECUTOR = "executor"
_DEFAULT_OBJECTIVE = "check_accuracy"


@dataclass(frozen=True, slots=True)
class Plan:
    """A sweep, where it is kept, and where its trials run.

    Args:
        spec: The sweep; None for whatever the folder has.
        folder: Of the sweep.
        storage: Where the study is; None for a SQLite file in the folder.
        name: Of the study.
        resume: What to do where the folder holds a sweep.
        executor: Where trials run.
    """

    spec: SweepSpec | None
    folder: Path
    storage: str | None
    name: str
    resume: str
    executor: Executor

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The trials of a grid or a list."""
        return [] if self.spec is None else [dict(row) for row in self.spec.rows]


def check_is_installed() -> None:
    """Check that sweeps can be run.

    Raises:
        UsageError: The package is not there.
    """
    if find_spec(_PACKAGE) is None:
        raise UsageError(
            "sweeps need a package that is not installed. Install it with: pip install "
            "'balenas[sweep]'"
        )


def plan(path: Path | None, parameters: Mapping[str, Any]) -> Plan:
    """Return the sweep that the arguments of the command describe.

    Raises:
        UsageError: Something is missing or cannot be understood.
    """
    check_is_installed()
    resume = _resume(parameters["resume"])
    file = {} if path is None else _document(path)
    overrides = list(parameters["set_"] or ())
    of_executor = [text for text in overrides if _key(text).partition(".")[0] == _EXECUTOR]
    executor = executor_of(
        parameters["executor"], parameters["jobs"], of_executor, file.get(_EXECUTOR)
    )
    output = parameters["output"]
    is_given = path is not None or any(
        parameters[name] for name in ("over", "seeds", "list_", "trials", "space", "preset")
    )
    if resume == "must" and output is not None and not is_given:
        spec = None
    else:
        shared = [text for text in overrides if text not in of_executor]
        spec = _spec(path, file, parameters, shared)
    folder = output or free_path(RUNS / f"{datetime.now().astimezone():%Y%m%d-%H%M%S}-sweep")
    name = parameters["name"] or folder.resolve().name
    return Plan(spec, folder, parameters["storage"], name, resume, executor)


def executor_of(
    flag: str | None, jobs: int | None, overrides: Sequence[str], section: Any = None
) -> Executor:
    """Return where trials run.

    Args:
        flag: The value of ``--executor``.
        jobs: That of ``--jobs``.
        overrides: Arguments of ``--set`` about the executor.
        section: What a configuration file says.

    Raises:
        UsageError: There is no such executor, or it cannot be had.
    """
    in_file = {"name": section} if isinstance(section, str) else dict(section or {})
    named = flag or in_file.get("name") or DEFAULT_EXECUTOR
    given = {} if flag and flag != in_file.get("name") else in_file
    flags = worker_flags(named, flag, jobs)
    given = {**given, "name": flags["executor"] or named}
    if "executor.workers" in flags:
        given["workers"] = flags["executor.workers"]
    for text in overrides:
        key, _, value = text.partition("=")
        *_, option = key.strip().split(".", 1) if "." in key else ("name",)
        given[option] = parse_yaml(value).data
    with as_typed({_EXECUTOR: "--executor"}):
        resolved = PluginSection.resolve(_EXECUTOR, given)
    found = default_registry().find(_EXECUTOR, resolved.name)
    built: Executor = found.build(resolved.options)
    built.check()
    return built


def _spec(
    path: Path | None, file: Mapping[str, Any], parameters: Mapping[str, Any], overrides: list[str]
) -> SweepSpec:
    from balenas_sweep import (
        PRUNERS,
        SAMPLERS,
        Settings,
        SweepSpec,
        parse_dimensions,
        parse_objective,
    )

    preset = parameters["preset"]
    base = dict(settings_of_preset(preset, path, overrides))
    settings = Settings(
        preset=base,
        preset_name=f"--preset {preset}",
        file={key: value for key, value in file.items() if key not in (_EXECUTOR, "output")},
        file_name=str(path),
        flags=_flags(path, parameters, overrides, base),
        overrides=tuple(overrides),
    )
    for option, known in (("sampler", SAMPLERS), ("pruner", PRUNERS)):
        value = parameters[option]
        if value not in known:
            raise UsageError(
                f"--{option}: no {option} called {value!r}.{did_you_mean(value, known)} Known: "
                f"{', '.join(known)}."
            )
    dimensions = parse_dimensions(parameters["over"] or ())
    rows = _rows(parameters, dimensions)
    count = parameters["trials"] or len(rows)
    objectives = [parse_objective(o) for o in parameters["objective"] or (_DEFAULT_OBJECTIVE,)]
    names = [objective.name for objective in objectives]
    if len(set(names)) < len(names):
        raise UsageError(f"--objective names one twice (got {', '.join(names)}).")
    return SweepSpec(
        settings=settings,
        dimensions=() if rows else tuple(dimensions),
        rows=tuple(rows),
        trials=count,
        objectives=tuple(objectives),
        sampler=parameters["sampler"],
        pruner=parameters["pruner"],
        report=parameters["report"],
        attempts=parameters["attempts"],
        heartbeat=parameters["heartbeat"],
    )


def _rows(
    parameters: Mapping[str, Any],
    dimensions: list[Dimension],
) -> list[dict[str, Any]]:
    """Return the trials of a grid or a list; none where a sampler proposes them.

    Raises:
        UsageError: There is nothing to vary, or arguments contradict one another.
    """
    from balenas_sweep import grid, parse_seeds

    listed, seeds = parameters["list_"], parameters["seeds"]
    if parameters["trials"] is not None:
        if seeds is not None or listed is not None:
            other = "--seeds" if seeds is not None else "--list"
            raise UsageError(
                f"{other} with --trials: a sampler proposes each trial as one run; leave {other} "
                f"out, or sweep over its best settings with --seeds afterwards."
            )
        if not dimensions:
            raise UsageError("--trials needs something to choose from; add --over KEY=LOW..HIGH.")
        return []
    if listed is None and seeds is None and not dimensions:
        raise UsageError("nothing to sweep over; add --over KEY=A,B, --seeds 0..9 or --list FILE.")
    rows: list[dict[str, Any]] = [dict(row) for row in grid(dimensions)]
    if listed is not None:
        rows = [{**a, **b} for a in _listed(listed) for b in rows]
    if seeds is not None:
        if any("seed" in row for row in rows):
            raise UsageError("the seed is named by --seeds and once more; leave one out.")
        rows = [{**row, "seed": seed} for row in rows for seed in parse_seeds(seeds)]
    return rows


def _listed(path: Path) -> list[dict[str, Any]]:
    try:
        found = parse_yaml(path.read_text(encoding="utf-8-sig")).data
    except (OSError, UnicodeDecodeError, DocumentError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"cannot read --list {path}: {reason}.") from error
    if not isinstance(found, list) or not found or not all(isinstance(r, dict) for r in found):
        raise UsageError(
            f"--list {path} must hold a list of mappings, such as '- {{optimizer.lr: 0.01}}'."
        )
    rows = [{str(key): value for key, value in row.items()} for row in found]
    for number, row in enumerate(rows, start=1):
        for key, value in row.items():
            if not isinstance(value, bool | int | float | str):
                raise UsageError(
                    f"--list {path}, trial {number}: {key} must be a number or a text (got "
                    f"{value!r}); put it in quotes as --set has it."
                )
    return rows


def _flags(
    path: Path | None,
    parameters: Mapping[str, Any],
    overrides: Sequence[str],
    base: Mapping[str, Any],
) -> dict[str, Any]:
    keys = {name: key for name, key in KEY_OF_FLAG.items() if name not in ("output", _EXECUTOR)}
    if parameters["data_root"] is not None:
        dataset = dataset_name(path, parameters["data"], overrides, base)
        keys["data_root"] = f"data.{place_option(dataset)}"
    given = {key: parameters.get(name) for name, key in keys.items()}
    return {key: value for key, value in given.items() if value is not None}


def _document(path: Path) -> dict[str, Any]:
    document = read_document(path)
    if document.findings:
        finding = document.findings[0]
        where = ".".join(map(str, finding.path))
        raise ConfigError(f"{path}:{finding.line}: {where}: {finding.message}")
    return dict(document.data)


def _key(text: str) -> str:
    return text.partition("=")[0].strip()


def _resume(text: str) -> str:
    if text not in ("never", "allow", "must"):
        raise UsageError(f"--resume must be never, allow or must (got {text!r}).")
    return text
