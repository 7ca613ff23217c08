"""NAS-Bench-101's official results of the configurations of a space."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

from balenas_core.benchmarks import Table, installed_table
from balenas_core.errors import DataError
from balenas_core.interfaces.benchmark import Benchmark
from balenas_space_nb1shot1._architecture import NB1Shot1Architecture, position
from balenas_space_nb1shot1._configurations import architecture_at
from balenas_space_nb1shot1._topology import TOPOLOGIES, Topology


class NB1Shot1ImportedBenchmark(Benchmark[NB1Shot1Architecture]):
    """Every configuration's results on CIFAR-10 after 108 epochs, three runs each.

    Test, validation and training accuracy in percent, at the end and (``halfway_``) after half
    of the epochs, with the training times. Configurations with the same cell have the same
    values, and count each in a rank.

    Args:
        table: What ``balenas bench import nb1shot1 FILE`` wrote.
        topology: The space.

    Raises:
        DataError: The table is another space's.

    References:
        Ying et al. 2019, "NAS-Bench-101", ICML.
    """

    def __init__(self, table: Table, topology: Topology) -> None:
        if table.space != "nb1shot1":
            raise DataError(
                f"{table.source} has results of {table.space!r}, not of 'nb1shot1'; "
                f"import a file of this space."
            )
        self.table = table
        self.topology = topology
        self.name = f"{table.source}, {topology.name}"
        self.datasets = table.datasets
        self.metrics = table.metrics(is_cost=False)
        self.cost_names = table.metrics(is_cost=True)
        self._rows = table.extra(topology.name)
        if self._rows.shape != (topology.size(),):
            raise DataError(
                f"{table.source} has {self._rows.shape} configurations of {topology.name}, not "
                f"{topology.size()}; import it again with 'balenas bench import nb1shot1 FILE'."
            )

    def values(self, dataset: str, metric: str, seed: int | None = None) -> NDArray[np.float64]:
        """Return a metric or cost of all configurations, in the order of ``all_architectures``.

        Raises:
            DataError: Unknown dataset, metric or seed; or the file is damaged.
        """
        column = self.table.values(dataset, metric, seed)
        return np.where(self._rows >= 0, column[self._rows], np.nan)

    def index(self, architecture: NB1Shot1Architecture) -> int:
        """Return the position of an architecture in ``values``."""
        return position(architecture, self.topology)

    def text(self, index: int) -> str:
        """Return the text form of the architecture at a position."""
        return str(architecture_at(index, self.topology))

    def measured(self, dataset: str) -> tuple[str, ...]:
        """Return the metrics and costs that are known on a dataset."""
        return tuple(c.metric for c in self.table.columns if c.dataset == dataset)

    def unit(self, metric: str) -> str:
        """Return the unit of a metric or cost."""
        return next((c.unit for c in self.table.columns if c.metric == metric), "")

    def seeds(self, dataset: str, metric: str) -> tuple[int, ...]:
        """Return the seeds of a metric or cost."""
        return self.table.column(dataset, metric).seeds


def find_imported(topology: Topology) -> NB1Shot1ImportedBenchmark | None:
    """Return the results that were imported, if there are any.

    Raises:
        DataError: They are damaged.
    """
    path = installed_table("nb1shot1")
    return None if path is None else _opened(path, path.stat().st_mtime_ns, topology.name)


@cache
def _opened(path: Path, changed: int, name: str) -> NB1Shot1ImportedBenchmark:
    return NB1Shot1ImportedBenchmark(Table.open(path), TOPOLOGIES[name])
