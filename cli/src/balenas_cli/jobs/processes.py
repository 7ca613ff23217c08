"""Commands whose work several processes share, as torchrun starts them."""

from __future__ import annotations

import sys
from collections.abc import Callable

from balenas_cli.shell.console import say
from balenas_core.engine.launch import launch
from balenas_core.errors import BalenasError, DataError, DivergenceError, UsageError


def follow(work: Callable[[], object]) -> None:
    """Do the work of a process that is not the first, and end as it does.

    What there is to say, also of most errors, the first process says; of an error that it does
    not know, this one does.
    """
    try:
        work()
    except BalenasError as error:
        from balenas_core.engine.processes import is_of_all

        if not (_is_of_the_request(error) or is_of_all(error)):
            where = launch()
            for line in str(error).splitlines():
                say(f"error: process {where.rank} of {where.count}: {line}")
        sys.exit(error.exit_code)


def _is_of_the_request(error: BalenasError) -> bool:
    """Whether every process has the same error: of the request, unless its machine lacks data."""
    is_of_request = isinstance(error, UsageError) and not isinstance(error, DataError)
    return is_of_request or isinstance(error, DivergenceError)
