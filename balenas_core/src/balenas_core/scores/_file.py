"""Files of scores that a killed scoring goes on with."""

from __future__ import annotations

import csv
import importlib
import io
import json
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from balenas_core.errors import UsageError
from balenas_core.files import RunLock, output_errors, write_atomically

ARCHITECTURE, SCORED_AS, SETTINGS = "architecture", "scored_as", "settings"
FORMATS = (".csv", ".json", ".parquet")

_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error)
"""What reading a file that is no table of scores raises."""

_EVERY_SECONDS = 20.0

Row = dict[str, Any]


class ScoreFile:
    """A table with one row for each architecture and one column for each proxy.

    The ending says the format. A CSV file grows row by row; JSON (an array of objects) and
    parquet are written anew every 20 seconds and by ``close``, atomically. Rows that the file
    holds already are read, and a last row of CSV that was not finished is cut off. No other
    process can add to it until ``close``.

    Args:
        path: The file, made with the first row.
        proxies: Names of the columns of scores.
        settings: Short text that depends on all that the scores depend on; kept in each row, so
            that scores of different settings do not mix.

    Raises:
        UsageError: The ending is unknown, the file has other columns or settings, or parquet is
            asked for without pyarrow.
        RunLockedError: Another process is writing the file.
        OutputError: The file cannot be read or written.
    """

    def __init__(self, path: Path, proxies: Iterable[str], settings: str) -> None:
        self.path = path
        self._columns = [ARCHITECTURE, *proxies, SCORED_AS, SETTINGS]
        self._settings = settings
        self._format = _format(path)
        if self._format == ".parquet":
            _require_pyarrow()
        self.rows: list[Row] = []
        with output_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Before it is read: what another process adds afterwards would be lost or doubled.
            self._lock = RunLock.acquire_file(path)
        try:
            if path.exists():
                with output_errors(path, verb="read"):
                    self.rows = self._read()
        except BaseException:
            self._lock.release()
            raise
        self._written = len(self.rows)
        self._last_write = time.monotonic()

    @property
    def architectures(self) -> set[str]:
        """Text forms of the architectures that have a row."""
        return {row[ARCHITECTURE] for row in self.rows}

    def known(self) -> dict[str, dict[str, float]]:
        """Return scores by the form that was scored."""
        names = self._columns[1:-2]
        return {row[SCORED_AS]: {name: row[name] for name in names} for row in self.rows}

    def append(self, architecture: str, scored_as: str, scores: Mapping[str, float]) -> None:
        """Add a row.

        Raises:
            OutputError: The file cannot be written.
        """
        row = {ARCHITECTURE: architecture, **scores, SCORED_AS: scored_as, SETTINGS: self._settings}
        self.rows.append(row)
        if self._format == ".csv":
            self._append_csv(row)
        elif time.monotonic() - self._last_write > _EVERY_SECONDS:
            self._write()

    def close(self) -> None:
        """Write what is not written yet, and let other processes add to the file.

        Raises:
            OutputError: The file cannot be written.
        """
        try:
            self._write()
        finally:
            self._lock.release()

    def _write(self) -> None:
        if self._written == len(self.rows) and self.path.exists():
            return
        with output_errors(self.path):
            write_atomically(self.path, lambda file: file.write(self._encoded()))
        self._written = len(self.rows)
        self._last_write = time.monotonic()

    def _append_csv(self, row: Row) -> None:
        with output_errors(self.path):
            is_new = not self.path.exists() or self.path.stat().st_size == 0
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(to_csv([row], self._columns, with_header=is_new))
        self._written = len(self.rows)

    def _encoded(self) -> bytes:
        if self._format == ".csv":
            return to_csv(self.rows, self._columns).encode()
        if self._format == ".json":
            plain = [{k: _plain(v) for k, v in row.items()} for row in self.rows]
            return (json.dumps(plain, indent=1, ensure_ascii=False) + "\n").encode()
        return _to_parquet(self.rows, self._columns)

    def _read(self) -> list[Row]:
        if self._format == ".csv":
            _cut_unfinished(self.path)
        columns, rows = read_table(self.path)
        if not columns:
            return []
        if columns != self._columns:
            raise UsageError(
                f"{self.path} has the columns {', '.join(columns)}, and these scores are "
                f"{', '.join(self._columns)}; choose another file with --output, or the proxies "
                f"of this one."
            )
        strange = next((row for row in rows if row[SETTINGS] != self._settings), None)
        if strange is not None:
            raise UsageError(
                f"{self.path} has scores of other settings (space, data, initialisation, seed or "
                f"options; {strange[SETTINGS]}, now {self._settings}); choose another file with "
                f"--output, or the settings of this one."
            )
        return rows


def read_table(path: Path) -> tuple[list[str], list[Row]]:
    """Return the columns and rows of a file of scores; scores as floats.

    Raises:
        UsageError: It is no such file.
        OSError: It cannot be read.
    """
    form = _format(path)
    if not path.is_file() and path.exists():  # a device has no end
        raise UsageError(f"{path} is no regular file; give one that 'balenas score' wrote.")
    try:
        if form == ".csv":
            text = path.read_text(encoding="utf-8")
            raw: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(text)))
            columns = next(csv.reader(io.StringIO(text)), [])
        elif form == ".json":
            raw = json.loads(path.read_text(encoding="utf-8"))
            columns = list(raw[0]) if raw else []
        else:
            table = _require_pyarrow().read_table(path)
            raw, columns = table.to_pylist(), table.column_names
        return columns, [_typed(row, columns) for row in raw]
    except _DAMAGE as error:
        raise UsageError(
            f"{path} is no table of scores ({type(error).__name__}: {error}); give a file that "
            f"'balenas score' wrote."
        ) from error


def _typed(row: Mapping[str, Any], columns: list[str]) -> Row:
    texts = (ARCHITECTURE, SCORED_AS, SETTINGS)
    if ARCHITECTURE not in row:
        raise KeyError(ARCHITECTURE)
    return {name: row[name] if name in texts else _number(row[name]) for name in columns}


def _number(value: Any) -> float:
    return -math.inf if value is None else float(value)


def _plain(value: Any) -> Any:
    """Return a value for strict JSON, which has no infinity: a failed proxy becomes null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def to_csv(rows: Iterable[Row], columns: list[str], *, with_header: bool = True) -> str:
    """Return rows as CSV; floats with every digit."""
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    if with_header:
        writer.writeheader()
    writer.writerows(
        {k: repr(v) if isinstance(v, float) else v for k, v in r.items()} for r in rows
    )
    return file.getvalue()


def _to_parquet(rows: list[Row], columns: list[str]) -> bytes:
    parquet = _require_pyarrow()
    pyarrow = importlib.import_module("pyarrow")
    buffer = io.BytesIO()
    texts = (ARCHITECTURE, SCORED_AS, SETTINGS)
    types = [(n, pyarrow.string() if n in texts else pyarrow.float64()) for n in columns]
    table = pyarrow.Table.from_pylist(rows, schema=pyarrow.schema(types))
    parquet.write_table(table, buffer)
    return buffer.getvalue()


def _require_pyarrow() -> Any:
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise UsageError(
            f"parquet files need pyarrow, which cannot be imported ({error}). Install it with: "
            f"pip install 'balenas-core[parquet]', or write .csv."
        ) from error


def _format(path: Path) -> str:
    form = path.suffix.lower()
    if form not in FORMATS:
        raise UsageError(f"{path} must end in {', '.join(FORMATS)}; got {path.suffix or 'none'}.")
    return form


def _cut_unfinished(path: Path) -> None:
    """Remove a last line without its end, which a killed process has left."""
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) != len(data):
        with path.open("r+b") as file:
            file.truncate(len(whole))
