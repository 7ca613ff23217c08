"""A sweep checked before anything runs, and its trials put into the queue."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

import optuna

from balenas_core.config import SearchConfig
from balenas_core.errors import ConfigError, UsageError
from balenas_core.plugins.registry import default_registry
from balenas_sweep._recovery import ROW
from balenas_sweep._spec import Dimension, Scalar, SweepSpec

FINGERPRINT: Final = "balenas"
"""Attribute of a study: of which sweep it is."""

_OWN_KEYS = ("output", "executor")


def fingerprint(spec: SweepSpec) -> str:
    """Return a text that depends on everything that defines a sweep."""
    return hashlib.sha256(spec.model_dump_json().encode()).hexdigest()[:16]


def check(spec: SweepSpec) -> None:
    """Check that every trial can be begun, and that they can be compared.

    Raises:
        UsageError: One cannot.
    """
    keys = {d.key for d in spec.dimensions} | {key for row in spec.rows for key in row}
    for key in sorted(keys):
        if key.partition(".")[0] in _OWN_KEYS:
            raise UsageError(f"--over {key}: it says where trials run, and is the sweep's own.")
    if len(spec.objectives) > 1 and spec.pruner != "none":
        raise UsageError("--pruner compares trials by one objective; leave one, or the pruner.")
    configs = [_config(spec, values) for values in _samples(spec)]
    for objective in spec.objectives:
        _check_comparable(objective.name, configs)


def _samples(spec: SweepSpec) -> Sequence[dict[str, Scalar]]:
    """Return settings of all trials, or each value of each dimension once."""
    if spec.rows:
        return spec.rows
    first = {d.key: _ends(d)[0] for d in spec.dimensions}
    return [first, *({**first, d.key: v} for d in spec.dimensions for v in _ends(d)[1:])]


def _ends(dimension: Dimension) -> tuple[Scalar, ...]:
    if dimension.choices:
        return dimension.choices
    assert dimension.low is not None
    assert dimension.high is not None
    kind = int if dimension.is_integer else float
    return kind(dimension.low), kind(dimension.high)


def _config(spec: SweepSpec, values: dict[str, Scalar]) -> SearchConfig:
    try:
        return spec.settings.config(values, None)
    except ConfigError as error:
        told = ", ".join(f"{key}={value}" for key, value in values.items())
        raise ConfigError(f"{error}\nin the trial of {told or 'all defaults'}") from error


def _check_comparable(name: str, configs: Sequence[SearchConfig]) -> None:
    """Check that an objective means the same in every trial.

    Raises:
        UsageError: It does not.
    """
    if name == "check_accuracy":
        _must_agree(name, "check_epochs", [c.check_epochs for c in configs])
        if configs[0].check_epochs == 0:
            raise UsageError(
                "objective check_accuracy is that of the quick check, which is switched off; set "
                "--check-epochs to at least 1."
            )
    if name.endswith("accuracy") or name.endswith("loss"):
        _must_agree(name, "data", [c.data.name for c in configs])
        fractions = [c.training.validation_fraction for c in configs]
        _must_agree(name, "training.validation_fraction", fractions)
    _check_known(name, configs)


def _must_agree(name: str, key: str, values: Sequence[Any]) -> None:
    different = list(dict.fromkeys(map(str, values)))
    if len(different) > 1:
        raise UsageError(
            f"trials of different {key} ({', '.join(different)}) cannot be compared by {name}; "
            f"make a sweep for each."
        )


def _check_known(name: str, configs: Sequence[SearchConfig]) -> None:
    """Check that a benchmark or a proxy that is an objective will have a number."""
    dataset, dot, measure = name.rpartition(".")
    registry = default_registry()
    if dot and measure in ("value", "regret", "rank"):
        for section in {c.space.name: c.space for c in configs}.values():
            benchmark = registry.find("space", section.name).build(section.options).benchmark()
            known = () if benchmark is None else benchmark.datasets
            if dataset not in known:
                has = f"has {', '.join(known)}" if known else "is not installed"
                raise UsageError(
                    f"objective {name}: the benchmark of space {section.name!r} has no data set "
                    f"{dataset!r} (it {has}); 'balenas bench list' shows how to get one."
                )
    elif any(ref.name == name for ref in registry.refs("proxy")):
        for config in configs:
            if name not in config.selector.model_dump_json():
                raise UsageError(
                    f"objective {name}: the selector {config.selector.name!r} does not score by "
                    f"it; join it with --selector, such as '{config.selector.name}+{name}'."
                )


def plan(study: optuna.Study, spec: SweepSpec) -> int:
    """Put those trials of a grid or a list into the queue that are not there; return how many."""
    there = {trial.user_attrs.get(ROW) for trial in study.get_trials(deepcopy=False)}
    missing = [place for place in range(len(spec.rows)) if place not in there]
    for place in missing:
        study.enqueue_trial(dict(spec.rows[place]), user_attrs={ROW: place})
    return len(missing)
