"""What a sweep is: the settings that all trials share, and what differs between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from balenas_core.config import SearchConfig, load_settings
from balenas_core.errors import DamagedError, UsageError
from balenas_core.files import read_regular
from balenas_sweep._objectives import Objective

SPEC: Final = "sweep.json"
"""File of a sweep's folder that makes it one."""

SAMPLERS: Final = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "gp": "GPSampler",
    "cmaes": "CmaEsSampler",
    "qmc": "QMCSampler",
    "nsga2": "NSGAIISampler",
    "nsga3": "NSGAIIISampler",
}
"""Name -> class of ``optuna.samplers``."""

PRUNERS: Final = {
    "none": "NopPruner",
    "median": "MedianPruner",
    "halving": "SuccessiveHalvingPruner",
    "hyperband": "HyperbandPruner",
}
"""Name -> class of ``optuna.pruners``."""

_LARGEST: Final = 64 << 20

Scalar = bool | int | float | str


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Settings(_Frozen):
    """What all trials share, level by level, as for one search.

    Args:
        preset: Settings of the preset.
        preset_name: How messages name it.
        file: What the configuration file says.
        file_name: How messages name it.
        flags: Dotted key -> value of flags.
        overrides: Arguments of ``--set``.
    """

    preset: dict[str, Any] = {}
    preset_name: str = "preset"
    file: dict[str, Any] = {}
    file_name: str = "file"
    flags: dict[str, Any] = {}
    overrides: tuple[str, ...] = ()

    def config(self, values: dict[str, Any], output: Path | None) -> SearchConfig:
        """Return the configuration of a trial, whose candidates are measured in its process.

        Args:
            values: Dotted key -> value of what differs between trials.
            output: Its run directory.

        Raises:
            ConfigError: It is none.
        """
        config = load_settings(
            SearchConfig,
            flags=self.flags,
            overrides=(
                *self.overrides,
                *(f"{key}={_text(value)}" for key, value in values.items()),
                "executor=local",
            ),
            bases=((self.preset_name, self.preset), (self.file_name, self.file)),
        )
        return config.model_copy(update={"output": output})


class Dimension(_Frozen):
    """A key of the configuration, and the values that trials give it.

    Args:
        key: Dotted.
        choices: The values; empty for a range.
        low: Smallest of a range.
        high: Largest.
        is_log: Whether a range is searched by order of magnitude.
        is_integer: Whether a range has whole numbers only.
    """

    key: str
    choices: tuple[Scalar, ...] = ()
    low: float | None = None
    high: float | None = None
    is_log: bool = False
    is_integer: bool = False


class SweepSpec(_Frozen):
    """Everything that defines a sweep but where it runs.

    Args:
        settings: What all trials share.
        dimensions: What a sampler chooses from; empty for a grid or a list.
        rows: The trials of a grid or a list.
        trials: How many there are.
        objectives: What is compared.
        sampler: Proposes trials.
        pruner: Ends trials early.
        report: The metric of epochs that the pruner sees; None for the objective's direction.
        seed: Of the sampler.
        attempts: How often a trial is begun that raises something unexpected or loses its worker.
        heartbeat: Seconds between two signs of life of a trial.
    """

    settings: Settings
    dimensions: tuple[Dimension, ...] = ()
    rows: tuple[dict[str, Scalar], ...] = ()
    trials: int = Field(ge=1, le=1_000_000)
    objectives: tuple[Objective, ...] = Field(min_length=1)
    sampler: Literal["tpe", "random", "gp", "cmaes", "qmc", "nsga2", "nsga3"] = "tpe"
    pruner: Literal["none", "median", "halving", "hyperband"] = "none"
    report: str | None = None
    seed: int = Field(default=0, ge=0)
    attempts: int = Field(default=3, ge=1, le=100)
    heartbeat: int = Field(default=20, ge=1, le=3600)

    def values_of(self, key: str) -> tuple[Scalar, ...]:
        """Return every value that rows give a key, each once."""
        return tuple(dict.fromkeys(row[key] for row in self.rows if key in row))


class StoredSweep(_Frozen):
    """``sweep.json``: the sweep, and the study that knows its trials."""

    spec: SweepSpec
    storage: str | None
    study: str


def read_spec(folder: Path) -> StoredSweep:
    """Read what a folder is a sweep of.

    Raises:
        UsageError: It is none.
        DamagedError: The file is damaged.
    """
    try:
        data = read_regular(folder / SPEC, limit=_LARGEST)
    except FileNotFoundError:
        raise UsageError(f"{folder} holds no sweep: there is no {folder / SPEC}.") from None
    try:
        return StoredSweep.model_validate_json(data)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise DamagedError(
            f"{folder / SPEC} is damaged at {where or 'its beginning'}: "
            f"{error.errors()[0]['msg']}. Restore it from a copy, or begin another sweep."
        ) from error


def _text(value: Any) -> str:
    """Return a value as an argument of ``--set`` has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
