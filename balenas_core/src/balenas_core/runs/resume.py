"""Going on with a run: whether one may, and whether the result will be the same."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from balenas_core.config import CheckpointConfig, SearchConfig, load_config
from balenas_core.config.flat import differences
from balenas_core.errors import ConfigChangedError, ConfigError, UsageError
from balenas_core.plugins.names import names_the_same
from balenas_core.plugins.registry import Registry
from balenas_core.runs.directory import (
    CONFIG,
    SEARCH,
    RunDirectory,
    RunKind,
    check_holds_run,
    holds_run,
)

Resume = Literal["never", "allow", "must"]
"""What to do where the output holds a run: refuse it, go on with it, or insist on one."""

MAY_DIFFER = frozenset(
    {"output", "device", "threads", "trackers", "executor", "checkpoint", "training.workers",
     "data.root", "plugins"}
)  # fmt: skip
"""Keys that may change when a run goes on: where it runs and what watches it, not what it does.

Another device or number of threads adds numbers up in another order, so that the last digits
differ from those of an uninterrupted run.
"""


class Resumable(Protocol):
    """What a configuration says of its run directory."""

    @property
    def output(self) -> Path | None:
        """The directory."""

    @property
    def checkpoint(self) -> CheckpointConfig:
        """How many checkpoints it keeps."""


SELECTOR = frozenset({"selector", "check_epochs"})
"""What may also change, until there is a result: a search depends on neither."""

_DEFAULT_OF = {"distribution": "optimizer.name", "training.lr_min": "training.lr"}
"""Keys whose default follows another key."""


def existing_run(config: Resumable, resume: Resume, kind: RunKind = SEARCH) -> RunDirectory | None:
    """Return the run to go on with, locked; None to start a new one.

    Raises:
        UsageError: ``resume`` needs an output, or a run, and there is none.
        RunLockedError: Another process works in the run.
    """
    output = config.output
    if resume == "never":
        return None
    if output is None:
        raise UsageError(
            f"resume {resume!r} needs the directory of a run; give it with --output, since the "
            f"default is a new one each time."
        )
    if not holds_run(output, kind):
        if resume == "must":
            raise UsageError(
                f"{output} holds no run to go on with: there is no {output / kind.config}. "
                f"Check the path, or start one with --resume allow."
            )
        return None
    run = RunDirectory(output, keep=config.checkpoint.keep, kind=kind)
    run.lock()
    return run


def stored_config(run: Path, registry: Registry) -> SearchConfig:
    """Return the configuration of a run, with its directory as output.

    Raises:
        UsageError: There is no run.
        ConfigError: The file is invalid by now.
    """
    check_holds_run(run)
    config = load_config(run / CONFIG, registry=registry)
    return config.model_copy(update={"output": run})


def as_of_now(stored: Mapping[str, Any], registry: Registry) -> Mapping[str, Any]:
    """Return the stored settings of a search with the options that have come since.

    A new option's default is what was done before there was the option. Settings that are not
    valid any more are returned as they are.
    """
    try:
        return load_config(base=stored, registry=registry).model_dump(mode="json")
    except ConfigError:
        return stored


def refuse_changes(
    run: Path,
    stored: Mapping[str, Any],
    config: SearchConfig,
    *,
    free: frozenset[str] = MAY_DIFFER,
) -> None:
    """Check that a configuration is that of the run, but for keys that may differ.

    Args:
        run: Directory, for messages.
        stored: Configuration of the run as plain data.
        config: The one to go on with.
        free: Keys that may differ, with everything below them.

    Raises:
        ConfigChangedError: It is not; the message lists the keys that were changed, without what
            follows from them.
    """
    found = changes_between(stored, config.model_dump(mode="json"), free)
    changes = {key: change for key, change in found.items() if not _follows(key, found, config)}
    if not changes:
        return
    advice = "go on without these changes, or start a new run in another directory."
    if all(_is_within(key, SELECTOR) for key in changes):
        command = ["balenas", "select", str(run), "--selector", config.selector.name]
        advice = (
            f"its result stands. Choose once more from what it has learned, without a search, "
            f"with:\n  {shlex.join(command)}"
        )
    raise ConfigChangedError(
        f"run {run} was started with another configuration:\n{listed(changes, 'run')}\n{advice}"
    )


def changes_between(
    stored: Mapping[str, Any], now: Mapping[str, Any], free: Collection[str] = MAY_DIFFER
) -> dict[str, tuple[Any, ...]]:
    """Return dotted key -> (value then, value now) of what differs and may not.

    Args:
        stored: Settings of a run as plain data.
        now: Those to go on with.
        free: Keys that may differ, with everything below them.
    """
    found = differences((stored, now), "nothing")
    return {
        key: change
        for key, change in found.items()
        if not _is_within(key, free) and not _is_longer_name(key, change)
    }


def _is_longer_name(key: str, change: tuple[Any, ...]) -> bool:
    """Whether only one side names the distribution of a plugin."""
    return key.endswith(".name") and names_the_same(*map(str, change))


def listed(changes: Mapping[str, tuple[Any, ...]], kind: str) -> str:
    """Return one line for each change of a run, which messages call by its kind."""
    return "\n".join(
        f"  {key}: {was} in the {kind}, {now} now" for key, (was, now) in changes.items()
    )


def _is_within(key: str, sections: Collection[str]) -> bool:
    return any(key == section or key.startswith(f"{section}.") for section in sections)


def _follows(key: str, changed: Collection[str], config: SearchConfig) -> bool:
    """Whether a key differs because another does: options of another plugin, or a default."""
    renamed = [other.removesuffix(".name") for other in changed if other.endswith(".name")]
    if _is_within(key, renamed) and not key.endswith(".name"):
        return True
    given = config.model_fields_set | {
        f"training.{name}" for name in config.training.model_fields_set
    }
    return any(
        _is_within(key, [name]) and name not in given and source in changed
        for name, source in _DEFAULT_OF.items()
    )
