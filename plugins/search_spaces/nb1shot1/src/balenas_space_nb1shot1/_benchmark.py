"""NAS-Bench-101's results of the configurations of a space."""

from __future__ import annotations

import zipfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

from balenas_core.errors import DataError
from balenas_core.interfaces.benchmark import Benchmark
from balenas_space_nb1shot1._architecture import NB1Shot1Architecture, position
from balenas_space_nb1shot1._configurations import architecture_at
from balenas_space_nb1shot1._topology import Topology

_TEST_IMAGES_TIMES_RUNS: Final = 29_952
"""Three runs on the 9,984 test images of NAS-Bench-101: the unit of its accuracies."""


class NB1Shot1Benchmark(Benchmark[NB1Shot1Architecture]):
    """Mean test accuracy on CIFAR-10, in percent, of every configuration after 108 epochs.

    Configurations with the same cell have the same value, and count each in a rank.

    Args:
        folder: Folder with ``nb101.npz`` (array ``test_sum_29952``) and ``nb1shot1_index.npz``
            (one array a space: the row of each configuration).
        topology: The space.

    References:
        Ying et al. 2019, "NAS-Bench-101", ICML.
    """

    datasets = ("cifar10",)
    metrics = ("test_accuracy",)

    def __init__(self, folder: Path, topology: Topology) -> None:
        self.name = f"nas-bench-1shot1 {topology.name}"
        self.folder = folder
        self.topology = topology

    def values(self, dataset: str, metric: str, seed: int | None = None) -> NDArray[np.float64]:
        """Return the accuracy of all configurations, in the order of ``all_architectures``.

        Raises:
            DataError: Unknown dataset, metric or seed; or the files are not what they should be.
        """
        if dataset not in self.datasets or metric not in self.metrics:
            raise DataError(
                f"the benchmark has no {metric!r} on {dataset!r}; it has test_accuracy on cifar10."
            )
        if seed is not None:
            raise DataError(f"the benchmark has means over seeds only; got seed {seed}.")
        return self._accuracies.copy()

    def index(self, architecture: NB1Shot1Architecture) -> int:
        """Return the position of an architecture in ``values``."""
        return position(architecture, self.topology)

    def text(self, index: int) -> str:
        """Return the text form of the architecture at a position."""
        return str(architecture_at(index, self.topology))

    @cached_property
    def _accuracies(self) -> NDArray[np.float64]:
        rows = _read(self.folder / "nb1shot1_index.npz", self.topology.name)
        table = _read(self.folder / "nb101.npz", "test_sum_29952")
        if rows.shape != (self.topology.size(),) or rows.min() < 0 or rows.max() >= table.size:
            raise DataError(
                f"{self.folder / 'nb1shot1_index.npz'}: expected {self.topology.size()} rows of "
                f"nb101.npz for {self.topology.name}, got shape {rows.shape}; "
                f"the two files do not belong together."
            )
        accuracies: NDArray[np.float64] = table[rows] * (100 / _TEST_IMAGES_TIMES_RUNS)
        return accuracies


def _read(path: Path, name: str) -> NDArray[np.integer]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            array: NDArray[np.integer] = arrays[name]
    except KeyError as error:
        raise DataError(f"{path} has no array {name!r}; it is not a benchmark file.") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"cannot read {path}: {error}. Set the option benchmark_folder to the folder that "
            f"holds nb101.npz and nb1shot1_index.npz."
        ) from error
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"{path}: array {name!r} should hold integers in one dimension.")
    return array
