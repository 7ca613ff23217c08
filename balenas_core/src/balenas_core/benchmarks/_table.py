"""The compact form of benchmark results: columns of numbers in one ``.npz`` file."""

from __future__ import annotations

import json
import weakref
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from balenas_core.errors import DataError
from balenas_core.plugins.suggest import did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FORMAT: Final = "balenas-benchmark"
_VERSION: Final = 1
_MEAN: Final = -1
_DAMAGE: Final = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    RuntimeError,  # nested too deep, encrypted, or a zip feature that Python lacks
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged file raises."""


@dataclass(frozen=True, slots=True)
class Column:
    """What one column of a table holds.

    Args:
        dataset: Dataset the numbers were measured on.
        metric: What was measured; ``@12`` at its end says after how many epochs, where it is
            not the benchmark's usual number.
        seeds: Seed of each training run; empty if the number does not depend on one.
        is_cost: Whether smaller is better.
        unit: Unit of the numbers, empty for none.
    """

    dataset: str
    metric: str
    seeds: tuple[int, ...] = ()
    is_cost: bool = False
    unit: str = ""


class Table:
    """Results of architectures, by column; columns are read from the file when asked for.

    Args:
        space: Name of the search space.
        source: Where the results are from, one line.
        keys: ASCII key of every architecture, such as its text form.
        columns: Each column with its `architectures x seeds`-dim values (`architectures x 1`
            without seeds), NaN where nothing was measured.
        curves: (dataset, metric) -> `architectures x seeds x epochs`-dim values of a column
            after every epoch.
        extras: Further arrays that the space needs to use the table, by name.

    Raises:
        ValueError: Keys repeat, or shapes do not fit.
    """

    def __init__(
        self,
        space: str,
        source: str,
        keys: Iterable[bytes],
        columns: Mapping[Column, NDArray[Any]],
        curves: Mapping[tuple[str, str], NDArray[Any]] | None = None,
        extras: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        self.space = space
        self.source = source
        self.keys: NDArray[np.bytes_] = np.asarray(list(keys), dtype=np.bytes_)
        self._columns = {(column.dataset, column.metric): column for column in columns}
        self._arrays: Mapping[str, NDArray[Any]] = {
            **{f"column{n}": np.asarray(values) for n, values in enumerate(columns.values())},
            **{f"curve{n}": np.asarray(v) for n, v in enumerate((curves or {}).values())},
            **{f"extra_{name}": np.asarray(values) for name, values in (extras or {}).items()},
        }
        self._places = {key: f"column{n}" for n, key in enumerate(self._columns)}
        self._curves = {key: f"curve{n}" for n, key in enumerate(curves or {})}
        self._extras = tuple(extras or ())
        self._file: Path | None = None
        self._read: dict[tuple[str, str, int], NDArray[np.float64]] = {}
        if len(np.unique(self.keys)) != len(self.keys):
            raise ValueError("keys must differ; two architectures have the same")
        for column, values in columns.items():
            if np.shape(values) != (len(self.keys), max(len(column.seeds), 1)):
                raise ValueError(
                    f"{column} must be {len(self.keys)} x {max(len(column.seeds), 1)}; "
                    f"got {np.shape(values)}"
                )

    def __len__(self) -> int:
        """Return the number of architectures."""
        return len(self.keys)

    @property
    def columns(self) -> tuple[Column, ...]:
        """What each column holds."""
        return tuple(self._columns.values())

    @property
    def curve_names(self) -> tuple[tuple[str, str], ...]:
        """Dataset and metric of every curve."""
        return tuple(self._curves)

    @property
    def datasets(self) -> tuple[str, ...]:
        """Datasets, in the order of the columns."""
        return tuple(dict.fromkeys(column.dataset for column in self.columns))

    def metrics(self, *, is_cost: bool) -> tuple[str, ...]:
        """Return what was measured: where larger is better, or what is a cost."""
        return tuple(dict.fromkeys(c.metric for c in self.columns if c.is_cost == is_cost))

    def column(self, dataset: str, metric: str) -> Column:
        """Return what is known of a column.

        Raises:
            DataError: There is no such dataset, or no such metric of it.
        """
        found = self._columns.get((dataset, metric))
        if found is not None:
            return found
        if dataset not in self.datasets:
            raise DataError(_unknown("dataset", dataset, self.datasets))
        known = [c.metric for c in self.columns if c.dataset == dataset]
        raise DataError(_unknown("metric", metric, known, f" of {dataset}"))

    def values(self, dataset: str, metric: str, seed: int | None = None) -> NDArray[np.float64]:
        """Return a column: one training run, or the mean of those that exist.

        Raises:
            DataError: Unknown dataset, metric or seed; or the file is damaged.
        """
        column = self.column(dataset, metric)
        if seed is not None and column.seeds and seed not in column.seeds:
            known = ", ".join(map(str, column.seeds))
            raise DataError(
                f"{metric} of {dataset} has the seeds {known}; got {seed}. "
                f"Leave the seed out for the mean."
            )
        run = column.seeds.index(seed) if seed is not None and column.seeds else _MEAN
        place = dataset, metric, run
        if place not in self._read:
            runs = self._array(self._places[dataset, metric])
            self._read[place] = _mean(runs) if run == _MEAN else runs[:, run].copy()
        return self._read[place].copy()

    def curve(self, dataset: str, metric: str, seed: int | None = None) -> NDArray[np.float64]:
        """Return `architectures x epochs`-dim values after every epoch.

        Raises:
            DataError: The curves were not kept, or there is no such dataset, metric or seed.
        """
        column = self.column(dataset, metric)
        if (dataset, metric) not in self._curves:
            raise DataError(
                f"{self.source} was imported without curves of {metric}; "
                f"import it again with --curves."
            )
        runs = self._array(self._curves[dataset, metric])
        if seed is None:
            return _mean(runs)
        if seed not in column.seeds:
            raise DataError(f"{metric} of {dataset} has the seeds {column.seeds}; got {seed}.")
        return runs[:, column.seeds.index(seed)].copy()

    def extra(self, name: str) -> NDArray[Any]:
        """Return one of the further arrays.

        Raises:
            DataError: There is none of this name, or the file is damaged.
        """
        if name not in self._extras:
            raise DataError(
                f"{self.source} has no {name!r}; import it again with 'balenas bench import'."
            )
        return self._stored(f"extra_{name}").copy()

    def check(self) -> None:
        """Read all that the file holds, once.

        Raises:
            DataError: It is damaged.
        """
        for name in self._arrays:
            self._stored(name)

    def _array(self, name: str) -> NDArray[np.float64]:
        return self._stored(name).astype(np.float64, copy=False)

    def _stored(self, name: str) -> NDArray[Any]:
        try:
            return np.asarray(self._arrays[name])
        except _DAMAGE as error:
            raise _damaged(str(self._file or self.source), error) from error

    def write(self, file: IO[bytes]) -> None:
        """Write the table; numbers that float32 holds exactly are stored so."""
        header = {
            "format": _FORMAT,
            "version": _VERSION,
            "space": self.space,
            "source": self.source,
            "columns": [asdict(column) for column in self.columns],
            "curves": [list(key) for key in self._curves],
            "extras": list(self._extras),
        }
        arrays: dict[str, Any] = {
            name: _narrowed(self._arrays[name]) for name in self._places.values()
        }
        unchanged = [*self._curves.values(), *(f"extra_{name}" for name in self._extras)]
        arrays |= {name: self._arrays[name] for name in unchanged}
        text = np.frombuffer(json.dumps(header).encode(), np.uint8)
        _write_npz(file, {"header": text, "keys": self.keys, **arrays})

    @classmethod
    def open(cls, path: Path) -> Table:
        """Open a file that ``write`` wrote.

        Raises:
            DataError: The file is missing, damaged, or of another format or version.
        """
        try:
            file = path.open("rb")
        except OSError as error:
            raise DataError(
                f"cannot read {path}: {error.strerror}. Make it with 'balenas bench import'."
            ) from error
        try:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("it holds one array")
            table = cls._from_file(_header(path, json.loads(arrays["header"].tobytes())), arrays)
            table._file = path
        except DataError:
            file.close()
            raise
        except _DAMAGE as error:
            file.close()
            raise _damaged(str(path), error) from error
        # It stays open to read columns from, also when the path gets another file.
        weakref.finalize(table, file.close)
        return table

    @classmethod
    def _from_file(cls, header: Mapping[str, Any], arrays: Any) -> Table:
        table = cls(str(header["space"]), str(header["source"]), arrays["keys"], {})
        columns = [Column(**{**c, "seeds": tuple(c["seeds"])}) for c in header["columns"]]
        table._columns = {(column.dataset, column.metric): column for column in columns}
        table._places = {key: f"column{n}" for n, key in enumerate(table._columns)}
        table._curves = {(d, m): f"curve{n}" for n, (d, m) in enumerate(header["curves"])}
        table._extras = tuple(map(str, header["extras"]))
        table._arrays = arrays
        named = (f"extra_{name}" for name in table._extras)
        missing = {*table._places.values(), *table._curves.values(), *named} - set(arrays.files)
        if missing:
            raise ValueError(f"it has no array {sorted(missing)[0]!r}")
        return table


def _header(path: Path, header: Any) -> Mapping[str, Any]:
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise ValueError("its header is another format's")
    if header.get("version") != _VERSION:
        raise DataError(
            f"{path} is of version {header.get('version')!r}, and this balenas reads version "
            f"{_VERSION}. Import the official file again with 'balenas bench import'."
        )
    return header


def _damaged(where: str, error: Exception) -> DataError:
    return DataError(
        f"{where} is not a benchmark file of balenas, or is damaged "
        f"({type(error).__name__}: {error}). Import it again with 'balenas bench import'."
    )


def _mean(runs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over axis 1 of what is not NaN; NaN where there is nothing."""
    measured = ~np.isnan(runs)
    count = measured.sum(axis=1)
    total = np.where(measured, runs, 0.0).sum(axis=1)
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def _write_npz(file: IO[bytes], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write what ``np.load`` reads; numpy's own compression takes three times as long."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=2) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _narrowed(values: NDArray[Any]) -> NDArray[Any]:
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    return narrow if np.array_equal(narrow, values, equal_nan=True) else values


def _unknown(what: str, name: str, known: Iterable[str], where: str = "") -> str:
    names = list(known)
    return (
        f"the benchmark has no {what} {name!r}{where}.{did_you_mean(name, names)} "
        f"Known: {', '.join(names)}."
    )
