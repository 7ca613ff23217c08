"""The official packages' objects: ``nas-bench-201`` and ``nats-bench``, made by the user."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

from balenas_core.benchmarks import Series, Table
from balenas_core.errors import ArchitectureError, DataError, UsageError
from balenas_space_nb201._official import Collector

_PACKAGES: Final = {"nas_201_api": "NASBench201API", "nats_bench": "NATStopology"}
_SERIES: Final = ("train_acc1es", "train_losses", "train_times", "eval_acc1es", "eval_losses",
                  "eval_times")  # fmt: skip


def is_api(value: object) -> bool:
    """Whether something is an object of one of the packages, told without importing them."""
    kind = type(value)
    return _PACKAGES.get(kind.__module__.partition(".")[0]) == kind.__name__


def read_api(api: Any, *, with_curves: bool = False) -> Table:
    """Return all that an ``NASBench201API`` or ``NATStopology`` answers, as a table.

    The rows have the object's own numbers. One in fast mode reads its files, one after the
    other, and is left as it was.

    Args:
        api: The object.
        with_curves: Whether to keep accuracy and loss after every epoch.

    Raises:
        UsageError: It is no such object.
        DataError: It holds no architecture of NAS-Bench-201, or not what it should.
    """
    if not is_api(api):
        kind = type(api)
        raise UsageError(
            f"expected an {' or a '.join(_PACKAGES.values())} of the official packages; got "
            f"{kind.__module__}.{kind.__name__}. A file goes into the option benchmark_file."
        )
    collector = Collector(with_curves=with_curves)
    name = type(api).__name__
    try:
        for index, results in _results(api):
            states = {epochs: _state(result) for epochs, result in results.items()}
            collector.add(index, states)
    except (ArchitectureError, KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"the {name} is not what it should be: {reason}.") from error
    if not collector.keys:
        raise DataError(f"the {name} holds no architecture; give it the benchmark's file.")
    return collector.table(f"NAS-Bench-201 ({name})")


def _results(api: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the number of each architecture, and its results by number of epochs."""
    archive = getattr(api, "archive_dir", None)  # NASBench201API has no fast mode
    if archive is None:
        yield from api.arch2infos_dict.items()
        return
    files = {name.partition(".")[0] for name in os.listdir(archive)}
    for index in range(len(api.meta_archs)):
        is_there = index in api.arch2infos_dict
        if not is_there and f"{index:06d}" not in files:
            continue
        if not is_there:
            api.reload(archive, index)
        yield index, api.arch2infos_dict[index]
        if not is_there:
            del api.arch2infos_dict[index]
            api.evaluated_indexes.discard(index)


def _state(result: Any) -> dict[str, Any]:
    """Return an ``ArchResults`` in the form that it has in a file."""
    state: dict[str, Any] = result.state_dict()
    trials = {
        key: {n: Series(v) if n in _SERIES and v else v for n, v in trial.items()}
        for key, trial in state["all_results"].items()
    }
    return {**state, "all_results": trials}
