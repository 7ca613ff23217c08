"""The official files of NAS-Bench-201 and NATS-Bench, to be converted once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from balenas_core.benchmarks import (
    Column,
    PickleError,
    Table,
    read_pickle_file,
    read_torch_file,
)
from balenas_core.errors import ArchitectureError, DataError
from balenas_space_nb201._architecture import OPERATIONS, parse
from balenas_space_nb201._trials import DATASETS, Measurement, measurements

if TYPE_CHECKING:
    from numpy.typing import NDArray

COUNT: Final = len(OPERATIONS) ** 6
_FULL_EPOCHS: Final = 200
_EPOCHS: Final = {"less": 12, "full": _FULL_EPOCHS, "12": 12, "200": _FULL_EPOCHS}
_META: Final = "meta.pickle.pbz2"
_KINDS: Final = (
    "'NAS-Bench-201-v1_?-*.pth', its archive folder of '??????-FULL.pth' files, "
    "'NATS-tss-v1_0-*.pickle.pbz2', or the folder 'NATS-tss-v1_0-*-simple'"
)
_WRONG_NUMBERS: Final = (ValueError, OverflowError)
_MOST_SEEDS: Final = 16
_REMEDY: Final = f"Give {_KINDS}, complete and unpacked."

_Runs = Mapping[Any, Any]


def read_official(source: Path, *, with_curves: bool = False, allow_missing: bool = False) -> Table:
    """Read an official file or folder, executing none of the code it may hold.

    The rows are in the order of the benchmark's own index. Results after 12 epochs of their own
    training schedule have names that end in ``@12``.

    Args:
        source: ``NAS-Bench-201-v1_?-*.pth`` (as torch saved it), the archive folder of
            ``??????-FULL.pth``, ``NATS-tss-v1_0-*.pickle.pbz2``, or the folder
            ``NATS-tss-v1_0-*-simple``.
        with_curves: Whether to keep accuracy and loss after every epoch.
        allow_missing: Whether fewer than 15,625 architectures will do.

    Raises:
        DataError: The source is missing, damaged, incomplete, of another format, or holds more
            than data.

    References:
        Dong and Yang 2020, "NAS-Bench-201", ICLR; Dong et al. 2021, "NATS-Bench", TPAMI. The
        formats are those of the packages ``nas-bench-201`` 2.1 and ``nats-bench`` 1.8.
    """
    collector = Collector(with_curves=with_curves)
    try:
        for index, runs in _architectures(source):
            collector.add(index, runs)
    except FileNotFoundError as error:
        raise DataError(f"no such file or folder: {error.filename}. {_REMEDY}") from error
    except (OSError, EOFError) as error:
        raise DataError(f"cannot read {source}: {error}. {_REMEDY}") from error
    except (PickleError, ArchitectureError, KeyError, TypeError, *_WRONG_NUMBERS) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{source} is not what it should be: {reason}. {_REMEDY}") from error
    missing = COUNT - len(collector.keys)
    if missing and not allow_missing:
        raise DataError(
            f"{source} lacks {missing} of {COUNT} architectures. {_REMEDY} "
            f"With --allow-missing those that are there are taken."
        )
    if not collector.keys:
        raise DataError(f"{source} holds no architecture. {_REMEDY}")
    return collector.table(f"NAS-Bench-201 ({source.name})")


def _architectures(source: Path) -> Iterator[tuple[int, _Runs]]:
    """Yield the index of each architecture, and number of epochs -> its results."""
    if not source.is_dir():
        yield from _of_file(_mapping(_read(source)))
    elif (source / _META).exists():
        meta = _mapping(_read(source / _META))
        for index, text in enumerate(meta["meta_archs"]):
            path = source / f"{index:06d}.pickle.pbz2"
            if path.exists():
                yield index, _checked(path.name, _mapping(_read(path)), text)
    else:
        for path in sorted(source.iterdir()):
            found = re.fullmatch(r"(\d{6})-FULL\.pth", path.name)
            if found:
                yield int(found[1]), _checked(path.name, _mapping(_read(path)), None)


def _read(path: Path) -> Any:
    return read_pickle_file(path) if path.name.endswith(".pbz2") else read_torch_file(path)


def _of_file(content: Mapping[Any, Any]) -> Iterator[tuple[int, _Runs]]:
    texts, infos = content["meta_archs"], dict(_mapping(content["arch2infos"]))
    for index in sorted(infos):
        if not 0 <= index < len(texts):
            raise ValueError(f"it has results of architecture {index}, and names {len(texts)}")
        # Dropped when converted, to need no room for both forms.
        yield index, _checked(f"architecture {index}", _mapping(infos.pop(index)), texts[index])


def _checked(where: str, runs: _Runs, text: str | None) -> _Runs:
    for epochs, results in runs.items():
        if epochs not in _EPOCHS:
            raise ValueError(f"{where} has results {epochs!r}; known are {', '.join(_EPOCHS)}")
        if text is not None and _text(_mapping(results)["arch_str"]) != _text(text):
            raise ValueError(f"{where} should be {text[:200]} and is {results['arch_str'][:200]}")
    return runs


def _mapping(value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"it has {type(value).__name__} where a dict belongs")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"it has {type(value).__name__} where text belongs")
    return value


class Collector:
    """Gathers results by column."""

    def __init__(self, *, with_curves: bool) -> None:
        self.keys: dict[int, bytes] = {}
        self._with_curves = with_curves
        self._seeds: set[int] = set()
        self._columns: dict[tuple[str, str], Measurement] = {}
        self._values: dict[tuple[str, str, int], NDArray[np.float64]] = {}
        self._curves: dict[tuple[str, str, int], NDArray[np.float32]] = {}

    def add(self, index: int, runs: _Runs) -> None:
        """Add one architecture."""
        if not 0 <= index < COUNT or not runs:
            raise ValueError(f"there is no architecture number {index}, or nothing about it")
        for epochs, results in runs.items():
            state = _mapping(results)
            self.keys[index] = str(parse(_text(state["arch_str"]))).encode()
            for (dataset, seed), trial in _mapping(state["all_results"]).items():
                if dataset not in DATASETS:
                    raise ValueError(f"it has results on an unknown dataset {dataset!r}")
                for measurement in measurements(DATASETS[dataset], _mapping(trial)):
                    self._put(index, int(seed), _EPOCHS[epochs], measurement)

    def _put(self, index: int, seed: int, epochs: int, found: Measurement) -> None:
        suffix = "" if epochs == _FULL_EPOCHS else f"@{epochs}"
        key = found.dataset, found.metric + suffix
        self._columns.setdefault(key, found)
        place = *key, seed
        self._seeds.add(seed)
        if len(self._seeds) > _MOST_SEEDS:
            raise ValueError(f"it has results of more than {_MOST_SEEDS} seeds")
        if place not in self._values:
            self._values[place] = np.full(COUNT, np.nan)
        self._values[place][index] = found.value
        if self._with_curves and found.curve is not None:
            if place not in self._curves:
                self._curves[place] = np.full((COUNT, len(found.curve)), np.nan, np.float32)
            self._curves[place][index] = found.curve

    def table(self, source: str) -> Table:
        """Return the table of the architectures that were added, by index."""
        rows = sorted(self.keys)
        keys = [self.keys[row] for row in rows]
        columns, curves = {}, {}
        for dataset, metric in sorted(self._columns, key=_column_order):
            found = self._columns[dataset, metric]
            seeds = tuple(sorted(s for d, m, s in self._values if (d, m) == (dataset, metric)))
            column = Column(dataset, metric, seeds, found.is_cost, found.unit)
            columns[column] = _stacked(self._values, column, rows)
            if (dataset, metric, seeds[0]) in self._curves:
                curves[dataset, metric] = _stacked(self._curves, column, rows)
        return Table("nb201", source, keys, columns, curves)


def _stacked(
    values: dict[tuple[str, str, int], NDArray[Any]], column: Column, rows: list[int]
) -> NDArray[Any]:
    places = [(column.dataset, column.metric, seed) for seed in column.seeds]
    return np.stack([values.pop(place)[rows] for place in places], axis=1)


def _column_order(key: tuple[str, str]) -> tuple[bool, int, int]:
    dataset, metric = key
    order = ("validation_accuracy", "test_accuracy", "validation_and_test_accuracy")
    name, _, epochs = metric.partition("@")
    rank = order.index(name) if name in order else len(order)
    return bool(epochs), list(DATASETS.values()).index(dataset), rank
