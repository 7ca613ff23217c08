"""Everything that a run directory holds, read without trust."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from balenas_core.config import PluginSection
from balenas_core.errors import DamagedError, told
from balenas_core.files import read_regular
from balenas_core.interfaces.architecture import Cell
from balenas_core.plugins.foreign import foreign_code
from balenas_core.plugins.registry import Registry
from balenas_core.report._numbers import as_number
from balenas_core.runs.directory import CONFIG, DISTRIBUTION, METRICS
from balenas_core.runs.distribution_log import DistributionHistory, histories
from balenas_core.runs.listing import TRAINING, RunInfo, read_run
from balenas_core.runs.stored import LARGEST, StoredMetrics, parsed
from balenas_core.runs.used_plugins import changed_plugins, warn_of_other_plugins

if TYPE_CHECKING:
    from balenas_core.interfaces.space import AnySpace

DAMAGE = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError)
"""What reading well-formed JSON of another form ends in."""

Record = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as it is on the disk.

    Args:
        name: What it is called in the report; no two runs alike.
        info: Status and configuration.
        config_text: ``config.yaml``.
        metrics: The record of every epoch.
        distribution: Weights of every decision over time; empty for runs of old versions.
        environment: Versions and machine.
        training: What became of the choice when it was trained; empty if it was not.
        training_metrics: The record of every epoch of that.
        selections: Further selections by name, each as ``result.json``.
        space: Builds the search space, once; raises where its plugin is not here. It imports
            torch, which takes longer than the rest of a report.
        problems: What could not be read, as sentences.
    """

    name: str
    info: RunInfo
    config_text: str
    metrics: Sequence[Record]
    distribution: Sequence[DistributionHistory]
    environment: Record
    training: Record
    training_metrics: Sequence[Record]
    selections: Mapping[str, Record]
    space: Callable[[], AnySpace]
    problems: Sequence[str]

    @property
    def result(self) -> Record:
        """``result.json``; empty unless the run is done."""
        return self.info.result or {}

    @property
    def architecture(self) -> str | None:
        """The choice, or the argmax of the last epoch of a run that is not done."""
        last = self.metrics[-1] if self.metrics else {}
        found = (self.result or last).get("architecture")
        return None if found is None else str(found)

    def cells(self) -> Sequence[Cell]:
        """Return the cells of the architecture; those that are kept need no plugin."""
        kept = self.result.get("cells")
        if kept is not None:
            return list(map(Cell.from_dict, kept))
        drawn: Sequence[Cell] = self.space().parse(self.architecture or "").cells()
        return drawn

    def series(self, name: str) -> list[tuple[int, float]]:
        """Return the epochs, from one, and the values of a metric where it is known."""
        return series(self.metrics, name)


def series(records: Sequence[Record], name: str) -> list[tuple[int, float]]:
    """Return number, from one, and value of every record that has a finite number there."""
    found = []
    for position, record in enumerate(records, start=1):
        value = as_number(record.get(name))
        if value is not None:
            epoch = as_number(record.get("epoch"))
            found.append((position if epoch is None else int(epoch) + 1, value))
    return found


def read_records(runs: Sequence[Path], registry: Registry) -> list[RunRecord]:
    """Read runs, each with a name of its own."""
    names = _names([run.resolve() for run in runs])
    return [_read(run, name, registry) for run, name in zip(runs, names, strict=True)]


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of paths that tell them apart; equal paths are numbered.

    Example:
        >>> _names([Path("/a/x"), Path("/b/x"), Path("/b/x")])
        ['a/x', 'b/x', 'b/x (2)']
    """
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(set(paths)):
            break
    seen: dict[str, int] = {}
    numbered = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        numbered.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return numbered


def _read(path: Path, name: str, registry: Registry) -> RunRecord:
    info = read_run(path)
    problems = list(info.problems)
    try:
        config_text = (path / CONFIG).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        config_text = ""
        problems.append(f"{CONFIG} cannot be read: {error.strerror}.")
    try:
        distribution = histories(_content(path / DISTRIBUTION))
    except (ValueError, DamagedError) as error:
        distribution = ()
        problems.append(f"{DISTRIBUTION} is damaged: {error}.")
    changes = changed_plugins(info.environment, registry)
    problems += [f"It was made with other plugins: {change}." for change in changes]
    warn_of_other_plugins(info.environment, registry)
    return RunRecord(
        name=name,
        info=info,
        config_text=config_text,
        metrics=_records(path / METRICS, problems),
        distribution=distribution,
        environment=info.environment,
        training=info.training,
        training_metrics=_records(path / TRAINING / METRICS, problems),
        selections=info.selections,
        space=cache(partial(_space, info, registry)),
        problems=problems,
    )


def _content(path: Path) -> bytes:
    try:
        return read_regular(path, limit=LARGEST)
    except OSError:
        return b""


def _records(path: Path, problems: list[str]) -> Sequence[Record]:
    """Return the whole lines of a file; the last may be in the making."""
    try:
        lines = _content(path).split(b"\n")[:-1]
    except DamagedError as error:
        problems.append(str(error))
        return ()
    found, damaged = [], []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(parsed(line, StoredMetrics))
        except ValueError as error:
            damaged.append(f"line {number}, {error}")
    if damaged:
        problems.append(
            f"{path.name}: {len(damaged)} of {len(lines)} lines are damaged ({damaged[0]})."
        )
    return found


def _space(info: RunInfo, registry: Registry) -> AnySpace:
    resolved = PluginSection.resolve("space", info.config.get("space"), registry)
    space: AnySpace = registry.find("space", resolved.name).build(resolved.options)
    return space


def attempt(call: Callable[[], T], problems: list[str], what: str) -> T | None:
    """Return what a plugin returns; None, and a problem more, where it raises."""
    try:
        with foreign_code(what, "while it was asked for a report", draws=True):
            return call()
    except Exception as error:
        problems.append(f"{what}: {told(error)}")
    return None
