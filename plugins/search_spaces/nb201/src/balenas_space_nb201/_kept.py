"""Tables that took long to read, kept in balenas' cache."""

from __future__ import annotations

from collections.abc import Callable

from balenas_core.benchmarks import Table, cache_folder, install_table
from balenas_core.errors import DataError, OutputError


def kept_table(name: str, read: Callable[[], Table]) -> Table:
    """Return the table that the cache keeps under a name; where it does not, read and keep it.

    Args:
        name: Changes with what is read.
        read: Reads it, which takes long.

    Raises:
        DataError: What is read is not what it should be.
    """
    path = cache_folder() / "benchmarks" / f"{name}.npz"
    try:
        table = Table.open(path)
        table.check()
        return table
    except DataError:  # not there yet, or damaged: what is in the cache can be made again
        table = read()
    try:
        install_table(table, path)
    except OutputError:
        return table  # nowhere to keep the copy: next time takes as long again
    return table
