"""One training run of NAS-Bench-201, as its official files describe it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from balenas_core.benchmarks import Series

if TYPE_CHECKING:
    from numpy.typing import NDArray

DATASETS: Final = {
    "cifar10": "cifar10",
    "cifar100": "cifar100",
    "ImageNet16-120": "imagenet16-120",
    "cifar10-valid": "cifar10-valid",
}
"""Name of a dataset in the files -> its name here. ``cifar10-valid`` trains on half of CIFAR-10,
``cifar10`` on all of it."""

_MOST_EPOCHS: Final = 1000
"""The benchmark has 200."""

_SPLITS: Final = {
    ("cifar10-valid", "x-valid"): "validation",
    ("cifar10-valid", "ori-test"): "test",
    ("cifar10", "ori-test"): "test",
    ("cifar100", "x-valid"): "validation",
    ("cifar100", "x-test"): "test",
    ("cifar100", "ori-test"): "validation_and_test",
    ("imagenet16-120", "x-valid"): "validation",
    ("imagenet16-120", "x-test"): "test",
    ("imagenet16-120", "ori-test"): "validation_and_test",
}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One number of a run, and how it got there over the epochs, where the files tell."""

    dataset: str
    metric: str
    unit: str
    is_cost: bool
    value: float
    curve: NDArray[np.float64] | None = None


def measurements(dataset: str, trial: Mapping[str, Any]) -> Iterator[Measurement]:
    """Yield what a run measured.

    Accuracies and losses are those after the last epoch, ``training_time`` is the sum over the
    epochs and the time of an evaluation its mean, all as ``get_more_info`` of the official
    reader has them. The validation results of ``cifar10-valid`` are those of ``cifar10`` too,
    because no other run on CIFAR-10 has any.

    Args:
        dataset: Name here.
        trial: State of a ``ResultsCount`` of the package ``nas-bench-201``.

    Raises:
        KeyError, TypeError, ValueError: It is not such a state.
    """
    epochs = int(trial["epochs"])
    if not 0 < epochs <= _MOST_EPOCHS:
        raise ValueError(f"it was trained for {epochs} epochs, not for 1 to {_MOST_EPOCHS}")
    steps = tuple(range(epochs))
    yield from _split(
        dataset,
        "train",
        _series(trial, "train_acc1es").gather(steps),
        _series(trial, "train_losses").gather(steps),
    )
    if trial["train_times"]:
        times = _series(trial, "train_times").gather(steps)
        yield Measurement(dataset, "training_time", "s", True, float(times.sum()))
    for name in trial["eval_names"]:
        split = _SPLITS.get((dataset, name)) if isinstance(name, str) else None
        if split is None:
            raise ValueError(f"it has an unknown split {name!r} of {dataset}")
        keys = _keys(name, epochs)
        accuracy, loss = (
            _series(trial, "eval_acc1es").gather(keys),
            _series(trial, "eval_losses").gather(keys),
        )
        yield from _split(dataset, split, accuracy, loss)
        if (dataset, split) == ("cifar10-valid", "validation"):
            yield from _split("cifar10", split, accuracy, loss)
        if trial["eval_times"]:
            seconds = _series(trial, "eval_times").gather(keys)
            yield Measurement(dataset, f"{split}_time", "s", True, float(seconds.mean()))
    yield from _costs(dataset, trial)


def _split(
    dataset: str, split: str, accuracy: NDArray[np.float64], loss: NDArray[np.float64]
) -> Iterator[Measurement]:
    last = float(accuracy[-1])
    yield Measurement(dataset, f"{split}_accuracy", "%", False, last, accuracy)
    yield Measurement(dataset, f"{split}_loss", "", True, float(loss[-1]), loss)


def _costs(dataset: str, trial: Mapping[str, Any]) -> Iterator[Measurement]:
    yield Measurement(dataset, "parameters", "M", True, float(trial["params"]))
    yield Measurement(dataset, "flops", "M", True, float(trial["flop"]))
    latency = [float(seconds) for seconds in trial["latency"] or ()]
    if latency and np.mean(latency) > 0:  # -1 stands for not measured
        yield Measurement(dataset, "latency", "s", True, float(np.mean(latency)))


def _series(trial: Mapping[str, Any], name: str) -> Series:
    found = trial[name]
    if not isinstance(found, Series):
        raise TypeError(f"{name} should be a dict and is {type(found).__name__}")
    return found


@cache
def _keys(name: str, epochs: int) -> tuple[str, ...]:
    return tuple(f"{name}@{epoch}" for epoch in range(epochs))
